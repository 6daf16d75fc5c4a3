#include "dispatcher/answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/approve.h"
#include "core/audit.h"
#include "core/ci_event.h"
#include "core/conf.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/text.h"
#include "dispatcher/engine.h"

/* Asked at the same time; whoever may press could press all day. */
enum { WHO_MAX = 80, ASKED_MAX = 16 };

struct press {
	struct answers *of;
	bool busy, approve;
	char ref[RUN_REF_MAX], plan[sizeof(((struct ci_event *)NULL)->plan)], who[WHO_MAX];
};

struct answers {
	struct engine *e;
	struct press asked[ASKED_MAX];
};

struct answers *answers_new(struct engine *e)
{
	struct answers *a = xcalloc(1, sizeof(*a));

	a->e = e;
	for (size_t i = 0; i < ASKED_MAX; i++)
		a->asked[i].of = a;
	return a;
}

void answers_free(struct answers *a)
{
	free(a);
}

static void on_answered(const struct redisReply *reply, void *arg)
{
	struct engine *e = arg;
	const char *word = redis_str(redis_at(reply, 0)), *strategy = redis_str(redis_at(reply, 1));
	const char *plan = redis_str(redis_at(reply, 2)), *who = redis_str(redis_at(reply, 3));

	if (redis_is_error(reply, NULL)) {
		log_warn("an answer to a suggestion was lost", KV("why", redis_why(reply)));
		return;
	}
	/* Answered already, or over. */
	if (!word || !plan)
		return;
	log_info("a suggestion was answered", KV("answer", word), KV("plan", plan), KV("by", who));
	audit_write(e->audit, word, "plan", plan, "strategy", strategy, "by", who, (char *)NULL);
}

/* A plan is named after its run, and that after its source and repository. */
static bool is_of_repository(const struct ci_event *ev)
{
	char prefix[sizeof(ev->source) + 32];

	(void)snprintf(prefix, sizeof(prefix), "%s:%" PRIu64 ":", ev->source, ev->repo_id);
	return text_starts(ev->plan, prefix);
}

/* An App may also be configured by its client id, which no webhook has. */
static bool is_of_our_app(const struct engine *e, const struct ci_event *ev)
{
	const char *id = conf_str(e->conf, "github.app_id");
	uint64_t n;

	return id && (!text_to_u64(id, &n) || n == ev->pipeline_id);
}

static void does_not_count(const char *why, const char *plan, const char *who)
{
	metrics_add("security_violations_total", "reason=\"check_button\"", 1);
	log_warn("a pressed button of a check does not count", KV("why", why), KV("plan", plan),
		 KV("by", who));
}

static void on_right(const struct api_result *r, void *arg)
{
	struct press *p = arg;
	struct engine *e = p->of->e;
	struct approve a;

	p->busy = false;
	if (r->fate != API_OK && r->http_status != 404) {
		log_warn(
			"a pressed button of a check does not count this time: nobody said whether "
			"who pressed it may",
			KV("why", r->why), KV("plan", p->plan), KV("by", p->who));
	} else if (!r->may_write) {
		does_not_count("who pressed it may not write to the repository", p->plan, p->who);
	} else {
		approve_cmd(&a, &e->ks, p->ref, p->plan, p->who, p->approve);
		redis_send_script(e->writer, &approve_script, &a.cmd, on_answered, e);
	}
}

static struct press *place_for(struct answers *a)
{
	for (size_t i = 0; i < ASKED_MAX; i++)
		if (!a->asked[i].busy)
			return &a->asked[i];
	return NULL;
}

static const char *wrong_with(const struct engine *e, const struct ci_event *ev)
{
	if (!conf_bool(e->conf, "approve.buttons"))
		return "approve.buttons is off";
	if (strcmp(ev->answer, "approve") != 0 && strcmp(ev->answer, "reject") != 0)
		return "it is none of ours";
	if (!is_of_repository(ev) || !is_of_our_app(e, ev))
		return "it is of another repository or App";
	return *ev->actor ? NULL : "nobody pressed it";
}

void answer_take(struct answers *answers, const struct ci_event *ev)
{
	const struct engine *e = answers->e;
	const char *colon = strrchr(ev->plan, ':'), *wrong = wrong_with(e, ev);
	const struct provider_api *ops = NULL;
	struct api *api = engine_api(e, ev->provider, &ops);
	struct press *p = place_for(answers);
	const struct api_run run = { .repo = ev->repo,
				     .repo_id = ev->repo_id,
				     .installation = ev->installation };

	if (!wrong && (!api || !ops->get_right || !engine_serves(e, ops, ev->source)))
		wrong = "nobody here can ask who may press it";
	if (!wrong && !p)
		wrong = "too many are pressed at once";
	if (wrong || !colon ||
	    !text_copy(p->ref, sizeof(p->ref), ev->plan, (size_t)(colon - ev->plan))) {
		does_not_count(wrong ? wrong : "it names no plan", ev->plan, ev->actor);
		return;
	}
	(void)snprintf(p->plan, sizeof(p->plan), "%s", ev->plan);
	(void)snprintf(p->who, sizeof(p->who), "%.40s on GitHub", ev->actor);
	p->approve = strcmp(ev->answer, "approve") == 0;
	p->busy = true;
	(void)ops->get_right(api, &run, ev->actor, on_right, p);
}
