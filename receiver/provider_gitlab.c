/*
 * GitLab: Pipeline, Job, Push and Merge Request hooks. Facts that differ from what one
 * expects are marked below. A custom payload template may turn numbers into text, and leave
 * out anything.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/ci_event.h"
#include "core/crypto.h"
#include "core/text.h"
#include "receiver/normalise.h"
#include "receiver/provider.h"

/* The event, and what has to be looked at before it is known what to put there. */
struct draft {
	struct ci_event ev;
	char object_kind[24];
	char status[32], detailed_status[32],
		reason[sizeof(((struct ci_event *)0)->failure_reason)];
	char ref[160], full_name[160], web_url[160];
	char name[sizeof(((struct ci_event *)0)->actor)];
	uint64_t commit_id;
	int64_t created, started, finished, created_iso, started_iso, finished_iso, updated;
};

#define EV(path, type, needed, member) FIELD(path, type, needed, struct draft, ev.member)
#define DRAFT(path, type, member)      FIELD(path, type, false, struct draft, member)

/* What events of pipelines and merge requests share. */
#define COMMON_FIELDS                                                                              \
	DRAFT("object_kind", FIELD_TEXT, object_kind), EV("project.id", FIELD_NUM, true, repo_id), \
		EV("project.path_with_namespace", FIELD_NAME, true, repo),                         \
		EV("project.default_branch", FIELD_TEXT, false, default_branch),                   \
		EV("object_attributes.id", FIELD_NUM, true, run_id),                               \
		EV("object_attributes.url", FIELD_TEXT, false, url),                               \
		EV("user.username", FIELD_TEXT, false, actor)

static const struct field pipeline_fields[] = {
	COMMON_FIELDS,
	DRAFT("project.web_url", FIELD_TEXT, web_url),
	EV("object_attributes.name", FIELD_TEXT, false, pipeline),
	EV("object_attributes.sha", FIELD_TEXT, false, sha),
	EV("object_attributes.source", FIELD_TEXT, false, trigger),
	DRAFT("object_attributes.ref", FIELD_TEXT, ref),
	DRAFT("object_attributes.status", FIELD_TEXT, status),
	DRAFT("object_attributes.detailed_status", FIELD_TEXT, detailed_status),
	DRAFT("object_attributes.created_at", FIELD_TIME, created),
	DRAFT("object_attributes.created_at_iso", FIELD_TIME, created_iso),
	DRAFT("object_attributes.finished_at", FIELD_TIME, finished),
	DRAFT("object_attributes.finished_at_iso", FIELD_TIME, finished_iso),
	EV("merge_request.iid", FIELD_NUM, false, merge_request),
	EV("merge_request.target_branch", FIELD_TEXT, false, base),
	EV("source_pipeline.pipeline_id", FIELD_NUM, false, parent_run),
	/* A pipeline has no attempt, but a retried job gets a new and higher id. */
	EV("builds[].id", FIELD_MAX, false, generation),
	DRAFT("builds[].failure_reason", FIELD_TEXT, reason),
};

static const struct field job_fields[] = {
	DRAFT("object_kind", FIELD_TEXT, object_kind),
	EV("project_id", FIELD_NUM, true, repo_id),
	/* "Group / Name", no path; the path came later, and the URL always had it. */
	DRAFT("project_name", FIELD_TEXT, full_name),
	EV("project.path_with_namespace", FIELD_NAME, false, repo),
	EV("project.default_branch", FIELD_TEXT, false, default_branch),
	DRAFT("repository.homepage", FIELD_TEXT, web_url),
	EV("pipeline_id", FIELD_NUM, false, run_id),
	/* Of the pipeline, not of a commit, whatever it is called. */
	DRAFT("commit.id", FIELD_NUM, commit_id),
	EV("build_id", FIELD_NUM, true, job_id),
	EV("build_name", FIELD_TEXT, false, job),
	EV("sha", FIELD_TEXT, false, sha),
	EV("source_pipeline.pipeline_id", FIELD_NUM, false, parent_run),
	EV("user.username", FIELD_TEXT, false, actor),
	DRAFT("user.name", FIELD_TEXT, name),
	DRAFT("ref", FIELD_TEXT, ref),
	DRAFT("build_status", FIELD_TEXT, status),
	/* "unknown_failure" also when nothing failed. */
	DRAFT("build_failure_reason", FIELD_TEXT, reason),
	DRAFT("build_created_at", FIELD_TIME, created),
	DRAFT("build_created_at_iso", FIELD_TIME, created_iso),
	DRAFT("build_started_at", FIELD_TIME, started),
	DRAFT("build_started_at_iso", FIELD_TIME, started_iso),
	DRAFT("build_finished_at", FIELD_TIME, finished),
	DRAFT("build_finished_at_iso", FIELD_TIME, finished_iso),
};

static const struct field push_fields[] = {
	DRAFT("object_kind", FIELD_TEXT, object_kind),
	EV("project_id", FIELD_NUM, true, repo_id),
	EV("project.path_with_namespace", FIELD_NAME, true, repo),
	EV("project.default_branch", FIELD_TEXT, false, default_branch),
	EV("after", FIELD_TEXT, true, sha),
	EV("user_username", FIELD_TEXT, false, actor),
	DRAFT("user_name", FIELD_TEXT, name),
	DRAFT("ref", FIELD_TEXT, ref),
};

