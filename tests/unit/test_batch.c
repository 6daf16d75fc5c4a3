#include "dispatcher/batch.h"

#include <string.h>

#include "core/ci_event.h"
#include "tests/unit/unit.h"

#define FILL(a) memset((a), 'x', sizeof(a) - 1)

static struct ci_event largest(void)
{
	struct ci_event ev = {
		.kind = CI_RUN,
		.status = CI_COMPLETED,
		.repo_id = INT64_MAX,
		.run_id = INT64_MAX,
		.generation = INT64_MAX,
		.installation = INT64_MAX,
		.pipeline_id = INT64_MAX,
		.at_ms = INT64_MAX,
	};

	FILL(ev.provider);
	FILL(ev.source);
	FILL(ev.conclusion);
	FILL(ev.failure_reason);
	FILL(ev.repo);
	FILL(ev.pipeline);
	FILL(ev.branch);
	FILL(ev.default_branch);
	FILL(ev.sha);
	FILL(ev.trigger);
	FILL(ev.actor);
	FILL(ev.head_repo);
	FILL(ev.url);
	FILL(ev.trace);
	return ev;
}

static void as_many_of_the_largest_as_it_takes_fit(void **state)
{
	OWNED(batch_done) struct batch b;
	struct ci_event ev = largest();

	UNUSED(state);
	batch_init(&b);
	for (int i = 0; i < BATCH_ENTRIES_MAX; i++)
		batch_record(&b, "18446744073709551615-18446744073709551615", &ev);
	assert_false(b.packed.overflow);
	assert_int_equal(b.n, BATCH_ENTRIES_MAX);
}

/* As MessagePack says: 2 in an array of 16 bits, each an array, texts up to 31 with a short head.
 */
static void entries_are_packed_one_after_the_other(void **state)
{
	static const char want[] = "\xdc\0\0\xdc\0\1\xa3"
				   "1-1\xdc\0\1\xda\0\40"
				   "00000000000000000000000000000-02";
	OWNED(batch_done) struct batch b;

	UNUSED(state);
	batch_init(&b);
	batch_ack(&b, "1-1");
	batch_ack(&b, "00000000000000000000000000000-02");
	assert_int_equal(b.packed.len, sizeof(want) - 1);
	assert_memory_equal(b.packed.data, want, sizeof(want) - 1);
}

static void answers_of_any_kind_are_taken(void **state)
{
	UNUSED(state);
	assert_false(batch_woke(NULL));
	assert_null(batch_dead(NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_many_of_the_largest_as_it_takes_fit),
		cmocka_unit_test(entries_are_packed_one_after_the_other),
		cmocka_unit_test(answers_of_any_kind_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
