#include "core/flake.h"

#include <math.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/redis.h"
#include "core/text.h"

/* Places in a mark as it is stored; 4 (run), 5 (minutes) and 6 (branch) are the ledger's own. */
enum { AT_RESULT, AT_GREENS, AT_COMMIT, AT_MS, MARK_PLACES = 4 };

static bool read_mark(struct json_object *o, struct arena *a, struct flake_mark *out)
{
	const char *result;
	int64_t greens;

	if (!json_object_is_type(o, json_type_array) || json_object_array_length(o) < MARK_PLACES)
		return false;
	result = json_object_get_string(json_object_array_get_idx(o, AT_RESULT));
	greens = json_object_get_int64(json_object_array_get_idx(o, AT_GREENS));
	if (!result || greens < 0)
		return false;
	out->failed = *result == 'F';
	out->greens = (uint64_t)greens;
	out->at_ms = json_object_get_int64(json_object_array_get_idx(o, AT_MS));
	out->commit =
		arena_strdup(a, json_object_get_string(json_object_array_get_idx(o, AT_COMMIT)));
	if (!out->commit)
		out->commit = "";
	return true;
}

static bool has(const struct flake *f, const char *commit, bool failed)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->history[i].failed == failed && strcmp(f->history[i].commit, commit) == 0)
			return true;
	return false;
}

static bool first_of_commit(const struct flake *f, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (f->history[i].failed &&
		    strcmp(f->history[i].commit, f->history[at].commit) == 0)
			return false;
	return true;
}

static void count_commits(struct flake *f, const char *open_commit)
{
	f->failures = f->failed_commits = f->healed_commits = 0;
	for (size_t i = 0; i < f->n; i++) {
		const struct flake_mark *m = &f->history[i];
		bool healed;

		if (!m->failed)
			continue;
		f->failures++;
		if (!*m->commit || !first_of_commit(f, i))
			continue;
		healed = has(f, m->commit, false);
		if (!healed && strcmp(m->commit, open_commit) == 0)
			continue;
		f->failed_commits++;
		f->healed_commits += healed;
	}
}

/* Passes between two failures are not kept one by one: the pipeline's count says how many. */
static void count_flips(struct flake *f, uint64_t greens)
{
	unsigned flips = 0;

	f->runs = f->failures;
	f->flip_rate = 0;
	if (f->n == 0)
		return;
	if (greens > f->history[0].greens)
		f->runs += greens - f->history[0].greens;
	for (size_t i = 1; i < f->n; i++) {
		bool passed_between = f->history[i].greens > f->history[i - 1].greens;

		if (f->history[i].failed != f->history[i - 1].failed)
			flips++;
		else if (f->history[i].failed && passed_between)
			flips += 2;
	}
	if (f->runs > 1)
		f->flip_rate = fmin((double)flips / (double)(f->runs - 1), 1);
}

void flake_judge(struct flake *f, const char *commit, uint64_t greens)
{
	count_commits(f, commit);
	count_flips(f, greens);
	f->flaky = f->healed_commits > 0;
	/* Laplace's rule: one healed commit of one is no certainty. */
	f->confidence = f->flaky ? (f->healed_commits + 1.0) / (f->failed_commits + 2.0) : 0;
}

bool flake_read(const char *name, const char *text, uint64_t greens, struct arena *a,
		struct flake *out)
{
	OWNED(json_putp) struct json_object *o = NULL;
	struct json_object *history;
	struct err err;
	struct flake f = { .n = 0 };

