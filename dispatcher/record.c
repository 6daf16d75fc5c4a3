#include "dispatcher/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "core/mem.h"
#include "core/redis.h"
#include "core/text.h"
#include "healers/provider_api.h"

struct column {
	const char *name;
	bool number;
	size_t offset;
};

#define TEXT(s, f)                               \
	{                                        \
#f, false, offsetof(struct s, f) \
	}
#define NUMBER(s, f)                            \
	{                                       \
#f, true, offsetof(struct s, f) \
	}

static const struct column run_columns[] = {
	TEXT(run, provider),      TEXT(run, source),
	TEXT(run, repo),          TEXT(run, pipeline),
	TEXT(run, branch),        TEXT(run, default_branch),
	TEXT(run, sha),           TEXT(run, url),
	TEXT(run, conclusion),    TEXT(run, trace),
	TEXT(run, finding),       TEXT(run, fingerprint),
	TEXT(run, category),      TEXT(run, awaiting),
	NUMBER(run, repo_id),     NUMBER(run, run_id),
	NUMBER(run, pipeline_id), NUMBER(run, installation),
	NUMBER(run, generation),  NUMBER(run, rank),
	NUMBER(run, diagnosed),   NUMBER(run, finding_generation),
	NUMBER(run, failed),      NUMBER(run, reruns),
	NUMBER(run, excused),     NUMBER(run, updated_at_ms),
	NUMBER(run, at_ms),       TEXT(run, failure_reason),
	TEXT(run, trigger),       NUMBER(run, merge_request),
	NUMBER(run, began_ms),    NUMBER(run, hang),
	TEXT(run, base),          TEXT(run, head_repo),
};

static const struct column plan_columns[] = {
	TEXT(plan, id),           TEXT(plan, run),
	TEXT(plan, strategy),     TEXT(plan, risk),
	TEXT(plan, mode),         TEXT(plan, state),
	TEXT(plan, reason),       TEXT(plan, category),
	TEXT(plan, fingerprint),  TEXT(plan, rule),
	TEXT(plan, confidence),   TEXT(plan, trace),
	NUMBER(plan, generation), NUMBER(plan, created_at_ms),
	NUMBER(plan, sent_at_ms), NUMBER(plan, sends),
	NUMBER(plan, reruns),     NUMBER(plan, held_ms),
	TEXT(plan, subcategory),  TEXT(plan, asked_by),
	TEXT(plan, answer),       NUMBER(plan, due_at_ms),
	TEXT(plan, result),       TEXT(plan, detail),
	NUMBER(plan, stopped),    NUMBER(plan, forced),
	TEXT(plan, host),         TEXT(plan, success),
	TEXT(plan, ci_minutes),   TEXT(plan, proposal),
	NUMBER(plan, running),
};

static void read_columns(const struct redisReply *reply, struct arena *arena,
			 const struct column *columns, size_t n, void *out)
{
	for (const struct column *c = columns; c < columns + n; c++) {
		const char *text = redis_field(reply, c->name);
		char *at = (char *)out + c->offset;

		if (c->number) {
			uint64_t v = 0;

			if (!text || !text_to_u64(text, &v))
				v = 0;
			memcpy(at, &v, sizeof(v));
		} else {
			const char *copy = text ? arena_strdup(arena, text) : "";

			memcpy(at, &copy, sizeof(copy));
		}
	}
}

void run_read(const struct redisReply *reply, struct arena *arena, struct run *out)
{
	read_columns(reply, arena, run_columns, ARRAY_LEN(run_columns), out);
}

void plan_read(const struct redisReply *reply, struct arena *arena, struct plan *out)
{
	read_columns(reply, arena, plan_columns, ARRAY_LEN(plan_columns), out);
}

uint64_t run_reruns(const struct run *run)
{
	const struct provider_api *ops = provider_api_find(run->provider);

	if (!ops || !ops->counts_attempts)
		return run->reruns;
	return run->generation > 0 ? run->generation - 1 : 0;
}

void run_api(const struct run *run, struct api_run *out)
{
	*out = (struct api_run){
		.repo = run->repo,
		.repo_id = run->repo_id,
		.run_id = run->run_id,
		.generation = run->generation,
		.installation = run->installation,
		.merge_request = run->merge_request,
		.default_branch = run->default_branch,
	};
}
