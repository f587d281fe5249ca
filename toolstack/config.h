/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a domain is made of: the xl.cfg subset, and the same as JSON.
 *
 * A struct domain_config is plain data, complete after config_finalise(): it
 * has a uuid and every vif has a MAC, so the JSON form names the same domain on
 * another host.  All strings are owned by the struct (never NULL where the
 * comment says so); config_release() frees them.  Both parsers take hostile
 * input: sizes, counts and characters are bounded by the CONFIG_* limits.
 */
#ifndef TOOLSTACK_CONFIG_H
#define TOOLSTACK_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_MAX_FILE_BYTES (256u * 1024)
#define CONFIG_MAX_STRING 1024u		/* any string value, without NUL */
#define CONFIG_MAX_NAME 64u
#define CONFIG_MAX_CMDLINE 1023u	/* start_info.cmd_line without NUL */
#define CONFIG_MAX_LIST 64u
#define CONFIG_MAX_VIFS 8u
#define CONFIG_MAX_DISKS 16u
#define CONFIG_MAX_VCPUS 32u		/* vcpu_info slots of shared_info */
#define CONFIG_MIN_MEMORY_MB 16u
#define CONFIG_MAX_MEMORY_MB (1024u * 1024)

enum config_action {
	CONFIG_ACTION_DESTROY,
	CONFIG_ACTION_RESTART,
	CONFIG_ACTION_PRESERVE,
};

struct config_vif {
	uint8_t mac[6];
	bool has_mac;		/* true after config_finalise() */
	char bridge[16];	/* interface name; "" = the default "xenbr0" */
	char script[64];	/* any text; netback insists on the node */
	unsigned int mtu;	/* 0 = leave it */
};

enum config_disk_backend {
	CONFIG_DISK_PHY,	/* target is a block device */
	CONFIG_DISK_FILE,	/* target is a raw image behind a loop device */
};

struct config_disk {
	enum config_disk_backend backend;
	char *target;		/* path */
	char vdev[16];		/* xvda .. xvdz15, sda .., hda .. */
	bool readonly;
};

struct domain_config {
	char name[CONFIG_MAX_NAME + 1];
	uint8_t uuid[16];
	bool has_uuid;		/* true after config_finalise() */
	unsigned int memory_mb;
	unsigned int maxmem_mb;	/* >= memory_mb after config_finalise() */
	unsigned int vcpus;
	unsigned int weight;	/* CPU share, 0 = default */
	char *kernel;		/* path; NULL for a domain that only arrives */
	char *ramdisk;		/* path or NULL */
	char *cmdline;		/* "" if there is none */
	size_t nr_vifs;
	struct config_vif vifs[CONFIG_MAX_VIFS];
	size_t nr_disks;
	struct config_disk disks[CONFIG_MAX_DISKS];
	enum config_action on_poweroff, on_reboot, on_crash;
};

/** Where a parser's complaint goes: one line, without newline. */
struct config_error {
	char text[256];
};

/** config_init() - an empty configuration with every default set. */
void config_init(struct domain_config *cfg);

/** config_release() - free what the struct owns; it may be initialised again. */
void config_release(struct domain_config *cfg);

/**
 * config_parse() - read xl.cfg text.
 * @cfg:    config_init()ed; filled; config_release() it in any case
 * @source: name of the file, for messages
 * @text:   its contents (may hold any byte)
 * @len:    bytes
 * @err:    gets "source:line: what is wrong" on failure
 * @warn:   called with one such line for each unknown key; may be NULL
 * @arg:    passed to @warn
 *
 * Keys: name uuid memory maxmem vcpus weight|cpu_weight kernel ramdisk extra
 * root cmdline vif disk on_poweroff on_reboot on_crash.  Understood and
 * ignored: type, builder (PV only), on_watchdog, on_soft_reset.
 * Return: 0, -EINVAL, -EFBIG, -ENOMEM.
 */
int config_parse(struct domain_config *cfg, const char *source, const char *text, size_t len,
		 struct config_error *err, void (*warn)(void *arg, const char *line), void *arg);

/**
 * config_finalise() - check the whole and fill what was left open.
 *
 * Random uuid and MACs (00:16:3e:..) where absent, maxmem, default bridge.
 * Return: 0, -EINVAL with @err (no name, memory out of range ...), or
 * getrandom(2)'s error.
 */
int config_finalise(struct domain_config *cfg, struct config_error *err);

/**
 * config_to_json() - the configuration as a JSON object.
 *
 * Return: a new reference (json_decref() it), NULL when out of memory.
 */
json_t *config_to_json(const struct domain_config *cfg);

/**
 * config_from_json() - the inverse; unknown members are ignored.
 * @cfg:  config_init()ed; release it in any case
 * @root: the object
 * @err:  gets what is wrong
 *
 * The result is finalised: it has name, uuid, memory and MACs or is refused.
 */
int config_from_json(struct domain_config *cfg, const json_t *root, struct config_error *err);

/** config_from_json_text() - config_from_json() of @len bytes of text. */
int config_from_json_text(struct domain_config *cfg, const char *text, size_t len,
			  struct config_error *err);

/**
 * config_vdev_number() - device number of a disk name.
 * @vdev:   xvda..xvdp[1-15], sda..sdp[1-15], hda..hdb[1-63]
 * @number: gets major << 8 | minor, the name of the xenstore directory
 *
 * Return: 0 or -EINVAL.  Source: Xen, docs/misc/vbd-interface.txt.
 */
int config_vdev_number(const char *vdev, unsigned int *number);

/** config_copy() - a deep copy; @dst need not be initialised.  0 or -ENOMEM. */
int config_copy(struct domain_config *dst, const struct domain_config *src);

/** config_name_valid() - may a domain be called so?  1..64 letters, digits, . _ - + : */
bool config_name_valid(const char *name);

/** config_action_name() - "destroy", "restart", "preserve". */
const char *config_action_name(enum config_action action);

#endif
