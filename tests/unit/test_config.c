// SPDX-License-Identifier: Apache-2.0
/*
 * toolstack/config.c and config_json.c: what users write, what they get wrong
 * (with the line that says so), and what an attacker would send.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "toolstack/config.h"
#include "toolstack/lib/uuid.h"

static struct domain_config cfg;
static struct config_error err;
static unsigned int warnings;

static void count_warning(void *arg, const char *line)
{
	assert_non_null(strstr(line, arg ? arg : "t.cfg:"));
	warnings++;
}

static int setup(void **state)
{
	config_init(&cfg);
	memset(&err, 0, sizeof(err));
	warnings = 0;
	return 0;
}

static int teardown(void **state)
{
	config_release(&cfg);
	return 0;
}

static int parse_len(const char *text, size_t len)
{
	/* An exact heap copy lets ASan see any read behind the end. */
	char *copy = malloc(len ? len : 1);
	int ret;

	assert_non_null(copy);
	memcpy(copy, text, len);
	config_release(&cfg);
	err.text[0] = '\0';
	ret = config_parse(&cfg, "t.cfg", copy, len, &err, count_warning, NULL);
	free(copy);
	return ret;
}

static int parse(const char *text)
{
	return parse_len(text, strlen(text));
}

static void refused(const char *text, const char *line_and_words)
{
	assert_int_equal(parse(text), -EINVAL);
	if (!strstr(err.text, line_and_words))
		fail_msg("\"%s\" does not say \"%s\"", err.text, line_and_words);
}

static void whole_file(void **state)
{
	static const char text[] =
		"# a guest\n"
		"type = \"pv\"\n"
		"name = \"web1\"; memory = 256\n"
		"maxmem = '512'\n"
		"vcpus=2\r\n"
		"uuid = \"01234567-89ab-cdef-0123-456789abcdef\"\n"
		"kernel = '/boot/vmlinuz'  # comment\n"
		"ramdisk = \"/boot/initrd\"\n"
		"root = \"/dev/xvda ro\"\n"
		"extra = 'console=hvc0 a=\"b\"'\n"
		"vif = [ 'mac=00:16:3e:01:02:03, bridge=br7,script=none,mtu=1400',\n"
		"        '', # second\n"
		"      ]\n"
		"disk = [ 'phy:/dev/vg/a,xvda,w', 'file:/img/b.raw,xvdb1,r',\n"
		" '/dev/sdc,raw,hda,ro', 'format=raw, vdev=sda, access=rw, target=/x y' ]\n"
		"on_crash = \"preserve\"\n"
		"on_reboot = 'coredump-destroy'\n";

	assert_int_equal(parse(text), 0);
	assert_int_equal(config_finalise(&cfg, &err), 0);
	assert_int_equal(warnings, 0);
	assert_string_equal(cfg.name, "web1");
	assert_int_equal(cfg.memory_mb, 256);
	assert_int_equal(cfg.maxmem_mb, 512);
	assert_int_equal(cfg.vcpus, 2);
	assert_int_equal(cfg.uuid[0], 0x01);
	assert_int_equal(cfg.uuid[15], 0xef);
	assert_string_equal(cfg.kernel, "/boot/vmlinuz");
	assert_string_equal(cfg.cmdline, "root=/dev/xvda ro console=hvc0 a=\"b\"");
	assert_int_equal(cfg.nr_vifs, 2);
	assert_int_equal(cfg.vifs[0].mac[5], 3);
	assert_string_equal(cfg.vifs[0].bridge, "br7");
	assert_int_equal(cfg.vifs[0].mtu, 1400);
	assert_true(cfg.vifs[1].has_mac);
	assert_memory_equal(cfg.vifs[1].mac, "\x00\x16\x3e", 3);
	assert_string_equal(cfg.vifs[1].bridge, "xenbr0");
	assert_int_equal(cfg.nr_disks, 4);
	assert_int_equal(cfg.disks[0].backend, CONFIG_DISK_PHY);
	assert_string_equal(cfg.disks[0].target, "/dev/vg/a");
	assert_false(cfg.disks[0].readonly);
	assert_int_equal(cfg.disks[1].backend, CONFIG_DISK_FILE);
	assert_true(cfg.disks[1].readonly);
	assert_int_equal(cfg.disks[2].backend, CONFIG_DISK_PHY);
	assert_string_equal(cfg.disks[3].target, "/x y");
	assert_string_equal(cfg.disks[3].vdev, "sda");
	assert_int_equal(cfg.on_poweroff, CONFIG_ACTION_DESTROY);
	assert_int_equal(cfg.on_crash, CONFIG_ACTION_PRESERVE);
	assert_int_equal(cfg.on_reboot, CONFIG_ACTION_DESTROY);
}

