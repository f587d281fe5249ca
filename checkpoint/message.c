/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Field rules of the metadata records (docs/spec/stream.md, "Fields").  Each
 * check_*() is one row of that table; nothing here depends on order.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/message.h"
#include "checkpoint/wire.h"

#define NAME_MAX_BYTES		128u
#define TEXT_MAX_BYTES		256u
#define CONFIG_MAX_BYTES	(256u << 10)
#define VIFS_MAX		64u
#define CPUID_MAX		256u
#define P2M_CHUNK_MAX		65536u
#define CONTEXT_MAX_BYTES	65536u
#define NODES_MAX		4096u
#define PATH_MAX_BYTES		1024u
#define VALUE_MAX_BYTES		4096u
#define PHASES_MAX		256u
#define UNPACK_MAX_BYTES	(8u << 20)

#define bad(...) reason_set(why, -EBADMSG, __VA_ARGS__)

/* Text that people will see: bounded and without control characters, so that a
 * hostile stream cannot write escape sequences to a terminal. */
static int check_text(const char *what, const char *s, size_t max, struct stream_reason *why)
{
	size_t i;

	if (!s)
		return 0;
	for (i = 0; s[i]; i++) {
		if (i >= max)
			return bad("%s is longer than %zu bytes", what, max);
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return bad("%s has a control character", what);
	}
	return 0;
}

static int check_chain(const Stream__StreamInfo *m, struct stream_reason *why)
{
	if (m->has_parent_hash)
		return reason_set(why, -EOPNOTSUPP, "parent_hash is set, which nobody writes");
	if (m->has_chain_id && m->chain_id.len != 16)
		return bad("chain_id has %zu bytes, not 16", m->chain_id.len);
	if (m->has_replaces && !m->chain_seq)
		return bad("it replaces the first of a chain, which needs no replacement");
	if (!m->chain_seq)
		return 0;
	if (!m->has_chain_id || m->mode != STREAM__MODE__CHECKPOINT)
		return bad("chain_seq without chain_id, or not of a checkpoint");
	if (m->chain_seq > WIRE_CHAIN_SEQ_MAX)
		return bad("chain_seq is above %u", WIRE_CHAIN_SEQ_MAX);
	return 0;
}

static int check_info(const ProtobufCMessage *msg, const struct message_limits *lim,
		      struct stream_reason *why)
{
	const Stream__StreamInfo *m = (const Stream__StreamInfo *)msg;
	int ret;

	if (!m->has_mode || m->mode < STREAM__MODE__SAVE || m->mode > STREAM__MODE__CHECKPOINT)
		return bad("mode is missing or unknown");
	ret = check_text("writer", m->writer, TEXT_MAX_BYTES, why);
	if (!ret)
		ret = check_text("writer_version", m->writer_version, TEXT_MAX_BYTES, why);
	if (!ret)
		ret = check_text("host", m->host, TEXT_MAX_BYTES, why);
	if (ret)
		return ret;
	return check_chain(m, why);
}

static int check_parent(const ProtobufCMessage *msg, const struct message_limits *lim,
			struct stream_reason *why)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._-";
	const Stream__Parent *m = (const Stream__Parent *)msg;

	if (!m->has_stream_hash)
		return bad("the parent's stream hash is missing");
	if (!m->has_chain_seq || m->chain_seq != lim->parent_seq)
		return bad("the parent's chain_seq is missing or not %llu",
			   (unsigned long long)lim->parent_seq);
	if (!m->name)
		return 0;
	/* It becomes part of a path, and a line on a terminal. */
	if (!m->name[0] || m->name[0] == '.' || strlen(m->name) > NAME_MAX_BYTES ||
	    m->name[strspn(m->name, allowed)])
		return bad("the parent's name is not one that a store could have");
	return 0;
}

static int check_mac(const char *mac, struct stream_reason *why)
{
	unsigned int i;

	if (!mac)
		return bad("a vif has no mac");
	for (i = 0; i < 17; i++) {
		if (i % 3 == 2 ? mac[i] != ':' : !isxdigit((unsigned char)mac[i]))
			return bad("a vif's mac is not six octets in hexadecimal");
	}
	return mac[17] ? bad("a vif's mac is too long") : 0;
}

