/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subcommands of `checkpoint` for stores, as a script sees them, on a
 * directory store: exit codes, one line for an error, what they say, and an
 * exported core as gdb and readelf read it.
 */
#include <stdint.h>

#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "checkpoint/cmd_chain.h"
#include "tests/unit/chain_util.h"
#include "tests/unit/test_stream_util.h"

/* Last: it has macros named like fields of godwit.h. */
#include <xen/xen.h>

#define PAGE		STREAM_PAGE_SIZE
#define PFNS		600u
#define DIRECT		0xffff888000000000ull	/* slot 273 of the L4 */
#define TEXT		0xffffffff81000000ull	/* slot 511, 510, 8 */

struct said {
	int code;
	char out[65536];
	char err[4096];
};

struct context {
	uint32_t version, size;
	struct vcpu_guest_context ctx;
	uint8_t rest[64];
};

/* A store with a guest in it whose page tables are real. */
struct fixture {
	char dir[64];
	struct store *store;
	struct guest g;
	struct last last;
	uint64_t table[PFNS][512];	/* those that are tables */
	char info[PAGE];
	struct context context;
};

static struct said said;

static void slurp(FILE *f, char *buf, size_t size)
{
	size_t n;

	rewind(f);
	n = fread(buf, 1, size - 1, f);
	buf[n] = '\0';
	fclose(f);
}

/* Run with standard output and error caught; at most one line on the latter. */
static int run(int (*cmd)(int, char **), const char *a0, const char *a1, const char *a2,
	       const char *a3, const char *a4)
{
	char *argv[6] = { (char *)a0, (char *)a1, (char *)a2, (char *)a3, (char *)a4, NULL };
	int argc = 0, out = dup(1), err = dup(2);
	FILE *fo = tmpfile(), *fe = tmpfile();
	char *line;

	while (argc < 5 && argv[argc])
		argc++;
	assert_true(fo && fe && out >= 0 && err >= 0);
	fflush(stdout);
	dup2(fileno(fo), 1);
	dup2(fileno(fe), 2);
	said.code = cmd(argc, argv);
	fflush(stdout);
	fflush(stderr);
	dup2(out, 1);
	dup2(err, 2);
	close(out);
	close(err);
	slurp(fo, said.out, sizeof(said.out));
	slurp(fe, said.err, sizeof(said.err));
	line = strchr(said.err, '\n');
	assert_true(!line || !line[1]);
	return said.code;
}

static void says(const char *what)
{
	if (!strstr(said.out, what))
		fail_msg("no '%s' in:\n%s\n%s", what, said.out, said.err);
}

static void complains(const char *what)
{
	if (!strstr(said.err, what))
		fail_msg("no '%s' in: %s", what, said.err);
}

static void table(struct fixture *f, uint64_t pfn, unsigned int level)
{
	f->g.type[pfn] = (uint8_t)(GODWIT_PAGE_L1 + level - 1) |
			 (level == 4 ? GODWIT_PAGE_PINNED : 0);
	f->g.bytes[pfn] = (const uint8_t *)f->table[pfn];
}

static void entry(struct fixture *f, uint64_t pfn, unsigned int slot, uint64_t to)
{
	f->table[pfn][slot] = to << 12 | 0x67;
}

static void map_guest(struct fixture *f)
{
	unsigned int i;

	table(f, 40, 4);
	table(f, 41, 3);
	table(f, 42, 2);
	table(f, 43, 1);
	table(f, 44, 1);
	table(f, 45, 3);
	table(f, 46, 2);
	table(f, 47, 1);
	entry(f, 40, 273, 41);
	entry(f, 41, 0, 42);
	entry(f, 42, 0, 43);
	entry(f, 42, 1, 44);
	for (i = 0; i < PFNS; i++)
		entry(f, i < 512 ? 43 : 44, i % 512, i);
	entry(f, 40, 511, 45);
	entry(f, 45, 510, 46);
	entry(f, 46, 8, 47);
	for (i = 0; i < 10; i++)
		entry(f, 47, i, 100 + i);
	table(f, 50, 4);		/* of a process, its lower half */
	table(f, 51, 3);
	table(f, 52, 2);
	table(f, 53, 1);
	entry(f, 50, 0, 51);
	entry(f, 51, 3, 52);
	entry(f, 52, 9, 53);
	for (i = 5; i < 8; i++)
		entry(f, 53, i, 195 + i);
	entry(f, 53, 8, 50);		/* folds back: not followed, L1 maps pages only */
	entry(f, 52, 10, 52);		/* an L2 in an L2 */
}

