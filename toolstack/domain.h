/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain's life, in steps that can be called one by one.
 *
 * `godwit create` calls them in the order below.  The destination of a
 * migration calls the same ones, without domain_build_pv(): everything up to
 * the devices before memory arrives, the rest after it.
 *
 *	domain_create_empty      hypervisor object, vCPUs, limits, two ports
 *	domain_xenstore_setup    its tree, name and device nodes (state 1)
 *	domain_devices_plug      vifs on their bridges, disks attached
 *	domain_build_pv          memory, kernel, registers   | stream: write_frames,
 *	                                                     | set_context, finish_restore
 *	domain_introduce         ring-refs, xenstored and xenconsoled take over
 *	domain_unpause           it runs
 *	domain_destroy           undoes all of it, from any of these states
 *
 * Invariant: until domain_unpause() the guest has executed nothing, and
 * domain_destroy() leaves neither node, interface, loop device nor frame.
 *
 * All functions return 0 or -errno and log one line (lib/log.h) where they
 * fail; log_last_error() has it.  A struct toolstack serves one thread.
 */
#ifndef TOOLSTACK_DOMAIN_H
#define TOOLSTACK_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <xenstore.h>

#include "toolstack/config.h"
#include "toolstack/lib/fmap.h"
#include "toolstack/lib/hcall.h"

/** The open handles; a program opens only what it needs. */
struct toolstack {
	struct hcall *hcall;
	struct xs_handle *xs;
	struct fmap *fmap;
};

#define TOOLSTACK_HCALL (1u << 0)
#define TOOLSTACK_XS	(1u << 1)
#define TOOLSTACK_FMAP	(1u << 2)
#define TOOLSTACK_ALL	(TOOLSTACK_HCALL | TOOLSTACK_XS | TOOLSTACK_FMAP)

/**
 * toolstack_open() - open handles.
 * @ts:   zeroed or partly open; what is open stays
 * @what: TOOLSTACK_* bits
 *
 * Return: 0, or -errno with everything that was open before still open.
 */
int toolstack_open(struct toolstack *ts, unsigned int what);

/** toolstack_close() - close what is open. */
void toolstack_close(struct toolstack *ts);

/** A domain under construction. */
struct domain_new {
	domid_t domid;
	uint32_t store_port;	/* ports of the new domain, remote end dom0 */
	uint32_t console_port;
	uint64_t store_mfn;	/* 0 until memory is there */
	uint64_t console_mfn;
};

/**
 * domain_check_host() - could this host take the domain?
 * @ts:  TOOLSTACK_HCALL | TOOLSTACK_XS
 * @cfg: finalised
 *
 * Looks at what can be known before anything is made: name, free memory,
 * bridges, disks.  A good answer is no promise; a bad one is cheap.
 * Return: 0, -EEXIST, -ENOMEM, -ENODEV, -errno of a disk; logged.
 */
int domain_check_host(struct toolstack *ts, const struct domain_config *cfg);

/**
 * domain_create_empty() - the hypervisor's object, without memory.
 * @ts:  TOOLSTACK_HCALL
 * @cfg: finalised
 * @dom: gets domid and both ports
 *
 * vCPUs are allocated, the memory limit is maxmem.  On failure nothing is left.
 */
int domain_create_empty(struct toolstack *ts, const struct domain_config *cfg,
			struct domain_new *dom);

/**
 * domain_xenstore_setup() - /local/domain/U, control nodes and device nodes.
 * @ts:  TOOLSTACK_XS
 * @cfg: finalised
 * @dom: from domain_create_empty(); rings need not be known yet
 *
 * Back and front ends appear in state 1, so dom0's drivers start to probe.
 * Also records the configuration for domain_config_load().
 * Return: 0, -EEXIST if the name is taken by another domain, -errno.
 */
int domain_xenstore_setup(struct toolstack *ts, const struct domain_config *cfg,
			  const struct domain_new *dom);

/**
 * domain_devices_plug() - finish the back ends' hot-plug handshake.
 * @ts:         TOOLSTACK_XS
 * @cfg:        as given to domain_xenstore_setup()
 * @dom:        likewise
 * @timeout_ms: longest wait for a back end to appear
 *
 * Waits for each vifU.N, enslaves it to its bridge, brings it up and writes
 * hotplug-status; attaches disks.  The front end need not exist.
 * Return: 0, -ETIMEDOUT, -ENODEV (no such bridge), -errno.
 */
int domain_devices_plug(struct toolstack *ts, const struct domain_config *cfg,
			const struct domain_new *dom, unsigned int timeout_ms);

/**
 * domain_build_pv() - memory, kernel, ramdisk, start of day.
 * @ts:  TOOLSTACK_HCALL | TOOLSTACK_FMAP
 * @cfg: kernel must be set
 * @dom: gets store_mfn and console_mfn
 *
 * Sources: docs and pv-abi sections 1.1-1.5.  Return: 0, -ENOMEM (host or
 * limit), -ENOEXEC (not a PV kernel), -errno.
 */
