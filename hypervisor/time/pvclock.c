// SPDX-License-Identifier: Apache-2.0
/*
 * Time as guests see it: vcpu_time_info and the wallclock (Xen public xen.h).
 *
 * System time is a fixed linear function of the TSC, the same for all CPUs from
 * boot to power-off (x86/tsc.c).  So is what a guest is told: every vCPU of every
 * domain gets the same tsc_timestamp, system_time and scale for good.  Hence
 *  - the clock of a guest agrees with now_ns() to the nanosecond, and never steps
 *    back when a vCPU changes its CPU;
 *  - a vCPU's page is written when the page is new, not at each schedule-in, so it
 *    is not dirtied for log-dirty either;
 *  - the flag TSC_STABLE may be given wherever CPUs' TSCs are in step, and the
 *    secondary area that Linux then registers for its vDSO is written just once:
 *    clock_gettime() in the guest costs no system call.
 *
 * The wallclock is UTC at system time 0.  Readers in the guest use the version
 * protocol: odd while it is being changed, another number afterwards.
 *
 * Lock: wallclock_lock, outside the domain list's.
 */
#include <pv/domain.h>
#include <pv/errno.h>
#include <pv/lib.h>
#include <pv/platform.h>
#include <pv/sched.h>

#define NS_PER_S	1000000000UL

static struct spinlock wallclock_lock;

/* --- vcpu_time_info ------------------------------------------------------------------ */

static struct vcpu_time_info time_info_now(void)
{
	/* Under TCG all TSCs come from one clock; elsewhere invariance is the CPU's word for it
	 * (SDM 3B 18.17.1).  TSCs out of step would upset now_ns() before any guest's clock. */
	bool in_step = cpu_features.tcg || cpu_features.invariant_tsc;

	return (struct vcpu_time_info){
		.tsc_timestamp = boot_tsc,
		.system_time = 0,
		.tsc_to_system_mul = tsc_to_system_mul,
		.tsc_shift = tsc_shift,
		.flags = in_step ? XEN_PVCLOCK_TSC_STABLE_BIT : 0,
	};
}

static bool time_info_same(const struct vcpu_time_info *t, const struct vcpu_time_info *want)
{
	return t->version && !(t->version & 1) && t->tsc_timestamp == want->tsc_timestamp &&
	       t->system_time == want->system_time &&
	       t->tsc_to_system_mul == want->tsc_to_system_mul &&
	       t->tsc_shift == want->tsc_shift && t->flags == want->flags;
}

void pvclock_update(struct vcpu *v)
{
	struct vcpu_time_info want = time_info_now();
	struct vcpu_time_info *t;
	uint32_t odd;

	if (!v->info)
		return;
	t = &v->info->time;
	if (time_info_same(t, &want))
		return;
	odd = ACCESS_ONCE(t->version) | 1;
	ACCESS_ONCE(t->version) = odd;
	smp_wmb();	/* a reader that sees any new field sees the odd version first */
	t->tsc_timestamp = want.tsc_timestamp;
	t->system_time = want.system_time;
	t->tsc_to_system_mul = want.tsc_to_system_mul;
	t->tsc_shift = want.tsc_shift;
	t->flags = want.flags;
	smp_wmb();	/* and all of them before the even one */
	ACCESS_ONCE(t->version) = odd + 1;
	vcpu_info_dirty(v);
}

void pvclock_area_update(struct vcpu *v)
{
	struct vcpu_time_info want = time_info_now();
	uint64_t gva = v->time_area_gva;

	if (!gva)
		return;
	/* The same protocol by way of the guest's mapping.  If it is not mapped, the guest reads
	 * nothing there either. */
	want.version = 1;
	if (copy_to_guest(gva, &want.version, sizeof(want.version)))
		return;
	smp_wmb();
	if (copy_to_guest(gva, &want, sizeof(want)))
		return;
	smp_wmb();
	want.version = 2;
	if (copy_to_guest(gva, &want.version, sizeof(want.version)))
		return;
}

/* --- wallclock ------------------------------------------------------------------------- */

/* Caller: wallclock_lock, or the domain cannot run yet. */
static void wallclock_publish(struct domain *d)
{
	struct shared_info *s = d->shared_info;
	uint64_t sec = wallclock_boot_ns / NS_PER_S;
	uint32_t odd;

	if (!s)
		return;
	odd = ACCESS_ONCE(s->wc_version) | 1;
	ACCESS_ONCE(s->wc_version) = odd;
	smp_wmb();
	s->wc_sec = (uint32_t)sec;
	s->wc_sec_hi = (uint32_t)(sec >> 32);
	s->wc_nsec = (uint32_t)(wallclock_boot_ns % NS_PER_S);
	smp_wmb();
	ACCESS_ONCE(s->wc_version) = odd + 1;
	logdirty_mark_mfn(virt_to_mfn(s));
}

void pvclock_init_domain(struct domain *d)
{
	spin_lock(&wallclock_lock);
	wallclock_publish(d);
	spin_unlock(&wallclock_lock);
	for (unsigned int i = 0; i < d->max_vcpus; i++)
		if (d->vcpu[i])
			pvclock_update(d->vcpu[i]);
}

int pvclock_settime(uint64_t sec, uint32_t nsec, uint64_t system_time_ns)
{
	struct domain *d;
	uint64_t utc;

	if (nsec >= NS_PER_S || sec > INT64_MAX / NS_PER_S - 1)
		return -EINVAL;
	utc = sec * NS_PER_S + nsec;
	if (system_time_ns > utc)	/* system time 0 lies before 1970 */
		return -EINVAL;
	spin_lock(&wallclock_lock);
	wallclock_boot_ns = utc - system_time_ns;
	for (d = domain_get_next(0); d; ) {
		uint16_t id = d->id;

		wallclock_publish(d);
		domain_put(d);
		d = domain_get_next((uint16_t)(id + 1));
	}
	spin_unlock(&wallclock_lock);
	return 0;
}

uint64_t wallclock_now_ns(void)
{
	return wallclock_boot_ns + (uint64_t)now_ns();
}
