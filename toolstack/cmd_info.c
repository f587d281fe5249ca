// SPDX-License-Identifier: Apache-2.0
/* godwit info, godwit dmesg. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint/cmd_standby.h"
#include "toolstack/cmd.h"
#include "toolstack/domain.h"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"
#include "toolstack/xstree.h"

#define PAGES_PER_MB 256u
#define DMESG_CHUNK 16384u

/* One "key : value" line for each member, nested ones indented. */
static void print_text(const json_t *obj, int indent)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)obj, key, v) {
		size_t i;

		if (json_is_array(v)) {
			for (i = 0; i < json_array_size(v); i++) {
				printf("%*s%s %zu:\n", indent, "", key, i);
				print_text(json_array_get(v, i), indent + 2);
			}
			continue;
		}
		if (json_is_object(v)) {
			printf("%*s%s:\n", indent, "", key);
			print_text(v, indent + 2);
			continue;
		}
		printf("%*s%-*s : ", indent, "", 18 - indent, key);
		if (json_is_string(v))
			printf("%s\n", json_string_value(v));
		else if (json_is_integer(v))
			printf("%lld\n", (long long)json_integer_value(v));
		else if (json_is_real(v))
			printf("%.1f\n", json_real_value(v));
		else
			printf("%s\n", json_is_true(v) ? "yes" : json_is_null(v) ? "-" : "no");
	}
}

