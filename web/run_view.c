#include "web/run_view.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/redis.h"
#include "core/text.h"

enum { TEXT_MAX = 64 << 10 };

enum column_kind {
	TEXT,
	ID,     /* 64 bits, as text: JavaScript's numbers have 53 */
	NUMBER, /* times in ms, small counts */
	REAL,
	FLAG,
};

struct column {
	const char *field; /* in Redis */
	const char *name;  /* in the answer */
	enum column_kind kind;
};

static const struct column run_columns[] = {
	{ "provider", "provider", TEXT },
	{ "source", "source", TEXT },
	{ "repo", "repo", TEXT },
	{ "repo_id", "repo_id", ID },
	{ "run_id", "run_id", ID },
	{ "pipeline", "pipeline", TEXT },
	{ "branch", "branch", TEXT },
	{ "default_branch", "default_branch", TEXT },
	{ "sha", "sha", TEXT },
	{ "trigger", "trigger", TEXT },
	{ "actor", "actor", TEXT },
	{ "head_repo", "head_repo", TEXT },
	{ "url", "url", TEXT },
	{ "generation", "attempt", NUMBER },
	{ "status", "status", TEXT },
	{ "conclusion", "conclusion", TEXT },
	{ "failed", "failed", FLAG },
	{ "first_seen_ms", "first_seen_ms", NUMBER },
	{ "at_ms", "at_ms", NUMBER },
	{ "updated_at_ms", "updated_at_ms", NUMBER },
	{ "finding_generation", "finding_attempt", NUMBER },
	{ "trace", "trace", TEXT },
};

/* The newest plan, as the run's hash tells it. */
static const struct column run_plan_columns[] = {
	{ "plan", "id", TEXT },
	{ "plan_state", "state", TEXT },
	{ "strategy", "strategy", TEXT },
	{ "plan_mode", "mode", TEXT },
	{ "plan_reason", "reason", TEXT },
	{ "outcome", "result", TEXT },
	{ "outcome_detail", "detail", TEXT },
	{ "proposal", "proposal", TEXT },
	{ "proposal_state", "proposal_state", TEXT },
	{ "outcome_at_ms", "done_at_ms", NUMBER },
};

static const struct column plan_columns[] = {
	{ "id", "id", TEXT },
	{ "run", "run", TEXT },
	{ "generation", "attempt", NUMBER },
	{ "state", "state", TEXT },
	{ "strategy", "strategy", TEXT },
	{ "risk", "risk", TEXT },
	{ "mode", "mode", TEXT },
	{ "reason", "reason", TEXT },
	{ "category", "category", TEXT },
	{ "fingerprint", "fingerprint", TEXT },
	{ "rule", "rule", TEXT },
	{ "confidence", "confidence", REAL },
	{ "sends", "sends", NUMBER },
	{ "result", "result", TEXT },
	{ "detail", "detail", TEXT },
	{ "proposal", "proposal", TEXT },
	{ "proposal_state", "proposal_state", TEXT },
	{ "created_at_ms", "created_at_ms", NUMBER },
	{ "due_at_ms", "due_at_ms", NUMBER },
	{ "sent_at_ms", "sent_at_ms", NUMBER },
	{ "done_at_ms", "done_at_ms", NUMBER },
	{ "trace", "trace", TEXT },
};

static const struct column outcome_columns[] = {
	{ "plan", "plan", TEXT },
	{ "run", "run", TEXT },
	{ "source", "source", TEXT },
	{ "repo", "repo", TEXT },
	{ "pipeline", "pipeline", TEXT },
	{ "branch", "branch", TEXT },
	{ "generation", "attempt", NUMBER },
	{ "strategy", "strategy", TEXT },
	{ "mode", "mode", TEXT },
	{ "result", "result", TEXT },
	{ "detail", "detail", TEXT },
	{ "proposal", "proposal", TEXT },
	{ "category", "category", TEXT },
	{ "fingerprint", "fingerprint", TEXT },
	{ "rule", "rule", TEXT },
	{ "confidence", "confidence", REAL },
	{ "created_at_ms", "created_at_ms", NUMBER },
	{ "sent_at_ms", "sent_at_ms", NUMBER },
	{ "done_at_ms", "done_at_ms", NUMBER },
	{ "trace", "trace", TEXT },
};

