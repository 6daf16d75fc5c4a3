#include "dispatcher/answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/approve.h"
#include "core/audit.h"
#include "core/ci_event.h"
#include "core/conf.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/text.h"
#include "dispatcher/engine.h"

enum { WHO_MAX = 80 };

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

void answer_take(struct engine *e, const struct ci_event *ev)
{
	bool approve = strcmp(ev->answer, "approve") == 0;
	const char *colon = strrchr(ev->plan, ':');
	char ref[RUN_REF_MAX], who[WHO_MAX];
	struct approve a;

	if (!conf_bool(e->conf, "approve.buttons") ||
	    (!approve && strcmp(ev->answer, "reject") != 0) || ev->kind != CI_CHECK || !colon ||
	    !is_of_repository(ev) || !is_of_our_app(e, ev) ||
	    !text_copy(ref, sizeof(ref), ev->plan, (size_t)(colon - ev->plan))) {
		metrics_add("security_violations_total", "reason=\"check_button\"", 1);
		log_warn("a button of a check was pressed that is not one of ours, or "
			 "approve.buttons is off",
			 KV("repo", ev->repo), KV("plan", ev->plan), KV("answer", ev->answer));
		return;
	}
	(void)snprintf(who, sizeof(who), "%.40s on GitHub", *ev->actor ? ev->actor : "somebody");
	approve_cmd(&a, &e->ks, ref, ev->plan, who, approve);
	redis_send_script(e->writer, &approve_script, &a.cmd, on_answered, e);
}
