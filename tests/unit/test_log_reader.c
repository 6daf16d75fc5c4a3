#include "dispatcher/log_reader.h"

#include <string.h>

#include <event2/event.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "tests/unit/metric_sum.h"
#include "unit.h"

#define SKIPPED "Stage \"Deploy\" skipped due to earlier failure(s)"

struct fixture {
	struct detector *detector;
	struct event_base *base;
	struct log_reader *reader;
	struct arena *arena;
	unsigned turns, read; /* of the loop; logs that were read to the end */
};

struct log {
	struct fixture *f;
	struct log_reading *reading;
	struct buf text;
	const char *look_for;
	char *answer;
	bool found;
	unsigned place;       /* among those that ended */
	unsigned turns_taken; /* of the loop, when it ended */
};

static int set_up(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct err err;

	assert_ok(detector_new("conf/rules", NULL, &f->detector, &err), &err);
	f->base = event_base_new();
	f->reader = log_reader_new(f->base, f->detector);
	f->arena = arena_new();
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	log_reader_free(f->reader);
	detector_free(f->detector);
	event_base_free(f->base);
	arena_free(f->arena);
	free(f);
	return 0;
}

static char *as_text(struct finding *f)
{
	OWNED(json_putp) struct json_object *o = NULL;

	f->scan_ms = 0;
	o = finding_to_json(f);
	return xstrdup(json_text(o));
}

static void on_read(struct finding *f, bool found, void *arg)
{
	struct log *l = arg;

	l->answer = as_text(f);
	l->found = found;
	l->reading = NULL;
	l->place = ++l->f->read;
	l->turns_taken = l->f->turns;
}

/* Of about so many bytes, with one cause that is found near its end. */
static void write_log(struct log *l, struct fixture *f, size_t n)
{
	*l = (struct log){ .f = f };
	buf_init(&l->text, 64 << 20);
	for (unsigned i = 0; l->text.len < n; i++)
		buf_printf(&l->text, "[%u] resolving package number %u of the shop\r\n", i, i);
	buf_printf(&l->text, "tax.c:7:9: error: 'rate' undeclared\nmake: *** [tax.o] Error 1\n");
}

static void begin(struct log *l)
{
	struct detect_input in = { .provider = "plain" };
	struct tail_buf bytes;

	tail_buf_init(&bytes, 64 << 20, true);
	assert_true(tail_buf_put(&bytes, l->text.data, l->text.len));
	l->reading =
		log_reader_begin(l->f->reader, &bytes, &in, l->look_for, l->f->arena, on_read, l);
	assert_null(bytes.data);
}

static void run(struct fixture *f, unsigned logs, unsigned turns)
{
	for (unsigned i = 0; f->read < logs && i < turns; i++) {
		assert_int_not_equal(event_base_loop(f->base, EVLOOP_ONCE), -1);
		f->turns++;
	}
}

static unsigned slices(size_t n)
{
	return (unsigned)((n + LOG_SLICE_BYTES - 1) / LOG_SLICE_BYTES);
}

static void done(struct log *l)
{
	free(l->answer);
	buf_done(&l->text);
}

static void assert_same_as_in_one_piece(struct log *l)
{
	struct detect_input in = { .text = l->text.data, .len = l->text.len, .provider = "plain" };
	OWNED(freep) char *whole = NULL;
	struct finding f;

	detector_scan(l->f->detector, &in, l->f->arena, &f);
	whole = as_text(&f);
	assert_non_null(l->answer);
	assert_string_equal(l->answer, whole);
}

static void reads_one_slice_in_a_turn(void **state)
{
	struct fixture *f = *state;
	int64_t before = metric_sum("log_slice_seconds_count", "");
	struct log l;

	write_log(&l, f, 3 << 20);
	begin(&l);
	run(f, 1, 1000);
	assert_int_equal(l.turns_taken, slices(l.text.len));
	assert_int_equal(metric_sum("log_slice_seconds_count", "") - before, slices(l.text.len));
	assert_same_as_in_one_piece(&l);
	assert_non_null(strstr(l.answer, "build_failure"));
	done(&l);
}

static void an_empty_log_is_read_too(void **state)
{
	struct fixture *f = *state;
	struct detect_input in = { .conclusion = "timed_out" };
	struct tail_buf none = { 0 };
	struct log l = { .f = f };

	(void)log_reader_begin(f->reader, &none, &in, "x", f->arena, on_read, &l);
	assert_null(l.answer);
	run(f, 1, 10);
	assert_non_null(strstr(l.answer ? l.answer : "", "\"timeout\""));
	assert_false(l.found);
	free(l.answer);
}

