/*
 * Finds what no webhook told. Runs in every dispatcher, works in the one that holds the
 * region's lease: asks each source at an interval of its own, writes what is news into the
 * same stream as receivers do, and says in Redis how it fares (docs/monitor.md).
 */
#ifndef GUARD_DISPATCHER_MONITOR_H
#define GUARD_DISPATCHER_MONITOR_H

#include "core/base.h"

struct conf_table;
struct engine;
struct err;
struct monitor;

extern const struct conf_table monitor_conf;

/* Needs the providers and the writer of the engine. *out is NULL when it is switched off. */
int monitor_new(struct engine *, struct monitor **out, struct err *) MUST_CHECK;
/* Stops asking and hands the leases on; what is under way ends by itself. */
void monitor_drain(struct monitor *);
/* After redis_free(), before the providers are closed. */
void monitor_free(struct monitor *);

#endif
