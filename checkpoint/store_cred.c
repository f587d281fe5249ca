/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials of a store: see checkpoint/store_cred.h. */
#include "checkpoint/store_cred.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "toolstack/lib/io.h"

#define FILE_MAX	65535u

void store_cred_wipe(struct store_cred *c)
{
	explicit_bzero(c, sizeof(*c));
}

/* --- the text -------------------------------------------------------------------- */

/* The next word into @word; 1, 0 at the end, -EINVAL too long. */
static int next_word(const char **text, char word[STORE_CRED_MAX + 1])
{
	const char *t = *text;
	size_t n;

	for (;;) {
		t += strspn(t, " \t\r\n");
		if (*t != '#')
			break;
		t += strcspn(t, "\n");
	}
	n = strcspn(t, " \t\r\n");
	*text = t + n;
	if (n > STORE_CRED_MAX)
		return -EINVAL;
	memcpy(word, t, n);
	word[n] = '\0';
	return n > 0;
}

int store_cred_parse(const char *text, const char *host, struct store_cred *out)
{
	char word[STORE_CRED_MAX + 1], value[STORE_CRED_MAX + 1];
	bool inside = false, fits = false, done = false;
	int ret;

	memset(out, 0, sizeof(*out));
	while ((ret = next_word(&text, word)) > 0) {
		bool fresh = !strcmp(word, "default");

		value[0] = '\0';
		if (!fresh) {
			ret = next_word(&text, value);
			if (ret <= 0)
				break;
		}
		if (fresh || !strcmp(word, "machine")) {
			done = done || fits;
			fits = !done && (fresh || !strcmp(value, host));
			inside = true;
			ret = 0;
			continue;
		}
		ret = -EINVAL;
		if (!inside)
			break;
		if (!strcmp(word, "login")) {
			if (fits)
				strcpy(out->user, value);
		} else if (!strcmp(word, "password")) {
			if (fits)
				strcpy(out->secret, value);
		} else {
			break;
		}
		ret = 0;
	}
	/* A keyword without its value ends the loop with word[] set and ret 0. */
	if (!ret && word[0])
		ret = -EINVAL;
	explicit_bzero(word, sizeof(word));
	explicit_bzero(value, sizeof(value));
	if (ret)
		store_cred_wipe(out);
	return ret;
}

/* --- the file -------------------------------------------------------------------- */

static int judge_file(int fd, const char *path, char why[200])
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode)) {
		snprintf(why, 200, "%.120s: not a regular file", path);
		return -EACCES;
	}
	if (st.st_mode & 077) {
		snprintf(why, 200, "%.120s: others may read or change it (mode %03o, not 600)", path,
			 (unsigned int)(st.st_mode & 0777));
		return -EACCES;
	}
	if (st.st_uid != geteuid() && st.st_uid != 0) {
		snprintf(why, 200, "%.120s: belongs to somebody else", path);
		return -EACCES;
	}
	return 0;
}

static int read_file(const char *path, const char *host, struct store_cred *out, char why[200])
{
	char text[FILE_MAX + 1];
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), ret;

	if (fd < 0) {
		ret = -errno;
		snprintf(why, 200, "%.120s: %s", path, strerror(-ret));
		return ret;
	}
	ret = judge_file(fd, path, why);
	if (!ret && (fstat(fd, &st) < 0 || st.st_size > (off_t)FILE_MAX))
		ret = -EFBIG;
	if (!ret) {
		ret = io_pread_full(fd, text, (size_t)st.st_size, 0);
		text[ret ? 0 : st.st_size] = '\0';
	}
	close(fd);
	if (!ret) {
		ret = store_cred_parse(text, host, out);
		if (ret)
			snprintf(why, 200, "%.100s: not of the form \"machine HOST login USER "
				 "password SECRET\"", path);
		explicit_bzero(text, sizeof(text));
	}
	if (ret && !why[0])
		snprintf(why, 200, "%.120s: %s", path, strerror(-ret));
	return ret;
}

static int find_file(const char *host, struct store_cred *out, char why[200])
{
	const char *given = getenv("GODWIT_STORE_CREDENTIALS"), *home = getenv("HOME");
	char path[PATH_MAX];

	if (given && *given)
		return read_file(given, host, out, why);
	if (home && snprintf(path, sizeof(path), "%s/.config/godwit/credentials", home) <
	    (int)sizeof(path) && access(path, F_OK) == 0)
		return read_file(path, host, out, why);
	if (access("/etc/godwit/credentials", F_OK) == 0)
		return read_file("/etc/godwit/credentials", host, out, why);
	return 0;
}

int store_cred_find(const char *host, const char *user_var, const char *secret_var,
		    struct store_cred *out, char why[200])
{
	const char *user = getenv(user_var), *secret = getenv(secret_var);

	memset(out, 0, sizeof(*out));
	if ((!user || !*user) && (!secret || !*secret))
		return find_file(host, out, why);
	if (!user || !*user || !secret || !*secret) {
		snprintf(why, 200, "of %s and %s only one is set", user_var, secret_var);
		return -EINVAL;
	}
	if (strlen(user) > STORE_CRED_MAX || strlen(secret) > STORE_CRED_MAX) {
		snprintf(why, 200, "%s or %s is longer than %u bytes", user_var, secret_var,
			 STORE_CRED_MAX);
		return -EINVAL;
	}
	strcpy(out->user, user);
	strcpy(out->secret, secret);
	return 0;
}
