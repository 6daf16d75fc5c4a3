#include <string.h>

#include "core/ci_event.h"
#include "core/text.h"
#include "receiver/normalise.h"
#include "receiver/provider.h"

/* The event, and what has to be looked at before it is known what to put there. */
struct draft {
	struct ci_event ev;
	char status[24];
	char workflow[sizeof(((struct ci_event *)0)->pipeline)];
	char first_actor[sizeof(((struct ci_event *)0)->actor)];
	int64_t created, started, completed, updated;
};

#define EV(path, type, needed, member) FIELD(path, type, needed, struct draft, ev.member)
#define DRAFT(path, type, member)      FIELD(path, type, false, struct draft, member)

/* In every event that we use. */
#define COMMON_FIELDS                                                                         \
	EV("action", FIELD_TEXT, true, action), EV("repository.id", FIELD_ID, true, repo_id), \
		EV("repository.full_name", FIELD_NAME, true, repo),                           \
		EV("repository.default_branch", FIELD_TEXT, false, default_branch),           \
		EV("installation.id", FIELD_ID, false, installation)

static const struct field run_fields[] = {
	COMMON_FIELDS,
	EV("workflow_run.id", FIELD_ID, true, run_id),
	EV("workflow_run.run_attempt", FIELD_ID, false, generation),
	EV("workflow_run.workflow_id", FIELD_ID, false, pipeline_id),
	EV("workflow_run.name", FIELD_TEXT, false, pipeline),
	EV("workflow_run.conclusion", FIELD_TEXT, false, conclusion),
	EV("workflow_run.head_branch", FIELD_TEXT, false, branch),
	EV("workflow_run.head_sha", FIELD_TEXT, false, sha),
	EV("workflow_run.event", FIELD_TEXT, false, trigger),
	EV("workflow_run.triggering_actor.login", FIELD_TEXT, false, actor),
	EV("workflow_run.head_repository.full_name", FIELD_TEXT, false, head_repo),
	EV("workflow_run.pull_requests[].base.ref", FIELD_TEXT, false, base),
	EV("workflow_run.html_url", FIELD_TEXT, false, url),
	DRAFT("workflow_run.status", FIELD_TEXT, status),
	DRAFT("workflow_run.actor.login", FIELD_TEXT, first_actor),
	DRAFT("workflow_run.created_at", FIELD_TIME, created),
	DRAFT("workflow_run.updated_at", FIELD_TIME, updated),
	DRAFT("workflow.name", FIELD_TEXT, workflow),
};

static const struct field job_fields[] = {
	COMMON_FIELDS,
	EV("workflow_job.id", FIELD_ID, true, job_id),
	EV("workflow_job.run_id", FIELD_ID, true, run_id),
	EV("workflow_job.run_attempt", FIELD_ID, false, generation),
	EV("workflow_job.name", FIELD_TEXT, false, job),
	EV("workflow_job.workflow_name", FIELD_TEXT, false, pipeline),
	EV("workflow_job.conclusion", FIELD_TEXT, false, conclusion),
	EV("workflow_job.head_branch", FIELD_TEXT, false, branch),
	EV("workflow_job.head_sha", FIELD_TEXT, false, sha),
	EV("workflow_job.html_url", FIELD_TEXT, false, url),
	EV("sender.login", FIELD_TEXT, false, actor),
	DRAFT("workflow_job.status", FIELD_TEXT, status),
	DRAFT("workflow_job.created_at", FIELD_TIME, created),
	DRAFT("workflow_job.started_at", FIELD_TIME, started),
	DRAFT("workflow_job.completed_at", FIELD_TIME, completed),
};

static const struct field check_run_fields[] = {
	COMMON_FIELDS,
	EV("check_run.id", FIELD_ID, true, job_id),
	EV("check_run.check_suite.id", FIELD_ID, true, run_id),
	EV("check_run.check_suite.head_branch", FIELD_TEXT, false, branch),
	EV("check_run.name", FIELD_TEXT, false, job),
	EV("check_run.app.name", FIELD_TEXT, false, pipeline),
	EV("check_run.app.id", FIELD_ID, false, pipeline_id),
	EV("check_run.external_id", FIELD_TEXT, false, plan),
	EV("requested_action.identifier", FIELD_TEXT, false, answer),
	EV("check_run.conclusion", FIELD_TEXT, false, conclusion),
	EV("check_run.head_sha", FIELD_TEXT, false, sha),
	EV("check_run.html_url", FIELD_TEXT, false, url),
	EV("sender.login", FIELD_TEXT, false, actor),
	DRAFT("check_run.status", FIELD_TEXT, status),
	DRAFT("check_run.started_at", FIELD_TIME, started),
	DRAFT("check_run.completed_at", FIELD_TIME, completed),
};

static const struct field check_suite_fields[] = {
	COMMON_FIELDS,
	EV("check_suite.id", FIELD_ID, true, run_id),
	EV("check_suite.app.name", FIELD_TEXT, false, pipeline),
	EV("check_suite.conclusion", FIELD_TEXT, false, conclusion),
	EV("check_suite.head_branch", FIELD_TEXT, false, branch),
	EV("check_suite.head_sha", FIELD_TEXT, false, sha),
	EV("sender.login", FIELD_TEXT, false, actor),
	DRAFT("check_suite.status", FIELD_TEXT, status),
	DRAFT("check_suite.created_at", FIELD_TIME, created),
	DRAFT("check_suite.updated_at", FIELD_TIME, updated),
};

