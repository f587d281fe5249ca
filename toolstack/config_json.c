// SPDX-License-Identifier: Apache-2.0
/*
 * A domain's configuration as JSON: it travels in migration streams and lies
 * beside running domains, so the reader trusts nothing.  The writer and the
 * reader below go member by member in the same order.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "toolstack/config.h"
#include "toolstack/lib/uuid.h"

static const char *const disk_backends[] = {
	[CONFIG_DISK_PHY] = "phy",
	[CONFIG_DISK_FILE] = "file",
};

/* --- writer ----------------------------------------------------------------------- */

static json_t *vif_to_json(const struct config_vif *vif)
{
	char mac[MAC_TEXT_BYTES];

	mac_format(vif->mac, mac);
	return json_pack("{s:s, s:s, s:s, s:i}", "mac", mac, "bridge", vif->bridge, "script",
			 vif->script, "mtu", (int)vif->mtu);
}

static json_t *disk_to_json(const struct config_disk *disk)
{
	return json_pack("{s:s, s:s, s:s, s:b}", "backend", disk_backends[disk->backend],
			 "target", disk->target, "vdev", disk->vdev, "readonly",
			 (int)disk->readonly);
}

json_t *config_to_json(const struct domain_config *cfg)
{
	char uuid[UUID_TEXT_BYTES];
	json_t *root, *vifs = json_array(), *disks = json_array();
	int bad = 0;
	size_t i;

	uuid_format(cfg->uuid, uuid);
	/* A NULL element makes the append fail, which is how running out shows. */
	for (i = 0; i < cfg->nr_vifs; i++)
		bad |= json_array_append_new(vifs, vif_to_json(&cfg->vifs[i]));
	for (i = 0; i < cfg->nr_disks; i++)
		bad |= json_array_append_new(disks, disk_to_json(&cfg->disks[i]));
	root = json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:s?, s:s?, s:s, s:o, s:o, s:s, s:s, s:s}",
			 "name", cfg->name, "uuid", uuid, "memory_mb", (int)cfg->memory_mb,
			 "maxmem_mb", (int)cfg->maxmem_mb, "vcpus", (int)cfg->vcpus, "weight",
			 (int)cfg->weight, "kernel", cfg->kernel, "ramdisk", cfg->ramdisk,
			 "cmdline", cfg->cmdline ? cfg->cmdline : "", "vifs", vifs, "disks",
			 disks, "on_poweroff", config_action_name(cfg->on_poweroff), "on_reboot",
			 config_action_name(cfg->on_reboot), "on_crash",
			 config_action_name(cfg->on_crash));
	if (bad && root) {
		json_decref(root);
		root = NULL;
	}
	return root;
}

/* --- reader ----------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3)))
static int refuse(struct config_error *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/*
 * A string member without control characters, at most @max bytes.
 * Absent or null gives NULL, which is an error only where @required.
 */
static int get_string(const json_t *obj, const char *key, size_t max, bool required,
		      const char **out, struct config_error *err)
{
	const json_t *v = json_object_get(obj, key);
	const unsigned char *p;

	*out = NULL;
	if (!v || json_is_null(v))
		return required ? refuse(err, "configuration: %s is missing", key) : 0;
	if (!json_is_string(v))
		return refuse(err, "configuration: %s is not a string", key);
	*out = json_string_value(v);
	if (json_string_length(v) > max || strlen(*out) != json_string_length(v))
		return refuse(err, "configuration: %s is longer than %zu bytes", key, max);
	for (p = (const unsigned char *)*out; *p; p++)
		if (*p < ' ' && *p != '\t')
			return refuse(err, "configuration: control character in %s", key);
	return 0;
}

static int get_number(const json_t *obj, const char *key, unsigned int max, unsigned int *out,
		      struct config_error *err)
{
	const json_t *v = json_object_get(obj, key);

	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max)
		return refuse(err, "configuration: %s is not a number in 0..%u", key, max);
	*out = (unsigned int)json_integer_value(v);
	return 0;
}

static int get_copy(const json_t *obj, const char *key, size_t max, char **out,
		    struct config_error *err)
{
	const char *text;
	int ret = get_string(obj, key, max, false, &text, err);

	if (ret || !text)
		return ret;
	free(*out);
	*out = strdup(text);
	return *out ? 0 : -ENOMEM;
}

static int get_action(const json_t *obj, const char *key, enum config_action *out,
		      struct config_error *err)
{
	const char *text;
	int ret = get_string(obj, key, 16, false, &text, err);
	enum config_action a;

	if (ret || !text)
		return ret;
	for (a = CONFIG_ACTION_DESTROY; a <= CONFIG_ACTION_PRESERVE; a++) {
		if (!strcmp(text, config_action_name(a))) {
			*out = a;
			return 0;
		}
	}
	return refuse(err, "configuration: %s is not an action", key);
}

static int read_vif(struct config_vif *vif, const json_t *v, struct config_error *err)
{
	const char *mac, *bridge, *script;
	int ret = get_string(v, "mac", MAC_TEXT_BYTES - 1, true, &mac, err);

	if (!ret)
		ret = get_string(v, "bridge", sizeof(vif->bridge) - 1, false, &bridge, err);
	if (!ret)
		ret = get_string(v, "script", sizeof(vif->script) - 1, false, &script, err);
	if (!ret)
		ret = get_number(v, "mtu", 65535, &vif->mtu, err);
	if (ret)
		return ret;
	if (mac_parse(mac, vif->mac))
		return refuse(err, "configuration: \"%s\" is not a unicast MAC", mac);
	vif->has_mac = true;
	strcpy(vif->bridge, bridge ? bridge : "");
	strcpy(vif->script, script ? script : "");
	return 0;
}

