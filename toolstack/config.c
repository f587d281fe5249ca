// SPDX-License-Identifier: Apache-2.0
/*
 * The xl.cfg subset: a scanner that turns text into `key = value` and a table
 * that says what each key does.
 *
 * A value is a string in quotes, a number, or a flat list of those; statements
 * end at a newline or `;`; `#` starts a comment.  The scanner never looks
 * beyond its length, and every string and list is bounded before it is stored.
 */
#include "toolstack/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "toolstack/lib/uuid.h"

#define KEY_MAX 64u
#define DEFAULT_BRIDGE "xenbr0"
#define DEFAULT_SCRIPT "none"
#define DEFAULT_MEMORY_MB 128u

enum value_kind {
	VALUE_STRING,	/* strings[0], also the digits of a number */
	VALUE_NUMBER,
	VALUE_LIST,
};

struct value {
	enum value_kind kind;
	size_t nr;
	char *strings[CONFIG_MAX_LIST];
};

struct scanner {
	const char *source;
	const char *p, *end;
	unsigned int line;
	struct config_error *err;
};

__attribute__((format(printf, 3, 4)))
static int complain(struct config_error *err, int ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return ret;
}

/* A complaint at the scanner's place. */
__attribute__((format(printf, 2, 3)))
static int complain_at(struct scanner *s, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return complain(s->err, -EINVAL, "%.40s:%u: %s", s->source, s->line, text);
}

/* --- scanner --------------------------------------------------------------------- */

static bool at_end(const struct scanner *s)
{
	return s->p == s->end;
}

static char peek(const struct scanner *s)
{
	return at_end(s) ? '\0' : *s->p;
}

static void skip_comment(struct scanner *s)
{
	while (!at_end(s) && *s->p != '\n')
		s->p++;
}

/* Blanks and comments; newlines only where they mean nothing (in a list). */
static void skip_blank(struct scanner *s, bool newlines_too)
{
	while (!at_end(s)) {
		if (*s->p == '#') {
			skip_comment(s);
		} else if (*s->p == '\n' && newlines_too) {
			s->line++;
			s->p++;
		} else if (*s->p == ' ' || *s->p == '\t' || *s->p == '\r') {
			s->p++;
		} else {
			return;
		}
	}
}

static void value_release(struct value *v)
{
	size_t i;

	for (i = 0; i < v->nr; i++)
		free(v->strings[i]);
	v->nr = 0;
}

static int value_add(struct scanner *s, struct value *v, const char *text, size_t len)
{
	char *copy;

	if (v->nr == CONFIG_MAX_LIST)
		return complain_at(s, "more than %u elements in a list", CONFIG_MAX_LIST);
	copy = strndup(text, len);
	if (!copy)
		return complain(s->err, -ENOMEM, "out of memory");
	v->strings[v->nr++] = copy;
	return 0;
}

static int scan_string(struct scanner *s, struct value *v)
{
	char text[CONFIG_MAX_STRING];
	char quote = *s->p++;
	size_t len = 0;

	for (;; s->p++) {
		unsigned char c;

		if (at_end(s) || *s->p == '\n')
			return complain_at(s, "string without closing %c", quote);
		c = (unsigned char)*s->p;
		if (c == (unsigned char)quote)
			break;
		if (c == '\\') {
			s->p++;
			c = (unsigned char)peek(s);
			if (c != '\\' && c != '"' && c != '\'')
				return complain_at(s, "unknown escape in a string");
		}
		if (c < ' ' && c != '\t')
			return complain_at(s, "control character 0x%02x in a string", c);
		if (len == sizeof(text) - 1)
			return complain_at(s, "string longer than %u bytes",
					   CONFIG_MAX_STRING - 1);
		text[len++] = (char)c;
	}
	s->p++;
	return value_add(s, v, text, len);
}

static int scan_number(struct scanner *s, struct value *v)
{
	const char *start = s->p;

	while (!at_end(s) && (isalnum((unsigned char)*s->p) || *s->p == '-'))
		s->p++;
	return value_add(s, v, start, (size_t)(s->p - start));
}

static int scan_scalar(struct scanner *s, struct value *v)
{
	char c = peek(s);

	if (c == '"' || c == '\'')
		return scan_string(s, v);
	if (isdigit((unsigned char)c) || c == '-')
		return scan_number(s, v);
	if (at_end(s) || c == '\n' || c == ';')
		return complain_at(s, "value missing");
	return complain_at(s, "a value is \"text\", a number or [ list ]");
}