int domain_build_pv(struct toolstack *ts, const struct domain_config *cfg,
		    struct domain_new *dom);

/**
 * domain_introduce() - tell xenstored and xenconsoled where the rings are.
 * @ts:  TOOLSTACK_XS
 * @dom: all fields set; grant entries 0 and 1 are seeded (domain_build_pv() and
 *       GODWIT_OP_finish_restore both do)
 */
int domain_introduce(struct toolstack *ts, const struct domain_new *dom);

/** domain_unpause() - let it run.  TOOLSTACK_HCALL. */
int domain_unpause(struct toolstack *ts, domid_t domid);

/**
 * domain_destroy() - remove a domain and everything made for it.
 * @ts:    TOOLSTACK_HCALL | TOOLSTACK_XS
 * @domid: any but 0
 *
 * Works on half-built and on running domains; goes on over errors and returns
 * the first.  Return: 0, -ESRCH if there was no such domain.
 */
int domain_destroy(struct toolstack *ts, domid_t domid);

/**
 * domain_rename() - give a domain another name.
 *
 * A migration within one host builds the target under a temporary name.
 * Return: 0, -EEXIST if another domain has it.
 */
int domain_rename(struct toolstack *ts, domid_t domid, const char *name);

/**
 * domain_find() - id of the domain a user named.
 * @ts:   TOOLSTACK_HCALL | TOOLSTACK_XS
 * @text: a name, or a number; a name wins
 *
 * Return: 0, -ESRCH (logged).
 */
int domain_find(struct toolstack *ts, const char *text, domid_t *domid);

/**
 * domain_find_uuid() - id of the living domain with this uuid.
 * @ts: TOOLSTACK_HCALL
 *
 * Of two copies, as a move within one host makes them, one that runs.
 * Return: 0; -ESRCH (not logged); -ENOMEM; -errno of the hypercall.
 */
int domain_find_uuid(struct toolstack *ts, const uint8_t uuid[16], domid_t *domid);

/**
 * domain_get_name() - name of a domain.
 * @name: gets it; "(null)" where there is none
 */
void domain_get_name(struct toolstack *ts, domid_t domid, char name[CONFIG_MAX_NAME + 1]);

/**
 * domain_request_shutdown() - write control/shutdown.
 * @how: "poweroff", "reboot", "suspend", "halt"
 *
 * Return: 0, -ESRCH, -errno.
 */
int domain_request_shutdown(struct toolstack *ts, domid_t domid, const char *how);

/**
 * domain_cancel_request() - take a request back that the guest has not taken.
 *
 * In a transaction: Return 0 if control/shutdown still held @how and is ""
 * now, -EALREADY if the guest had acknowledged it.
 */
int domain_cancel_request(struct toolstack *ts, domid_t domid, const char *how);

/**
 * domain_wait_shutdown() - wait until a domain shuts down or is gone.
 * @ts:         TOOLSTACK_HCALL | TOOLSTACK_XS (a watch on @releaseDomain)
 * @timeout_ms: -1 = for ever
 * @reason:     gets SHUTDOWN_* of xen/sched.h; may be NULL
 *
 * Return: 0 shut down, -ESRCH gone (destroyed by someone), -ETIMEDOUT.
 */
int domain_wait_shutdown(struct toolstack *ts, domid_t domid, int timeout_ms,
			 unsigned int *reason);

/**
 * domain_wait_gone() - wait until the hypervisor knows the id no more.
 *
 * Return: 0, -ETIMEDOUT.  Logs nothing.
 */
int domain_wait_gone(struct toolstack *ts, domid_t domid, unsigned int timeout_ms);

/**
 * domain_config_load() - configuration a running domain was made with.
 * @ts:  TOOLSTACK_HCALL (the uuid is compared, so a stale file is not used)
 * @cfg: filled; config_release() it in any case
 *
 * Return: 0, -ENOENT if this domain was not made by our tools.
 */
int domain_config_load(struct toolstack *ts, domid_t domid, struct domain_config *cfg);

/**
 * domain_create() - all steps from domain_create_empty() to domain_unpause().
 * @ts:     TOOLSTACK_ALL
 * @cfg:    finalised
 * @paused: leave the last step out
 * @domid:  gets the id
 *
 * On failure nothing is left.
 */
int domain_create(struct toolstack *ts, const struct domain_config *cfg, bool paused,
		  domid_t *domid);

/**
 * domain_monitor_spawn() - start a process that acts when the domain ends.
 *
 * It runs `godwit monitor ID` in a session of its own: on poweroff, reboot and
 * crash it does what the domain's configuration says, it leaves a suspended
 * domain alone, and it ends when the domain is destroyed by others (which
 * includes having moved away).  Call it for each domain that begins to run here.
 * Return: 0, -errno (logged); the domain runs in any case.
 */
int domain_monitor_spawn(domid_t domid);

/**
 * domain_monitor_run() - the body of that process.
 *
 * Return: 0 when the domain is gone for good, -errno.
 */
int domain_monitor_run(struct toolstack *ts, domid_t domid);

#endif
