#include "cli/run_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/query.h"
#include "cli/term.h"
#include "core/clock.h"
#include "core/finding.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"

int run_view_load(struct query *q, const char *ref, struct redisReply **out, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *run = NULL;
	char key[KEY_MAX];

	key_part_of(&q->ks, key_partition_of_ref(&q->ks, ref), "run", ref, key);
	if (query_ask(q, &run, err, "HGETALL", key, (char *)NULL) < 0)
		return -1;
	if (redis_len(run) == 0)
		return err_set(err, ERR_INPUT,
			       "run %.100s is not known here (runs are kept for 35 days)", ref);
	*out = TAKE(run);
	return 0;
}

const char *run_field(const struct redisReply *run, const char *name)
{
	const char *text = redis_field(run, name);

	return text ? text : "";
}

int64_t run_number_field(const struct redisReply *run, const char *name)
{
	int64_t n;

	return text_to_i64(run_field(run, name), &n) ? n : 0;
}

/* The plan in the hash may be one for an earlier attempt. */
static bool plan_is_current(const struct redisReply *run)
{
	const char *plan = run_field(run, "plan"), *colon = strrchr(plan, ':');

	return colon && strcmp(colon + 1, run_field(run, "generation")) == 0;
}

const char *run_state(const struct redisReply *run)
{
	const char *state = run_field(run, "plan_state"), *outcome = run_field(run, "outcome");
	const char *conclusion = run_field(run, "conclusion");
	bool failed = strcmp(run_field(run, "failed"), "1") == 0;

	if (strcmp(state, "awaiting") == 0)
		return "awaiting";
	if (failed && run_number_field(run, "diagnosed") < run_number_field(run, "generation"))
		return "diagnosing";
	if (failed && plan_is_current(run))
		return strcmp(state, "done") == 0 ? outcome : state;
	/* A success after our re-run is our success. */
	if (strcmp(outcome, "healed") == 0 && strcmp(conclusion, "success") == 0)
		return outcome;
	return *conclusion ? conclusion : run_field(run, "status");
}

const char *run_why(const struct redisReply *run)
{
	const char *detail = run_field(run, "outcome_detail");

	if (*run_field(run, "outcome") && *detail)
		return detail;
	return run_field(run, "plan_reason");
}

static void add_texts(struct json_object *o, const struct redisReply *reply,
		      const char *const *names)
{
	for (; *names; names++) {
		const char *text = redis_field(reply, *names);

		if (text && *text)
			json_add_str(o, *names, text);
	}
}

static void add_numbers(struct json_object *o, const struct redisReply *reply,
			const char *const *names)
{
	for (; *names; names++) {
		const char *text = redis_field(reply, *names);
		int64_t n;

		if (text && text_to_i64(text, &n))
			json_add_i64(o, *names, n);
	}
}

struct json_object *run_row_json(const char *ref, const struct redisReply *run)
{
	static const char *const texts[] = {
		"repo",     "pipeline",       "branch",     "sha",
		"url",      "status",         "conclusion", "category",
		"strategy", "plan_mode",      "plan_state", "plan_reason",
		"outcome",  "outcome_detail", NULL
	};
	static const char *const numbers[] = { "generation", "updated_at_ms", NULL };
	struct json_object *o = json_object_new_object();

	json_add_str(o, "run", ref);
	json_add_str(o, "state", run_state(run));
	add_texts(o, run, texts);
	add_numbers(o, run, numbers);
	return o;
}

struct json_object *run_view_json(const char *ref, const struct redisReply *run,
				  const struct redisReply *plan)
{
	static const char *const texts[] = { "id",     "strategy", "risk",        "mode", "state",
					     "reason", "category", "fingerprint", "rule", "result",
					     "detail", "asked_by", NULL };
	static const char *const numbers[] = { "generation", "created_at_ms", "due_at_ms",
					       "sent_at_ms", "done_at_ms",    "sends",
					       NULL };
	struct json_object *o = run_row_json(ref, run), *part = NULL;
	const char *finding = run_field(run, "finding");
	struct err err;

	if (*finding && json_parse(finding, strlen(finding), &part, &err) == 0)
		json_add(o, "finding", part);
	if (redis_len(plan) > 0) {
		part = json_object_new_object();
		add_texts(part, plan, texts);
		add_numbers(part, plan, numbers);
		json_add(o, "plan", part);
	}
	return o;
}