static void print_object(json_t *root, bool json)
{
	if (json) {
		json_dumpf(root, stdout, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
		putchar('\n');
	} else {
		print_text(root, 0);
	}
	json_decref(root);
}

static int host_info(struct toolstack *ts, bool json)
{
	struct xen_sysctl_physinfo phys;
	struct godwit_version gv = { 0 };
	unsigned int version = 0;
	char extra[17], text[64];
	json_t *root;
	int ret = hcall_host_get_physinfo(ts->hcall, &phys);

	if (!ret)
		ret = hcall_host_get_version(ts->hcall, &version, extra);
	if (ret) {
		log_errno(ret, "cannot ask the hypervisor");
		return ret;
	}
	snprintf(text, sizeof(text), "%u.%u%s", version >> 16, version & 0xffff, extra);
	root = json_pack("{s:s, s:i, s:I, s:I, s:I, s:I}", "abi_version", text, "cpus",
			 (int)phys.nr_cpus, "cpu_khz", (json_int_t)phys.cpu_khz, "memory_mb",
			 (json_int_t)(phys.total_pages / PAGES_PER_MB), "free_mb",
			 (json_int_t)(phys.free_pages / PAGES_PER_MB), "free_pages",
			 (json_int_t)phys.free_pages);
	/* Another hypervisor of the same ABI does not know the operation. */
	if (!hcall_godwit_get_version(ts->hcall, &gv))
		json_object_set_new(root, "godwit", json_string(gv.build));
	print_object(root, json);
	return 0;
}

/* How old would the copy on the other host be, or this one, if it were needed now? */
static json_t *standby_read(const char *uuid, const char *kind)
{
	char path[128];
	json_int_t cut;
	json_t *j;

	snprintf(path, sizeof(path), STANDBY_STATE_DIR "/%s.%s", uuid, kind);
	j = json_load_file(path, 0, NULL);
	cut = json_integer_value(json_object_get(j, "cut_us"));
	if (cut > 0)
		json_object_set_new(j, "rpo_now_us",
				    json_integer((json_int_t)(io_now_ns() / 1000) - cut));
	return j;
}

/* Of one protected here, or of one that waits here. */
static void add_standby(json_t *root, const char *uuid, domid_t domid)
{
	json_t *held = standby_read(uuid, "held.json");
	bool waits = json_integer_value(json_object_get(held, "domid")) == domid;
	json_t *j = waits ? json_incref(held) : standby_read(uuid, "json");

	json_decref(held);
	if (j)
		json_object_set_new(root, "standby", j);
}

static int domain_info(struct toolstack *ts, domid_t domid, bool json)
{
	struct xen_domctl_getdomaininfo info;
	char name[CONFIG_MAX_NAME + 1], uuid[UUID_TEXT_BYTES], tty[128], dir[64];
	struct domain_config cfg;
	json_t *root;
	int ret = hcall_domain_get_info(ts->hcall, domid, &info);

	if (ret) {
		log_errno(ret, "cannot look at domain %u", domid);
		return ret;
	}
	domain_get_name(ts, domid, name);
	uuid_format(info.handle, uuid);
	snprintf(dir, sizeof(dir), "/local/domain/%u/console", domid);
	if (xs_read_text(ts->xs, dir, "tty", tty, sizeof(tty)))
		tty[0] = '\0';
	root = json_pack("{s:i, s:s, s:s, s:I, s:I, s:i, s:f, s:b, s:b, s:i, s:s}", "domid",
			 (int)domid, "name", name, "uuid", uuid, "memory_mb",
			 (json_int_t)(info.tot_pages / PAGES_PER_MB), "maxmem_mb",
			 (json_int_t)(info.max_pages / PAGES_PER_MB), "vcpus",
			 (int)info.nr_online_vcpus, "cpu_s", (double)info.cpu_time / 1e9,
			 "paused", !!(info.flags & XEN_DOMINF_paused), "shutdown",
			 !!(info.flags & XEN_DOMINF_shutdown), "shutdown_reason",
			 (int)(info.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask),
			 "console", tty);
	if (domid && domain_config_load(ts, domid, &cfg) == 0) {
		json_t *c = config_to_json(&cfg);

		json_object_set_new(root, "kernel", json_incref(json_object_get(c, "kernel")));
		json_object_set_new(root, "cmdline", json_incref(json_object_get(c, "cmdline")));
		json_object_set_new(root, "vifs", json_incref(json_object_get(c, "vifs")));
		json_object_set_new(root, "disks", json_incref(json_object_get(c, "disks")));
		json_decref(c);
		config_release(&cfg);
	}
	add_standby(root, uuid, domid);
	print_object(root, json);
	return 0;
}

int cmd_info(int argc, char **argv)
{
	struct toolstack ts = { 0 };
	domid_t domid;
	bool json;
	int code, ret, first = cmd_options(argc, argv, NULL, &json, 0, 1, &code);

	if (first < 0)
		return code;
	code = CMD_NO_HOST;
	if (!toolstack_open(&ts, TOOLSTACK_HCALL | (first < argc ? TOOLSTACK_XS : 0))) {
		ret = first < argc ? domain_find(&ts, argv[first], &domid) : 0;
		if (!ret)
			ret = first < argc ? domain_info(&ts, domid, json) : host_info(&ts, json);
		code = cmd_exit_code(ret);
	}
	toolstack_close(&ts);
	return code;
}

int cmd_dmesg(int argc, char **argv)
{
	static char buf[DMESG_CHUNK];
	bool clear = false;
	const struct cmd_option options[] = {
		{ .name = "clear", .letter = 'c', .flag = &clear },
		{ 0 },
	};
	struct toolstack ts = { 0 };
	uint32_t index = 0;
	long n = 0;
	int code, first = cmd_options(argc, argv, options, NULL, 0, 0, &code);

	if (first < 0)
		return code;
	code = CMD_NO_HOST;
	if (!toolstack_open(&ts, TOOLSTACK_HCALL)) {
		while ((n = hcall_host_read_console(ts.hcall, buf, sizeof(buf), &index,
						    clear)) > 0)
			if (io_write_full(STDOUT_FILENO, buf, (size_t)n))
				break;
		if (n < 0)
			log_errno((int)n, "cannot read the hypervisor's messages");
		code = n < 0 ? CMD_FAILED : CMD_OK;
	}
	toolstack_close(&ts);
	return code;
}
