// SPDX-License-Identifier: Apache-2.0
/*
 * Hypercalls of the dom0 programs: see hcall.h.  Each function fills the
 * public structure, passes it through hypercall memory and translates the
 * result to -errno; there is no policy here.
 */
#include "toolstack/lib/hcall.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/version.h>
#include <xencall.h>

#include "toolstack/lib/quiet.h"

#define PAGE_BYTES 4096u
#define POPULATE_CHUNK 4096u
#define CONSOLE_READ_MAX (1u << 20)
#define DOMAIN_LIST_MAX 4096u
/* As xl asks; two-level event channels give 4096 at most. */
#define DOMAIN_MAX_EVTCHN_PORT 1023

_Static_assert(sizeof(struct xen_domctl) == 144, "domctl ABI of Xen 4.17");
_Static_assert(sizeof(struct xen_sysctl) == 136, "sysctl ABI of Xen 4.17");
_Static_assert(sizeof(struct vcpu_guest_context) == 5168, "vcpu context ABI");

struct hcall {
	xencall_handle *xcall;
};

int hcall_open(struct hcall **out)
{
	struct hcall *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return -ENOMEM;
	h->xcall = xencall_open(&quiet_logger, 0);
	if (!h->xcall) {
		err = errno;
		free(h);
		return err ? -err : -ENODEV;
	}
	*out = h;
	return 0;
}

void hcall_close(struct hcall *h)
{
	if (!h)
		return;
	xencall_close(h->xcall);
	free(h);
}

static size_t pages_of(size_t len_bytes)
{
	return len_bytes / PAGE_BYTES + (len_bytes % PAGE_BYTES != 0);
}

void *hcall_buf_alloc(struct hcall *h, size_t len_bytes)
{
	return len_bytes ? xencall_alloc_buffer_pages(h->xcall, pages_of(len_bytes)) : NULL;
}

void hcall_buf_free(struct hcall *h, void *buf, size_t len_bytes)
{
	if (buf)
		xencall_free_buffer_pages(h->xcall, buf, pages_of(len_bytes));
}

/* libxencall gives -1 and errno; an error without a number must stay an error. */
static long result(long ret)
{
	if (ret >= 0)
		return ret;
	return errno ? -errno : -EIO;
}

static uint64_t addr_of(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

/* Copy @arg into hypercall memory, call op(@cmd, arg), copy it back. */
static long call_struct(struct hcall *h, unsigned int op, uint64_t cmd, void *arg, size_t len)
{
	void *buf = hcall_buf_alloc(h, len);
	long ret;

	if (!buf)
		return -ENOMEM;
	memcpy(buf, arg, len);
	ret = result(xencall2L(h->xcall, op, cmd, addr_of(buf)));
	memcpy(arg, buf, len);
	hcall_buf_free(h, buf, len);
	return ret;
}

/* --- domains ------------------------------------------------------------------- */

static int call_domctl(struct hcall *h, struct xen_domctl *op)
{
	struct xen_domctl *buf = hcall_buf_alloc(h, sizeof(*buf));
	int ret;

	if (!buf)
		return -ENOMEM;
	op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
	*buf = *op;
	ret = (int)result(xencall1(h->xcall, __HYPERVISOR_domctl, addr_of(buf)));
	*op = *buf;
	hcall_buf_free(h, buf, sizeof(*buf));
	return ret;
}

static int call_sysctl(struct hcall *h, struct xen_sysctl *op)
{
	struct xen_sysctl *buf = hcall_buf_alloc(h, sizeof(*buf));
	int ret;

	if (!buf)
		return -ENOMEM;
	op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
	*buf = *op;
	ret = (int)result(xencall1(h->xcall, __HYPERVISOR_sysctl, addr_of(buf)));
	*op = *buf;
	hcall_buf_free(h, buf, sizeof(*buf));
	return ret;
}

/* The many domctls that have no argument beside the domain. */
static int call_domctl_plain(struct hcall *h, domid_t domid, uint32_t cmd)
{
	struct xen_domctl op = { .cmd = cmd, .domain = domid };

	return call_domctl(h, &op);
}

int hcall_domain_create(struct hcall *h, const uint8_t uuid[16], unsigned int max_vcpus,
			domid_t *domid)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_createdomain, .domain = *domid };
	struct xen_domctl_createdomain *c = &op.u.createdomain;
	int ret;

	memcpy(c->handle, uuid, sizeof(c->handle));
	c->max_vcpus = max_vcpus;
	c->max_evtchn_port = DOMAIN_MAX_EVTCHN_PORT;
	c->max_grant_frames = -1;
	c->max_maptrack_frames = -1;
	/* Linux PV asks for version 1; version 2 would only add attack surface. */
	c->grant_opts = XEN_DOMCTL_GRANT_version(1);
	ret = call_domctl(h, &op);
	if (!ret)
		*domid = op.domain;
	return ret;
}