static const struct field merge_request_fields[] = {
	COMMON_FIELDS,
	EV("object_attributes.iid", FIELD_NUM, true, merge_request),
	EV("object_attributes.action", FIELD_TEXT, false, action),
	EV("object_attributes.source.path_with_namespace", FIELD_TEXT, false, head_repo),
	EV("object_attributes.last_commit.id", FIELD_TEXT, false, sha),
	DRAFT("object_attributes.source_branch", FIELD_TEXT, ref),
	DRAFT("object_attributes.updated_at", FIELD_TIME, updated),
};

static struct topic {
	const char *header, *object_kind;
	enum ci_kind kind;
	const struct field *fields;
	size_t n;
	struct field_tree tree; /* made at first use */
} topics[] = {
	{ .header = "Pipeline Hook",
	  .object_kind = "pipeline",
	  .kind = CI_RUN,
	  .fields = pipeline_fields,
	  .n = ARRAY_LEN(pipeline_fields) },
	{ .header = "Job Hook",
	  .object_kind = "build", /* not "job" */
	  .kind = CI_JOB,
	  .fields = job_fields,
	  .n = ARRAY_LEN(job_fields) },
	{ .header = "Push Hook",
	  .object_kind = "push",
	  .kind = CI_OTHER,
	  .fields = push_fields,
	  .n = ARRAY_LEN(push_fields) },
	{ .header = "Merge Request Hook",
	  .object_kind = "merge_request",
	  .kind = CI_OTHER,
	  .fields = merge_request_fields,
	  .n = ARRAY_LEN(merge_request_fields) },
};

static struct topic *topic_find(const char *header)
{
	for (size_t i = 0; i < ARRAY_LEN(topics); i++)
		if (strcmp(topics[i].header, header) == 0)
			return &topics[i];
	return NULL;
}

static const char *gitlab_ignores(const char *topic)
{
	return topic_find(topic) ? NULL : "event not used";
}

static enum ci_status status_of(const char *word)
{
	static const struct {
		const char *word;
		enum ci_status status;
	} rows[] = {
		{ "created", CI_QUEUED },
		{ "waiting_for_resource", CI_QUEUED },
		{ "waiting_for_callback", CI_QUEUED },
		{ "preparing", CI_QUEUED },
		{ "pending", CI_QUEUED },
		{ "scheduled", CI_QUEUED },
		{ "manual", CI_QUEUED },
		{ "blocked", CI_QUEUED }, /* the label of "manual" */
		{ "running", CI_RUNNING },
		{ "canceling", CI_RUNNING },
		{ "success", CI_COMPLETED },
		{ "passed", CI_COMPLETED }, /* the label of "success" */
		{ "failed", CI_COMPLETED },
		{ "canceled", CI_COMPLETED },
		{ "skipped", CI_COMPLETED },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].word, word) == 0)
			return rows[i].status;
	return CI_STATUS_UNKNOWN;
}

static void set_state(struct draft *d)
{
	static const struct word conclusions[] = {
		{ "success", "success" },    { "passed", "success" },  { "failed", "failure" },
		{ "canceled", "cancelled" }, { "skipped", "skipped" }, { NULL, NULL },
	};
	const char *word = d->status, *ours;

	/* A label for people; only when there is nothing better. */
	if (!*word)
		word = d->detailed_status;
	d->ev.status = status_of(word);
	(void)text_copy(d->ev.action, sizeof(d->ev.action), word, strlen(word));
	if (d->ev.status != CI_COMPLETED)
		return;
	ours = word_find(conclusions, word);
	if (!ours)
		ours = word;
	(void)text_copy(d->ev.conclusion, sizeof(d->ev.conclusion), ours, strlen(ours));
	if (strcmp(ours, "failure") == 0)
		(void)text_copy(d->ev.failure_reason, sizeof(d->ev.failure_reason), d->reason,
				strlen(d->reason));
}

static int64_t first_time(const int64_t *times, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (times[i])
			return times[i];
	return 0;
}

/* The latest that applies; the ISO times came later and are exact. */
static int64_t time_of_draft(const struct draft *d)
{
	const int64_t times[] = { d->finished_iso, d->finished, d->started_iso, d->started,
				  d->created_iso,  d->created,  d->updated };

	switch (d->ev.status) {
	case CI_COMPLETED:
		return first_time(times, ARRAY_LEN(times));
	case CI_RUNNING:
		return first_time(times + 2, ARRAY_LEN(times) - 2);
	case CI_QUEUED:
	case CI_STATUS_UNKNOWN:
		break;
	}
	return first_time(times + 4, ARRAY_LEN(times) - 4);
}

/* "group/sub/project": it may end up in URLs, so it may not be anything else. */
static bool path_ok(const char *s)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";
	size_t parts = 0;

	for (;; s++) {
		size_t n = strspn(s, allowed);

		if (!n || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return false;
		parts++;
		s += n;
		if (!*s)
			return parts > 1;
		if (*s != '/')
			return false;
	}
}

