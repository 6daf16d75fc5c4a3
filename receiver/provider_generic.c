/*
 * Anything that signs by Standard Webhooks and speaks CDEvents: pipelineRun and taskRun,
 * bare or inside a structured CloudEvent. Things are named by text there, so our numbers are
 * made from it; the text is kept for people.
 */
#include <stdio.h>
#include <string.h>

#include "core/ci_event.h"
#include "core/crypto.h"
#include "core/text.h"
#include "receiver/normalise.h"
#include "receiver/provider.h"

enum { ID_BYTES = 256 };

/* One CDEvent; the same members, wherever in the body they stood. */
struct cdevent {
	char type[96], id[ID_BYTES], source[ID_BYTES];
	int64_t at_ms;
	char subject[ID_BYTES], subject_source[ID_BYTES];
	char pipeline[sizeof(((struct ci_event *)0)->pipeline)];
	char task[sizeof(((struct ci_event *)0)->job)];
	char run[ID_BYTES], run_source[ID_BYTES];
	char outcome[24], url[160], uri[160];
};

struct draft {
	struct cdevent bare, wrapped;
	char type[96];
};

/* NOLINTBEGIN(bugprone-macro-parentheses): strings are pasted, and a member is named */
#define CDEVENT_FIELDS(at, member)                                                              \
	FIELD(at "context.type", FIELD_NAME, false, struct draft, member.type),                 \
		FIELD(at "context.id", FIELD_NAME, false, struct draft, member.id),             \
		FIELD(at "context.source", FIELD_NAME, false, struct draft, member.source),     \
		FIELD(at "context.timestamp", FIELD_TIME, false, struct draft, member.at_ms),   \
		FIELD(at "subject.id", FIELD_NAME, false, struct draft, member.subject),        \
		FIELD(at "subject.source", FIELD_NAME, false, struct draft,                     \
		      member.subject_source),                                                   \
		FIELD(at "subject.content.pipelineName", FIELD_TEXT, false, struct draft,       \
		      member.pipeline),                                                         \
		FIELD(at "subject.content.taskName", FIELD_TEXT, false, struct draft,           \
		      member.task),                                                             \
		FIELD(at "subject.content.pipelineRun.id", FIELD_NAME, false, struct draft,     \
		      member.run),                                                              \
		FIELD(at "subject.content.pipelineRun.source", FIELD_NAME, false, struct draft, \
		      member.run_source),                                                       \
		FIELD(at "subject.content.outcome", FIELD_TEXT, false, struct draft,            \
		      member.outcome),                                                          \
		FIELD(at "subject.content.url", FIELD_TEXT, false, struct draft, member.url),   \
		FIELD(at "subject.content.uri", FIELD_TEXT, false, struct draft, member.uri)
/* NOLINTEND(bugprone-macro-parentheses) */

static const struct field fields[] = {
	FIELD("type", FIELD_TEXT, false, struct draft, type),
	CDEVENT_FIELDS("", bare),
	CDEVENT_FIELDS("data.", wrapped),
};

static const char *generic_ignores(const char *topic)
{
	UNUSED(topic);
	return NULL;
}

/* "dev.cdevents.pipelinerun.finished.0.2.0" without the version, which we do not depend on. */
static const struct kind {
	const char *type, *topic;
	enum ci_kind kind;
	enum ci_status status;
} kinds[] = {
	{ "dev.cdevents.pipelinerun.queued.", "pipelinerun", CI_RUN, CI_QUEUED },
	{ "dev.cdevents.pipelinerun.started.", "pipelinerun", CI_RUN, CI_RUNNING },
	{ "dev.cdevents.pipelinerun.finished.", "pipelinerun", CI_RUN, CI_COMPLETED },
	{ "dev.cdevents.taskrun.queued.", "taskrun", CI_JOB, CI_QUEUED },
	{ "dev.cdevents.taskrun.started.", "taskrun", CI_JOB, CI_RUNNING },
	{ "dev.cdevents.taskrun.finished.", "taskrun", CI_JOB, CI_COMPLETED },
};

static const struct kind *kind_of(const char *type)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (text_starts(type, kinds[i].type))
			return &kinds[i];
	return NULL;
}

/* A number for an id within its source; no sender has a line end in either. */
static uint64_t id_of(const char *source, const char *id)
{
	char what[2 * ID_BYTES];
	int n = snprintf(what, sizeof(what), "%s\n%s", source, id);

	return sha256_id(what, n > 0 ? (size_t)n : 0);
}