/* --- for people ----------------------------------------------------------------- */

static void line(const char *label, const char *text)
{
	if (!*text)
		return;
	printf("  %-12s ", label);
	term_put(text);
	printf("\n");
}

static void painted_line(const char *label, const char *word)
{
	printf("  %-12s %s", label, term_paint(word));
	term_put(word);
	printf("%s\n", term_plain());
}

static void time_line(const char *label, int64_t at_ms)
{
	char at[25], age[24];

	if (at_ms <= 0)
		return;
	text_from_ms(at, at_ms);
	term_age(age, at_ms, clock_wall_ms());
	printf("  %-12s %s (%s ago)\n", label, at, age);
}

static void heading(const char *text)
{
	printf("\n%s%s%s\n", term_bold(), text, term_plain());
}

static void print_list(const char *label, const char *const *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		line(i ? "" : label, items[i]);
}

static void print_finding(const struct redisReply *run)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	OWNED(json_putp) struct json_object *json = NULL;
	const char *text = run_field(run, "finding");
	struct finding f;
	struct err err;

	if (!*text)
		return;
	heading("Why it failed");
	if (json_parse(text, strlen(text), &json, &err) < 0 ||
	    finding_from_json(json, a, &f, &err) < 0) {
		line("finding", "cannot be read by this release");
		return;
	}
	line("cause", f.title);
	line("category",
	     arena_printf(a, "%s%s%s%s", f.category, *f.subcategory ? "/" : "", f.subcategory,
			  f.transient ? " (trying again can help)" : ""));
	if (*f.rule)
		line("confidence", arena_printf(a, "%.0f %% (%s)", f.confidence * 100, f.rule));
	line("job", f.job);
	for (size_t i = 0; i < f.n_evidence; i++)
		line(i         ? ""
		     : *f.rule ? "evidence"
			       : "last lines",
		     arena_printf(a, "%6" PRIu64 "  %s", f.evidence[i].line, f.evidence[i].text));
	print_list("failed tests", f.failed_tests, f.n_failed_tests);
	print_list("what to do", f.suggestions, f.n_suggestions);
	line("fingerprint", f.fingerprint);
	if (run_number_field(run, "finding_generation") < run_number_field(run, "generation"))
		line("", "(of an earlier attempt)");
}

static void print_plan(const struct redisReply *plan)
{
	heading("What is done about it");
	line("plan", run_field(plan, "id"));
	line("strategy", run_field(plan, "strategy"));
	line("mode", run_field(plan, "mode"));
	line("reason", run_field(plan, "reason"));
	line("state", run_field(plan, "state"));
	time_line("sent", run_number_field(plan, "sent_at_ms"));
	if (!*run_field(plan, "result"))
		return;
	heading("What came of it");
	painted_line("result", run_field(plan, "result"));
	line("detail", run_field(plan, "detail"));
	time_line("at", run_number_field(plan, "done_at_ms"));
}

void run_view_print(const char *ref, const struct redisReply *run, const struct redisReply *plan)
{
	printf("%s", term_bold());
	term_put(run_field(run, "repo"));
	printf(": ");
	term_put(*run_field(run, "pipeline") ? run_field(run, "pipeline") : "run");
	printf("%s\n", term_plain());
	line("run", ref);
	painted_line("state", run_state(run));
	line("attempt", run_field(run, "generation"));
	line("status", run_field(run, "status"));
	line("conclusion", run_field(run, "conclusion"));
	line("branch", run_field(run, "branch"));
	line("commit", run_field(run, "sha"));
	line("page", run_field(run, "url"));
	time_line("changed", run_number_field(run, "updated_at_ms"));
	print_finding(run);
	if (redis_len(plan) > 0)
		print_plan(plan);
}
