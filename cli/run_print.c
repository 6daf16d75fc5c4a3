#include "cli/run_print.h"

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
#include "web/run_view.h"

int run_load(struct query *q, const char *ref, struct redisReply **out, struct err *err)
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

int64_t run_number(const struct redisReply *run, const char *name)
{
	int64_t n;

	return text_to_i64(run_field(run, name), &n) ? n : 0;
}

const char *run_why(const struct redisReply *run)
{
	const char *detail = run_field(run, "outcome_detail");

	if (*run_field(run, "outcome") && *detail)
		return detail;
	return run_field(run, "plan_reason");
}

/* --- for people -------------------------------------------------------------------- */

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
	if (*f.category_title && *f.rule)
		line("that is", f.category_title);
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
	if (*f.link)
		line("more", f.link);
	line("fingerprint", f.fingerprint);
	if (run_number(run, "finding_generation") < run_number(run, "generation"))
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
	time_line("sent", run_number(plan, "sent_at_ms"));
	if (!*run_field(plan, "result"))
		return;
	heading("What came of it");
	painted_line("result", run_field(plan, "result"));
	line("detail", run_field(plan, "detail"));
	line("proposal", run_field(plan, "proposal"));
	line("", run_field(plan, "proposal_state"));
	time_line("at", run_number(plan, "done_at_ms"));
}

/* "build 57": its word is the label. */
static void print_attempt(char *text)
{
	char *count = strchr(text, ' ');

	if (!count)
		return;
	*count = '\0';
	line(text, count + 1);
}

void run_print(const char *ref, const struct redisReply *run, const struct redisReply *plan)
{
	char attempt[ATTEMPT_TEXT_MAX];

	printf("%s", term_bold());
	term_put(run_field(run, "repo"));
	printf(": ");
	term_put(*run_field(run, "pipeline") ? run_field(run, "pipeline") : "run");
	printf("%s\n", term_plain());
	line("run", ref);
	painted_line("state", run_view_state(run));
	run_view_attempt_of(run, attempt);
	print_attempt(attempt);
	line("status", run_field(run, "status"));
	line("conclusion", run_field(run, "conclusion"));
	line("branch", run_field(run, "branch"));
	line("commit", run_field(run, "sha"));
	line("page", run_field(run, "url"));
	time_line("changed", run_number(run, "updated_at_ms"));
	print_finding(run);
	if (redis_len(plan) > 0)
		print_plan(plan);
}