static const struct column dead_columns[] = {
	{ "reason", "reason", TEXT }, { "item", "item", TEXT },     { "entry", "entry", TEXT },
	{ "event", "event", TEXT },   { "at_ms", "at_ms", NUMBER },
};

/* --- one column --------------------------------------------------------------- */

/* json-c writes bytes as they are; whatever got into Redis, the answer is valid UTF-8. */
static struct json_object *text_json(const char *s)
{
	size_t n = strnlen(s, TEXT_MAX);
	OWNED(buf_done) struct buf clean;
	size_t i = 0, step;

	if (n < TEXT_MAX && utf8_valid((const unsigned char *)s, n))
		return json_object_new_string_len(s, (int)n);
	buf_init(&clean, 3 * TEXT_MAX + 1);
	for (; i < n; i += step) {
		step = utf8_sequence((const unsigned char *)s + i, n - i);
		if (step) {
			buf_append(&clean, s + i, step);
		} else {
			buf_puts(&clean, "\xef\xbf\xbd");
			step = 1;
		}
	}
	return json_object_new_string_len(buf_text(&clean), (int)clean.len);
}

static struct json_object *column_json(enum column_kind kind, const char *text)
{
	int64_t n = 0;
	char *end;
	double real;

	switch (kind) {
	case NUMBER:
		return text_to_i64(text, &n) ? json_object_new_int64(n) : NULL;
	case REAL:
		real = strtod(text, &end);
		return *text && !*end && real >= 0 && real <= 1 ? json_new_num(real) : NULL;
	case FLAG:
		return json_object_new_boolean(strcmp(text, "1") == 0);
	case TEXT:
	case ID:
		break;
	}
	return text_json(text);
}

/* A column that is not there is left out: an old or a half-known run has fewer. */
static struct json_object *columns_json(const struct redisReply *hash, const struct column *columns,
					size_t n)
{
	struct json_object *o = json_object_new_object();

	for (const struct column *c = columns; c < columns + n; c++) {
		const char *text = redis_field(hash, c->field);

		if (text && *text)
			json_add(o, c->name, column_json(c->kind, text));
	}
	return o;
}

/* --- state ---------------------------------------------------------------------- */

static const char *const states[] = { "queued",  "running", "passed",   "ended",    "diagnosing",
				      "healing", "healed",  "observed", "needs_you" };

bool run_view_state_known(const char *state)
{
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (strcmp(states[i], state) == 0)
			return true;
	return false;
}

static const char *field(const struct redisReply *hash, const char *name)
{
	const char *text = redis_field(hash, name);

	return text ? text : "";
}

static int64_t number(const struct redisReply *hash, const char *name)
{
	int64_t n;

	return text_to_i64(field(hash, name), &n) ? n : 0;
}

static bool is(const struct redisReply *hash, const char *name, const char *value)
{
	return strcmp(field(hash, name), value) == 0;
}

static const char *state_of_failed(const struct redisReply *hash)
{
	if (number(hash, "diagnosed") < number(hash, "generation") || !*field(hash, "plan"))
		return "diagnosing";
	if (is(hash, "plan_state", "suggested"))
		return "needs_you";
	if (!is(hash, "plan_state", "done"))
		return "healing";
	/* Nothing would have been done but to ask: then it asks. */
	if (is(hash, "outcome", "observed"))
		return is(hash, "strategy", "escalate") ? "needs_you" : "observed";
	if (is(hash, "outcome", "superseded") || is(hash, "outcome", "cancelled"))
		return "ended";
	return "needs_you";
}

const char *run_view_state(const struct redisReply *hash)
{
	bool awaited = *field(hash, "awaiting") != '\0';

	if (number(hash, "rank") < 3) {
		if (awaited)
			return "healing";
		return number(hash, "rank") == 1 ? "queued" : "running";
	}
	if (is(hash, "failed", "1"))
		return state_of_failed(hash);
	if (awaited)
		return "healing";
	if (is(hash, "conclusion", "success"))
		return is(hash, "outcome", "healed") ? "healed" : "passed";
	return "ended";
}

/* --- attempts ------------------------------------------------------------------- */