int hcall_domain_destroy(struct hcall *h, domid_t domid)
{
	int ret;

	/* A preemptible kill reports back in these ways, depending on the version. */
	do {
		ret = call_domctl_plain(h, domid, XEN_DOMCTL_destroydomain);
	} while (ret == -EAGAIN || ret == -EINTR || ret == -ERESTART);
	return ret;
}

int hcall_domain_pause(struct hcall *h, domid_t domid)
{
	return call_domctl_plain(h, domid, XEN_DOMCTL_pausedomain);
}

int hcall_domain_unpause(struct hcall *h, domid_t domid)
{
	return call_domctl_plain(h, domid, XEN_DOMCTL_unpausedomain);
}

int hcall_domain_resume(struct hcall *h, domid_t domid)
{
	return call_domctl_plain(h, domid, XEN_DOMCTL_resumedomain);
}

int hcall_domain_shutdown(struct hcall *h, domid_t domid, unsigned int reason)
{
	struct sched_remote_shutdown arg = { .domain_id = domid, .reason = reason };

	return (int)call_struct(h, __HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, &arg,
				sizeof(arg));
}

int hcall_domain_set_max_vcpus(struct hcall *h, domid_t domid, unsigned int n)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_max_vcpus, .domain = domid };

	op.u.max_vcpus.max = n;
	return call_domctl(h, &op);
}

int hcall_domain_set_max_mem(struct hcall *h, domid_t domid, uint64_t max_kib)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_max_mem, .domain = domid };

	op.u.max_mem.max_memkb = max_kib;
	return call_domctl(h, &op);
}

int hcall_domain_set_weight(struct hcall *h, domid_t domid, unsigned int weight)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_scheduler_op, .domain = domid };

	if (weight == 0 || weight > UINT16_MAX)
		return -EINVAL;
	op.u.scheduler_op.sched_id = XEN_SCHEDULER_CREDIT2;
	op.u.scheduler_op.cmd = XEN_DOMCTL_SCHEDOP_putinfo;
	op.u.scheduler_op.u.credit2.weight = (uint16_t)weight;
	return call_domctl(h, &op);
}

int hcall_domain_get_weight(struct hcall *h, domid_t domid, unsigned int *weight)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_scheduler_op, .domain = domid };
	int ret;

	op.u.scheduler_op.sched_id = XEN_SCHEDULER_CREDIT2;
	op.u.scheduler_op.cmd = XEN_DOMCTL_SCHEDOP_getinfo;
	ret = call_domctl(h, &op);
	if (!ret)
		*weight = op.u.scheduler_op.u.credit2.weight;
	return ret;
}

int hcall_domain_get_info(struct hcall *h, domid_t domid, struct xen_domctl_getdomaininfo *info)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_getdomaininfo, .domain = domid };
	int ret = call_domctl(h, &op);

	if (ret)
		return ret;
	if (op.u.getdomaininfo.domain != domid)
		return -ESRCH;
	*info = op.u.getdomaininfo;
	return 0;
}

int hcall_domain_list(struct hcall *h, domid_t first, struct xen_domctl_getdomaininfo *infos,
		      unsigned int max)
{
	struct xen_sysctl op = { .cmd = XEN_SYSCTL_getdomaininfolist };
	struct xen_domctl_getdomaininfo *buf;
	size_t len;
	int ret;

	if (max == 0 || max > DOMAIN_LIST_MAX)
		return -EINVAL;
	len = max * sizeof(*buf);
	buf = hcall_buf_alloc(h, len);
	if (!buf)
		return -ENOMEM;
	op.u.getdomaininfolist.first_domain = first;
	op.u.getdomaininfolist.max_domains = max;
	set_xen_guest_handle(op.u.getdomaininfolist.buffer, buf);
	ret = call_sysctl(h, &op);
	if (!ret && op.u.getdomaininfolist.num_domains > max)
		ret = -EPROTO;
	if (!ret) {
		ret = (int)op.u.getdomaininfolist.num_domains;
		memcpy(infos, buf, (size_t)ret * sizeof(*buf));
	}
	hcall_buf_free(h, buf, len);
	return ret;
}

