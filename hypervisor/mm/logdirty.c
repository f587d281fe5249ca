/* SPDX-License-Identifier: Apache-2.0 */
#include <pv/errno.h>
#include <pv/hypercall.h>
#include <pv/mmu.h>
void logdirty_mark_mfn(mfn_t m) { }
void logdirty_frame_gone(struct domain *d, mfn_t m) { }
void logdirty_m2p_changed(struct domain *d, mfn_t m, pfn_t p) { }
void logdirty_disable(struct domain *d) { }
void shadow_entry_written(struct domain *d, struct frame *table, unsigned int idx, uint64_t new) { }
void shadow_table_gone(struct domain *d, struct frame *table) { }
bool shadow_fault(struct vcpu *v, uint64_t va, unsigned int error_code) { return false; }
mfn_t shadow_root(struct domain *d, mfn_t l4) { return l4; }
void shadow_entry_harvest(struct domain *d, struct frame *table, unsigned int idx, uint64_t *guest_entry) { }
long do_godwit_op(unsigned int cmd, uint64_t arg) { return -ENOSYS; }