static int scan_list(struct scanner *s, struct value *v)
{
	int ret;

	s->p++;
	for (;;) {
		skip_blank(s, true);
		if (peek(s) == ']')
			break;
		if (at_end(s))
			return complain_at(s, "list without closing ]");
		ret = scan_scalar(s, v);
		if (ret)
			return ret;
		skip_blank(s, true);
		if (peek(s) == ',')
			s->p++;
		else if (peek(s) != ']')
			return complain_at(s, "expected , or ] in a list");
	}
	s->p++;
	return 0;
}

static int scan_value(struct scanner *s, struct value *v)
{
	if (peek(s) == '[') {
		v->kind = VALUE_LIST;
		return scan_list(s, v);
	}
	v->kind = peek(s) == '"' || peek(s) == '\'' ? VALUE_STRING : VALUE_NUMBER;
	return scan_scalar(s, v);
}

static int scan_key(struct scanner *s, char key[KEY_MAX])
{
	size_t len = 0;

	while (!at_end(s) && (isalnum((unsigned char)*s->p) || *s->p == '_')) {
		if (len == KEY_MAX - 1)
			return complain_at(s, "key longer than %u bytes", KEY_MAX - 1);
		key[len++] = *s->p++;
	}
	key[len] = '\0';
	if (len == 0)
		return complain_at(s, "expected a key, found byte 0x%02x",
				   (unsigned char)peek(s));
	return 0;
}

/* --- keys ------------------------------------------------------------------------- */

/* What the keys gather before root/extra/cmdline become one line. */
struct parse {
	struct scanner s;
	struct domain_config *cfg;
	char *root, *extra, *cmdline;
};

static int want_scalar(struct parse *ps, const char *key, const struct value *v)
{
	return v->kind == VALUE_LIST ? complain_at(&ps->s, "%s takes one value, not a list", key)
				     : 0;
}

static int take_number(struct parse *ps, const char *key, const struct value *v,
		       unsigned int min, unsigned int max, unsigned int *out)
{
	int ret = want_scalar(ps, key, v);
	unsigned long n;
	char *end;

	if (ret)
		return ret;
	errno = 0;
	n = strtoul(v->strings[0], &end, 0);
	if (end == v->strings[0] || *end || errno || v->strings[0][0] == '-')
		return complain_at(&ps->s, "%s: \"%.40s\" is not a number", key, v->strings[0]);
	if (n < min || n > max)
		return complain_at(&ps->s, "%s: %lu is outside %u..%u", key, n, min, max);
	*out = (unsigned int)n;
	return 0;
}

static int take_string(struct parse *ps, const char *key, const struct value *v, char **out)
{
	int ret = want_scalar(ps, key, v);
	char *copy;

	if (ret)
		return ret;
	copy = strdup(v->strings[0]);
	if (!copy)
		return complain(ps->s.err, -ENOMEM, "out of memory");
	free(*out);
	*out = copy;
	return 0;
}

/*
 * Names become xenstore values, file names and words of log lines, so keep to
 * what is safe in all three.
 */
bool config_name_valid(const char *name)
{
	size_t len = strlen(name), i;

	if (len == 0 || len > CONFIG_MAX_NAME || !isalnum((unsigned char)name[0]))
		return false;
	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("._-+:", name[i]))
			return false;
	return true;
}