static int call_vcpu_context(struct hcall *h, domid_t domid, unsigned int vcpu, uint32_t cmd,
			     struct vcpu_guest_context *ctx)
{
	struct xen_domctl op = { .cmd = cmd, .domain = domid };
	struct vcpu_guest_context *buf = hcall_buf_alloc(h, sizeof(*buf));
	int ret;

	if (!buf)
		return -ENOMEM;
	*buf = *ctx;
	op.u.vcpucontext.vcpu = vcpu;
	set_xen_guest_handle(op.u.vcpucontext.ctxt, buf);
	ret = call_domctl(h, &op);
	*ctx = *buf;
	hcall_buf_free(h, buf, sizeof(*buf));
	return ret;
}

int hcall_vcpu_set_context(struct hcall *h, domid_t domid, unsigned int vcpu,
			   const struct vcpu_guest_context *ctx)
{
	struct vcpu_guest_context copy = *ctx;

	return call_vcpu_context(h, domid, vcpu, XEN_DOMCTL_setvcpucontext, &copy);
}

int hcall_vcpu_get_context(struct hcall *h, domid_t domid, unsigned int vcpu,
			   struct vcpu_guest_context *ctx)
{
	memset(ctx, 0, sizeof(*ctx));
	return call_vcpu_context(h, domid, vcpu, XEN_DOMCTL_getvcpucontext, ctx);
}

/* --- memory --------------------------------------------------------------------- */

long hcall_memory_populate(struct hcall *h, domid_t domid, xen_pfn_t *pfns, size_t nr,
			   unsigned int order)
{
	size_t len = POPULATE_CHUNK * sizeof(*pfns), done = 0;
	xen_pfn_t *buf = hcall_buf_alloc(h, len);
	long ret = 0;

	if (!buf)
		return -ENOMEM;
	while (done < nr) {
		size_t n = nr - done < POPULATE_CHUNK ? nr - done : POPULATE_CHUNK;
		struct xen_memory_reservation r = {
			.nr_extents = n,
			.extent_order = order,
			.domid = domid,
		};

		memcpy(buf, pfns + done, n * sizeof(*pfns));
		set_xen_guest_handle(r.extent_start, buf);
		ret = call_struct(h, __HYPERVISOR_memory_op, XENMEM_populate_physmap, &r,
				  sizeof(r));
		if (ret < 0)
			break;
		if ((size_t)ret > n) {
			ret = -EPROTO;
			break;
		}
		memcpy(pfns + done, buf, (size_t)ret * sizeof(*pfns));
		done += (size_t)ret;
		if ((size_t)ret < n)
			break;
	}
	hcall_buf_free(h, buf, len);
	return ret < 0 && done == 0 ? ret : (long)done;
}

/* One e820 entry as XENMEM_memory_map hands it out (20 bytes, no padding). */
struct e820_entry {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
} __attribute__((packed));
#define E820_TYPE_RAM 1

int hcall_memory_set_map(struct hcall *h, domid_t domid, uint64_t size_bytes)
{
	struct xen_foreign_memory_map arg = { .domid = domid };
	struct e820_entry *entry = hcall_buf_alloc(h, sizeof(*entry));
	int ret;

	if (!entry)
		return -ENOMEM;
	*entry = (struct e820_entry){ .addr = 0, .size = size_bytes, .type = E820_TYPE_RAM };
	arg.map.nr_entries = 1;
	set_xen_guest_handle(arg.map.buffer, entry);
	ret = (int)call_struct(h, __HYPERVISOR_memory_op, XENMEM_set_memory_map, &arg,
			       sizeof(arg));
	hcall_buf_free(h, entry, sizeof(*entry));
	return ret;
}

int hcall_mmu_pin_l4(struct hcall *h, domid_t domid, uint64_t mfn)
{
	struct mmuext_op *op = hcall_buf_alloc(h, sizeof(*op));
	long ret;

	if (!op)
		return -ENOMEM;
	memset(op, 0, sizeof(*op));
	op->cmd = MMUEXT_PIN_L4_TABLE;
	op->arg1.mfn = mfn;
	ret = result(xencall4(h->xcall, __HYPERVISOR_mmuext_op, addr_of(op), 1, 0, domid));
	hcall_buf_free(h, op, sizeof(*op));
	return ret < 0 ? (int)ret : 0;
}