static void setup_context(struct fixture *f)
{
	struct vcpu_guest_context *c = &f->context.ctx;

	f->context.version = 1;
	f->context.size = sizeof(f->context);
	c->flags = VGCF_in_kernel;
	c->user_regs.rip = TEXT + 0x123;
	c->user_regs.rsp = DIRECT + 0x5000;
	c->user_regs.rax = 0x1122334455667788;
	c->gs_base_kernel = 0x77;
	c->ctrlreg[3] = 40 << 12;
	c->ctrlreg[1] = 50 << 12 | 1;
	f->g.context = (const uint8_t *)&f->context;
	f->g.context_len = sizeof(f->context);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char why[200];
	unsigned int i;

	assert_non_null(f);
	strcpy(f->dir, "/tmp/test_chain_cmd.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(store_open(f->dir, &f->store, why), 0);
	guest_init(&f->g, PFNS, 23);
	for (i = 100; i < 110; i++)
		f->g.type[i] = GODWIT_PAGE_DATA;
	for (i = 200; i < 203; i++)
		f->g.type[i] = GODWIT_PAGE_DATA;
	strcpy(f->info, "OSRELEASE=6.1.0-test\nPAGESIZE=4096\n");
	f->g.type[121] = GODWIT_PAGE_DATA;
	f->g.bytes[121] = (const uint8_t *)f->info;
	map_guest(f);
	setup_context(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char cmd[128];

	store_close(f->store);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", f->dir);
	assert_int_equal(system(cmd), 0);
	free(f);
	return 0;
}

static void change(struct fixture *f, uint64_t pfn, uint8_t type)
{
	f->g.type[pfn] = type;
	f->g.version[pfn]++;
	f->g.changed[pfn] = true;
}

static void list_is_a_tree(void **state)
{
	struct fixture *f = *state;
	char path[512], hash[20];
	unsigned int i;
	int fd;

	assert_int_equal(run(cmd_list, "list", f->dir, NULL, NULL, NULL), CMD_OK);
	assert_string_equal(said.out, "");
	for (i = 0; i < 3; i++) {
		change(f, 300 + i, GODWIT_PAGE_DATA);
		guest_checkpoint(&f->g, f->store, &f->last);
	}
	assert_int_equal(run(cmd_list, "list", f->dir, "d", NULL, NULL), CMD_OK);
	says("d: 3 checkpoints");
	says("* full");
	says("+ delta       2");
	says("2026-09-21 14:13:20.000 UTC");
	snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)f->last.hash);
	says(hash);
	assert_int_equal(run(cmd_list, "list", "--json", f->dir, NULL, NULL), CMD_OK);
	says("\"domain\": \"d\", \"state\": \"sound\"");
	says("\"kind\": \"delta\", \"seq\": 2");
	/* One that is cut off is shown as such, and what stands on it as broken. */
	snprintf(path, sizeof(path), "%s/d/20260921T141321.000Z-000001-01020304.ckpt", f->dir);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4000), 0);
	close(fd);
	assert_int_equal(run(cmd_list, "list", f->dir, NULL, NULL, NULL), CMD_OK);
	says("damaged");
	says("broken");
	says("does not end with an END record");
	assert_int_equal(run(cmd_list, "list", "--json", f->dir, "d", NULL), CMD_OK);
	says("\"state\": \"damaged\"");
	says("\"state\": \"broken\"");
	assert_int_equal(run(cmd_chain_verify, "verify", f->dir, "d", NULL, NULL), CMD_REFUSED);
	complains("END record");
}

