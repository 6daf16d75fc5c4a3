#include "core/ci_event.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/redis.h"
#include "core/text.h"

static const char *const kind_names[] = { "other", "run", "job", "check" };
static const char *const status_names[] = { "unknown", "queued", "running", "completed" };

const char *ci_kind_name(enum ci_kind kind)
{
	return kind_names[kind];
}

const char *ci_status_name(enum ci_status status)
{
	return status_names[status];
}

enum ci_kind ci_kind_from_text(const char *s)
{
	for (size_t i = 0; i < ARRAY_LEN(kind_names); i++)
		if (strcmp(kind_names[i], s) == 0)
			return (enum ci_kind)i;
	return CI_OTHER;
}

enum ci_status ci_status_from_text(const char *s)
{
	for (size_t i = 0; i < ARRAY_LEN(status_names); i++)
		if (strcmp(status_names[i], s) == 0)
			return (enum ci_status)i;
	return CI_STATUS_UNKNOWN;
}

int ci_conclusion_failed(const char *conclusion)
{
	static const char *const failed[] = { "failure", "timed_out", "startup_failure" };

	for (size_t i = 0; i < ARRAY_LEN(failed); i++)
		if (strcmp(failed[i], conclusion) == 0)
			return 1;
	return 0;
}

void ci_event_run_ref(const struct ci_event *ev, char out[static RUN_REF_MAX])
{
	(void)snprintf(out, RUN_REF_MAX, "%s:%" PRIu64 ":%" PRIu64, ev->source, ev->repo_id,
		       ev->run_id);
}

enum field_type { FIELD_TEXT, FIELD_U64, FIELD_I64, FIELD_KIND, FIELD_STATUS };

/* The stream encoding, in the order a person reads it. */
static const struct field {
	const char *name;
	size_t name_len;
	enum field_type type;
	bool required;
	size_t offset, size;
} fields[] = {
#define F(name, type, required)                                                            \
	{                                                                                  \
#name, sizeof(#name) - 1, type, required, offsetof(struct ci_event, name), \
			sizeof(((struct ci_event *)0)->name)                               \
	}
	F(provider, FIELD_TEXT, true),
	F(source, FIELD_TEXT, true),
	F(delivery, FIELD_TEXT, true),
	F(kind, FIELD_KIND, true),
	F(topic, FIELD_TEXT, false),
	F(action, FIELD_TEXT, false),
	F(status, FIELD_STATUS, true),
	F(conclusion, FIELD_TEXT, false),
	F(failure_reason, FIELD_TEXT, false),
	F(repo_id, FIELD_U64, true),
	F(repo, FIELD_TEXT, true),
	F(run_id, FIELD_U64, true),
	F(generation, FIELD_U64, true),
	F(job_id, FIELD_U64, false),
	F(installation, FIELD_U64, false),
	F(pipeline_id, FIELD_U64, false),
	F(parent_run, FIELD_U64, false),
	F(merge_request, FIELD_U64, false),
	F(pipeline, FIELD_TEXT, false),
	F(job, FIELD_TEXT, false),
	F(branch, FIELD_TEXT, false),
	F(default_branch, FIELD_TEXT, false),
	F(base, FIELD_TEXT, false),
	F(sha, FIELD_TEXT, false),
	F(trigger, FIELD_TEXT, false),
	F(plan, FIELD_TEXT, false),
	F(answer, FIELD_TEXT, false),
	F(actor, FIELD_TEXT, false),
	F(head_repo, FIELD_TEXT, false),
	F(url, FIELD_TEXT, false),
	F(at_ms, FIELD_I64, false),
	F(received_at_ms, FIELD_I64, false),
	F(trace, FIELD_TEXT, false),
#undef F
};

static const void *at(const struct ci_event *ev, const struct field *f)
{
	return (const char *)ev + f->offset;
}

