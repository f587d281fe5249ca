/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serial console: domain 0's hvc0 and, behind three times Ctrl-A, the debug keys.
 *
 * Received bytes go to one of two readers, domain 0 (a ring it empties with
 * CONSOLEIO_read after VIRQ_CONSOLE) or the hypervisor (one key, one report);
 * three Ctrl-A in a row switch.  Ring indices only grow; in_head - in_tail is what
 * waits and never exceeds the ring.  A byte that finds the ring full is dropped.
 *
 * Lock: in_lock, a leaf, for the ring.  The state of the switch belongs to the
 * UART's interrupt alone, which is routed to one CPU.
 */
#include <pv/console.h>
#include <pv/domain.h>
#include <pv/errno.h>
#include <pv/lib.h>

#define IN_RING		1024u
#define CHUNK		128u
#define CTRL_A		'\x01'
static_assert((IN_RING & (IN_RING - 1)) == 0, "indices wrap by masking");

static struct spinlock in_lock = SPINLOCK_INIT;
static char in_ring[IN_RING];
static uint32_t in_head, in_tail;

/* --- debug keys --- */

static void dump_vcpu(struct vcpu *v)
{
	const struct vcpu_info *info = v->info;

	pr_err("  v%u cpu%u %s%s pause %lx/%u rip %lx rsp %lx cr3 %lx/%lx\n", v->id, v->sched.processor,
	       v->sched.running ? "running" : "off", v->initialised ? "" : " (no context)",
	       v->sched.pause_flags, v->sched.pause_count, v->regs.rip, v->regs.rsp,
	       mfn_x(v->kernel_l4), mfn_x(v->user_l4));
	pr_err("    upcall pending %d mask %d sel %lx polls %lu\n", info->evtchn_upcall_pending,
	       info->evtchn_upcall_mask, info->evtchn_pending_sel, v->poll_mask_ports);
}

static void dump_domain(struct domain *d)
{
	unsigned int i;

	pr_err("d%u state %d refs %u %s%spages %lu/%lu dirty cpus %lx\n", d->id, d->state, d->refs,
	       d->is_shutdown ? "shut down " : "", d->paused_by_tool ? "paused " : "",
	       d->tot_pages, d->max_pages, d->dirty_cpus);
	for (i = 0; i < d->max_vcpus; i++)
		if (d->vcpu[i])
			dump_vcpu(d->vcpu[i]);
}

static void dump_memory_of(struct domain *d)
{
	pr_err("d%u pages %lu of %lu, log-dirty %s\n", d->id, d->tot_pages, d->max_pages,
	       d->logdirty ? "on" : "off");
}

static void dump_queue_of(struct domain *d)
{
	unsigned int i;

	for (i = 0; i < d->max_vcpus; i++) {
		const struct sched_vcpu *s = d->vcpu[i] ? &d->vcpu[i]->sched : NULL;

		if (s)
			pr_err("d%uv%u cpu%u %s%savt %ld evt %ld%s weight %u\n", d->id, i, s->processor,
			       s->running ? "running " : "", s->queued ? "queued " : "", s->avt, s->evt,
			       s->warp ? " warped" : "", d->sched_weight);
	}
}

static void for_each_domain(void (*fn)(struct domain *))
{
	struct domain *d;
	unsigned int next = 0;

	while (next < DOMID_FIRST_RESERVED && (d = domain_get_next((uint16_t)next))) {
		next = d->id + 1u;
		fn(d);
		domain_put(d);
	}
}

static void key_memory(void)
{
	pr_err("memory: %lu frames free of %lu\n", heap_free_frames(), max_mfn);
	for_each_domain(dump_memory_of);
}

static void key_queues(void)
{
	unsigned int i;

	for (i = 0; i < nr_cpus; i++)
		pr_err("cpu%u %s softirqs %lx\n", i, percpu[i].online ? "online" : "offline",
		       percpu[i].softirq_pending);
	for_each_domain(dump_queue_of);
}

static void key_help(void);
static void key_domains(void) { for_each_domain(dump_domain); }
static void key_events(void) { for_each_domain(evtchn_dump); }
static void key_grants(void) { for_each_domain(grant_dump); }

static const struct {
	char key;
	void (*fn)(void);
	const char *what;
} keys[] = {
	{ 'h', key_help, "this help" },
	{ 'd', key_domains, "domains and vCPUs" },
	{ 'm', key_memory, "memory" },
	{ 'e', key_events, "event channels" },
	{ 'g', key_grants, "grant tables" },
	{ 'q', key_queues, "CPUs and run queues" },
};

static void key_help(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		pr_err("'%c': %s\n", keys[i].key, keys[i].what);
}

static void key_press(char c)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		if (keys[i].key == c) {
			pr_err("'%c' pressed: %s\n", c, keys[i].what);
			keys[i].fn();
		}
	}
}

/* --- input --- */

/* True when @c completes the third Ctrl-A.  The first two go to domain 0 as any byte does. */
static bool switch_seen(char c)
{
	static unsigned int seen;

	seen = c == CTRL_A ? seen + 1 : 0;
	if (seen < 3)
		return false;
	seen = 0;
	return true;
}

static void in_put(char c)
{
	spin_lock(&in_lock);
	if (in_head - in_tail < IN_RING)
		in_ring[in_head++ & (IN_RING - 1)] = c;
	spin_unlock(&in_lock);
	evtchn_send_global_virq(VIRQ_CONSOLE);
}

static unsigned int in_get(char *buf, unsigned int max)
{
	unsigned int n = 0;

	spin_lock(&in_lock);
	while (n < max && in_tail != in_head)
		buf[n++] = in_ring[in_tail++ & (IN_RING - 1)];
	spin_unlock(&in_lock);
	return n;
}

void console_rx(char c)
{
	static bool to_hypervisor;

	if (switch_seen(c)) {
		to_hypervisor = !to_hypervisor;
		pr_err("console: input goes to %s (Ctrl-A three times switches%s)\n",
		       to_hypervisor ? "the hypervisor" : "domain 0",
		       to_hypervisor ? ", 'h' helps" : "");
	} else if (to_hypervisor) {
		key_press(c);
	} else {
		in_put(c);
	}
}

/* --- the hypercall --- */

static long console_write(uint64_t buf, unsigned int count)
{
	char text[CHUNK];
	unsigned int i, n, kept;

	for (; count; count -= n, buf += n) {
		n = min(count, CHUNK);
		if (copy_from_guest(text, buf, n))
			return -EFAULT;
		for (i = kept = 0; i < n; i++)
			if (text[i])		/* the log is text */
				text[kept++] = text[i];
		log_write_raw(text, kept);
		irq_window();			/* a slow line must not hold up interrupts */
	}
	return 0;
}

static long console_read(uint64_t buf, unsigned int count)
{
	char text[CHUNK];
	unsigned int n, done = 0;

	while (done < count && (n = in_get(text, min(count - done, CHUNK)))) {
		if (copy_to_guest(buf + done, text, n))
			return -EFAULT;
		done += n;
	}
	return done;
}

long do_console_io(unsigned int cmd, unsigned int count, uint64_t buf)
{
	if (!is_privileged(current->domain))
		return -EPERM;
	switch (cmd) {
	case CONSOLEIO_write:
		return console_write(buf, count);
	case CONSOLEIO_read:
		return console_read(buf, count);
	default:
		return -ENOSYS;
	}
}