static int read_disk(struct config_disk *disk, const json_t *v, struct config_error *err)
{
	const char *backend, *target, *vdev;
	unsigned int number;
	int ret = get_string(v, "backend", 16, true, &backend, err);

	if (!ret)
		ret = get_string(v, "target", CONFIG_MAX_STRING - 1, true, &target, err);
	if (!ret)
		ret = get_string(v, "vdev", sizeof(disk->vdev) - 1, true, &vdev, err);
	if (ret)
		return ret;
	if (!strcmp(backend, disk_backends[CONFIG_DISK_PHY]))
		disk->backend = CONFIG_DISK_PHY;
	else if (!strcmp(backend, disk_backends[CONFIG_DISK_FILE]))
		disk->backend = CONFIG_DISK_FILE;
	else
		return refuse(err, "configuration: unknown disk backend \"%s\"", backend);
	if (config_vdev_number(vdev, &number) || target[0] != '/')
		return refuse(err, "configuration: invalid disk \"%s\"", vdev);
	strcpy(disk->vdev, vdev);
	disk->readonly = json_is_true(json_object_get(v, "readonly"));
	disk->target = strdup(target);
	return disk->target ? 0 : -ENOMEM;
}

static int read_devices(struct domain_config *cfg, const json_t *root, struct config_error *err)
{
	const json_t *vifs = json_object_get(root, "vifs");
	const json_t *disks = json_object_get(root, "disks");
	size_t i;
	int ret;

	if (json_array_size(vifs) > CONFIG_MAX_VIFS || json_array_size(disks) > CONFIG_MAX_DISKS)
		return refuse(err, "configuration: too many vifs or disks");
	for (i = 0; i < json_array_size(vifs); i++) {
		memset(&cfg->vifs[i], 0, sizeof(cfg->vifs[i]));
		ret = read_vif(&cfg->vifs[i], json_array_get(vifs, i), err);
		if (ret)
			return ret;
		cfg->nr_vifs++;
	}
	for (i = 0; i < json_array_size(disks); i++) {
		memset(&cfg->disks[i], 0, sizeof(cfg->disks[i]));
		ret = read_disk(&cfg->disks[i], json_array_get(disks, i), err);
		if (ret)
			return ret;
		cfg->nr_disks++;
	}
	return 0;
}

static int read_scalars(struct domain_config *cfg, const json_t *root, struct config_error *err)
{
	const char *name, *uuid;
	int ret = get_string(root, "name", CONFIG_MAX_NAME, true, &name, err);

	if (!ret)
		ret = get_string(root, "uuid", UUID_TEXT_BYTES - 1, true, &uuid, err);
	if (ret)
		return ret;
	strcpy(cfg->name, name);
	if (uuid_parse(uuid, cfg->uuid))
		return refuse(err, "configuration: \"%s\" is not a uuid", uuid);
	cfg->has_uuid = true;
	ret = get_number(root, "memory_mb", CONFIG_MAX_MEMORY_MB, &cfg->memory_mb, err);
	if (!ret)
		ret = get_number(root, "maxmem_mb", CONFIG_MAX_MEMORY_MB, &cfg->maxmem_mb, err);
	if (!ret)
		ret = get_number(root, "vcpus", CONFIG_MAX_VCPUS, &cfg->vcpus, err);
	if (!ret)
		ret = get_number(root, "weight", 65535, &cfg->weight, err);
	if (!ret)
		ret = get_copy(root, "kernel", CONFIG_MAX_STRING - 1, &cfg->kernel, err);
	if (!ret)
		ret = get_copy(root, "ramdisk", CONFIG_MAX_STRING - 1, &cfg->ramdisk, err);
	if (!ret)
		ret = get_copy(root, "cmdline", CONFIG_MAX_CMDLINE, &cfg->cmdline, err);
	return ret;
}

int config_from_json(struct domain_config *cfg, const json_t *root, struct config_error *err)
{
	int ret;

	err->text[0] = '\0';
	if (!json_is_object(root))
		return refuse(err, "configuration: not a JSON object");
	ret = read_scalars(cfg, root, err);
	if (!ret)
		ret = read_devices(cfg, root, err);
	if (!ret)
		ret = get_action(root, "on_poweroff", &cfg->on_poweroff, err);
	if (!ret)
		ret = get_action(root, "on_reboot", &cfg->on_reboot, err);
	if (!ret)
		ret = get_action(root, "on_crash", &cfg->on_crash, err);
	if (!ret)
		ret = config_finalise(cfg, err);
	if (ret && !err->text[0])
		snprintf(err->text, sizeof(err->text), "configuration: %s", strerror(-ret));
	return ret;
}

int config_from_json_text(struct domain_config *cfg, const char *text, size_t len,
			  struct config_error *err)
{
	json_error_t jerr;
	json_t *root;
	int ret;

	if (len > CONFIG_MAX_FILE_BYTES)
		return refuse(err, "configuration: longer than %u bytes", CONFIG_MAX_FILE_BYTES);
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &jerr);
	if (!root)
		return refuse(err, "configuration: line %d: %s", jerr.line, jerr.text);
	ret = config_from_json(cfg, root, err);
	json_decref(root);
	return ret;
}