static void info_and_verify(void **state)
{
	struct fixture *f = *state;
	char *path;
	int fd;

	guest_checkpoint(&f->g, f->store, &f->last);
	change(f, 300, GODWIT_PAGE_DATA);
	guest_checkpoint(&f->g, f->store, &f->last);
	assert_int_equal(run(cmd_chain_info, "info", f->dir, "d@1", NULL, NULL), CMD_OK);
	says("stands on:  1 checkpoints");
	says("kind:       delta, number 1");
	assert_int_equal(run(cmd_chain_info, "info", "--json", f->dir, "d", NULL), CMD_OK);
	says("\"l4\": 3");		/* one of them the guest's own */
	assert_int_equal(run(cmd_chain_verify, "verify", f->dir, "d", NULL, NULL), CMD_OK);
	says("sound, with 1 that it stands on");
	assert_int_equal(run(cmd_chain_verify, "verify", "--json", f->dir, "d@0", NULL), CMD_OK);
	says("\"sound\": true}");
	/* A flipped byte of a page in the parent. */
	assert_true(asprintf(&path, "%s/d/20260921T141320.000Z-000000-01020304.ckpt", f->dir) > 0);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "x", 1, 9000), 1);
	close(fd);
	free(path);
	assert_int_equal(run(cmd_chain_verify, "verify", f->dir, "d", NULL, NULL), CMD_REFUSED);
	complains("checksum of the payload");
	assert_int_equal(run(cmd_chain_verify, "verify", "--json", f->dir, "d", NULL),
			 CMD_REFUSED);
	says("\"sound\": false");
}

static void diff_by_kind(void **state)
{
	struct fixture *f = *state;

	f->g.type[310] = GODWIT_PAGE_DATA;
	f->g.type[311] = GODWIT_PAGE_ZERO;
	f->g.type[312] = GODWIT_PAGE_ABSENT;
	guest_checkpoint(&f->g, f->store, &f->last);
	change(f, 200, GODWIT_PAGE_DATA);		/* mapped by the process */
	change(f, 201, GODWIT_PAGE_DATA);
	change(f, 300, GODWIT_PAGE_DATA);
	change(f, 310, GODWIT_PAGE_ZERO);
	change(f, 311, GODWIT_PAGE_DATA);
	change(f, 312, GODWIT_PAGE_DATA);
	change(f, 301, GODWIT_PAGE_ABSENT);
	f->table[47][10] = 0x67 | 110 << 12;
	f->g.changed[47] = true;
	f->g.changed[302] = true;			/* written again, the same */
	guest_checkpoint(&f->g, f->store, &f->last);
	assert_int_equal(run(cmd_diff, "diff", "--json", f->dir, "d@0", "d@1"), CMD_OK);
	says("\"user\": 2,");
	says("\"kernel\": 1,");
	says("\"table_l1\": 1,");
	says("\"zero_to_data\": 1,");
	says("\"data_to_zero\": 1,");
	says("\"appeared\": 1,");
	says("\"vanished\": 1,");
	says("\"differ\": 8,");
	assert_int_equal(run(cmd_diff, "diff", f->dir, "d@1", "d@1", NULL), CMD_OK);
	says("0 pages differ");
	assert_int_equal(run(cmd_diff, "diff", f->dir, "d@1", "d@7", NULL), CMD_REFUSED);
	complains("d@7: no such checkpoint");
}

