/*
 * Fills an event stream for ./dev bench dispatch, as the receiver would:
 *
 *   dispatch_load SOCKET EVENTS PIPELINES runs|mixed [PARTITIONS]
 *
 * Events go round the pipelines, so all of them are active at once. Of each run "runs" tells
 * queued, running, success; "mixed" tells of its three jobs too, which is 12 events. None is a
 * failure.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "core/ci_event.h"
#include "core/clock.h"
#include "core/keys.h"
#include "core/redis.h"
#include "core/text.h"

enum { PIPELINED = 2000, PER_RUN = 3, PER_MIXED_RUN = 12 };

struct load {
	redisContext *redis;
	struct keyspace ks;
	uint64_t events, pipelines;
	bool mixed;
};

/* The step-th event of a pipeline. Jobs are between the states of their run. */
static void make(const struct load *l, uint64_t pipeline, uint64_t step, struct ci_event *ev)
{
	uint64_t per_run = l->mixed ? PER_MIXED_RUN : PER_RUN, at = step % per_run;
	uint64_t run = 30000000000 + pipeline * 1000000 + step / per_run;
	bool is_run = !l->mixed || at == 0 || at == 4 || at == PER_MIXED_RUN - 1;
	enum ci_status status = at == 0 || (l->mixed && at < 4) ? CI_QUEUED
				: at == per_run - 1 || at > 7   ? CI_COMPLETED
								: CI_RUNNING;
	int64_t now = clock_wall_ms();
	char name[40];

	*ev = (struct ci_event){
		.provider = "github",
		.source = "github",
		.kind = is_run ? CI_RUN : CI_JOB,
		.status = status,
		.repo_id = 500000 + pipeline,
		.run_id = run,
		.generation = 1,
		.job_id = is_run ? 0 : run * 10 + at % 3,
		.pipeline_id = 161335 + pipeline,
		.pipeline = "Build and test",
		.branch = "feature/faster-checkout",
		.default_branch = "main",
		.sha = "0123456789abcdef0123456789abcdef01234567",
		.trigger = "push",
		.actor = "octocat",
		.at_ms = now,
		.received_at_ms = now,
		.trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	};
	(void)snprintf(ev->topic, sizeof(ev->topic), "%s",
		       is_run ? "workflow_run" : "workflow_job");
	(void)snprintf(ev->action, sizeof(ev->action), "%s",
		       status == CI_QUEUED    ? "queued"
		       : status == CI_RUNNING ? "in_progress"
					      : "completed");
	(void)snprintf(ev->conclusion, sizeof(ev->conclusion), "%s",
		       status == CI_COMPLETED ? "success" : "");
	(void)snprintf(ev->job, sizeof(ev->job), "%s", is_run ? "" : "test (debian, gcc)");
	(void)snprintf(ev->delivery, sizeof(ev->delivery), "72d3162e-cc78-11e3-%04x-%012" PRIx64,
		       (unsigned)(pipeline & 0xffff), step & 0xffffffffffff);
	(void)snprintf(name, sizeof(name), "octo-org/service-%" PRIu64, pipeline);
	(void)snprintf(ev->repo, sizeof(ev->repo), "%s", name);
	(void)snprintf(ev->head_repo, sizeof(ev->head_repo), "%s", name);
	(void)snprintf(ev->url, sizeof(ev->url), "https://github.com/%s/actions/runs/%" PRIu64,
		       name, run);
}

static int append(struct load *l, const struct ci_event *ev)
{
	struct redis_cmd cmd;
	char key[KEY_MAX];
	char *text;
	int n;

	key_part(&l->ks, key_partition(&l->ks, ev->source, ev->repo_id), "events", key);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "XADD");
	redis_arg(&cmd, key);
	redis_arg(&cmd, "*");
	ci_event_encode(ev, &cmd);
	n = (int)redisFormatCommandArgv(&text, cmd.argc, cmd.argv, cmd.len);
	if (n < 0 || redisAppendFormattedCommand(l->redis, text, (size_t)n) != REDIS_OK)
		return -1;
	redisFreeCommand(text);
	return 0;
}

static int answers(struct load *l, uint64_t n)
{
	for (; n; n--) {
		redisReply *reply = NULL;

		if (redisGetReply(l->redis, (void **)&reply) != REDIS_OK || !reply ||
		    reply->type == REDIS_REPLY_ERROR) {
			fprintf(stderr, "dispatch_load: %s\n",
				reply ? reply->str : l->redis->errstr);
			return -1;
		}
		freeReplyObject(reply);
	}
	return 0;
}

static int run(struct load *l)
{
	struct ci_event ev;

	for (uint64_t i = 0; i < l->events; i++) {
		make(l, i % l->pipelines, i / l->pipelines, &ev);
		if (append(l, &ev) < 0)
			return 1;
		if ((i + 1) % PIPELINED == 0 && answers(l, PIPELINED) < 0)
			return 1;
	}
	return answers(l, l->events % PIPELINED) < 0;
}

int main(int argc, char **argv)
{
	struct load l = { .ks = { "local", 1 } };
	uint64_t partitions = 1;
	int status;

	if (argc < 5 || !text_to_u64(argv[2], &l.events) || !text_to_u64(argv[3], &l.pipelines) ||
	    l.pipelines == 0 || (argc > 5 && !text_to_u64(argv[5], &partitions))) {
		fprintf(stderr,
			"usage: dispatch_load SOCKET EVENTS PIPELINES runs|mixed [PARTITIONS]\n");
		return 2;
	}
	l.ks.partitions = (unsigned)partitions;
	l.mixed = strcmp(argv[4], "mixed") == 0;
	l.redis = redisConnectUnix(argv[1]);
	if (!l.redis || l.redis->err) {
		fprintf(stderr, "dispatch_load: no Redis at %s\n", argv[1]);
		return 2;
	}
	status = run(&l);
	redisFree(l.redis);
	return status;
}
