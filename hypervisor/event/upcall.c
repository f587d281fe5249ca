/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an event reaches a vCPU: the 2-level bitmap (public event_channel.h, xen.h).
 *
 * A port is pending by its bit in shared_info.evtchn_pending.  If it is not
 * masked, the bit of its word is set in vcpu_info.evtchn_pending_sel and then
 * evtchn_upcall_pending.  The guest clears in the opposite order, so whoever
 * sets a bit that was clear must go on to the next level: no event is lost, and
 * one that is pending already costs one locked instruction.
 *
 * shared_info and vcpu_info are guest memory.  Their values only steer what the
 * guest itself is told, they are changed by single atomic operations, and the
 * pages are told to log-dirty *after* the write: a harvest between the two then
 * sees the write or the mark, never neither.
 */
#include <pv/domain.h>

static void shared_info_dirty(struct domain *d)
{
	logdirty_mark_mfn(virt_to_mfn(d->shared_info));
}

/* Always kicks: the guest's "unmask, then look at pending" has no fence between the two, so
 * reading evtchn_upcall_mask here to save the kick would lose the event. */
static void vcpu_raise_upcall(struct vcpu *v, struct vcpu_info *info)
{
	if (atomic_xchg(&info->evtchn_upcall_pending, 1))
		return;
	vcpu_unblock(v);
	vcpu_kick(v);
}

static void vcpu_raise_word(struct vcpu *v, unsigned int word)
{
	struct vcpu_info *info = ACCESS_ONCE(v->info);

	if (test_and_set_bit(word, &info->evtchn_pending_sel))
		return;
	vcpu_raise_upcall(v, info);
	vcpu_info_dirty(v);
}

/*
 * SCHEDOP_poll waits for ports whether masked or not.  Any event of the domain ends any poll:
 * the public interface lets it return early, and the list of ports belongs to a vCPU that may
 * be going away on another CPU.
 */
static void wake_pollers(struct domain *d)
{
	unsigned int i;

	for (i = 0; i < d->max_vcpus; i++) {
		struct vcpu *v = d->vcpu[i];

		if (v && ACCESS_ONCE(v->poll_mask_ports))
			vcpu_unblock(v);
	}
}

/* The vCPU a port notifies.  NULL while a domain is being built: its pending bits are seen when
 * the vCPU registers its vcpu_info, see evtchn_vcpu_info_moved(). */
static struct vcpu *port_vcpu(struct domain *d, uint32_t port)
{
	const struct evtchn *ch = evtchn_from_port(&d->evtchn, port);
	unsigned int id = ch ? ACCESS_ONCE(ch->vcpu) : MAX_VCPUS;

	return id < MAX_VCPUS ? d->vcpu[id] : NULL;
}

void evtchn_set_pending(struct domain *d, uint32_t port)
{
	struct vcpu *v = port_vcpu(d, port);
	struct shared_info *s = d->shared_info;

	if (!s || !evtchn_from_port(&d->evtchn, port) || test_and_set_bit(port, s->evtchn_pending))
		return;
	if (v && !test_bit(port, s->evtchn_mask))
		vcpu_raise_word(v, port / 64);
	shared_info_dirty(d);		/* after both: an unregistered vcpu_info lies in it, too */
	wake_pollers(d);
}

void evtchn_unmask_port(struct domain *d, uint32_t port)
{
	struct vcpu *v = port_vcpu(d, port);
	struct shared_info *s = d->shared_info;

	if (!s || !test_and_clear_bit(port, s->evtchn_mask))
		return;
	if (v && test_bit(port, s->evtchn_pending))
		vcpu_raise_word(v, port / 64);
	shared_info_dirty(d);
}

void evtchn_clear_pending(struct domain *d, uint32_t port)
{
	if (d->shared_info && test_and_clear_bit(port, d->shared_info->evtchn_pending))
		shared_info_dirty(d);
}

bool evtchn_port_pending(struct domain *d, uint32_t port)
{
	return d->shared_info && port < EVTCHN_MAX_PORTS &&
	       test_bit(port, d->shared_info->evtchn_pending);
}

bool evtchn_vcpu_deliverable(struct vcpu *v)
{
	const struct vcpu_info *info = ACCESS_ONCE(v->info);

	return ACCESS_ONCE(info->evtchn_upcall_pending) && !ACCESS_ONCE(info->evtchn_upcall_mask);
}

void evtchn_vcpu_info_moved(struct vcpu *v)
{
	struct vcpu_info *info = ACCESS_ONCE(v->info);

	atomic_or(&info->evtchn_pending_sel, ~0UL);
	vcpu_raise_upcall(v, info);
	vcpu_info_dirty(v);
}
