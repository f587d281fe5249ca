// SPDX-License-Identifier: Apache-2.0
/*
 * bzImage payloads: see unpack.h.  A table maps the first bytes of the payload
 * to a decompressor; each gets an output buffer of exactly the announced size
 * and must fill it.
 */
#include "toolstack/build/unpack.h"

#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

/* Fields of the setup header, Documentation/x86/boot.rst. */
#define SETUP_SECTS 0x1f1
#define BOOT_FLAG 0x1fe
#define HEADER_MAGIC 0x202
#define PROTOCOL_VERSION 0x206
#define PAYLOAD_OFFSET 0x248
#define PAYLOAD_LENGTH 0x24c
#define HEADER_END 0x250

/* The kernel's own xz call uses a 32 MiB dictionary; 128 MiB leaves room. */
#define XZ_MEMORY_LIMIT (128u << 20)
#define PAGE_BYTES 4096u
#define LZ4_LEGACY_BLOCK (8u << 20)

struct span {
	const uint8_t *p;
	size_t len;
};

static uint16_t le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)le16(p) | (uint32_t)le16(p + 2) << 16;
}

/* Each: true if exactly @out_len bytes came out. */

static bool inflate_gzip(struct span in, uint8_t *out, size_t out_len)
{
	z_stream z = { .next_in = (uint8_t *)(uintptr_t)in.p, .avail_in = (uInt)in.len,
		       .next_out = out, .avail_out = (uInt)out_len };
	bool ok;

	/* 16 selects the gzip wrapper, 15 the largest window. */
	if (inflateInit2(&z, 16 + 15) != Z_OK)
		return false;
	ok = inflate(&z, Z_FINISH) == Z_STREAM_END && z.total_out == out_len;
	inflateEnd(&z);
	return ok;
}

static bool inflate_xz(struct span in, uint8_t *out, size_t out_len)
{
	uint64_t limit = XZ_MEMORY_LIMIT;
	size_t in_pos = 0, out_pos = 0;

	return lzma_stream_buffer_decode(&limit, 0, NULL, in.p, &in_pos, in.len, out, &out_pos,
					 out_len) == LZMA_OK && out_pos == out_len;
}

static bool inflate_zstd(struct span in, uint8_t *out, size_t out_len)
{
	/* The whole output is one buffer, so the frame's window needs no memory. */
	size_t frame = ZSTD_findFrameCompressedSize(in.p, in.len);

	if (ZSTD_isError(frame))
		return false;
	return ZSTD_decompress(out, out_len, in.p, frame) == out_len;
}

/* The legacy frame `lz4 -l`: magic, then {size, block} until the end. */
static bool inflate_lz4(struct span in, uint8_t *out, size_t out_len)
{
	size_t pos = 4, done = 0;

	while (pos + 4 <= in.len && done < out_len) {
		uint32_t size = le32(in.p + pos);
		size_t room = out_len - done;
		int n;

		pos += 4;
		if (size > in.len - pos || size > LZ4_COMPRESSBOUND(LZ4_LEGACY_BLOCK))
			return false;
		if (room > LZ4_LEGACY_BLOCK)
			room = LZ4_LEGACY_BLOCK;
		n = LZ4_decompress_safe((const char *)in.p + pos, (char *)out + done, (int)size,
					(int)room);
		if (n <= 0)
			return false;
		pos += size;
		done += (size_t)n;
	}
	return done == out_len;
}

static const struct {
	uint8_t magic[6];
	size_t magic_len;
	bool trailer_outside;	/* the 4 size bytes are not part of the stream */
	bool (*inflate)(struct span in, uint8_t *out, size_t out_len);
} formats[] = {
	{ { 0x1f, 0x8b }, 2, false, inflate_gzip },
	{ { 0xfd, '7', 'z', 'X', 'Z', 0 }, 6, true, inflate_xz },
	{ { 0x28, 0xb5, 0x2f, 0xfd }, 4, true, inflate_zstd },
	{ { 0x02, 0x21, 0x4c, 0x18 }, 4, true, inflate_lz4 },
};

static bool is_elf(const uint8_t *p, size_t len)
{
	return len >= 4 && !memcmp(p, "\177ELF", 4);
}

/* Where the payload lies in a bzImage; false with *why if it is none. */
static bool find_payload(const uint8_t *file, size_t len, struct span *payload, const char **why)
{
	size_t start, payload_len;

	if (len < HEADER_END || le16(file + BOOT_FLAG) != 0xaa55 ||
	    memcmp(file + HEADER_MAGIC, "HdrS", 4)) {
		*why = "neither a bzImage nor an ELF file";
		return false;
	}
	if (le16(file + PROTOCOL_VERSION) < 0x208) {
		*why = "a bzImage older than boot protocol 2.08";
		return false;
	}
	start = file[SETUP_SECTS] ? file[SETUP_SECTS] : 4;
	start = (start + 1) * 512 + le32(file + PAYLOAD_OFFSET);
	payload_len = le32(file + PAYLOAD_LENGTH);
	if (start > len || payload_len > len - start || payload_len < 16) {
		*why = "a truncated or damaged bzImage";
		return false;
	}
	*payload = (struct span){ file + start, payload_len };
	return true;
}

uint8_t *unpack_alloc(size_t len)
{
	uint8_t *buf = malloc(len);
	uintptr_t start = ((uintptr_t)buf + PAGE_BYTES - 1) & ~(uintptr_t)(PAGE_BYTES - 1);
	uintptr_t end = ((uintptr_t)buf + len) & ~(uintptr_t)(PAGE_BYTES - 1);

	/* Older kernels do not know the advice; then the pages come one by one. */
	if (buf && start < end)
		(void)madvise((void *)start, end - start, MADV_POPULATE_WRITE);
	return buf;
}

int unpack_kernel(const uint8_t *file, size_t len, uint8_t **elf, size_t *elf_len,
		  const char **why)
{
	struct span in;
	size_t size, i;
	uint8_t *out;

	*why = "";
	if (is_elf(file, len)) {
		*elf = (uint8_t *)(uintptr_t)file;
		*elf_len = len;
		return 0;
	}
	if (!find_payload(file, len, &in, why))
		return -ENOEXEC;
	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (!memcmp(in.p, formats[i].magic, formats[i].magic_len))
			break;
	if (i == sizeof(formats) / sizeof(formats[0])) {
		*why = "a bzImage whose compression is not gzip, xz, zstd or lz4";
		return -ENOEXEC;
	}
	size = le32(in.p + in.len - 4);
	if (size == 0 || size > UNPACK_MAX_BYTES) {
		*why = "a bzImage that announces an absurd uncompressed size";
		return -EFBIG;
	}
	if (formats[i].trailer_outside)
		in.len -= 4;
	out = unpack_alloc(size);
	if (!out)
		return -ENOMEM;
	if (!formats[i].inflate(in, out, size) || !is_elf(out, size)) {
		free(out);
		*why = "a bzImage whose payload is damaged";
		return -ENOEXEC;
	}
	*elf = out;
	*elf_len = size;
	return 0;
}