static bool interface_name_valid(const char *name)
{
	size_t len = strlen(name), i;

	if (len == 0 || len > 15 || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
			return false;
	return true;
}

static int key_name(struct parse *ps, const char *key, const struct value *v)
{
	int ret = want_scalar(ps, key, v);

	if (ret)
		return ret;
	if (!config_name_valid(v->strings[0]))
		return complain_at(&ps->s, "name \"%.40s\": 1..%u letters, digits, . _ - + :",
				   v->strings[0], CONFIG_MAX_NAME);
	strcpy(ps->cfg->name, v->strings[0]);
	return 0;
}

static int key_uuid(struct parse *ps, const char *key, const struct value *v)
{
	int ret = want_scalar(ps, key, v);

	if (ret)
		return ret;
	if (uuid_parse(v->strings[0], ps->cfg->uuid))
		return complain_at(&ps->s, "uuid \"%.40s\" is not one", v->strings[0]);
	ps->cfg->has_uuid = true;
	return 0;
}

static int key_memory(struct parse *ps, const char *key, const struct value *v)
{
	return take_number(ps, key, v, CONFIG_MIN_MEMORY_MB, CONFIG_MAX_MEMORY_MB,
			   &ps->cfg->memory_mb);
}

static int key_maxmem(struct parse *ps, const char *key, const struct value *v)
{
	return take_number(ps, key, v, CONFIG_MIN_MEMORY_MB, CONFIG_MAX_MEMORY_MB,
			   &ps->cfg->maxmem_mb);
}

static int key_vcpus(struct parse *ps, const char *key, const struct value *v)
{
	return take_number(ps, key, v, 1, CONFIG_MAX_VCPUS, &ps->cfg->vcpus);
}

static int key_weight(struct parse *ps, const char *key, const struct value *v)
{
	return take_number(ps, key, v, 1, 65535, &ps->cfg->weight);
}

static int key_kernel(struct parse *ps, const char *key, const struct value *v)
{
	return take_string(ps, key, v, &ps->cfg->kernel);
}

static int key_ramdisk(struct parse *ps, const char *key, const struct value *v)
{
	return take_string(ps, key, v, &ps->cfg->ramdisk);
}

static int key_root(struct parse *ps, const char *key, const struct value *v)
{
	return take_string(ps, key, v, &ps->root);
}

static int key_extra(struct parse *ps, const char *key, const struct value *v)
{
	return take_string(ps, key, v, &ps->extra);
}

static int key_cmdline(struct parse *ps, const char *key, const struct value *v)
{
	return take_string(ps, key, v, &ps->cmdline);
}

static int take_action(struct parse *ps, const char *key, const struct value *v,
		       enum config_action *out)
{
	/* The coredump- forms are accepted as what they do after the dump. */
	static const struct {
		const char *text;
		enum config_action action;
	} actions[] = {
		{ "destroy", CONFIG_ACTION_DESTROY },
		{ "restart", CONFIG_ACTION_RESTART },
		{ "preserve", CONFIG_ACTION_PRESERVE },
		{ "coredump-destroy", CONFIG_ACTION_DESTROY },
		{ "coredump-restart", CONFIG_ACTION_RESTART },
	};
	int ret = want_scalar(ps, key, v);
	size_t i;

	if (ret)
		return ret;
	for (i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (!strcmp(v->strings[0], actions[i].text)) {
			*out = actions[i].action;
			return 0;
		}
	}
	return complain_at(&ps->s, "%s: \"%.40s\" is not destroy, restart or preserve", key,
			   v->strings[0]);
}

static int key_on_poweroff(struct parse *ps, const char *key, const struct value *v)
{
	return take_action(ps, key, v, &ps->cfg->on_poweroff);
}

static int key_on_reboot(struct parse *ps, const char *key, const struct value *v)
{
	return take_action(ps, key, v, &ps->cfg->on_reboot);
}

static int key_on_crash(struct parse *ps, const char *key, const struct value *v)
{
	return take_action(ps, key, v, &ps->cfg->on_crash);
}

/* --- vif and disk specifications ------------------------------------------------------- */

/* The next field of a comma list, blanks cut; false at the end. */
static bool next_field(char **rest, char **field)
{
	char *end;

	if (!*rest)
		return false;
	*field = *rest;
	end = strchr(*rest, ',');
	*rest = end ? end + 1 : NULL;
	if (end)
		*end = '\0';
	while (isspace((unsigned char)**field))
		(*field)++;
	end = *field + strlen(*field);
	while (end > *field && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return true;
}

static int vif_field(struct parse *ps, struct config_vif *vif, char *field)
{
	char *value = strchr(field, '=');

	if (!value)
		return complain_at(&ps->s, "vif: \"%.40s\" is not key=value", field);
	*value++ = '\0';
	if (!strcmp(field, "mac")) {
		if (mac_parse(value, vif->mac))
			return complain_at(&ps->s, "vif: \"%.40s\" is not a unicast MAC", value);
		vif->has_mac = true;
	} else if (!strcmp(field, "bridge")) {
		if (!interface_name_valid(value))
			return complain_at(&ps->s, "vif: bridge \"%.40s\" is not an interface name",
					   value);
		strcpy(vif->bridge, value);
	} else if (!strcmp(field, "script")) {
		if (strlen(value) >= sizeof(vif->script))
			return complain_at(&ps->s, "vif: script longer than %zu bytes",
					   sizeof(vif->script) - 1);
		strcpy(vif->script, value);
	} else if (!strcmp(field, "mtu")) {
		char *end;
		unsigned long n = strtoul(value, &end, 10);

		if (!isdigit((unsigned char)*value) || *end || n < 68 || n > 65535)
			return complain_at(&ps->s, "vif: mtu \"%.40s\" is outside 68..65535",
					   value);
		vif->mtu = (unsigned int)n;
	} else if (strcmp(field, "type") && strcmp(field, "model") && strcmp(field, "ip")) {
		return complain_at(&ps->s, "vif: unknown key \"%.40s\"", field);
	}
	return 0;
}

static int parse_vif(struct parse *ps, char *spec)
{
	struct domain_config *cfg = ps->cfg;
	struct config_vif *vif = &cfg->vifs[cfg->nr_vifs];
	char *rest = spec, *field;
	int ret;

	if (cfg->nr_vifs == CONFIG_MAX_VIFS)
		return complain_at(&ps->s, "more than %u vifs", CONFIG_MAX_VIFS);
	memset(vif, 0, sizeof(*vif));
	while (next_field(&rest, &field)) {
		if (!*field)
			continue;
		ret = vif_field(ps, vif, field);
		if (ret)
			return ret;
	}
	cfg->nr_vifs++;
	return 0;
}

/* Device number of "xvda1" and the like; see devices/vbd.h for the scheme. */
int config_vdev_number(const char *vdev, unsigned int *number)
{
	static const struct {
		const char *prefix;
		unsigned int major, max_disk, shift;
	} kinds[] = {
		{ "xvd", 202, 16, 4 },
		{ "sd", 8, 16, 4 },
		{ "hd", 3, 2, 6 },
	};
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t len = strlen(kinds[i].prefix);
		unsigned int disk, part = 0;
		const char *p = vdev + len;

		if (strncmp(vdev, kinds[i].prefix, len))
			continue;
		if (*p < 'a' || *p > 'z')
			return -EINVAL;
		disk = (unsigned int)(*p++ - 'a');
		if (*p == '0')
			return -EINVAL;
		while (isdigit((unsigned char)*p) && part < 64)
			part = part * 10 + (unsigned int)(*p++ - '0');
		if (*p || disk >= kinds[i].max_disk || part >= 1u << kinds[i].shift)
			return -EINVAL;
		*number = kinds[i].major << 8 | disk << kinds[i].shift | part;
		return 0;
	}
	return -EINVAL;
}

/* What a disk specification has named so far, in xl's order of places. */
struct disk_fields {
	const char *target, *format, *vdev, *access;
};

static int disk_field(struct parse *ps, struct disk_fields *f, char *field)
{
	static const char *const names[] = { "target", "format", "vdev", "access" };
	const char **slots[] = { &f->target, &f->format, &f->vdev, &f->access };
	char *value = strchr(field, '=');
	size_t i;

	if (value) {
		size_t len = (size_t)(value - field);

		for (i = 0; i < 4; i++) {
			if (strlen(names[i]) == len && !strncmp(field, names[i], len)) {
				*slots[i] = value + 1;
				return 0;
			}
		}
		if (len == 11 && !strncmp(field, "backendtype", len))
			return 0;
		return complain_at(&ps->s, "disk: unknown key \"%.*s\"", (int)(len % 40), field);
	}
	if (!strncmp(field, "phy:", 4) || !strncmp(field, "file:", 5)) {
		/* The old form has no format: phy:/dev/x,xvda,w */
		f->target = field;
		f->format = "raw";
		return 0;
	}
	for (i = 0; i < 4; i++) {
		if (!*slots[i]) {
			*slots[i] = field;
			return 0;
		}
	}
	return complain_at(&ps->s, "disk: too many fields at \"%.40s\"", field);
}

static int disk_store(struct parse *ps, const struct disk_fields *f, struct config_disk *disk)
{
	const char *target = f->target;
	unsigned int number;

	if (!target || !*target)
		return complain_at(&ps->s, "disk: no target");
	if (f->format && *f->format && strcmp(f->format, "raw"))
		return complain_at(&ps->s, "disk: format \"%.20s\" is not supported, only raw",
				   f->format);
	if (!f->vdev || config_vdev_number(f->vdev, &number))
		return complain_at(&ps->s, "disk: vdev \"%.20s\" is not like xvda",
				   f->vdev ? f->vdev : "");
	if (f->access && strcmp(f->access, "w") && strcmp(f->access, "rw") &&
	    strcmp(f->access, "r") && strcmp(f->access, "ro"))
		return complain_at(&ps->s, "disk: access \"%.20s\" is not r or w", f->access);
	disk->backend = strncmp(target, "/dev/", 5) ? CONFIG_DISK_FILE : CONFIG_DISK_PHY;
	if (!strncmp(target, "phy:", 4)) {
		disk->backend = CONFIG_DISK_PHY;
		target += 4;
	} else if (!strncmp(target, "file:", 5)) {
		disk->backend = CONFIG_DISK_FILE;
		target += 5;
	}
	if (*target != '/')
		return complain_at(&ps->s, "disk: target \"%.40s\" is not an absolute path", target);
	strcpy(disk->vdev, f->vdev);
	disk->readonly = f->access && f->access[0] == 'r' && f->access[1] != 'w';
	disk->target = strdup(target);
	return disk->target ? 0 : complain(ps->s.err, -ENOMEM, "out of memory");
}

static int parse_disk(struct parse *ps, char *spec)
{
	struct domain_config *cfg = ps->cfg;
	struct config_disk *disk = &cfg->disks[cfg->nr_disks];
	struct disk_fields f = { 0 };
	char *rest = spec, *field;
	size_t i;
	int ret;

	if (cfg->nr_disks == CONFIG_MAX_DISKS)
		return complain_at(&ps->s, "more than %u disks", CONFIG_MAX_DISKS);
	while (next_field(&rest, &field)) {
		ret = disk_field(ps, &f, field);
		if (ret)
			return ret;
	}
	memset(disk, 0, sizeof(*disk));
	ret = disk_store(ps, &f, disk);
	if (ret)
		return ret;
	for (i = 0; i < cfg->nr_disks; i++) {
		if (!strcmp(cfg->disks[i].vdev, disk->vdev)) {
			free(disk->target);
			return complain_at(&ps->s, "disk: %s given twice", disk->vdev);
		}
	}
	cfg->nr_disks++;
	return 0;
}

static int take_list(struct parse *ps, const char *key, const struct value *v,
		     int (*parse_one)(struct parse *ps, char *spec))
{
	size_t i;
	int ret;

	if (v->kind != VALUE_LIST)
		return complain_at(&ps->s, "%s takes a list: %s = [ '...' ]", key, key);
	for (i = 0; i < v->nr; i++) {
		ret = parse_one(ps, v->strings[i]);
		if (ret)
			return ret;
	}
	return 0;
}

static int key_vif(struct parse *ps, const char *key, const struct value *v)
{
	ps->cfg->nr_vifs = 0;
	return take_list(ps, key, v, parse_vif);
}

static void release_disks(struct domain_config *cfg)
{
	while (cfg->nr_disks)
		free(cfg->disks[--cfg->nr_disks].target);
}

static int key_disk(struct parse *ps, const char *key, const struct value *v)
{
	release_disks(ps->cfg);
	return take_list(ps, key, v, parse_disk);
}

/* type = "pv" and builder = "generic" say what is the only choice here. */
static int key_type(struct parse *ps, const char *key, const struct value *v)
{
	int ret = want_scalar(ps, key, v);

	if (ret)
		return ret;
	if (strcmp(v->strings[0], "pv") && strcmp(v->strings[0], "generic") &&
	    strcmp(v->strings[0], "linux"))
		return complain_at(&ps->s, "%s: \"%.20s\" is not supported, only pv", key,
				   v->strings[0]);
	return 0;
}

static int key_ignored(struct parse *ps, const char *key, const struct value *v)
{
	return 0;
}

static const struct {
	const char *key;
	int (*take)(struct parse *ps, const char *key, const struct value *v);
} keys[] = {
	{ "name", key_name },
	{ "uuid", key_uuid },
	{ "memory", key_memory },
	{ "maxmem", key_maxmem },
	{ "vcpus", key_vcpus },
	{ "weight", key_weight },
	{ "cpu_weight", key_weight },
	{ "kernel", key_kernel },
	{ "ramdisk", key_ramdisk },
	{ "root", key_root },
	{ "extra", key_extra },
	{ "cmdline", key_cmdline },
	{ "vif", key_vif },
	{ "disk", key_disk },
	{ "on_poweroff", key_on_poweroff },
	{ "on_reboot", key_on_reboot },
	{ "on_crash", key_on_crash },
	{ "type", key_type },
	{ "builder", key_type },
	{ "on_watchdog", key_ignored },
	{ "on_soft_reset", key_ignored },
};

/* --- the whole ---------------------------------------------------------------------------- */

void config_init(struct domain_config *cfg)
{
	memset(cfg, 0, sizeof(*cfg));
	cfg->memory_mb = DEFAULT_MEMORY_MB;
	cfg->vcpus = 1;
	cfg->on_poweroff = CONFIG_ACTION_DESTROY;
	cfg->on_reboot = CONFIG_ACTION_RESTART;
	cfg->on_crash = CONFIG_ACTION_DESTROY;
}

void config_release(struct domain_config *cfg)
{
	release_disks(cfg);
	free(cfg->kernel);
	free(cfg->ramdisk);
	free(cfg->cmdline);
	config_init(cfg);
}

static int parse_statement(struct parse *ps, void (*warn)(void *arg, const char *line),
			   void *arg)
{
	struct value v = { 0 };
	char key[KEY_MAX];
	size_t i;
	int ret = scan_key(&ps->s, key);

	if (ret)
		return ret;
	skip_blank(&ps->s, false);
	if (peek(&ps->s) != '=')
		return complain_at(&ps->s, "expected = after \"%s\"", key);
	ps->s.p++;
	skip_blank(&ps->s, false);
	ret = scan_value(&ps->s, &v);
	for (i = 0; !ret && i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (!strcmp(keys[i].key, key)) {
			ret = keys[i].take(ps, key, &v);
			break;
		}
	}
	if (!ret && i == sizeof(keys) / sizeof(keys[0]) && warn) {
		char line[160];

		snprintf(line, sizeof(line), "%.40s:%u: unknown key \"%s\" ignored",
			 ps->s.source, ps->s.line, key);
		warn(arg, line);
	}
	value_release(&v);
	return ret;
}

static int parse_statements(struct parse *ps, void (*warn)(void *arg, const char *line),
			    void *arg)
{
	int ret;

	for (;;) {
		skip_blank(&ps->s, true);
		while (peek(&ps->s) == ';') {
			ps->s.p++;
			skip_blank(&ps->s, true);
		}
		if (at_end(&ps->s))
			return 0;
		ret = parse_statement(ps, warn, arg);
		if (ret)
			return ret;
		skip_blank(&ps->s, false);
		if (!at_end(&ps->s) && *ps->s.p != '\n' && *ps->s.p != ';')
			return complain_at(&ps->s, "unexpected text after a value");
	}
}

/* cmdline wins; else "root=R E" as xl makes it. */
static int join_cmdline(struct parse *ps, void (*warn)(void *arg, const char *line), void *arg)
{
	char *line = NULL;
	int n = 0;

	if (ps->cmdline) {
		if ((ps->root || ps->extra) && warn) {
			char text[120];

			snprintf(text, sizeof(text), "%.40s: cmdline given, root and extra ignored",
				 ps->s.source);
			warn(arg, text);
		}
		line = strdup(ps->cmdline);
	} else {
		n = asprintf(&line, "%s%s%s%s", ps->root ? "root=" : "", ps->root ? ps->root : "",
			     ps->root && ps->extra ? " " : "", ps->extra ? ps->extra : "");
	}
	if (!line || n < 0)
		return complain(ps->s.err, -ENOMEM, "out of memory");
	free(ps->cfg->cmdline);
	ps->cfg->cmdline = line;
	return 0;
}

int config_parse(struct domain_config *cfg, const char *source, const char *text, size_t len,
		 struct config_error *err, void (*warn)(void *arg, const char *line), void *arg)
{
	struct parse ps = {
		.s = { .source = source, .p = text, .end = text + len, .line = 1, .err = err },
		.cfg = cfg,
	};
	int ret;

	if (len > CONFIG_MAX_FILE_BYTES)
		return complain(err, -EFBIG, "%.40s: longer than %u bytes", source,
				CONFIG_MAX_FILE_BYTES);
	ret = parse_statements(&ps, warn, arg);
	if (!ret)
		ret = join_cmdline(&ps, warn, arg);
	free(ps.root);
	free(ps.extra);
	free(ps.cmdline);
	return ret;
}

static int check(const struct domain_config *cfg, struct config_error *err)
{
	size_t i;

	if (!config_name_valid(cfg->name))
		return complain(err, -EINVAL, "the configuration has no (valid) name");
	if (cfg->memory_mb < CONFIG_MIN_MEMORY_MB || cfg->memory_mb > CONFIG_MAX_MEMORY_MB)
		return complain(err, -EINVAL, "memory %u MB is outside %u..%u", cfg->memory_mb,
				CONFIG_MIN_MEMORY_MB, CONFIG_MAX_MEMORY_MB);
	if (cfg->maxmem_mb > CONFIG_MAX_MEMORY_MB ||
	    (cfg->maxmem_mb && cfg->maxmem_mb < cfg->memory_mb))
		return complain(err, -EINVAL, "maxmem %u MB is below memory %u MB or absurd",
				cfg->maxmem_mb, cfg->memory_mb);
	if (cfg->vcpus < 1 || cfg->vcpus > CONFIG_MAX_VCPUS)
		return complain(err, -EINVAL, "vcpus %u is outside 1..%u", cfg->vcpus,
				CONFIG_MAX_VCPUS);
	if (cfg->cmdline && strlen(cfg->cmdline) > CONFIG_MAX_CMDLINE)
		return complain(err, -EINVAL, "kernel command line longer than %u bytes",
				CONFIG_MAX_CMDLINE);
	for (i = 0; i < cfg->nr_vifs; i++)
		if (cfg->vifs[i].bridge[0] && !interface_name_valid(cfg->vifs[i].bridge))
			return complain(err, -EINVAL, "vif %zu: invalid bridge name", i);
	return 0;
}

int config_finalise(struct domain_config *cfg, struct config_error *err)
{
	int ret = check(cfg, err);
	size_t i;

	if (!ret && !cfg->cmdline) {
		cfg->cmdline = strdup("");
		ret = cfg->cmdline ? 0 : complain(err, -ENOMEM, "out of memory");
	}
	if (!ret && !cfg->has_uuid) {
		ret = uuid_generate(cfg->uuid);
		cfg->has_uuid = !ret;
	}
	for (i = 0; !ret && i < cfg->nr_vifs; i++) {
		struct config_vif *vif = &cfg->vifs[i];

		if (!vif->has_mac) {
			ret = mac_generate(vif->mac);
			vif->has_mac = !ret;
		}
		if (!vif->bridge[0])
			strcpy(vif->bridge, DEFAULT_BRIDGE);
		if (!vif->script[0])
			strcpy(vif->script, DEFAULT_SCRIPT);
	}
	if (!cfg->maxmem_mb)
		cfg->maxmem_mb = cfg->memory_mb;
	if (ret && !err->text[0])
		complain(err, ret, "no random numbers: %s", strerror(-ret));
	return ret;
}

const char *config_action_name(enum config_action action)
{
	static const char *const names[] = {
		[CONFIG_ACTION_DESTROY] = "destroy",
		[CONFIG_ACTION_RESTART] = "restart",
		[CONFIG_ACTION_PRESERVE] = "preserve",
	};

	return names[action];
}

int config_copy(struct domain_config *dst, const struct domain_config *src)
{
	bool ok = true;
	size_t i;

	*dst = *src;
	dst->kernel = src->kernel ? strdup(src->kernel) : NULL;
	dst->ramdisk = src->ramdisk ? strdup(src->ramdisk) : NULL;
	dst->cmdline = src->cmdline ? strdup(src->cmdline) : NULL;
	ok = !src->kernel == !dst->kernel && !src->ramdisk == !dst->ramdisk &&
	     !src->cmdline == !dst->cmdline;
	for (i = 0; i < src->nr_disks; i++) {
		dst->disks[i].target = strdup(src->disks[i].target);
		ok = ok && dst->disks[i].target;
	}
	if (ok)
		return 0;
	config_release(dst);
	return -ENOMEM;
}