static int check_vif(const Stream__Vif *v, struct stream_reason *why)
{
	int ret = check_mac(v->mac, why);

	if (!ret)
		ret = check_text("a vif's bridge", v->bridge, 15, why);	/* IFNAMSIZ - 1 */
	if (!ret)
		ret = check_text("a vif's ip", v->ip, TEXT_MAX_BYTES, why);
	if (!ret)
		ret = check_text("a vif's script", v->script, TEXT_MAX_BYTES, why);
	return ret;
}

static int check_console(const Stream__Console *c, struct stream_reason *why)
{
	int ret = c ? check_text("console type", c->type, TEXT_MAX_BYTES, why) : 0;

	return ret || !c ? ret : check_text("console output", c->output, TEXT_MAX_BYTES, why);
}

static int check_domain_name(const char *name, struct stream_reason *why)
{
	int ret = check_text("name", name, NAME_MAX_BYTES, why);

	if (ret)
		return ret;
	if (!name || !*name)
		return bad("the domain has no name");
	/* The name becomes part of file names and xenstore paths. */
	if (strchr(name, '/') || name[0] == '.')
		return bad("the domain's name has a '/' or begins with a dot");
	return 0;
}

static int check_domain_devices(const Stream__DomainInfo *m, struct stream_reason *why)
{
	size_t i;
	int ret = 0;

	if (m->n_vifs > VIFS_MAX)
		return bad("%zu vifs, at most %u", m->n_vifs, VIFS_MAX);
	for (i = 0; i < m->n_vifs && !ret; i++)
		ret = check_vif(m->vifs[i], why);
	return ret ? ret : check_console(m->console, why);
}

static int check_domain(const ProtobufCMessage *msg, const struct message_limits *lim,
			struct stream_reason *why)
{
	const Stream__DomainInfo *m = (const Stream__DomainInfo *)msg;
	int ret = check_domain_name(m->name, why);

	if (ret)
		return ret;
	if (!m->has_uuid || m->uuid.len != 16)
		return bad("uuid is missing or not 16 bytes");
	if (!m->has_vcpus || m->vcpus < 1 || m->vcpus > STREAM_VCPUS_MAX)
		return bad("vcpus is missing or not in 1..%u", STREAM_VCPUS_MAX);
	if (!m->has_pfn_limit || m->pfn_limit < 1 || m->pfn_limit > STREAM_PFN_LIMIT_MAX)
		return bad("pfn_limit is missing or not in 1..%llu", STREAM_PFN_LIMIT_MAX);
	if (m->has_tot_pages && m->tot_pages > m->pfn_limit)
		return bad("tot_pages is above pfn_limit");
	if (m->config_json && strnlen(m->config_json, CONFIG_MAX_BYTES) >= CONFIG_MAX_BYTES)
		return bad("config_json has %u bytes or more", CONFIG_MAX_BYTES);
	if (m->n_cpuid > CPUID_MAX)
		return bad("%zu cpuid leaves, at most %u", m->n_cpuid, CPUID_MAX);
	return check_domain_devices(m, why);
}

static int check_p2m(const ProtobufCMessage *msg, const struct message_limits *lim,
		     struct stream_reason *why)
{
	const Stream__P2mInfo *m = (const Stream__P2mInfo *)msg;
	uint64_t max_leaves = (lim->pfn_limit + 511) / 512;
	size_t i;