/* As it was sent; "error" is a failure of the CI system itself. */
static void set_conclusion(struct ci_event *ev, const char *outcome)
{
	static const struct word words[] = {
		{ "success", "success" },  { "failure", "failure" },     { "error", "failure" },
		{ "cancel", "cancelled" }, { "cancelled", "cancelled" }, { NULL, NULL },
	};
	const char *ours = word_find(words, outcome);

	if (!ours)
		ours = outcome;
	(void)text_copy(ev->conclusion, sizeof(ev->conclusion), ours, strlen(ours));
	if (strcmp(outcome, "error") == 0)
		(void)text_copy(ev->failure_reason, sizeof(ev->failure_reason), "error", 5);
}

/* Ids are unique within their source only. */
static void set_delivery(struct ci_event *ev, const struct cdevent *c)
{
	char what[2 * ID_BYTES];
	unsigned char digest[SHA256_BYTES];
	char hex[SHA256_HEX + 1];
	int n = snprintf(what, sizeof(what), "%s\n%s", c->source, c->id);

	if (!*c->id)
		return;
	sha256(what, n > 0 ? (size_t)n : 0, digest);
	hex_encode(digest, sizeof(digest), hex);
	(void)snprintf(ev->delivery, sizeof(ev->delivery), "event-%.40s", hex);
}

static void fill(struct ci_event *ev, const struct kind *k, const struct cdevent *c)
{
	const char *source = *c->subject_source ? c->subject_source : c->source;
	const char *action = strchr(k->type + strlen("dev.cdevents."), '.') + 1;
	const char *url = *c->url ? c->url : c->uri;

	(void)text_copy(ev->provider, sizeof(ev->provider), "generic", strlen("generic"));
	(void)text_copy(ev->topic, sizeof(ev->topic), k->topic, strlen(k->topic));
	(void)text_copy(ev->action, sizeof(ev->action), action, strcspn(action, "."));
	(void)text_copy(ev->repo, sizeof(ev->repo), c->source, strlen(c->source));
	(void)text_copy(ev->pipeline, sizeof(ev->pipeline), c->pipeline, strlen(c->pipeline));
	(void)text_copy(ev->job, sizeof(ev->job), c->task, strlen(c->task));
	if (strlen(url) < sizeof(ev->url) - 1)
		(void)text_copy(ev->url, sizeof(ev->url), url, strlen(url));
	ev->kind = k->kind;
	ev->status = k->status;
	ev->at_ms = c->at_ms;
	/* A new try is a new run with an id of its own. */
	ev->generation = 1;
	ev->repo_id = sha256_id(c->source, strlen(c->source));
	if (*c->pipeline)
		ev->pipeline_id = sha256_id(c->pipeline, strlen(c->pipeline));
	ev->run_id = id_of(source, c->subject);
	if (k->kind == CI_JOB) {
		ev->job_id = ev->run_id;
		if (*c->run)
			ev->run_id = id_of(*c->run_source ? c->run_source : c->source, c->run);
	}
	if (k->status == CI_COMPLETED)
		set_conclusion(ev, c->outcome);
	set_delivery(ev, c);
}

static int generic_normalise(const char *topic, const char *json, size_t n, struct ci_event *out,
			     struct err *err)
{
	static struct field_tree tree;
	const struct cdevent *c;
	const struct kind *k;
	struct ci_event ev = { 0 };
	struct draft d = { 0 };

	UNUSED(topic);
	if (!tree.n_nodes)
		field_tree_init(&tree, fields, ARRAY_LEN(fields));
	if (normalise(&tree, json, n, &d, err) < 0)
		return err_wrap(err, "generic");
	c = *d.wrapped.type ? &d.wrapped : &d.bare;
	k = kind_of(c->type);
	if (!k) {
		/* Other CloudEvents are none of ours, but something that is no event is malformed.
		 */
		if (!*c->type && !*d.type)
			return err_set(err, ERR_INPUT, "generic: context.type is missing");
		err_format(err, ERR_INPUT, "event not used");
		return NORMALISE_IGNORED;
	}
	if (!*c->subject || !*c->source)
		return err_set(err, ERR_INPUT, "generic: %s is missing",
			       *c->subject ? "context.source" : "subject.id");
	fill(&ev, k, c);
	*out = ev;
	return NORMALISED;
}

const struct provider provider_generic = {
	.name = "generic",
	.delivery_headers = { "webhook-id" },
	.auth = "standard-webhooks",
	.secrets = { { .key = "generic.webhook_secret", .signing = true } },
	.ignores = generic_ignores,
	.normalise = generic_normalise,
};