static void merge_delete_prune(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	for (i = 0; i < 6; i++) {
		change(f, 300 + i, GODWIT_PAGE_DATA);
		guest_checkpoint(&f->g, f->store, &f->last);
	}
	assert_int_equal(run(cmd_delete, "delete", f->dir, "d", NULL, NULL), CMD_USAGE);
	assert_int_equal(run(cmd_delete, "delete", f->dir, "d@2", NULL, NULL), CMD_REFUSED);
	complains("1 depends on it");
	assert_int_equal(run(cmd_merge, "merge", f->dir, "d@3", NULL, NULL), CMD_OK);
	says("merged d/20260921T141323.000Z-000003-01020304-full.ckpt");
	says("deleted d/20260921T141323.000Z-000003-01020304.ckpt");
	assert_int_equal(run(cmd_merge, "merge", f->dir, "d@3", NULL, NULL), CMD_OK);
	says("full already");
	assert_int_equal(run(cmd_delete, "delete", f->dir, "d@2", NULL, NULL), CMD_OK);
	assert_int_equal(run(cmd_delete, "delete", "--chain", f->dir, "d@0", NULL), CMD_OK);
	assert_int_equal(run(cmd_list, "list", f->dir, "d", NULL, NULL), CMD_OK);
	says("d: 3 checkpoints");
	says("* merged      3");
	assert_int_equal(run(cmd_prune, "prune", f->dir, "d", "--keep", "0"), CMD_USAGE);
	assert_int_equal(run(cmd_prune, "prune", f->dir, "d", "--keep", NULL), CMD_USAGE);
	assert_int_equal(run(cmd_prune, "prune", f->dir, "d", "--keep=2", "--no-merge"), CMD_USAGE);
	assert_int_equal(run(cmd_prune, "prune", f->dir, "d", "--keep", "2"), CMD_OK);
	says("2 kept, 0 that they stand on, 1 merged, 1 deleted");
	assert_int_equal(run(cmd_chain_verify, "verify", f->dir, "d", NULL, NULL), CMD_OK);
}

static void wrong_usage(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(cmd_list, "list", NULL, NULL, NULL, NULL), CMD_USAGE);
	assert_int_equal(run(cmd_list, "list", "--frob", f->dir, NULL, NULL), CMD_USAGE);
	assert_int_equal(run(cmd_list, "list", "--help", NULL, NULL, NULL), CMD_OK);
	says("usage: checkpoint list");
	assert_int_equal(run(cmd_list, "list", f->dir, "no/such", NULL, NULL), CMD_USAGE);
	assert_int_equal(run(cmd_list, "list", "ftp://x/", NULL, NULL, NULL), CMD_USAGE);
	assert_int_equal(run(cmd_merge, "merge", f->dir, "nobody", NULL, NULL), CMD_REFUSED);
	complains("no checkpoints of nobody");
	assert_int_equal(run(cmd_export, "export", f->dir, "@x", "/tmp/x", NULL), CMD_USAGE);
}

/* --- the core ------------------------------------------------------------------------ */

static uint8_t *load_core(const char *path, size_t *len)
{
	FILE *in = fopen(path, "re");
	uint8_t *data;

	assert_non_null(in);
	assert_int_equal(fseek(in, 0, SEEK_END), 0);
	*len = (size_t)ftell(in);
	rewind(in);
	data = malloc(*len);
	assert_non_null(data);
	assert_int_equal(fread(data, 1, *len, in), *len);
	fclose(in);
	return data;
}

/* Bytes of an address in a core, as a debugger looks for them; NULL if it has none. */
static const uint8_t *core_at(const uint8_t *core, uint64_t addr, bool physical)
{
	const Elf64_Ehdr *e = (const Elf64_Ehdr *)core;
	const Elf64_Phdr *p = (const Elf64_Phdr *)(core + e->e_phoff);
	unsigned int i;

	for (i = 0; i < e->e_phnum; i++) {
		uint64_t base = physical ? p[i].p_paddr : p[i].p_vaddr;

		if (p[i].p_type == PT_LOAD && addr >= base && addr - base < p[i].p_filesz)
			return core + p[i].p_offset + (addr - base);
	}
	return NULL;
}

