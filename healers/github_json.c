#include "healers/github_json.h"

#include <string.h>

#include "core/ci_event.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "healers/provider_api.h"

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

static void copy(char *out, size_t cap, struct json_object *o, const char *path)
{
	const char *s = json_str(o, path, "");

	(void)text_copy(out, cap, s, strlen(s));
}
#define COPY(member, path) copy(out->member, sizeof(out->member), o, (path))

static uint64_t id_at(struct json_object *o, const char *path)
{
	int64_t n = json_i64(o, path, 0);

	return n > 0 ? (uint64_t)n : 0;
}

static int64_t time_at(struct json_object *o, const char *path)
{
	int64_t ms = text_iso8601_ms(json_str(o, path, ""));

	return ms > 0 ? ms : 0;
}

static void name_it(struct ci_event *out)
{
	static const char *const actions[] = { "", "requested", "in_progress", "completed" };
	const char *action = actions[out->status];

	(void)text_copy(out->provider, sizeof(out->provider), "github", strlen("github"));
	(void)text_copy(out->topic, sizeof(out->topic), "workflow_run", strlen("workflow_run"));
	(void)text_copy(out->action, sizeof(out->action), action, strlen(action));
	out->kind = CI_RUN;
}

bool github_run_event(struct json_object *o, struct ci_event *out)
{
	*out = (struct ci_event){
		.status = status_of(json_str(o, "status", "")),
		.repo_id = id_at(o, "repository.id"),
		.run_id = id_at(o, "id"),
		.generation = id_at(o, "run_attempt"),
		.pipeline_id = id_at(o, "workflow_id"),
		.at_ms = time_at(o, "updated_at"),
	};
	name_it(out);
	COPY(repo, "repository.full_name");
	COPY(default_branch, "repository.default_branch");
	COPY(pipeline, "name");
	COPY(conclusion, "conclusion");
	COPY(branch, "head_branch");
	COPY(sha, "head_sha");
	COPY(trigger, "event");
	COPY(actor, "triggering_actor.login");
	COPY(head_repo, "head_repository.full_name");
	COPY(base, "pull_requests.0.base.ref");
	COPY(url, "html_url");
	if (!out->generation)
		out->generation = 1;
	/* A run that is over has a conclusion; one that has not may say neither. */
	return out->repo_id && out->run_id && *out->repo && out->status != CI_STATUS_UNKNOWN &&
	       (out->status == CI_COMPLETED) == (*out->conclusion != '\0');
}

bool github_delivery_read(struct json_object *o, struct arena *a, struct api_delivery *out)
{
	const char *guid = json_str(o, "guid", "");
	int64_t status = json_i64(o, "status_code", 0);

	*out = (struct api_delivery){
		.id = id_at(o, "id"),
		.guid = arena_strdup(a, guid),
		.at_ms = time_at(o, "delivered_at"),
		/* As GitHub's own advice has it: OK is the word; old servers only have the code. */
		.ok = strcmp(json_str(o, "status", ""), "OK") == 0 ||
		      (status >= 200 && status < 300),
		.redelivery = json_flag(o, "redelivery", false),
	};
	return out->id && *guid && strlen(guid) <= API_GUID_MAX;
}

bool github_hook_read(struct json_object *o, struct arena *a, struct api_hook *out)
{
	*out = (struct api_hook){
		.id = id_at(o, "id"),
		.url = arena_strdup(a, json_str(o, "config.url", "")),
		.active = json_flag(o, "active", true),
	};
	return out->id != 0;
}

/* The part of the header that says rel="next", from its '<' to its '>'. */
static const char *next_address(const char *link, size_t *n)
{
	for (const char *at = strchr(link, '<'); at; at = strchr(at + 1, '<')) {
		const char *end = strchr(at, '>');
		const char *rest = end ? end + 1 : "";
		size_t len = strcspn(rest, "<");
		const char *rel = memmem(rest, len, "rel=\"next\"", strlen("rel=\"next\""));

		if (rel) {
			*n = (size_t)(end - at);
			return at;
		}
	}
	return NULL;
}

void github_next_cursor(const char *link, char *out, size_t cap)
{
	size_t n = 0, len;
	const char *at = next_address(link, &n), *value;

	out[0] = '\0';
	value = at ? memmem(at, n, "cursor=", strlen("cursor=")) : NULL;
	if (!value || (value[-1] != '?' && value[-1] != '&'))
		return;
	value += strlen("cursor=");
	len = strspn(value,
		     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%=+");
	if (len < cap)
		(void)text_copy(out, cap, value, len);
}