/* --- event channels, grants --------------------------------------------------------- */

int hcall_evtchn_alloc_unbound(struct hcall *h, domid_t domid, uint32_t *port)
{
	struct evtchn_alloc_unbound arg = { .dom = domid, .remote_dom = 0 };
	int ret = (int)call_struct(h, __HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound,
				   &arg, sizeof(arg));

	if (!ret)
		*port = arg.port;
	return ret;
}

/* GNTST_* of the setup operation; the hypercall itself succeeded. */
static int gntst_to_errno(int16_t status)
{
	switch (status) {
	case GNTST_okay:
		return 0;
	case GNTST_bad_domain:
		return -ESRCH;
	case GNTST_permission_denied:
		return -EPERM;
	case GNTST_no_device_space:
		return -ENOSPC;
	default:
		return -EIO;
	}
}

int hcall_gnttab_first_frame(struct hcall *h, domid_t domid, uint64_t *mfn)
{
	struct gnttab_setup_table *arg;
	xen_pfn_t *frames;
	int ret;

	/* One page holds both the argument and the list it points to. */
	arg = hcall_buf_alloc(h, PAGE_BYTES);
	if (!arg)
		return -ENOMEM;
	frames = (xen_pfn_t *)((char *)arg + PAGE_BYTES / 2);
	memset(arg, 0, sizeof(*arg));
	*frames = 0;
	arg->dom = domid;
	arg->nr_frames = 1;
	set_xen_guest_handle(arg->frame_list, frames);
	ret = (int)result(xencall3(h->xcall, __HYPERVISOR_grant_table_op, GNTTABOP_setup_table,
				   addr_of(arg), 1));
	if (!ret)
		ret = gntst_to_errno(arg->status);
	if (!ret)
		*mfn = *frames;
	hcall_buf_free(h, arg, PAGE_BYTES);
	return ret;
}

/* --- host ----------------------------------------------------------------------------- */

int hcall_host_get_physinfo(struct hcall *h, struct xen_sysctl_physinfo *info)
{
	struct xen_sysctl op = { .cmd = XEN_SYSCTL_physinfo };
	int ret = call_sysctl(h, &op);

	if (!ret)
		*info = op.u.physinfo;
	return ret;
}

long hcall_host_read_console(struct hcall *h, char *buf, size_t len, uint32_t *index, int clear)
{
	struct xen_sysctl op = { .cmd = XEN_SYSCTL_readconsole };
	struct xen_sysctl_readconsole *rc = &op.u.readconsole;
	char *bounce;
	long ret;

	if (len == 0 || len > CONSOLE_READ_MAX)
		return -EINVAL;
	bounce = hcall_buf_alloc(h, len);
	if (!bounce)
		return -ENOMEM;
	rc->clear = clear != 0;
	rc->incremental = 1;
	rc->index = *index;
	rc->count = (uint32_t)len;
	set_xen_guest_handle(rc->buffer, bounce);
	ret = call_sysctl(h, &op);
	if (!ret && rc->count > len)
		ret = -EPROTO;
	if (!ret) {
		memcpy(buf, bounce, rc->count);
		*index = rc->index;
		ret = (long)rc->count;
	}
	hcall_buf_free(h, bounce, len);
	return ret;
}

int hcall_host_get_version(struct hcall *h, unsigned int *major_minor, char extra[17])
{
	long ret = result(xencall2(h->xcall, __HYPERVISOR_xen_version, XENVER_version, 0));
	xen_extraversion_t text = "";

	if (ret < 0)
		return (int)ret;
	*major_minor = (unsigned int)ret;
	ret = call_struct(h, __HYPERVISOR_xen_version, XENVER_extraversion, text, sizeof(text));
	if (ret < 0)
		return (int)ret;
	memcpy(extra, text, sizeof(text));
	extra[sizeof(text)] = '\0';
	return 0;
}

/* --- Godwit's own ---------------------------------------------------------------------- */

static int call_godwit(struct hcall *h, unsigned int cmd, void *arg, size_t len)
{
	return (int)call_struct(h, __HYPERVISOR_godwit_op, cmd, arg, len);
}