static void core_has_every_frame(const struct fixture *f, const uint8_t *core)
{
	uint8_t page[PAGE];
	uint64_t pfn;

	for (pfn = 0; pfn < PFNS; pfn++) {
		const uint8_t *at = core_at(core, pfn * PAGE, true);

		if (f->g.type[pfn] == GODWIT_PAGE_ABSENT) {
			assert_null(at);
			assert_null(core_at(core, DIRECT + pfn * PAGE, false));
			continue;
		}
		guest_page(&f->g, pfn, page);
		assert_non_null(at);
		assert_memory_equal(at, page, PAGE);
		assert_memory_equal(core_at(core, DIRECT + pfn * PAGE, false), page, PAGE);
	}
	guest_page(&f->g, 105, page);
	assert_memory_equal(core_at(core, TEXT + 5 * PAGE, false), page, PAGE);
}

static void core_has_registers(const uint8_t *core)
{
	const Elf64_Ehdr *e = (const Elf64_Ehdr *)core;
	const Elf64_Phdr *p = (const Elf64_Phdr *)(core + e->e_phoff);
	const uint8_t *n = core + p->p_offset, *end = n + p->p_filesz;
	unsigned int status = 0, info = 0;

	assert_int_equal(p->p_type, PT_NOTE);
	while (n < end) {
		Elf64_Nhdr h;
		const uint8_t *desc;

		memcpy(&h, n, sizeof(h));
		desc = n + sizeof(h) + (h.n_namesz + 3) / 4 * 4;
		if (h.n_type == NT_PRSTATUS) {
			struct elf_prstatus st;

			assert_int_equal(h.n_descsz, sizeof(st));
			memcpy(&st, desc, sizeof(st));
			assert_int_equal(st.pr_reg[16], TEXT + 0x123);	/* rip */
			assert_int_equal(st.pr_pid, ++status);
		} else {
			assert_string_equal((const char *)n + sizeof(h), "VMCOREINFO");
			assert_memory_equal(desc, "OSRELEASE=6.1.0-test\n", 21);
			info++;
		}
		n = desc + (h.n_descsz + 3) / 4 * 4;
	}
	assert_int_equal(status, GUEST_VCPUS);
	assert_int_equal(info, 1);
}

/* What a debugger says to a question, if it is installed. */
static bool ask(const char *cmd, char *buf, size_t size)
{
	FILE *p = popen(cmd, "r");
	size_t n;

	assert_non_null(p);
	n = fread(buf, 1, size - 1, p);
	buf[n] = '\0';
	return pclose(p) == 0;
}

static void debuggers_read_it(const struct fixture *f, const char *path)
{
	char cmd[512], want[64];
	uint8_t page[PAGE];
	uint64_t word;

	/* ASan's preloaded library is not for other programs. */
	unsetenv("LD_PRELOAD");
	snprintf(cmd, sizeof(cmd), "readelf -lnW %s 2>&1", path);
	if (ask("command -v readelf", said.out, sizeof(said.out))) {
		assert_true(ask(cmd, said.out, sizeof(said.out)));
		says("CORE (Core file)");
		says("NT_PRSTATUS");
		says("0xffff888000000000 0x0000000000000000");
		assert_null(strstr(said.out, "Warning"));
	}
	snprintf(cmd, sizeof(cmd), "gdb -nx -batch -ex 'x/2gx 0x%llx' -ex 'x/2gx 0x%llx' "
		 "-ex 'info registers rip rax' -ex 'info threads' -c %s 2>&1",
		 (unsigned long long)(DIRECT + 105 * PAGE),
		 (unsigned long long)(TEXT + 5 * PAGE), path);
	assert_true(ask(cmd, said.out, sizeof(said.out)));
	guest_page(&f->g, 105, page);
	memcpy(&word, page, sizeof(word));
	snprintf(want, sizeof(want), "0xffff888000069000:\t0x%016llx", (unsigned long long)word);
	says(want);
	snprintf(want, sizeof(want), "0xffffffff81005000:\t0x%016llx", (unsigned long long)word);
	says(want);
	says("0xffffffff81000123");
	says("0x1122334455667788");
}