	if (!m->has_max_pfn || m->max_pfn < 1 || m->max_pfn > lim->pfn_limit)
		return bad("max_pfn is missing or not in 1..pfn_limit");
	if (!m->has_nr_leaves || m->nr_leaves < 1 || m->nr_leaves > max_leaves)
		return bad("nr_leaves is missing or not in 1..pfn_limit/512");
	if (m->max_pfn > m->nr_leaves * 512ull)
		return bad("%u leaves do not cover max_pfn", m->nr_leaves);
	if (!m->has_first_leaf)
		return bad("first_leaf is missing");
	if (m->n_leaves < 1 || m->n_leaves > P2M_CHUNK_MAX)
		return bad("a chunk of %zu leaves, must be 1..%u", m->n_leaves, P2M_CHUNK_MAX);
	if (m->first_leaf > m->nr_leaves || m->n_leaves > m->nr_leaves - m->first_leaf)
		return bad("chunk of leaves beyond nr_leaves");
	for (i = 0; i < m->n_leaves; i++) {
		if (m->leaves[i] != STREAM_P2M_NONE && m->leaves[i] >= lim->pfn_limit)
			return bad("leaf %zu at pfn 0x%llx, beyond pfn_limit", i,
				   (unsigned long long)m->leaves[i]);
	}
	return 0;
}

static int check_round_begin(const ProtobufCMessage *msg, const struct message_limits *lim,
			     struct stream_reason *why)
{
	const Stream__RoundBegin *m = (const Stream__RoundBegin *)msg;

	return m->has_number ? 0 : bad("number is missing");
}

static int check_round_end(const ProtobufCMessage *msg, const struct message_limits *lim,
			   struct stream_reason *why)
{
	const Stream__RoundEnd *m = (const Stream__RoundEnd *)msg;

	return m->has_number && m->has_pages ? 0 : bad("number or pages is missing");
}

static int check_vcpu(const ProtobufCMessage *msg, const struct message_limits *lim,
		      struct stream_reason *why)
{
	const Stream__VcpuContext *m = (const Stream__VcpuContext *)msg;

	if (!m->has_index || m->index >= lim->vcpus)
		return bad("index is missing or not below the domain's %u vcpus", lim->vcpus);
	if (!m->has_context || !m->context.len || m->context.len > CONTEXT_MAX_BYTES)
		return bad("context is missing or not 1..%u bytes", CONTEXT_MAX_BYTES);
	return 0;
}

static int check_shared_info(const ProtobufCMessage *msg, const struct message_limits *lim,
			     struct stream_reason *why)
{
	const Stream__SharedInfo *m = (const Stream__SharedInfo *)msg;

	return m->has_page && m->page.len == STREAM_PAGE_SIZE ? 0 :
		bad("page is missing or not %u bytes", STREAM_PAGE_SIZE);
}

static int check_final(const ProtobufCMessage *msg, const struct message_limits *lim,
		       struct stream_reason *why)
{
	const Stream__FinalState *m = (const Stream__FinalState *)msg;

	if (!m->has_start_info_pfn || m->start_info_pfn >= lim->pfn_limit)
		return bad("start_info_pfn is missing or not below pfn_limit");
	return 0;
}

/* xenstore's own rules for a path: docs of Xen's xenstore, "xs_wire.h". */
static int check_node(const Stream__XenstoreNode *n, struct stream_reason *why)
{
	const char *p = n->path;
	size_t i;

	if (!p || !p[0] || p[0] == '/')
		return bad("a xenstore path is empty or not relative");
	for (i = 0; p[i]; i++) {
		if (i >= PATH_MAX_BYTES)
			return bad("a xenstore path is longer than %u bytes", PATH_MAX_BYTES);
		if (!isalnum((unsigned char)p[i]) && !strchr("-/_@:", p[i]))
			return bad("a xenstore path has a character that xenstore refuses");
		if (p[i] == '/' && (p[i + 1] == '/' || !p[i + 1]))
			return bad("a xenstore path has an empty part");
	}
	if (n->value.len > VALUE_MAX_BYTES)
		return bad("a xenstore value of %zu bytes, at most %u", n->value.len,
			   VALUE_MAX_BYTES);
	return 0;
}

static int check_xenstore(const ProtobufCMessage *msg, const struct message_limits *lim,
			  struct stream_reason *why)
{
	const Stream__Xenstore *m = (const Stream__Xenstore *)msg;
	size_t i;
	int ret = 0;

	if (m->n_nodes > NODES_MAX)
		return bad("%zu xenstore nodes, at most %u", m->n_nodes, NODES_MAX);
	for (i = 0; i < m->n_nodes && !ret; i++)
		ret = check_node(m->nodes[i], why);
	return ret;
}