int hcall_godwit_get_version(struct hcall *h, struct godwit_version *v)
{
	int ret = call_godwit(h, GODWIT_OP_version, v, sizeof(*v));

	v->build[sizeof(v->build) - 1] = '\0';
	return ret;
}

int hcall_godwit_logdirty(struct hcall *h, struct godwit_logdirty *op)
{
	return call_godwit(h, GODWIT_OP_logdirty, op, sizeof(*op));
}

int hcall_godwit_logdirty_enable_all(struct hcall *h, domid_t domid)
{
	struct godwit_logdirty op;
	int ret;

	do {
		op = (struct godwit_logdirty){ .domid = domid, .action = GODWIT_LOGDIRTY_ENABLE };
		ret = hcall_godwit_logdirty(h, &op);
	} while (!ret && op.remaining);
	return ret;
}

int hcall_godwit_logdirty_disable(struct hcall *h, domid_t domid)
{
	struct godwit_logdirty op = { .domid = domid, .action = GODWIT_LOGDIRTY_DISABLE };

	return hcall_godwit_logdirty(h, &op);
}

int hcall_godwit_logdirty_collect(struct hcall *h, domid_t domid, uint64_t *nr_dirty)
{
	struct godwit_logdirty op = { .domid = domid, .action = GODWIT_LOGDIRTY_COLLECT };
	int ret = hcall_godwit_logdirty(h, &op);

	if (!ret)
		*nr_dirty = op.nr_dirty;
	return ret;
}

int hcall_godwit_logdirty_fetch(struct hcall *h, domid_t domid, uint64_t *pfns,
				unsigned int max, uint64_t *cursor, uint64_t *end_pfn)
{
	struct godwit_logdirty op = {
		.domid = domid,
		.action = GODWIT_LOGDIRTY_FETCH,
		.cursor = *cursor,
		.max_pfns = max,
		.pfns = addr_of(pfns),
	};
	int ret = hcall_godwit_logdirty(h, &op);

	if (ret)
		return ret;
	if (op.nr_pfns > max)
		return -EPROTO;
	*cursor = op.cursor;
	*end_pfn = op.end_pfn;
	return (int)op.nr_pfns;
}

int hcall_godwit_snapshot(struct hcall *h, struct godwit_snapshot *op)
{
	return call_godwit(h, GODWIT_OP_snapshot, op, sizeof(*op));
}

int hcall_godwit_read_frames(struct hcall *h, struct godwit_frames *op)
{
	return call_godwit(h, GODWIT_OP_read_frames, op, sizeof(*op));
}

int hcall_godwit_write_frames(struct hcall *h, struct godwit_frames *op)
{
	return call_godwit(h, GODWIT_OP_write_frames, op, sizeof(*op));
}

/* A call that does nothing and reports success would loop for ever: -EIO. */
static int frames_all(struct hcall *h, unsigned int cmd, struct godwit_frames op)
{
	while (op.nr) {
		struct godwit_frames step = op;
		int ret = call_godwit(h, cmd, &step, sizeof(step));

		if (ret)
			return ret;
		if (step.nr_done == 0 || step.nr_done > op.nr)
			return -EIO;
		op.nr -= step.nr_done;
		op.pfns += step.nr_done * sizeof(uint64_t);
		op.types += step.nr_done;
		op.buffer += (uint64_t)step.nr_done * PAGE_BYTES;
	}
	return 0;
}

int hcall_godwit_read_frames_all(struct hcall *h, domid_t domid, const uint64_t *pfns,
				 uint8_t *types, void *buffer, unsigned int nr)
{
	return frames_all(h, GODWIT_OP_read_frames,
			  (struct godwit_frames){ .domid = domid,
						  .nr = nr,
						  .pfns = addr_of(pfns),
						  .types = addr_of(types),
						  .buffer = addr_of(buffer) });
}

int hcall_godwit_write_frames_all(struct hcall *h, domid_t domid, const uint64_t *pfns,
				  const uint8_t *types, const void *buffer, unsigned int nr)
{
	return frames_all(h, GODWIT_OP_write_frames,
			  (struct godwit_frames){ .domid = domid,
						  .nr = nr,
						  .pfns = addr_of(pfns),
						  .types = addr_of(types),
						  .buffer = addr_of(buffer) });
}