void ci_event_encode(const struct ci_event *ev, struct redis_cmd *cmd)
{
	redis_arg(cmd, "v");
	redis_arg_i64(cmd, CI_EVENT_VERSION);
	for (const struct field *f = fields; f < fields + ARRAY_LEN(fields); f++) {
		const void *p = at(ev, f);
		int64_t n = 0;

		switch (f->type) {
		case FIELD_TEXT:
			if (*(const char *)p) {
				redis_arg(cmd, f->name);
				redis_arg(cmd, p);
			}
			continue;
		case FIELD_KIND:
			redis_arg(cmd, f->name);
			redis_arg(cmd, ci_kind_name(*(const enum ci_kind *)p));
			continue;
		case FIELD_STATUS:
			redis_arg(cmd, f->name);
			redis_arg(cmd, ci_status_name(*(const enum ci_status *)p));
			continue;
		case FIELD_U64:
		case FIELD_I64:
			memcpy(&n, p, sizeof(n));
			if (n) {
				redis_arg(cmd, f->name);
				redis_arg_i64(cmd, n);
			}
			continue;
		}
	}
}

static int decode_field(const struct field *f, const char *text, struct ci_event *ev,
			struct err *err)
{
	char *p = (char *)ev + f->offset;

	switch (f->type) {
	case FIELD_TEXT:
		if (!text_copy(p, f->size, text, strlen(text)) && f->required)
			return err_set(err, ERR_INPUT, "ci_event: %s is too long", f->name);
		return 0;
	case FIELD_KIND:
		ev->kind = ci_kind_from_text(text);
		return 0;
	case FIELD_STATUS:
		ev->status = ci_status_from_text(text);
		return 0;
	case FIELD_U64: {
		uint64_t v;

		/* Kept within Lua's and JSON's exact integers; real ids are far below. */
		if (!text_to_u64(text, &v) || v > INT64_MAX)
			return err_set(err, ERR_INPUT, "ci_event: %s is not a number", f->name);
		memcpy(p, &v, sizeof(v));
		return 0;
	}
	case FIELD_I64: {
		int64_t v;

		if (!text_to_i64(text, &v))
			return err_set(err, ERR_INPUT, "ci_event: %s is not a number", f->name);
		memcpy(p, &v, sizeof(v));
		return 0;
	}
	}
	return 0;
}

/* Entries of ours have the order of the table, so the next row is nearly always the right one. */
static const struct field *find_field(const struct redisReply *name, size_t next)
{
	const char *text = redis_str(name);
	size_t len = redis_len(name);

	for (size_t i = 0; text && i < ARRAY_LEN(fields); i++) {
		const struct field *f = &fields[(next + i) % ARRAY_LEN(fields)];

		if (f->name_len == len && memcmp(f->name, text, len) == 0)
			return f;
	}
	return NULL;
}

static int check_version(const struct redisReply *entry, struct err *err)
{
	const char *version = redis_field(entry, "v");
	int64_t v;

	if (!version || !text_to_i64(version, &v))
		return err_set(err, ERR_INPUT, "ci_event: no version, so not one of ours");
	if (v < 1 || v > CI_EVENT_VERSION)
		return err_set(err, ERR_INPUT,
			       "ci_event: version %" PRId64 " is newer than this release reads", v);
	return 0;
}

int ci_event_decode(const struct redisReply *entry, struct ci_event *out, struct err *err)
{
	bool seen[ARRAY_LEN(fields)] = { false };
	struct ci_event ev = { 0 };
	size_t next = 0;

	if (check_version(entry, err) < 0)
		return -1;
	for (size_t i = 0; i + 1 < redis_len(entry); i += 2) {
		const struct field *f = find_field(redis_at(entry, i), next);
		const char *text = redis_str(redis_at(entry, i + 1));

		/* Of a field that is there twice the first one counts. */
		if (!f || !text || seen[f - fields])
			continue;
		if (decode_field(f, text, &ev, err) < 0)
			return -1;
		seen[f - fields] = true;
		next = (size_t)(f - fields) + 1;
	}
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (fields[i].required && !seen[i])
			return err_set(err, ERR_INPUT, "ci_event: %s is missing", fields[i].name);
	/* The reference names keys and work items, where ':' separates. */
	if (strchr(ev.source, ':'))
		return err_set(err, ERR_INPUT, "ci_event: source has a colon");
	*out = ev;
	return 0;
}