static void export_is_a_core(void **state)
{
	struct fixture *f = *state;
	char path[128];
	uint8_t *core;
	size_t len;

	guest_checkpoint(&f->g, f->store, &f->last);
	change(f, 300, GODWIT_PAGE_DATA);
	change(f, 105, GODWIT_PAGE_DATA);
	guest_checkpoint(&f->g, f->store, &f->last);
	snprintf(path, sizeof(path), "%s/x.core", f->dir);
	assert_int_equal(run(cmd_export, "export", "--json", f->dir, "d", path), CMD_OK);
	says("\"direct_map\": \"0xffff888000000000\"");
	says("\"vmcoreinfo\": true");
	core = load_core(path, &len);
	core_has_every_frame(f, core);
	core_has_registers(core);
	free(core);
	debuggers_read_it(f, path);
	assert_int_equal(run(cmd_export, "export", f->dir, "d", "/nonexistent/x.core", NULL),
			 CMD_UNREADABLE);
	complains("/nonexistent/x.core: No such file");
}

/* A stream that any reader takes, in a file or on standard output. */
static void export_as_a_stream(void **state)
{
	struct fixture *f = *state;
	char path[128], error[512];
	struct stream_mem m;
	uint8_t *data;
	size_t len;

	guest_checkpoint(&f->g, f->store, &f->last);
	change(f, 300, GODWIT_PAGE_DATA);
	guest_checkpoint(&f->g, f->store, &f->last);
	snprintf(path, sizeof(path), "%s/x.gws", f->dir);
	assert_int_equal(run(cmd_export, "export", "--stream", f->dir, "d", path), CMD_OK);
	data = load_core(path, &len);
	stream_mem_view(&m, data, len);
	assert_int_equal(sample_read_all(&m.io, error, NULL, NULL, 0), 0);
	assert_int_equal(sample_verify(data, len, NULL), 0);
	assert_int_equal(run(cmd_export, "export", "--stream", f->dir, "d", "-"), CMD_OK);
	assert_memory_equal(said.out, data, sizeof(said.out) - 1);
	assert_int_equal(run(cmd_export, "export", "--stream", f->dir, "d", "/nonexistent/x"),
			 CMD_UNREADABLE);
	complains("/nonexistent/x");
	free(data);
}

/* Tables that fold back and are shared without end cost no more than sound ones. */
static void hostile_tables_end(void **state)
{
	struct fixture *f = *state;
	unsigned int i;
	char path[128];

	for (i = 0; i < 512; i++) {
		entry(f, 40, i, 41);
		entry(f, 41, i, 42);
		entry(f, 42, i, 43);
		entry(f, 43, i, 300 + i * 7 % 200);
	}
	guest_checkpoint(&f->g, f->store, &f->last);
	snprintf(path, sizeof(path), "%s/x.core", f->dir);
	assert_int_equal(run(cmd_export, "export", "--json", f->dir, "d", path), CMD_OK);
	says("\"truncated\": true");
	assert_int_equal(run(cmd_diff, "diff", f->dir, "d", "d", NULL), CMD_OK);
	/* No tables at all, and a context of another version: a core all the same. */
	memset(f->g.type, 0, sizeof(f->g.type));
	f->g.type[16] = GODWIT_PAGE_P2M;
	f->context.version = 2;
	memset(f->g.changed, 1, sizeof(f->g.changed));
	guest_checkpoint(&f->g, f->store, &f->last);
	assert_int_equal(run(cmd_export, "export", "--json", f->dir, "d", path), CMD_OK);
	says("\"direct_map\": null");
	says("\"vcpus\": 0");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(list_is_a_tree), T(info_and_verify), T(diff_by_kind), T(merge_delete_prune),
		T(wrong_usage), T(export_is_a_core), T(export_as_a_stream), T(hostile_tables_end),
	};

	return cmocka_run_group_tests_name("chain_cmd", tests, NULL, NULL);
}
