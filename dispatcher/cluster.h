/*
 * Failures of one kind, counted over runs and repositories: what recurs without a name is the
 * next rule to write. Kept in Redis under the fingerprint (docs/streams.md).
 */
#ifndef GUARD_DISPATCHER_CLUSTER_H
#define GUARD_DISPATCHER_CLUSTER_H

struct finding;
struct task;

/* Counts the finding of a task that was just recorded. A crash may lose one, none counts twice. */
void cluster_count(const struct task *, const struct finding *);

#endif