static void defaults(void **state)
{
	assert_int_equal(parse("name='a'"), 0);
	assert_int_equal(config_finalise(&cfg, &err), 0);
	assert_int_equal(cfg.memory_mb, 128);
	assert_int_equal(cfg.maxmem_mb, 128);
	assert_int_equal(cfg.vcpus, 1);
	assert_string_equal(cfg.cmdline, "");
	assert_int_equal(cfg.on_reboot, CONFIG_ACTION_RESTART);
	/* RFC 4122: version 4, variant 10. */
	assert_int_equal(cfg.uuid[6] >> 4, 4);
	assert_int_equal(cfg.uuid[8] >> 6, 2);
}

static void later_value_wins(void **state)
{
	assert_int_equal(parse("name='a'\nmemory=64\nmemory=96\nvif=['','']\nvif=['']\n"
			       "disk=['/a,,xvda,w']\ndisk=[]\nkernel='x'\nkernel='y'\n"
			       "cmdline='c'\nextra='e'"), 0);
	assert_int_equal(cfg.memory_mb, 96);
	assert_int_equal(cfg.nr_vifs, 1);
	assert_int_equal(cfg.nr_disks, 0);
	assert_string_equal(cfg.kernel, "y");
	assert_string_equal(cfg.cmdline, "c");
}

static void unknown_key_warns(void **state)
{
	assert_int_equal(parse("name='a'\ndevice_model_version = [ 'x', 3 ]\n"), 0);
	assert_int_equal(warnings, 1);
}

static void errors_name_the_line(void **state)
{
	refused("name='a'\nmemory='x'\n", "t.cfg:2: memory");
	refused("memory=8", "t.cfg:1: memory: 8 is outside");
	refused("memory=-5", "not a number");
	refused("memory=99999999999999999999", "not a number");
	refused("memory=[1]", "not a list");
	refused("vcpus=0", "outside 1..32");
	refused("vcpus=33", "outside 1..32");
	refused("\n\nname='a b'", "t.cfg:3: name");
	refused("name='../x'", "name");
	refused("uuid='123'", "uuid");
	refused("name='a\nmemory=3'", "t.cfg:1: string without closing");
	refused("name='a", "string without closing");
	refused("name='a\\", "escape");
	refused("name='\\q'", "escape");
	refused("name='\001'", "control character 0x01");
	refused("name", "expected = after \"name\"");
	refused("= 3", "expected a key");
	refused("name =", "value missing");
	refused("name = web1", "a value is");
	refused("name = 'a' 'b'", "unexpected text");
	refused("vif = 'x'", "takes a list");
	refused("vif = ['bridge'", "expected , or ]");
	refused("vif = ['bridge=b',", "without closing ]");
	refused("vif = ['' '']", "expected , or ]");
	refused("vif = [\n\n'mac=1']", "t.cfg:3: vif: \"1\"");
	refused("vif=['mac=01:16:3e:00:00:01']", "unicast");
	refused("vif=['bridge=abcdefghijklmnop']", "interface name");
	refused("vif=['bridge=a/b']", "interface name");
	refused("vif=['bridge=..']", "interface name");
	refused("vif=['mtu=20']", "mtu");
	refused("vif=['colour=red']", "unknown key \"colour\"");
	refused("disk=['/a,qcow2,xvda,w']", "only raw");
	refused("disk=['/a,raw,xvd,w']", "vdev");
	refused("disk=['/a,raw,xvda01,w']", "vdev");
	refused("disk=['a,raw,xvda,w']", "absolute");
	refused("disk=['/a,raw,xvda,x']", "access");
	refused("disk=['/a,raw,xvda,w,more']", "too many");
	refused("disk=['']", "no target");
	refused("disk=['/a,,xvda,w','/b,,xvda,w']", "twice");
	refused("on_crash='explode'", "on_crash");
	refused("type='hvm'", "only pv");
}

