/*
 * Writes what was done, by whom and why, so that nobody can change it unseen: to the stream
 * pg:{R}:audit, to a file per day when there is a folder, and now and then its head into the log.
 * See core/audit_chain.h for what protects it and docs/audit.md for what is in it.
 */
#ifndef GUARD_CORE_AUDIT_H
#define GUARD_CORE_AUDIT_H

#include <stdint.h>

#include "core/err.h"

struct audit;
struct conf;
struct conf_table;
struct event_base;
struct keyspace;
struct redis;

extern const struct conf_table audit_conf;

/*
 * A writer has a name of its own for as long as it lives. Base, redis and conf outlive it. Records
 * are sent over `redis` in order, so one that is sent before a command is there before it.
 */
struct audit *audit_new(struct event_base *, struct redis *, const struct keyspace *,
			const struct conf *, const char *role);
void audit_free(struct audit *);
DEFINE_OWNED(struct audit, audit_free)

/*
 * Pairs "field", "value", ..., NULL; values are cut, never secrets. While Redis is away up to
 * AUDIT_WAITING_MAX records wait for it.
 */
enum { AUDIT_WAITING_MAX = 1000 };
void audit_write(struct audit *, const char *what, ...) __attribute__((sentinel));

/* The same of a list that NULL ends. */
void audit_write_pairs(struct audit *, const char *what, const char *const *pairs);

/* Writes the head into the log if it is not there yet: every 100 records, and when a daemon ends.
 */
void audit_anchor(struct audit *);

/* The writer's name, and how many records it has made. */
const char *audit_position(const struct audit *, uint64_t *seq);

/* Records that Redis does not have yet. */
unsigned audit_waiting(const struct audit *);

#endif