	if (json_parse(text, strlen(text), &o, &err) < 0)
		return false;
	history = json_at(o, "history");
	if (!json_object_is_type(history, json_type_array))
		return false;
	f.name = arena_strdup(a, name);
	f.framework = arena_strdup(a, json_str(o, "framework", ""));
	f.file = arena_strdup(a, json_str(o, "file", ""));
	f.owner = arena_strdup(a, json_str(o, "owner", ""));
	f.first_ms = json_i64(o, "first_ms", 0);
	f.last_ms = json_i64(o, "last_ms", 0);
	f.lost_minutes = fmax(json_num(o, "lost_s", 0), 0) / 60;
	for (size_t i = 0; i < json_object_array_length(history) && f.n < FLAKE_HISTORY_MAX; i++)
		if (read_mark(json_object_array_get_idx(history, i), a, &f.history[f.n]))
			f.n++;
	f.source = f.repo = f.pipeline = "";
	flake_judge(&f, "", greens);
	*out = f;
	return true;
}

static void read_about(const struct redisReply *ledger, struct arena *a, struct flake *out)
{
	OWNED(json_putp) struct json_object *o = NULL;
	const char *text = redis_field(ledger, "#about");
	struct err err;

	if (!text || json_parse(text, strlen(text), &o, &err) < 0)
		o = NULL;
	out->source = arena_strdup(a, json_str(o, "source", ""));
	out->repo = arena_strdup(a, json_str(o, "repo", ""));
	out->pipeline = arena_strdup(a, json_str(o, "pipeline", ""));
}

size_t flake_read_ledger(const struct redisReply *ledger, struct arena *a, struct flake *out,
			 size_t max)
{
	const char *count = redis_field(ledger, "#greens");
	struct flake about;
	uint64_t greens;
	size_t n = 0;

	if (!count || !text_to_u64(count, &greens))
		greens = 0;
	read_about(ledger, a, &about);
	for (size_t i = 0; i + 1 < redis_len(ledger) && n < max; i += 2) {
		const char *name = redis_str(redis_at(ledger, i));
		const char *text = redis_str(redis_at(ledger, i + 1));

		if (!name || !text || *name == '#' || !flake_read(name, text, greens, a, &out[n]))
			continue;
		out[n].source = about.source;
		out[n].repo = about.repo;
		out[n++].pipeline = about.pipeline;
	}
	return n;
}

static struct json_object *history_to_json(const struct flake *f)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < f->n; i++) {
		struct json_object *mark = json_object_new_object();

		json_add_str(mark, "result", f->history[i].failed ? "fail" : "pass");
		json_add_str(mark, "commit", f->history[i].commit);
		json_add_i64(mark, "at_ms", f->history[i].at_ms);
		json_object_array_add(list, mark);
	}
	return list;
}

static double rounded(double x)
{
	return round(x * 1000) / 1000;
}

struct json_object *flake_to_json(const struct flake *f)
{
	struct json_object *o = json_object_new_object();

	json_add_str(o, "source", f->source);
	json_add_str(o, "repo", f->repo);
	json_add_str(o, "pipeline", f->pipeline);
	json_add_str(o, "test", f->name);
	json_add_str(o, "framework", f->framework);
	json_add_str(o, "file", f->file);
	json_add_str(o, "owner", f->owner);
	json_add_bool(o, "flaky", f->flaky);
	json_add_num(o, "confidence", rounded(f->confidence));
	json_add_num(o, "flip_rate", rounded(f->flip_rate));
	json_add_i64(o, "failures", f->failures);
	json_add_i64(o, "runs", (int64_t)f->runs);
	json_add_i64(o, "failed_commits", f->failed_commits);
	json_add_i64(o, "healed_commits", f->healed_commits);
	json_add_num(o, "lost_minutes", rounded(f->lost_minutes));
	json_add_i64(o, "first_ms", f->first_ms);
	json_add_i64(o, "last_ms", f->last_ms);
	json_add(o, "history", history_to_json(f));
	return o;
}

int flake_compare(const void *a, const void *b)
{
	const struct flake *x = a, *y = b;

	if (x->flaky != y->flaky)
		return x->flaky ? -1 : 1;
	if (x->lost_minutes != y->lost_minutes)
		return x->lost_minutes > y->lost_minutes ? -1 : 1;
	return (x->last_ms < y->last_ms) - (x->last_ms > y->last_ms);
}