static const struct counting {
	const char *provider;
	const char *word; /* NULL: it counts nothing */
	bool by_guard;    /* the provider has no such number, but we know our re-runs */
} countings[] = {
	{ "github", "attempt", false },
	{ "gitlab", "retry", true },
	{ "jenkins", "build", false },
	{ "generic", NULL, false },
};

/* Of plans from before they said whose they are. */
static const struct counting unknown_provider = { "", "attempt", false };

void run_view_attempt(const char *provider, const char *generation, int64_t reruns,
		      char out[static ATTEMPT_TEXT_MAX])
{
	const struct counting *c = &unknown_provider;

	for (size_t i = 0; i < ARRAY_LEN(countings); i++)
		if (strcmp(countings[i].provider, provider) == 0)
			c = &countings[i];
	out[0] = '\0';
	if (!c->word)
		return;
	if (!c->by_guard && *generation)
		(void)snprintf(out, ATTEMPT_TEXT_MAX, "%s %.20s", c->word, generation);
	else if (c->by_guard && reruns > 0)
		(void)snprintf(out, ATTEMPT_TEXT_MAX, "%s %" PRId64, c->word, reruns);
}

void run_view_attempt_of(const struct redisReply *hash, char out[static ATTEMPT_TEXT_MAX])
{
	run_view_attempt(field(hash, "provider"), field(hash, "generation"), number(hash, "reruns"),
			 out);
}

static void add_attempt(struct json_object *o, const struct redisReply *hash)
{
	char text[ATTEMPT_TEXT_MAX];

	run_view_attempt_of(hash, text);
	if (*text)
		json_add_str(o, "attempt_text", text);
}

/* The finding may be of an earlier attempt than the run's. */
static void add_finding_attempt(struct json_object *o, const struct redisReply *hash)
{
	const char *generation = field(hash, "finding_generation");
	bool now = strcmp(generation, field(hash, "generation")) == 0;
	char text[ATTEMPT_TEXT_MAX];

	run_view_attempt(field(hash, "provider"), generation, now ? number(hash, "reruns") : -1,
			 text);
	if (*text)
		json_add_str(o, "finding_attempt_text", text);
}

/* --- whole objects ---------------------------------------------------------------- */

static struct json_object *finding_json(const char *text)
{
	struct json_object *o = NULL;
	struct err err;

	if (!*text || json_parse(text, strlen(text), &o, &err) < 0)
		return NULL;
	if (json_object_is_type(o, json_type_object))
		return o;
	json_object_put(o);
	return NULL;
}

struct json_object *run_view_json(const char *ref, const struct redisReply *hash)
{
	struct json_object *o, *plan = NULL;
	const char *state;

	if (redis_len(hash) == 0 || redis_is_error(hash, NULL))
		return NULL;
	state = run_view_state(hash);
	o = columns_json(hash, run_columns, ARRAY_LEN(run_columns));
	json_add(o, "ref", text_json(ref));
	json_add_str(o, "state", state);
	add_attempt(o, hash);
	add_finding_attempt(o, hash);
	json_add(o, "finding", finding_json(field(hash, "finding")));
	if (*field(hash, "plan"))
		plan = columns_json(hash, run_plan_columns, ARRAY_LEN(run_plan_columns));
	json_add(o, "plan", plan);
	return o;
}

struct json_object *run_view_plan_json(const struct redisReply *hash)
{
	struct json_object *o;

	if (redis_len(hash) == 0 || redis_is_error(hash, NULL))
		return NULL;
	o = columns_json(hash, plan_columns, ARRAY_LEN(plan_columns));
	add_attempt(o, hash);
	return o;
}

static struct json_object *entry_json(const struct redisReply *entry, const struct column *columns,
				      size_t n)
{
	const char *id = redis_str(redis_at(entry, 0));
	struct json_object *o = columns_json(redis_at(entry, 1), columns, n);

	json_add_str(o, "id", id ? id : "");
	return o;
}

struct json_object *run_view_outcome_json(const struct redisReply *entry)
{
	struct json_object *o = entry_json(entry, outcome_columns, ARRAY_LEN(outcome_columns));

	add_attempt(o, redis_at(entry, 1));
	return o;
}

struct json_object *run_view_dead_json(const struct redisReply *entry)
{
	return entry_json(entry, dead_columns, ARRAY_LEN(dead_columns));
}