static int check_ledger(const ProtobufCMessage *msg, const struct message_limits *lim,
			struct stream_reason *why)
{
	const Stream__Ledger *m = (const Stream__Ledger *)msg;
	size_t i;
	int ret = 0;

	if (m->n_phases > PHASES_MAX)
		return bad("%zu phases, at most %u", m->n_phases, PHASES_MAX);
	for (i = 0; i < m->n_phases && !ret; i++)
		ret = check_text("a phase's name", m->phases[i]->name, TEXT_MAX_BYTES, why);
	return ret;
}

static int check_end(const ProtobufCMessage *msg, const struct message_limits *lim,
		     struct stream_reason *why)
{
	const Stream__End *m = (const Stream__End *)msg;

	return m->has_records && m->has_pages && m->has_data_pages && m->has_bytes &&
	       m->has_stream_hash ? 0 : bad("a total is missing");
}

static const struct message_kind kinds[] = {
	{ STREAM_END, "END", &stream__end__descriptor, check_end },
	{ STREAM_INFO, "STREAM_INFO", &stream__stream_info__descriptor, check_info },
	{ STREAM_DOMAIN, "DOMAIN_INFO", &stream__domain_info__descriptor, check_domain },
	{ STREAM_P2M, "P2M_INFO", &stream__p2m_info__descriptor, check_p2m },
	{ STREAM_ROUND_BEGIN, "ROUND_BEGIN", &stream__round_begin__descriptor,
	  check_round_begin },
	{ STREAM_ROUND_END, "ROUND_END", &stream__round_end__descriptor, check_round_end },
	{ STREAM_PAGES, "PAGES", NULL, NULL },
	{ STREAM_VCPU, "VCPU_CONTEXT", &stream__vcpu_context__descriptor, check_vcpu },
	{ STREAM_SHARED_INFO, "SHARED_INFO", &stream__shared_info__descriptor,
	  check_shared_info },
	{ STREAM_FINAL, "FINAL_STATE", &stream__final_state__descriptor, check_final },
	{ STREAM_XENSTORE, "XENSTORE", &stream__xenstore__descriptor, check_xenstore },
	{ STREAM_LEDGER, "LEDGER", &stream__ledger__descriptor, check_ledger },
	{ STREAM_PARENT, "PARENT", &stream__parent__descriptor, check_parent },
	{ STREAM_INDEX, "PAGE_INDEX", NULL, NULL },
};

const struct message_kind *message_kind_find(uint32_t type)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].type == type)
			return &kinds[i];
	}
	return NULL;
}

const char *stream_type_name(uint32_t type)
{
	const struct message_kind *kind = message_kind_find(type);

	return kind ? kind->name : "unknown";
}

/* protobuf-c's allocator hooks; the budget only ever shrinks: what one unpack
 * frees again is little, and a sum is simpler to bound than a balance. */
static void *budget_alloc(void *data, size_t size)
{
	size_t *budget = data;

	if (size > *budget)
		return NULL;
	*budget -= size;
	return malloc(size);
}

static void budget_free(void *data, void *ptr)
{
	free(ptr);
}

int message_unpack(const struct message_kind *kind, const void *data, size_t len,
		   ProtobufCMessage **out, struct stream_reason *why)
{
	size_t budget = UNPACK_MAX_BYTES;
	ProtobufCAllocator a = {
		.alloc = budget_alloc, .free = budget_free, .allocator_data = &budget,
	};

	*out = protobuf_c_message_unpack(kind->desc, &a, len, data);
	if (!*out)
		return bad("not a valid %s message", kind->desc->short_name);
	return 0;
}

void message_free(ProtobufCMessage *msg)
{
	if (msg)
		protobuf_c_message_free_unpacked(msg, NULL);
}

int message_check(const struct message_kind *kind, const ProtobufCMessage *msg,
		  const struct message_limits *lim, struct stream_reason *why)
{
	return kind->check(msg, lim, why);
}
