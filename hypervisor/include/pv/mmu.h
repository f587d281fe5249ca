/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page tables of a PV guest: validation (mm/ptype.c), updates (mm/mmu.c), walks.
 * All of them need the mm_lock of the domain that owns the tables.
 */
#pragma once
#include <pv/domain.h>

/** l1e_get() - may @d's table hold @*e, a present entry for a frame of @pg_owner?  Takes the
 *  references it needs and ORs in what the guest cannot choose.  0, -EINVAL, -EPERM. */
int l1e_get(struct domain *d, struct domain *pg_owner, uint64_t *e) __must_check;
void l1e_put(uint64_t e);
/** table_get() - reference on @mfn as a table of @level (1..4) owned by @d. */
int table_get(struct domain *d, mfn_t mfn, int level) __must_check;
void table_put(mfn_t mfn, int level);
/** table_validate()/table_devalidate() - all entries of a table take / drop their references. */
int table_validate(struct domain *d, struct frame *f, int level);
void table_devalidate(struct domain *d, struct frame *f, int level);
/** segdesc_validate() - make 512 descriptors harmless or refuse (-EINVAL). */
int segdesc_validate(struct frame *f);
bool descriptor_fix(uint64_t *desc);

/**
 * table_update_entry() - replace entry @idx of the validated table @f (its real type tells the
 * level) by @new.
 * @pg_owner: who owns the frame an L1 entry names (the domain itself but for foreign maps)
 * @preserve_ad: keep what hardware put into A and D
 * @expect: NULL, or the value the entry must have (else -EAGAIN, nothing changes)
 * Return: 0, -EINVAL, -EPERM, -EAGAIN; on error nothing changed.
 */
int table_update_entry(struct domain *d, struct frame *f, unsigned int idx, uint64_t new,
		       struct domain *pg_owner, bool preserve_ad, const uint64_t *expect);

/** guest_walk() - the L1 entry that maps @va in tables from @l4 on: its table frame and index.
 *  NULL when a level is not present.  Reads the guest's own tables. */
struct frame *guest_walk(struct domain *d, mfn_t l4, uint64_t va, unsigned int *idx);

/** mmu_load_address_space() - CR3 for @v's present mode (twin of the L4 while in shadow mode). */
void mmu_load_address_space(struct vcpu *v);
/** mmu_set_base()/mmu_drop_bases() - kernel or user L4 of @v; INVALID_MFN detaches. */
int mmu_set_base(struct vcpu *v, mfn_t l4, bool user);
int mmu_pin(struct domain *d, mfn_t mfn, int level);
int mmu_unpin(struct domain *d, mfn_t mfn);
/** mmu_drop_tables() - a dying domain: its bases, descriptor tables and pins go, and with them
 *  every reference its page tables hold. */
void mmu_drop_tables(struct domain *d);
/** mmu_release_frames() - then: at most @budget of its frames; true when none is left to do. */
bool mmu_release_frames(struct domain *d, unsigned int budget);
/** mmu_set_gdt() - @nr segdesc frames, @ents entries; replaces the old ones.  -EINVAL. */
int mmu_set_gdt(struct vcpu *v, const uint64_t *mfns, unsigned int ents);
void mmu_drop_ldt(struct vcpu *v);
/** mmu_ldt_fault() - map page @page of current's LDT; false: it has none there. */
bool mmu_ldt_fault(struct vcpu *v, unsigned int page);
/** ptwr_emulate() - a guest kernel's write to one of its L1 tables.  True: done. */
bool ptwr_emulate(struct vcpu *v, uint64_t va);

long do_mmu_update(uint64_t ureqs, unsigned int count, uint64_t pdone, unsigned int foreigndom);
long do_mmuext_op(uint64_t uops, unsigned int count, uint64_t pdone, unsigned int foreigndom);
long do_update_va_mapping(uint64_t va, uint64_t val, uint64_t flags);
long do_update_va_mapping_otherdomain(uint64_t va, uint64_t val, uint64_t flags, unsigned int domid);
long do_set_gdt(uint64_t frames, unsigned int entries);
long do_update_descriptor(uint64_t maddr, uint64_t desc);

/* Shadow mode hooks (mm/shadow.c); each is nothing while d->logdirty is NULL. */
void shadow_entry_written(struct domain *d, struct frame *table, unsigned int idx, uint64_t new);
/** shadow_table_new() - a table of @type was validated; -ENOMEM: an L4 needs its twin now. */
int shadow_table_new(struct domain *d, struct frame *table, unsigned int type);
void shadow_table_gone(struct domain *d, struct frame *table);
/** shadow_fault() - true: the fault was the shadow's own affair and is repaired. */
bool shadow_fault(struct vcpu *v, uint64_t va, unsigned int error_code);
mfn_t shadow_root(struct domain *d, mfn_t l4);
