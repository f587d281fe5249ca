/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what the boot loader gives as domain 0's kernel to an ELF image.
 *
 * A distribution's kernel is a bzImage: real-mode header, a decompressor that is of no use here,
 * and the ELF image packed as "payload", whose last four bytes tell its unpacked size.  The file
 * is not trusted: each offset is checked against its size before it is used.
 * Source: Linux Documentation/x86/boot.rst (header fields, payload_offset, payload_length).
 */
#include <pv/build0.h>
#include <pv/errno.h>
#include <pv/lib.h>
#include <pv/unxz.h>

/* Offsets in the file. */
#define SETUP_SECTS	0x1f1
#define BOOT_FLAG	0x1fe
#define HEADER_MAGIC	0x202
#define HEADER_VERSION	0x206
#define PAYLOAD_OFFSET	0x248
#define PAYLOAD_LENGTH	0x24c
#define HEADER_END	0x250

#define VERSION_PAYLOAD	0x208		/* protocol 2.08 introduced the payload's fields */
#define SECTOR		512u
#define DEFAULT_SECTS	4u		/* what a setup_sects of 0 means */
#define SIZE_FIELD	4u		/* unpacked size, at the payload's end */
#define UNPACKED_MAX	(1ul << 30)	/* far more than any kernel; the alternative is the heap */

struct span {
	const uint8_t *p;
	size_t size;
};

static __init uint32_t get_le32(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static __init int find_payload(const uint8_t *file, size_t size, struct span *payload)
{
	uint64_t start, length;
	unsigned int sects;

	if (size < HEADER_END || file[BOOT_FLAG] != 0x55 || file[BOOT_FLAG + 1] != 0xaa ||
	    memcmp(file + HEADER_MAGIC, "HdrS", 4)) {
		pr_err("kernel: neither an ELF image nor a bzImage\n");
		return -ENOEXEC;
	}
	if ((file[HEADER_VERSION] | file[HEADER_VERSION + 1] << 8) < VERSION_PAYLOAD) {
		pr_err("kernel: bzImage of a boot protocol before 2.08\n");
		return -ENOEXEC;
	}
	sects = file[SETUP_SECTS] ? file[SETUP_SECTS] : DEFAULT_SECTS;
	start = (sects + 1) * SECTOR + (uint64_t)get_le32(file + PAYLOAD_OFFSET);
	length = get_le32(file + PAYLOAD_LENGTH);
	if (start > size || length > size - start || length <= SIZE_FIELD) {
		pr_err("kernel: bzImage cut short: payload of %lu bytes at %lu, file of %lu\n",
		       length, start, size);
		return -ENOEXEC;
	}
	payload->p = file + start;
	payload->size = length;
	return 0;
}

static const struct format {
	const char *name;
	uint8_t magic_len, magic[6];
	bool keeps_size;	/* the size at the end is a part of the format itself */
	int (*unpack)(const void *src, size_t src_size, void *dst, size_t dst_size);
} formats[] = {
	{ "xz", 6, { 0xfd, '7', 'z', 'X', 'Z', 0 }, false, unxz },
	{ "gzip", 2, { 0x1f, 0x8b }, true, gunzip },
	{ "zstd", 4, { 0x28, 0xb5, 0x2f, 0xfd }, false, NULL },
	{ "lz4", 4, { 0x02, 0x21, 0x4c, 0x18 }, false, NULL },
	{ "bzip2", 3, { 'B', 'Z', 'h' }, false, NULL },
	{ "lzo", 4, { 0x89, 'L', 'Z', 'O' }, false, NULL },
	{ "lzma", 3, { 0x5d, 0, 0 }, false, NULL },
};

static __init const struct format *find_format(const struct span *payload)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(formats); i++) {
		const struct format *f = &formats[i];

		if (payload->size >= f->magic_len && !memcmp(payload->p, f->magic, f->magic_len)) {
			if (!f->unpack)
				pr_err("kernel: compressed with %s, which is not supported\n", f->name);
			return f->unpack ? f : NULL;
		}
	}
	pr_err("kernel: compressed in an unknown way (%02x %02x %02x %02x)\n", payload->p[0],
	       payload->p[1], payload->p[2], payload->p[3]);
	return NULL;
}

__init int unpack_kernel(const void *src, size_t size, void *(*alloc)(size_t), const void **elf,
			 size_t *elf_size)
{
	const struct format *format;
	struct span payload;
	size_t unpacked;
	void *dst;
	int ret;

	if (size >= 4 && !memcmp(src, "\x7f""ELF", 4)) {
		*elf = src;
		*elf_size = size;
		return 0;
	}
	ret = find_payload(src, size, &payload);
	if (ret)
		return ret;
	format = find_format(&payload);
	if (!format)
		return -EOPNOTSUPP;
	unpacked = get_le32(payload.p + payload.size - SIZE_FIELD);
	if (!unpacked || unpacked > UNPACKED_MAX) {
		pr_err("kernel: claims to unpack to %lu bytes\n", unpacked);
		return -E2BIG;
	}
	dst = alloc(unpacked);
	if (!dst) {
		pr_err("kernel: no memory for its %lu bytes\n", unpacked);
		return -ENOMEM;
	}
	if (!format->keeps_size)
		payload.size -= SIZE_FIELD;
	ret = format->unpack(payload.p, payload.size, dst, unpacked);
	if (ret) {
		pr_err("kernel: its %s payload is damaged or of an unknown kind (%d)\n",
		       format->name, ret);
		return ret;
	}
	*elf = dst;
	*elf_size = unpacked;
	return 0;
}
