// SPDX-License-Identifier: Apache-2.0
/* See outbox.h. */
#define LOG_PREFIX "output"
#include "migrate/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "toolstack/config.h"
#include "toolstack/lib/log.h"

#define HANDLE		0x10000u	/* "1:" */
#define LIMIT_BYTES	(64u << 20)	/* a guest's ring bounds what waits long before */

struct box {
	char vif[IFNAMSIZ], ifb[IFNAMSIZ];
	int index;			/* of the ifb */
};

struct outbox {
	struct box boxes[CONFIG_MAX_VIFS];
	unsigned int nr;
	int fd;				/* rtnetlink */
	bool waits;			/* an epoch is cut and not committed */
};

extern char **environ;

/* --- setting up: ip and tc ------------------------------------------------------------- */

static int run(const char *const argv[], bool quiet)
{
	posix_spawn_file_actions_t actions;
	int status = 0, ret;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (quiet)
		posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	ret = -posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (ret)
		return ret;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status ? -EOPNOTSUPP : 0;
}

static void box_remove(const struct box *x)
{
	run((const char *const[]) { "tc", "qdisc", "del", "dev", x->vif, "ingress", NULL }, true);
	run((const char *const[]) { "ip", "link", "del", x->ifb, NULL }, true);
}

static int box_make(struct box *x, char why[200])
{
	const char *const steps[][16] = {
		{ "ip", "link", "add", x->ifb, "type", "ifb", NULL },
		{ "ip", "link", "set", x->ifb, "up", NULL },
		{ "tc", "qdisc", "add", "dev", x->vif, "ingress", NULL },
		/* The plug comes before the redirect: nothing may pass it by. */
		{ "tc", "qdisc", "add", "dev", x->ifb, "root", "handle", "1:", "plug", NULL },
		{ "tc", "filter", "add", "dev", x->vif, "parent", "ffff:", "matchall", "action",
		  "mirred", "egress", "redirect", "dev", x->ifb, NULL },
	};

	box_remove(x);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		int ret = run(steps[i], false);

		if (ret) {
			snprintf(why, 200, "output of %s cannot be held: \"%s %s %s ...\" failed; it "
				 "needs ip, tc and the kernel's ifb, act_mirred, cls_matchall, "
				 "sch_ingress and sch_plug", x->vif, steps[i][0], steps[i][1],
				 steps[i][2]);
			return ret;
		}
	}
	x->index = (int)if_nametoindex(x->ifb);
	return x->index ? 0 : -errno;
}

/* --- for each checkpoint: netlink --------------------------------------------------------- */

struct plug_request {
	struct nlmsghdr head;
	struct tcmsg tc;
	struct rtattr kind_attr;
	char kind[8];			/* "plug", padded */
	struct rtattr options_attr;
	struct tc_plug_qopt options;
};
_Static_assert(sizeof(struct plug_request) == NLMSG_LENGTH(sizeof(struct tcmsg)) +
	       RTA_LENGTH(8) + RTA_LENGTH(sizeof(struct tc_plug_qopt)), "netlink's own layout");

struct plug_answer {
	struct nlmsghdr head;
	struct nlmsgerr err;
};

static int plug(struct outbox *b, const struct box *x, int action, uint32_t limit)
{
	struct plug_request rq = {
		.head = { .nlmsg_len = sizeof(rq), .nlmsg_type = RTM_NEWQDISC,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.tc = { .tcm_family = AF_UNSPEC, .tcm_ifindex = x->index, .tcm_handle = HANDLE,
			.tcm_parent = TC_H_ROOT },
		.kind_attr = { .rta_len = RTA_LENGTH(sizeof("plug")), .rta_type = TCA_KIND },
		.kind = "plug",
		.options_attr = { .rta_len = RTA_LENGTH(sizeof(rq.options)),
				  .rta_type = TCA_OPTIONS },
		.options = { .action = action, .limit = limit },
	};
	struct plug_answer a;
	ssize_t n;

	if (send(b->fd, &rq, sizeof(rq), 0) < 0)
		return -errno;
	n = recv(b->fd, &a, sizeof(a), MSG_TRUNC);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(a) || a.head.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return a.err.error;
}

static int plug_all(struct outbox *b, int action)
{
	int ret = 0;

	for (unsigned int i = 0; i < b->nr; i++) {
		int one = plug(b, &b->boxes[i], action, 0);

		ret = ret ? ret : one;
	}
	return ret;
}

int outbox_cut(struct outbox *b)
{
	int ret;

	if (b->waits)
		return 0;
	ret = plug_all(b, TCQ_PLUG_BUFFER);
	b->waits = !ret;
	return ret;
}

void outbox_commit(struct outbox *b)
{
	int ret;

	if (!b->waits)
		return;
	ret = plug_all(b, TCQ_PLUG_RELEASE_ONE);
	b->waits = ret != 0;
	if (ret)
		log_warn_errno(ret, "what the guest sent cannot be let go");
}

/* --- life ------------------------------------------------------------------------------------- */

int outbox_open(unsigned int domid, unsigned int nr_vifs, struct outbox **out, char why[200])
{
	struct timeval second = { .tv_sec = 1 };
	struct outbox *b = calloc(1, sizeof(*b));
	int ret = 0;

	if (!b)
		return -ENOMEM;
	b->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (b->fd < 0)
		ret = -errno;
	setsockopt(b->fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	for (unsigned int i = 0; !ret && i < nr_vifs && i < CONFIG_MAX_VIFS; i++) {
		struct box *x = &b->boxes[b->nr++];

		snprintf(x->vif, sizeof(x->vif), "vif%hu.%hhu", (unsigned short)domid,
			 (unsigned char)i);
		snprintf(x->ifb, sizeof(x->ifb), "gwo%hu.%hhu", (unsigned short)domid,
			 (unsigned char)i);
		ret = box_make(x, why);
		if (!ret)
			ret = plug(b, x, TCQ_PLUG_LIMIT, LIMIT_BYTES);
	}
	if (ret) {
		if (!why[0])
			snprintf(why, 200, "output cannot be held: %s", strerror(-ret));
		outbox_close(b, false);
		return ret;
	}
	*out = b;
	return 0;
}

void outbox_close(struct outbox *b, bool drop)
{
	if (!b)
		return;
	if (!drop && b->fd >= 0)
		plug_all(b, TCQ_PLUG_RELEASE_INDEFINITE);
	for (unsigned int i = 0; i < b->nr; i++)
		box_remove(&b->boxes[i]);
	if (b->fd >= 0)
		close(b->fd);
	free(b);
}