int hcall_godwit_p2m_frames(struct hcall *h, struct godwit_p2m_frames *op)
{
	return call_godwit(h, GODWIT_OP_p2m_frames, op, sizeof(*op));
}

int hcall_godwit_get_context(struct hcall *h, struct godwit_context *op)
{
	return call_godwit(h, GODWIT_OP_get_context, op, sizeof(*op));
}

int hcall_godwit_set_context(struct hcall *h, struct godwit_context *op)
{
	return call_godwit(h, GODWIT_OP_set_context, op, sizeof(*op));
}

int hcall_godwit_finish_restore(struct hcall *h, struct godwit_finish_restore *op)
{
	return call_godwit(h, GODWIT_OP_finish_restore, op, sizeof(*op));
}

int hcall_godwit_domain_facts(struct hcall *h, struct godwit_domain_facts *op)
{
	return call_godwit(h, GODWIT_OP_domain_facts, op, sizeof(*op));
}

int hcall_godwit_snapshot_prepare(struct hcall *h, domid_t domid, uint64_t reserve_pages)
{
	struct godwit_snapshot op = {
		.domid = domid, .action = GODWIT_SNAPSHOT_PREPARE, .reserve_pages = reserve_pages,
	};

	return hcall_godwit_snapshot(h, &op);
}

int hcall_godwit_snapshot_begin(struct hcall *h, domid_t domid, uint32_t flags, struct godwit_snapshot *st)
{
	struct godwit_snapshot op = { .domid = domid, .action = GODWIT_SNAPSHOT_BEGIN, .flags = flags };
	int ret = hcall_godwit_snapshot(h, &op);

	if (st)
		*st = op;
	return ret;
}

int hcall_godwit_snapshot_fetch(struct hcall *h, domid_t domid, uint64_t *pfns, unsigned int max,
				uint64_t *cursor, uint64_t *end_pfn)
{
	struct godwit_snapshot op = {
		.domid = domid, .action = GODWIT_SNAPSHOT_FETCH, .cursor = *cursor,
		.max_pfns = max, .pfns = (uint64_t)(uintptr_t)pfns,
	};
	int ret = hcall_godwit_snapshot(h, &op);

	if (ret)
		return ret;
	*cursor = op.cursor;
	*end_pfn = op.end_pfn;
	return (int)op.nr_out;
}

int hcall_godwit_snapshot_commit(struct hcall *h, domid_t domid, uint64_t cookie)
{
	struct godwit_snapshot op = { .domid = domid, .action = GODWIT_SNAPSHOT_COMMIT, .cookie = cookie };

	return hcall_godwit_snapshot(h, &op);
}

int hcall_godwit_snapshot_abort(struct hcall *h, domid_t domid)
{
	struct godwit_snapshot op = { .domid = domid, .action = GODWIT_SNAPSHOT_ABORT };

	return hcall_godwit_snapshot(h, &op);
}

int hcall_godwit_snapshot_status(struct hcall *h, domid_t domid, struct godwit_snapshot *st)
{
	*st = (struct godwit_snapshot){ .domid = domid, .action = GODWIT_SNAPSHOT_STATUS };
	return hcall_godwit_snapshot(h, st);
}

int hcall_godwit_lazy(struct hcall *h, struct godwit_lazy *op)
{
	return call_godwit(h, GODWIT_OP_lazy, op, sizeof(*op));
}

int hcall_godwit_lazy_mark(struct hcall *h, domid_t domid, const uint64_t *pfns, unsigned int nr, uint32_t port)
{
	struct godwit_lazy op = {
		.domid = domid, .action = GODWIT_LAZY_MARK, .port = port, .nr = nr,
		.pfns = (uint64_t)(uintptr_t)pfns,
	};

	return hcall_godwit_lazy(h, &op);
}

int hcall_godwit_lazy_fetch(struct hcall *h, domid_t domid, uint64_t *pfns, unsigned int max)
{
	struct godwit_lazy op = {
		.domid = domid, .action = GODWIT_LAZY_FETCH, .nr = max, .pfns = (uint64_t)(uintptr_t)pfns,
	};
	int ret = hcall_godwit_lazy(h, &op);

	return ret ? ret : (int)op.nr_done;
}

int hcall_godwit_audit(struct hcall *h, struct godwit_audit *op)
{
	return call_godwit(h, GODWIT_OP_audit, op, sizeof(*op));
}
