/* The nouns as they are stored: run and plan hashes read into structs (docs/streams.md). */
#ifndef GUARD_DISPATCHER_RECORD_H
#define GUARD_DISPATCHER_RECORD_H

#include <stdint.h>

#include "healers/provider_api.h"

struct arena;
struct redisReply;

/* Missing texts are "", missing numbers 0. Strings live in the arena. */
struct run {
	const char *provider, *source, *repo, *pipeline, *branch, *default_branch, *sha, *url,
		*conclusion, *trace, *finding, *fingerprint, *category, *awaiting, *failure_reason,
		*trigger, *base, *head_repo;
	uint64_t repo_id, run_id, pipeline_id, installation, merge_request, generation, rank,
		diagnosed, finding_generation, failed, reruns, excused, updated_at_ms, at_ms,
		began_ms, hang;
};

struct plan {
	const char *id, *run, *strategy, *risk, *mode, *state, *reason, *category, *fingerprint,
		*rule, *confidence, *trace, *subcategory, *asked_by, *answer, *result, *detail,
		*host, *success, *ci_minutes, *proposal;
	uint64_t generation, created_at_ms, due_at_ms, sent_at_ms, sends, reruns, held_ms, stopped,
		forced, running; /* running: nobody asked for it, the run hangs */
};

/* How often it ran again; attempts that people made count too, where the provider counts them. */
uint64_t run_reruns(const struct run *);

/* From flat HGETALL replies. run->repo == "" means there is no such run. */
void run_read(const struct redisReply *, struct arena *, struct run *);
void plan_read(const struct redisReply *, struct arena *, struct plan *);

void run_api(const struct run *, struct api_run *out);

#endif