static struct topic {
	const char *name;
	enum ci_kind kind;
	const struct field *fields;
	size_t n;
	struct field_tree tree; /* made at first use */
} topics[] = {
	{ .name = "workflow_run",
	  .kind = CI_RUN,
	  .fields = run_fields,
	  .n = ARRAY_LEN(run_fields) },
	{ .name = "workflow_job",
	  .kind = CI_JOB,
	  .fields = job_fields,
	  .n = ARRAY_LEN(job_fields) },
	{ .name = "check_run",
	  .kind = CI_CHECK,
	  .fields = check_run_fields,
	  .n = ARRAY_LEN(check_run_fields) },
	{ .name = "check_suite",
	  .kind = CI_CHECK,
	  .fields = check_suite_fields,
	  .n = ARRAY_LEN(check_suite_fields) },
};

static struct topic *topic_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(topics); i++)
		if (strcmp(topics[i].name, name) == 0)
			return &topics[i];
	return NULL;
}

static const char *github_ignores(const char *topic)
{
	if (strcmp(topic, "ping") == 0)
		return "ping";
	return topic_find(topic) ? NULL : "event not used";
}

static enum ci_status status_of(const char *word)
{
	static const struct {
		const char *word;
		enum ci_status status;
	} rows[] = {
		{ "requested", CI_QUEUED },    { "queued", CI_QUEUED },
		{ "waiting", CI_QUEUED },      { "pending", CI_QUEUED },
		{ "in_progress", CI_RUNNING }, { "completed", CI_COMPLETED },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].word, word) == 0)
			return rows[i].status;
	return CI_STATUS_UNKNOWN;
}

/*
 * The body is a snapshot from when it was written, the action is what it was
 * written for: "completed" in either is final, but a status that claims it needs the conclusion.
 */
static enum ci_status status_of_draft(const struct draft *d)
{
	enum ci_status action = status_of(d->ev.action), status = status_of(d->status);

	if (action == CI_COMPLETED || (status == CI_COMPLETED && *d->ev.conclusion))
		return CI_COMPLETED;
	return status == CI_STATUS_UNKNOWN || status == CI_COMPLETED ? action : status;
}

static int64_t first_time(const int64_t *times, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (times[i])
			return times[i];
	return 0;
}

/* updated_at, which only runs and suites have, is the time of this state; else the latest that
 * applies. */
static int64_t time_of_draft(const struct draft *d)
{
	const int64_t queued[] = { d->updated, d->created, d->started };
	const int64_t running[] = { d->updated, d->started, d->created };
	const int64_t completed[] = { d->updated, d->completed, d->started };

	switch (d->ev.status) {
	case CI_COMPLETED:
		return first_time(completed, ARRAY_LEN(completed));
	case CI_RUNNING:
		return first_time(running, ARRAY_LEN(running));
	case CI_QUEUED:
	case CI_STATUS_UNKNOWN:
		break;
	}
	return first_time(queued, ARRAY_LEN(queued));
}

/* "owner/name": it ends up in URLs of the API, so it may not be anything else. */
static bool repo_name_ok(const char *s)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";
	size_t owner = strspn(s, allowed);
	const char *name = s + owner + 1;

	return owner && s[owner] == '/' && *name && !name[strspn(name, allowed)] &&
	       strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && s[0] != '.';
}

static int github_normalise(const char *topic, const char *json, size_t n, struct ci_event *out,
			    struct err *err)
{
	struct topic *t = topic_find(topic);
	struct draft d = { 0 };

	if (!t)
		return err_set(err, ERR_BUG, "github: topic \"%.40s\" is not one we read", topic);
	if (!t->tree.n_nodes)
		field_tree_init(&t->tree, t->fields, t->n);
	if (normalise(&t->tree, json, n, &d, err) < 0)
		return err_wrap(err, "github %s", t->name);
	if (!repo_name_ok(d.ev.repo))
		return err_set(err, ERR_INPUT, "github %s: repository.full_name: is no owner/name",
			       t->name);
	if (!d.ev.repo_id || !d.ev.run_id)
		return err_set(err, ERR_INPUT, "github %s: an id is 0", t->name);
	(void)text_copy(d.ev.provider, sizeof(d.ev.provider), "github", strlen("github"));
	(void)text_copy(d.ev.topic, sizeof(d.ev.topic), t->name, strlen(t->name));
	provider_default(d.ev.pipeline, sizeof(d.ev.pipeline), d.workflow);
	provider_default(d.ev.actor, sizeof(d.ev.actor), d.first_actor);
	d.ev.kind = t->kind;
	/* Of a check that nobody pressed a button of, its maker's own name says us nothing. */
	if (strcmp(d.ev.action, "requested_action") != 0)
		d.ev.plan[0] = d.ev.answer[0] = '\0';
	d.ev.status = status_of_draft(&d);
	d.ev.at_ms = time_of_draft(&d);
	if (!d.ev.generation)
		d.ev.generation = 1;
	*out = d.ev;
	return 0;
}

const struct provider provider_github = {
	.name = "github",
	.topic_header = "X-GitHub-Event",
	.delivery_headers = { "X-GitHub-Delivery" },
	.auth = "github-hmac",
	.secrets = { { .key = "github.webhook_secret" } },
	.dedupe_ttl_key = "github.dedupe_ttl",
	.takes_form = true,
	.ignores = github_ignores,
	.normalise = github_normalise,
};
