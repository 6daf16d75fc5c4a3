/*
 * Keeps the audit stream within audit.keep and audit.max. What goes is told by records `trimmed`,
 * which name for each writer the last record that went, with its MAC: so `audit verify` knows what
 * was trimmed from what somebody took out.
 */
#ifndef GUARD_CORE_AUDIT_TRIM_H
#define GUARD_CORE_AUDIT_TRIM_H

#include "core/base.h"

struct audit;
struct audit_trim;
struct conf;
struct keyspace;
struct redis;

/* All of them outlive it; the records are written over the same connection. */
struct audit_trim *audit_trim_new(struct audit *, struct redis *, const struct keyspace *,
				  const struct conf *);
void audit_trim_free(struct audit_trim *);
DEFINE_OWNED(struct audit_trim, audit_trim_free)

/* Looks whether something has to go. Cheap to call often, by any number of daemons. */
void audit_trim_run(struct audit_trim *);

#endif
