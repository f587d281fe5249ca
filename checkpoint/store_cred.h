/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of a store: from a file that only its owner may read, or from the
 * environment.  Invariant: nothing of a secret gets into a message.
 */
#ifndef CHECKPOINT_STORE_CRED_H
#define CHECKPOINT_STORE_CRED_H

#include <stddef.h>

#define STORE_CRED_MAX	1024u			/* each, bytes */

struct store_cred {
	char user[STORE_CRED_MAX + 1];		/* "" if there is none for this host */
	char secret[STORE_CRED_MAX + 1];
};

/**
 * store_cred_parse() - find a host's entry in a netrc-like text.
 * @text: NUL-terminated: "machine HOST login USER password SECRET", in any
 *        order behind `machine`, separated by white space; "default" for any
 *        host; # starts a comment at the beginning of a word
 * @host: host name, or "s3:BUCKET"; the first entry that fits counts
 * @out:  "" if there is none
 * Return: 0; -EINVAL the text is no such file.
 */
int store_cred_parse(const char *text, const char *host, struct store_cred *out);

/**
 * store_cred_find() - credentials for @host.
 * @host:       as above
 * @user_var, @secret_var: environment variables that win over the file
 * @out:        "" if there are none: then requests go unauthenticated
 * @why:        one line on failure
 *
 * The file is $GODWIT_STORE_CREDENTIALS; else ~/.config/godwit/credentials; else
 * /etc/godwit/credentials.  Only the first has to exist.
 * Return: 0; -EACCES others may read or write the file, or it is somebody
 * else's; -EINVAL; -errno.
 */
int store_cred_find(const char *host, const char *user_var, const char *secret_var,
		    struct store_cred *out, char why[200]);

/** store_cred_wipe() - overwrite it, also where the compiler sees no use of that. */
void store_cred_wipe(struct store_cred *c);

#endif