static void limits_hold(void **state)
{
	char *big = malloc(CONFIG_MAX_FILE_BYTES + 1);
	size_t n = 0, i;

	assert_non_null(big);
	memset(big, '\n', CONFIG_MAX_FILE_BYTES + 1);
	assert_int_equal(parse_len(big, CONFIG_MAX_FILE_BYTES), 0);
	assert_int_equal(parse_len(big, CONFIG_MAX_FILE_BYTES + 1), -EFBIG);

	n = (size_t)sprintf(big, "kernel='");
	memset(big + n, 'k', CONFIG_MAX_STRING - 1);
	strcpy(big + n + CONFIG_MAX_STRING - 1, "'");
	assert_int_equal(parse(big), 0);
	strcpy(big + n + CONFIG_MAX_STRING - 1, "k'");
	refused(big, "string longer");

	n = (size_t)sprintf(big, "x=[");
	for (i = 0; i < CONFIG_MAX_LIST + 1; i++)
		n += (size_t)sprintf(big + n, "1,");
	strcpy(big + n, "]");
	refused(big, "more than 64 elements");

	n = (size_t)sprintf(big, "vif=[");
	for (i = 0; i < CONFIG_MAX_VIFS + 1; i++)
		n += (size_t)sprintf(big + n, "'',");
	strcpy(big + n, "]");
	refused(big, "more than 8 vifs");
	memset(big, 'k', 100);
	big[100] = '\0';
	refused(big, "key longer");
	free(big);
	assert_int_equal(parse_len("name='a'\0memory=3", 18), -EINVAL);
}

static void finalise_refuses(void **state)
{
	assert_int_equal(parse("memory=64"), 0);
	assert_int_equal(config_finalise(&cfg, &err), -EINVAL);
	assert_non_null(strstr(err.text, "name"));
	assert_int_equal(parse("name='a'\nmemory=64\nmaxmem=32"), 0);
	assert_int_equal(config_finalise(&cfg, &err), -EINVAL);
	assert_non_null(strstr(err.text, "maxmem"));
	assert_int_equal(parse("name='a'\nroot='x'"), 0);
	free(cfg.cmdline);
	cfg.cmdline = malloc(CONFIG_MAX_CMDLINE + 2);
	assert_non_null(cfg.cmdline);
	memset(cfg.cmdline, 'c', CONFIG_MAX_CMDLINE + 1);
	cfg.cmdline[CONFIG_MAX_CMDLINE + 1] = '\0';
	assert_int_equal(config_finalise(&cfg, &err), -EINVAL);
	assert_non_null(strstr(err.text, "command line"));
}

static void vdev_numbers(void **state)
{
	unsigned int n;

	assert_int_equal(config_vdev_number("xvda", &n), 0);
	assert_int_equal(n, 51712);
	assert_int_equal(config_vdev_number("xvdb", &n), 0);
	assert_int_equal(n, 51728);
	assert_int_equal(config_vdev_number("xvda1", &n), 0);
	assert_int_equal(n, 51713);
	assert_int_equal(config_vdev_number("sda15", &n), 0);
	assert_int_equal(n, 0x80f);
	assert_int_equal(config_vdev_number("hdb", &n), 0);
	assert_int_equal(n, 0x340);
	assert_int_equal(config_vdev_number("xvda16", &n), -EINVAL);
	assert_int_equal(config_vdev_number("xvdq", &n), -EINVAL);
	assert_int_equal(config_vdev_number("xvdA", &n), -EINVAL);
	assert_int_equal(config_vdev_number("xvda1x", &n), -EINVAL);
	assert_int_equal(config_vdev_number("", &n), -EINVAL);
}

static void json_round_trip(void **state)
{
	struct domain_config back, copy;
	json_t *root, *again;
	char *text;

	assert_int_equal(parse("name='w'\nmemory=64\nkernel='/k'\nextra='x=\"1\"'\n"
			       "vif=['mtu=9000','']\ndisk=['/a,,xvda,r','/dev/b,,xvdb,w']\n"
			       "on_poweroff='preserve'\nweight=300"), 0);
	assert_int_equal(config_finalise(&cfg, &err), 0);
	root = config_to_json(&cfg);
	assert_non_null(root);
	text = json_dumps(root, 0);
	assert_non_null(text);
	config_init(&back);
	assert_int_equal(config_from_json_text(&back, text, strlen(text), &err), 0);
	again = config_to_json(&back);
	assert_true(json_equal(root, again));
	json_decref(again);
	assert_int_equal(config_copy(&copy, &back), 0);
	again = config_to_json(&copy);
	assert_true(json_equal(root, again));
	json_decref(again);
	json_decref(root);
	free(text);
	config_release(&copy);
	config_release(&back);
}

