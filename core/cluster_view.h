/* Failures of one kind as they are stored (docs/streams.md, `cluster`), for whoever shows them. */
#ifndef GUARD_CORE_CLUSTER_VIEW_H
#define GUARD_CORE_CLUSTER_VIEW_H

struct json_object;
struct redisReply;

/* From HGETALL. NULL when there is none any more. New reference. */
struct json_object *cluster_json(const char *fingerprint, const struct redisReply *);

#endif
