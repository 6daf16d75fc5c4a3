/* The simulator's failures state their cause: the detector has to find it in their logs. */
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/finding.h"
#include "core/mem.h"
#include "dispatcher/detector.h"
#include "tests/simulator/cause.h"
#include "tests/simulator/job_log.h"
#include "tests/simulator/world.h"
#include "unit.h"

enum { SEEDS = 5 };

static struct detector *detector;

static int load(void **state)
{
	struct err err;

	UNUSED(state);
	assert_ok(detector_new("conf/rules", NULL, &detector, &err), &err);
	return 0;
}

static int unload(void **state)
{
	UNUSED(state);
	detector_free(detector);
	return 0;
}

static struct finding read_log(const struct cause *c, unsigned story, uint64_t seed, bool facts,
			       struct arena *a)
{
	const struct run run = { .id = 1, .seed = seed };
	const struct job job = {
		.id = seed,
		.name = "build",
		.state = STATE_COMPLETED,
		.conclusion = !c              ? "success"
			      : c->conclusion ? c->conclusion
					      : "failure",
		.cause = c,
		.story = story,
		.started_ms = 1772359872000,
		.completed_ms = 1772359972000,
	};
	struct detect_input in = { .text = NULL };
	struct step steps[JOB_STEPS_MAX];
	OWNED(buf_done) struct buf log;
	char names[256];
	struct finding f;

	buf_init(&log, JOB_LOG_MAX);
	job_log_write(&log, &run, &job, (unsigned)seed * 40);
	in.text = log.data;
	in.len = log.len;
	if (facts) {
		unsigned n = job_steps(&run, &job, steps, names);

		in.provider = "github";
		in.conclusion = job.conclusion;
		in.no_failed_step = true;
		for (unsigned i = 0; i < n; i++) {
			if (!steps[i].conclusion || strcmp(steps[i].conclusion, "failure") != 0)
				continue;
			in.failed_step = steps[i].name;
			in.no_failed_step = false;
		}
	}
	detector_scan(detector, &in, a, &f);
	return f;
}

static unsigned wrong;

static void check(const struct cause *c, unsigned story, uint64_t seed, bool facts)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f = read_log(c, story, seed, facts, a);

	if (strcmp(f.category, c->category) == 0 && f.transient == c->transient)
		return;
	wrong++;
	(void)fprintf(stderr, "%s, story %u, %s: %s/%s%s by %s (%.2f), not %s/%s%s\n", c->id, story,
		      facts ? "with facts" : "log alone", f.category, f.subcategory,
		      f.transient ? ", transient" : "", f.rule, f.confidence, c->category,
		      c->subcategory ? c->subcategory : "", c->transient ? ", transient" : "");
}

static bool in_a_log(const struct cause *c)
{
	return c->place != IN_NO_JOB && cause_stories(c) > 0;
}

static void the_stated_cause_is_found(void **state)
{
	UNUSED(state);
	wrong = 0;
	for (size_t i = 0; i < n_causes; i++)
		for (unsigned s = 0; in_a_log(&causes[i]) && s < cause_stories(&causes[i]); s++)
			for (uint64_t seed = 1; seed <= SEEDS; seed++)
				check(&causes[i], s, seed, true);
	assert_int_equal(wrong, 0);
}

/* Saved logs have no facts beside them; a lost runner leaves nothing that says so. */
static void the_log_alone_says_it_too(void **state)
{
	UNUSED(state);
	wrong = 0;
	for (size_t i = 0; i < n_causes; i++) {
		if (!in_a_log(&causes[i]) || causes[i].no_failed_step || causes[i].conclusion)
			continue;
		for (unsigned s = 0; s < cause_stories(&causes[i]); s++)
			check(&causes[i], s, 1, false);
	}
	assert_int_equal(wrong, 0);
}

static void jobs_that_passed_have_no_cause(void **state)
{
	UNUSED(state);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		OWNED(arena_freep) struct arena *a = arena_new();
		struct finding f = read_log(NULL, 0, seed, false, a);

		assert_string_equal(f.category, "unknown");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_stated_cause_is_found),
		cmocka_unit_test(the_log_alone_says_it_too),
		cmocka_unit_test(jobs_that_passed_have_no_cause),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
