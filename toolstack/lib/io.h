/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole reads and writes.  All functions return 0 or -errno and never a short
 * count; an interrupted call goes on.
 */
#ifndef TOOLSTACK_LIB_IO_H
#define TOOLSTACK_LIB_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * io_read_full() - read exactly @len bytes.
 * @fd:  descriptor, blocking
 * @buf: gets the bytes
 * @len: bytes wanted
 *
 * Return: 0; -EPIPE if the other side ended before @len bytes; else read(2)'s
 * error.
 */
int io_read_full(int fd, void *buf, size_t len);

/**
 * io_pread_full() - io_read_full() at an offset; the file position stays.
 * @fd:     descriptor of a file
 * @buf:    gets the bytes
 * @len:    bytes wanted
 * @offset: from the start of the file, bytes
 */
int io_pread_full(int fd, void *buf, size_t len, off_t offset);

/**
 * io_write_full() - write all of @buf.
 * @fd:  descriptor, blocking
 * @buf: bytes
 * @len: how many
 *
 * Return: 0, -EPIPE (no signal where SIGPIPE is ignored), -ENOSPC ...
 */
int io_write_full(int fd, const void *buf, size_t len);

/**
 * io_read_file() - read a whole file into memory.
 * @path:      file
 * @max_bytes: refuse what is longer
 * @buf:       gets a malloc'd buffer with a NUL behind the data; caller frees
 * @len:       gets the length without the NUL
 *
 * Works on pipes and /proc files too (no trust in st_size).
 * Return: 0, -EFBIG, -ENOMEM, -EISDIR or open/read's error.
 */
int io_read_file(const char *path, size_t max_bytes, char **buf, size_t *len);

/**
 * io_write_file_atomic() - replace a file by new contents or leave it alone.
 * @path: file; a sibling "@path.new" is written, synced and renamed over it
 * @buf:  contents
 * @len:  bytes
 * @mode: permissions of the new file
 *
 * Durable when it returns 0 (file and directory are synced).
 */
int io_write_file_atomic(const char *path, const void *buf, size_t len, mode_t mode);

/** io_mkdir_parents() - make every directory above @path, mode 0755. */
int io_mkdir_parents(const char *path);

/** io_now_ns() - CLOCK_MONOTONIC in nanoseconds. */
uint64_t io_now_ns(void);

/** io_sync_dir_of() - make the directory entry of @path durable.  Return: 0; -ENAMETOOLONG; -errno of open
 *  or fsync.  Source: fsync(2), "entry in the directory". */
int io_sync_dir_of(const char *path);

#endif