/* A job event of an older GitLab says the path only within its URL. */
static void repo_of_job(struct draft *d)
{
	const char *path = strstr(d->web_url, "://");

	if (*d->ev.repo)
		return;
	path = path ? strchr(path + 3, '/') : NULL;
	if (path && path_ok(path + 1))
		provider_default(d->ev.repo, sizeof(d->ev.repo), path + 1);
	else if (path_ok(d->full_name))
		provider_default(d->ev.repo, sizeof(d->ev.repo), d->full_name);
	else
		(void)snprintf(d->ev.repo, sizeof(d->ev.repo), "projects/%" PRIu64, d->ev.repo_id);
}

/* A page for people when the sender gives none and the whole address fits. */
static void url_of_draft(struct draft *d, const char *what, uint64_t id)
{
	int n;

	if (*d->ev.url || !*d->web_url || strlen(d->web_url) == sizeof(d->web_url) - 1)
		return;
	n = snprintf(d->ev.url, sizeof(d->ev.url), "%s/-/%s/%" PRIu64, d->web_url, what, id);
	if (n < 0 || (size_t)n >= sizeof(d->ev.url))
		d->ev.url[0] = '\0';
}

static void finish_pipeline(struct draft *d)
{
	set_state(d);
	url_of_draft(d, "pipelines", d->ev.run_id);
}

static void finish_job(struct draft *d)
{
	set_state(d);
	repo_of_job(d);
	if (!d->ev.run_id)
		d->ev.run_id = d->commit_id;
	d->ev.generation = d->ev.job_id;
	url_of_draft(d, "jobs", d->ev.job_id);
}

/* There is no run yet: the branch and what it is at now is what the event is about. */
static void finish_push(struct draft *d)
{
	char what[sizeof(d->ref) + sizeof(d->ev.sha) + 1];
	int n = snprintf(what, sizeof(what), "%s:%s", d->ref, d->ev.sha);

	d->ev.run_id = sha256_id(what, n > 0 ? (size_t)n : 0);
	(void)text_copy(d->ev.action, sizeof(d->ev.action), "push", 4);
}

static void branch_of_draft(struct draft *d)
{
	static const char heads[] = "refs/heads/";
	const char *ref = d->ref;

	if (text_starts(ref, heads))
		ref += strlen(heads);
	(void)text_copy(d->ev.branch, sizeof(d->ev.branch), ref, strlen(ref));
}

static int gitlab_normalise(const char *topic, const char *json, size_t n, struct ci_event *out,
			    struct err *err)
{
	struct topic *t = topic_find(topic);
	struct draft d = { 0 };

	if (!t)
		return err_set(err, ERR_BUG, "gitlab: topic \"%.40s\" is not one we read", topic);
	if (!t->tree.n_nodes)
		field_tree_init(&t->tree, t->fields, t->n);
	if (normalise(&t->tree, json, n, &d, err) < 0)
		return err_wrap(err, "gitlab %s", t->object_kind);
	if (*d.object_kind && strcmp(d.object_kind, t->object_kind) != 0)
		return err_set(err, ERR_INPUT, "gitlab %s: object_kind is something else",
			       t->object_kind);
	(void)text_copy(d.ev.provider, sizeof(d.ev.provider), "gitlab", strlen("gitlab"));
	(void)text_copy(d.ev.topic, sizeof(d.ev.topic), t->object_kind, strlen(t->object_kind));
	d.ev.kind = t->kind;
	branch_of_draft(&d);
	if (t->fields == pipeline_fields)
		finish_pipeline(&d);
	else if (t->fields == job_fields)
		finish_job(&d);
	else if (t->fields == push_fields)
		finish_push(&d);
	provider_default(d.ev.actor, sizeof(d.ev.actor), d.name);
	/* Most pipelines have no name of their own, and a project has one definition of them. */
	if (t->kind != CI_OTHER)
		provider_default(d.ev.pipeline, sizeof(d.ev.pipeline), "pipeline");
	d.ev.at_ms = time_of_draft(&d);
	if (!d.ev.generation)
		d.ev.generation = 1;
	if (!path_ok(d.ev.repo))
		return err_set(err, ERR_INPUT, "gitlab %s: the project has no usable path",
			       t->object_kind);
	if (!d.ev.repo_id || !d.ev.run_id)
		return err_set(err, ERR_INPUT, "gitlab %s: an id is missing or 0", t->object_kind);
	*out = d.ev;
	return NORMALISED;
}

const struct provider provider_gitlab = {
	.name = "gitlab",
	.topic_header = "X-Gitlab-Event",
	/* Not X-Gitlab-Event-UUID: hooks that one event sets off share it. */
	.delivery_headers = { "Idempotency-Key", "webhook-id" },
	.auth = "standard-webhooks, gitlab-token",
	.secrets = { { .key = "gitlab.webhook_token" },
		     { .key = "gitlab.signing_token", .signing = true } },
	.ignores = gitlab_ignores,
	.normalise = gitlab_normalise,
};
