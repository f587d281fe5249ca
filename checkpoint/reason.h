/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why something was refused: an errno for the program, a phrase for people.
 * The phrase has no position; the reader or writer, who knows record and
 * offset, puts them in front.
 */
#ifndef CHECKPOINT_REASON_H
#define CHECKPOINT_REASON_H

struct stream_reason {
	char text[256];
};

/**
 * reason_set() - record a phrase and pass the error on.
 * @why: gets the text, cut if too long
 * @err: a negative errno
 * @fmt: printf format; the text must not hold bytes of the input unescaped
 *
 * Return: @err, so that a check reads "return reason_set(why, -EBADMSG, ...)".
 */
int reason_set(struct stream_reason *why, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