static void logs_take_turns(void **state)
{
	struct fixture *f = *state;
	struct log large, small, other;

	write_log(&large, f, 4 << 20);
	write_log(&small, f, 100 << 10);
	write_log(&other, f, 200 << 10);
	begin(&large);
	begin(&other);
	begin(&small);
	run(f, 3, 1000);
	assert_int_equal(small.place, 1);
	assert_int_equal(other.place, 2);
	assert_int_equal(large.place, 3);
	assert_true(small.turns_taken <= 3 * (slices(small.text.len) + 1));
	assert_same_as_in_one_piece(&large);
	assert_same_as_in_one_piece(&small);
	assert_same_as_in_one_piece(&other);
	done(&large);
	done(&small);
	done(&other);
}

static void one_that_was_cancelled_reports_nothing(void **state)
{
	struct fixture *f = *state;
	struct log first, second, third;

	write_log(&first, f, 1 << 20);
	write_log(&second, f, 1 << 20);
	write_log(&third, f, 1 << 20);
	begin(&first);
	begin(&second);
	run(f, 1, 7);
	log_reading_cancel(TAKE(second.reading)); /* the last one in the queue, or the first */
	begin(&third);
	run(f, 1, 1);
	log_reading_cancel(TAKE(first.reading));
	run(f, 1, 1000);
	assert_null(first.answer);
	assert_null(second.answer);
	assert_same_as_in_one_piece(&third);
	log_reading_cancel(NULL);
	done(&first);
	done(&second);
	done(&third);
}

/* The fixture frees the reader. */
static void the_reader_may_go_first(void **state)
{
	struct fixture *f = *state;
	struct log l;

	write_log(&l, f, 1 << 20);
	begin(&l);
	run(f, 1, 5);
	assert_null(l.answer);
	done(&l);
}

static void new_rules_read_it_from_its_beginning(void **state)
{
	struct fixture *f = *state;
	struct detector *fresh = NULL;
	struct err err;
	struct log l;

	assert_ok(detector_new("conf/rules", NULL, &fresh, &err), &err);
	write_log(&l, f, 1 << 20);
	begin(&l);
	run(f, 1, slices(l.text.len));
	assert_null(l.answer);
	log_reader_use(f->reader, fresh);
	detector_free(f->detector);
	f->detector = fresh;
	run(f, 1, slices(l.text.len));
	assert_null(l.answer);
	run(f, 1, 1);
	assert_same_as_in_one_piece(&l);
	done(&l);
}

/* Wherever it is: also where two slices meet. */
static void looks_for_a_text(void **state)
{
	struct fixture *f = *state;
	size_t n = strlen(SKIPPED);

	for (size_t at = LOG_SLICE_BYTES - n; at <= LOG_SLICE_BYTES; at += 11) {
		struct log l = { .f = f, .look_for = SKIPPED };

		buf_init(&l.text, 1 << 20);
		for (size_t i = 0; i < at; i++)
			buf_append(&l.text, "x", 1);
		buf_append(&l.text, SKIPPED, n);
		f->read = 0;
		begin(&l);
		run(f, 1, 10);
		assert_true(l.found);
		free(TAKE(l.answer));
		l.text.len -= 1;
		f->read = 0;
		begin(&l);
		run(f, 1, 10);
		assert_false(l.found);
		done(&l);
	}
}

/* Its memory is a ring then, and is read from the middle. */
static void a_log_that_lost_its_front_is_read_as_it_lies(void **state)
{
	struct fixture *f = *state;
	size_t n = strlen(SKIPPED), max = 3 * LOG_SLICE_BYTES + 100;

	for (size_t at = 0; at <= n; at += 13) {
		struct log l, end;
		struct detect_input in = { .provider = "plain" };
		struct tail_buf bytes;

		write_log(&l, f, 5 * LOG_SLICE_BYTES);
		/* Where the ring ends and begins is in the text that is looked for. */
		memcpy(l.text.data + max - at, SKIPPED, n);
		l.look_for = SKIPPED;
		tail_buf_init(&bytes, max, true);
		assert_true(tail_buf_put(&bytes, l.text.data, l.text.len));
		end = l;
		end.text.data = l.text.data + l.text.len - max;
		end.text.len = max;
		f->read = 0;
		l.reading =
			log_reader_begin(f->reader, &bytes, &in, l.look_for, f->arena, on_read, &l);
		run(f, 1, 100);
		assert_true(l.found);
		end.answer = l.answer;
		assert_same_as_in_one_piece(&end);
		done(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_one_slice_in_a_turn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_empty_log_is_read_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(logs_take_turns, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_was_cancelled_reports_nothing, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(the_reader_may_go_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(new_rules_read_it_from_its_beginning, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(looks_for_a_text, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_log_that_lost_its_front_is_read_as_it_lies,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