static void json_refused(const char *text, const char *words)
{
	config_release(&cfg);
	assert_int_equal(config_from_json_text(&cfg, text, strlen(text), &err), -EINVAL);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

#define ID "\"uuid\":\"01234567-89ab-cdef-0123-456789abcdef\""

static void json_hostile(void **state)
{
	json_refused("", "line");
	json_refused("[]", "not a JSON object");
	json_refused("{}", "name is missing");
	json_refused("{\"name\":3}", "name is not a string");
	json_refused("{\"name\":\"a\"}", "uuid is missing");
	json_refused("{\"name\":\"a\",\"uuid\":\"x\"}", "not a uuid");
	json_refused("{\"name\":\"a/b\"," ID "}", "name");
	json_refused("{\"name\":\"a\",\"name\":\"b\"," ID "}", "duplicate");
	json_refused("{\"name\":\"a\"," ID ",\"memory_mb\":-1}", "memory_mb");
	json_refused("{\"name\":\"a\"," ID ",\"memory_mb\":1e3}", "memory_mb");
	json_refused("{\"name\":\"a\"," ID ",\"memory_mb\":3}", "outside");
	json_refused("{\"name\":\"a\"," ID ",\"vcpus\":0}", "vcpus");
	json_refused("{\"name\":\"a\"," ID ",\"kernel\":\"a\\nb\"}", "control character");
	json_refused("{\"name\":\"a\"," ID ",\"vifs\":[{}]}", "mac is missing");
	json_refused("{\"name\":\"a\"," ID ",\"vifs\":[3]}", "mac is missing");
	json_refused("{\"name\":\"a\"," ID ",\"vifs\":[{\"mac\":\"ff:ff:ff:ff:ff:ff\"}]}",
		     "unicast");
	json_refused("{\"name\":\"a\"," ID ",\"vifs\":[{\"mac\":\"00:16:3e:00:00:01\","
		     "\"bridge\":\"a b\"}]}", "bridge");
	json_refused("{\"name\":\"a\"," ID ",\"vifs\":[0,0,0,0,0,0,0,0,0]}", "too many");
	json_refused("{\"name\":\"a\"," ID ",\"disks\":[{\"backend\":\"nbd\",\"target\":\"/a\","
		     "\"vdev\":\"xvda\"}]}", "backend");
	json_refused("{\"name\":\"a\"," ID ",\"disks\":[{\"backend\":\"phy\",\"target\":\"a\","
		     "\"vdev\":\"xvda\"}]}", "invalid disk");
	json_refused("{\"name\":\"a\"," ID ",\"on_crash\":\"boom\"}", "on_crash");
}

static void uuid_and_mac_text(void **state)
{
	static const char text[] = "01234567-89ab-cdef-0123-456789abcdef";
	char out[UUID_TEXT_BYTES], mac_text[MAC_TEXT_BYTES];
	uint8_t uuid[16], mac[6];

	assert_int_equal(uuid_parse(text, uuid), 0);
	uuid_format(uuid, out);
	assert_string_equal(out, text);
	assert_int_equal(uuid_parse("01234567-89ab-cdef-0123-456789abcde", uuid), -EINVAL);
	assert_int_equal(uuid_parse("01234567-89ab-cdef-0123-456789abcdef0", uuid), -EINVAL);
	assert_int_equal(uuid_parse("0123456789ab-cdef-0123-456789abcdef-0", uuid), -EINVAL);
	assert_int_equal(mac_parse("00:16:3E:aB:0c:01", mac), 0);
	mac_format(mac, mac_text);
	assert_string_equal(mac_text, "00:16:3e:ab:0c:01");
	assert_int_equal(mac_parse("00:16:3e:ab:0c", mac), -EINVAL);
	assert_int_equal(mac_parse("00:16:3e:ab:0c:01:", mac), -EINVAL);
	assert_int_equal(mac_parse("00:00:00:00:00:00", mac), -EINVAL);
	assert_int_equal(mac_parse("00-16-3e-ab-0c-01", mac), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(whole_file, setup, teardown),
		cmocka_unit_test_setup_teardown(defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(later_value_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(unknown_key_warns, setup, teardown),
		cmocka_unit_test_setup_teardown(errors_name_the_line, setup, teardown),
		cmocka_unit_test_setup_teardown(limits_hold, setup, teardown),
		cmocka_unit_test_setup_teardown(finalise_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(vdev_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(json_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(json_hostile, setup, teardown),
		cmocka_unit_test(uuid_and_mac_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
