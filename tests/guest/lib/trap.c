/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traps: one that TRY() announced is remembered and stepped over; one that a test's hook takes is
 * its affair; any other fails the test.
 */
#include "tests/guest/lib/guest.h"

struct caught caught;
volatile uint64_t try_resume;
bool (*trap_hook)(struct regs *r);
volatile unsigned int nr_events;
void (*event_hook)(void);

void guest_trap(struct regs *r);
void guest_trap(struct regs *r)
{
	if (r->vector == VEC_EVENT) {
		vcpu_info()->evtchn_upcall_pending = 0;
		nr_events++;
		if (event_hook)
			event_hook();
		return;
	}
	caught.r = *r;
	caught.cr2 = vcpu_info()->arch.cr2;
	caught.any = true;
	if (trap_hook && trap_hook(r))
		return;
	if (try_resume) {
		r->rip = try_resume;
		try_resume = 0;
		return;
	}
	test_fail("trap %lu, error %lx at %lx, cr2 %lx", r->vector, r->error, r->rip, caught.cr2);
}

void trap_set(unsigned int vector, uint64_t handler, unsigned int flags)
{
	struct trap_info t[2] = { { .vector = vector, .flags = flags, .cs = FLAT_KERNEL_CS,
				    .address = handler } };

	if (HC1(set_trap_table, t))
		test_fail("set_trap_table of vector %u", vector);
}

static void callback_set(unsigned int type, void (*entry)(void))
{
	struct callback_register c = { .type = type, .flags = CALLBACKF_mask_events,
				       .address = (unsigned long)entry };

	if (HC2(callback_op, CALLBACKOP_register, &c))
		guest_shutdown(SHUTDOWN_crash);
}

/* Interrupt gates (flag 4) all; 3, 4 and 0x80 may be raised by user mode. */
void traps_install(void)
{
	static struct trap_info t[257];

	for (unsigned int i = 0; i < 256; i++)
		t[i] = (struct trap_info){ i, 4 | (i == 3 || i == 4 || i == 0x80 ? 3 : 0),
					   FLAT_KERNEL_CS, stub_table[i] };
	if (HC1(set_trap_table, t))
		guest_shutdown(SHUTDOWN_crash);
	callback_set(CALLBACKTYPE_event, event_entry);
	callback_set(CALLBACKTYPE_failsafe, failsafe_entry);
	callback_set(CALLBACKTYPE_syscall, syscall_entry);
}

bool try_write(uint64_t va, uint64_t val)
{
	TRY("movq %[val], (%[va])", :: [va] "r"(va), [val] "r"(val) : TRY_CLOBBERS);
	return !caught.any;
}

bool try_read(uint64_t va, uint64_t *val)
{
	uint64_t v = 0;

	TRY("movq (%[va]), %[v]", : [v] "+r"(v) : [va] "r"(va) : TRY_CLOBBERS);
	*val = v;
	return !caught.any;
}
