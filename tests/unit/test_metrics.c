#include "core/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/text.h"
#include "tests/unit/metric_sum.h"
#include "tests/unit/unit.h"

/*
 * A strict reader of Prometheus' text format, after its description: what it accepts, a
 * scraper accepts. It also checks what histograms promise.
 */
struct family {
	char name[80], type[16];
	bool open; /* the last header seen was its own */
};

struct parser {
	struct family families[64];
	size_t n_families;
	struct family *now;
	char series[1024][200];
	double values[1024];
	size_t n_series;
	/* Histogram in progress: its labels without le, and the last bucket. */
	char histogram[200];
	double le, below;
	bool inf;
};

static bool name_char(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
	       (!first && c >= '0' && c <= '9');
}

static const char *read_name(const char *s, char *out, size_t cap)
{
	size_t n = 0;

	while (name_char(s[n], n == 0))
		n++;
	assert_true(n > 0 && n < cap);
	memcpy(out, s, n);
	out[n] = '\0';
	return s + n;
}

/* {a="b",c="d"}: names are legal and different, values are escaped; *le gets that label. */
static const char *read_labels(const char *s, char *le, size_t cap)
{
	char names[8][40];
	size_t n = 0;

	assert_int_equal(*s++, '{');
	do {
		assert_true(n < ARRAY_LEN(names));
		s = read_name(s, names[n], sizeof(names[n]));
		assert_null(strchr(names[n], ':'));
		for (size_t i = 0; i < n; i++)
			assert_string_not_equal(names[i], names[n]);
		assert_memory_equal(s, "=\"", 2);
		s += 2;
		if (strcmp(names[n], "le") == 0)
			(void)text_copy(le, cap, s, strcspn(s, "\""));
		for (; *s != '"'; s++) {
			assert_true(*s && *s != '\n');
			if (*s == '\\') {
				s++;
				assert_true(*s == 'n' || *s == '"' || *s == '\\');
			}
		}
		s++;
		n++;
	} while (*s++ == ',');
	assert_int_equal(s[-1], '}');
	return s;
}

static double read_value(const char *s, const char *end)
{
	char *stop;
	double v;

	assert_true(s < end && *s != ' ');
	v = strtod(s, &stop);
	assert_ptr_equal(stop, end);
	return v;
}

static struct family *family(struct parser *p, const char *name)
{
	for (size_t i = 0; i < p->n_families; i++)
		if (strcmp(p->families[i].name, name) == 0)
			return &p->families[i];
	return NULL;
}

/* HELP, then TYPE, each once per name and before its series. */
static void read_header(struct parser *p, const char *line, const char *end)
{
	char name[80];
	const char *s = read_name(line + strlen("# HELP "), name, sizeof(name));

	assert_int_equal(*s++, ' ');
	if (text_starts(line, "# HELP ")) {
		assert_null(family(p, name));
		assert_true(end - s > 5);
		p->now = &p->families[p->n_families++];
		(void)snprintf(p->now->name, sizeof(p->now->name), "%s", name);
		return;
	}
	assert_true(text_starts(line, "# TYPE "));
	assert_non_null(p->now);
	assert_string_equal(p->now->name, name);
	assert_string_equal(p->now->type, "");
	(void)text_copy(p->now->type, sizeof(p->now->type), s, (size_t)(end - s));
	assert_true(strcmp(p->now->type, "counter") == 0 || strcmp(p->now->type, "gauge") == 0 ||
		    strcmp(p->now->type, "histogram") == 0);
}

static void check_bucket(struct parser *p, const char *labels, const char *le, double v)
{
	double bound = strcmp(le, "+Inf") == 0 ? (double)INFINITY : strtod(le, NULL);

	assert_true(*le != '\0');
	if (strcmp(p->histogram, labels) != 0) {
		(void)snprintf(p->histogram, sizeof(p->histogram), "%s", labels);
		p->inf = false;
		p->below = 0;
		p->le = -1;
	}
	assert_true(bound > p->le);
	assert_true(v >= p->below);
	p->le = bound;
	p->below = v;
	p->inf = isinf(bound);
}

static void check_histogram(struct parser *p, const char *suffix, const char *labels,
			    const char *le, double v)
{
	if (strcmp(suffix, "_bucket") == 0) {
		OWNED(freep) char *rest = xstrdup(labels);
		char *at = strstr(rest, "le=\"");

		assert_non_null(at);
		*at = '\0';
		check_bucket(p, rest, le, v);
	} else if (strcmp(suffix, "_count") == 0) {
		assert_true(p->inf);
		assert_true(fabs(v - p->below) < 1e-9);
	} else {
		assert_string_equal(suffix, "_sum");
	}
}

static void read_series(struct parser *p, const char *line, const char *end)
{
	char name[100], le[32] = "", labels[200] = "";
	const char *s = read_name(line, name, sizeof(name)), *before = s;
	const struct family *now = p->now ? p->now : &(const struct family){ .name = "" };
	size_t n = strlen(now->name);
	double v;

	/* Series stand below the header of their name, and nowhere else. */
	assert_true(n && strncmp(name, now->name, n) == 0 && *now->type);
	if (*s == '{') {
		s = read_labels(s, le, sizeof(le));
		(void)text_copy(labels, sizeof(labels), before, (size_t)(s - before));
	}
	assert_int_equal(*s++, ' ');
	v = read_value(s, end);
	if (strcmp(now->type, "histogram") == 0)
		check_histogram(p, name + n, labels, le, v);
	else
		assert_string_equal(name, now->name);
	assert_true(p->n_series < ARRAY_LEN(p->series));
	(void)text_copy(p->series[p->n_series], sizeof(p->series[0]), line, (size_t)(s - 1 - line));
	for (size_t i = 0; i < p->n_series; i++)
		assert_string_not_equal(p->series[i], p->series[p->n_series]);
	p->values[p->n_series++] = v;
}

static struct parser *parsed(void)
{
	struct parser *p = xcalloc(1, sizeof(*p));
	OWNED(buf_done) struct buf text;

	buf_init(&text, 1 << 20);
	metrics_render(&text);
	assert_false(text.overflow);
	assert_true(utf8_valid((const unsigned char *)buf_text(&text), text.len));
	for (const char *s = buf_text(&text); *s;) {
		const char *end = strchr(s, '\n');

		assert_non_null(end);
		if (*s == '#')
			read_header(p, s, end);
		else
			read_series(p, s, end);
		s = end + 1;
	}
	return p;
}

/* The value of one series, -1 when it is not there. */
static double value_of(const char *series)
{
	OWNED(freep) struct parser *p = parsed();

	for (size_t i = 0; i < p->n_series; i++)
		if (strcmp(p->series[i] + strlen("pipeline_guard_"), series) == 0)
			return p->values[i];
	return -1;
}

#define assert_value(series, expected)                                       \
	do {                                                                 \
		double v_ = value_of(series), e_ = (expected);               \
		if (fabs(v_ - e_) > 1e-6)                                    \
			fail_msg("%s is %g, expected %g", (series), v_, e_); \
	} while (0)

static int fresh(void **state)
{
	UNUSED(state);
	metrics_init(-1, 0);
	return 0;
}

static void counts_sets_and_observes(void **state)
{
	UNUSED(state);
	metrics_add("events_enqueued_total", "", 1);
	metrics_add("events_enqueued_total", "", 41);
	metrics_add("webhooks_received_total", "source=\"a\",result=\"b\"", 1);
	metrics_add("webhooks_received_total", "source=\"a\",result=\"c\"", 2);
	metrics_set("stream_lag", "", 7);
	metrics_set("stream_lag", "", 3);
	metrics_set_real("cache_hit_rate", "", 0.25);
	metrics_set_real("heal_success_rate", "", 0.5);
	metrics_set_real("heal_success_rate", "", 0);
	assert_value("events_enqueued_total", 42);
	assert_value("webhooks_received_total{source=\"a\",result=\"b\"}", 1);
	assert_value("webhooks_received_total{source=\"a\",result=\"c\"}", 2);
	assert_value("stream_lag", 3);
	assert_value("cache_hit_rate", 0.25);
	assert_value("heal_success_rate", 0);
	assert_int_equal(metric_sum("webhooks_received_total", NULL), 3);
	assert_int_equal(metric_sum("webhooks_received_total", "source=\"a\",result=\"c\""), 2);
	assert_int_equal(metric_sum("plans_total", NULL), 0);
}

static void a_gauge_may_go_from_real_to_whole(void **state)
{
	UNUSED(state);
	metrics_set_real("cache_hit_rate", "", 0.75);
	metrics_set("cache_hit_rate", "", 1);
	assert_value("cache_hit_rate", 1);
	metrics_set_real("cache_hit_rate", "", -0.5);
	assert_value("cache_hit_rate", -0.5);
}

static void histograms_are_cumulative(void **state)
{
	static const struct {
		const char *why;
		double ms;
		const char *le, *below; /* counted in the first, not in the second */
	} rows[] = {
		{ "nothing", 0, "0.001", NULL },
		{ "on the first bound", 1, "0.001", NULL },
		{ "just above it", 1.001, "0.0025", "0.001" },
		{ "on a bound in the middle", 50, "0.05", "0.025" },
		{ "just above", 50.1, "0.1", "0.05" },
		{ "on the last bound", 60000, "60", "15" },
		{ "beyond every bound", 60001, "+Inf", "60" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char series[120];

		metrics_init(-1, 0);
		metrics_observe_ms("webhook_duration_seconds", "source=\"s\"", rows[i].ms);
		(void)snprintf(series, sizeof(series),
			       "webhook_duration_seconds_bucket{source=\"s\",le=\"%s\"}",
			       rows[i].le);
		assert_value(series, 1);
		if (rows[i].below) {
			(void)snprintf(series, sizeof(series),
				       "webhook_duration_seconds_bucket{source=\"s\",le=\"%s\"}",
				       rows[i].below);
			assert_value(series, 0);
		}
		assert_value("webhook_duration_seconds_bucket{source=\"s\",le=\"+Inf\"}", 1);
		assert_value("webhook_duration_seconds_count{source=\"s\"}", 1);
		assert_value("webhook_duration_seconds_sum{source=\"s\"}", rows[i].ms / 1000);
	}
}

static void histograms_need_no_labels(void **state)
{
	UNUSED(state);
	metrics_observe_ms("check_duration_seconds", "", 3);
	metrics_observe_ms("check_duration_seconds", "", 7);
	assert_value("check_duration_seconds_bucket{le=\"0.005\"}", 1);
	assert_value("check_duration_seconds_bucket{le=\"0.01\"}", 2);
	assert_value("check_duration_seconds_sum", 0.01);
	assert_value("check_duration_seconds_count", 2);
}

static void labels_that_do_not_fit_go_to_the_overflow_counter(void **state)
{
	char labels[120];

	UNUSED(state);
	memset(labels, 'x', sizeof(labels));
	memcpy(labels, "h=\"", 3);
	labels[94] = '"';
	labels[95] = '\0';
	assert_int_equal(strlen(labels), 95);
	metrics_add("provider_requests_total", labels, 1);
	assert_int_equal(metric_sum("metrics_overflow_total", NULL), 0);
	assert_int_equal(metric_sum("provider_requests_total", labels), 1);
	memcpy(labels + 94, "x\"", 3);
	metrics_add("provider_requests_total", labels, 1);
	metrics_set("region_up", labels, 7);
	metrics_set_real("region_up", labels, 0.5);
	metrics_observe_ms("check_duration_seconds", labels, 5);
	assert_int_equal(metric_sum("metrics_overflow_total", NULL), 4);
	assert_int_equal(metric_sum("provider_requests_total", NULL), 1);
	assert_value("metrics_overflow_total", 4);
}

static void series_that_do_not_fit_go_to_the_overflow_counter(void **state)
{
	enum { ROOM = 384 - 1 }; /* one row is the counter's own */
	char labels[40];

	UNUSED(state);
	for (int i = 0; i < ROOM + 5; i++) {
		(void)snprintf(labels, sizeof(labels), "rule=\"%d\"", i);
		metrics_add("regex_gave_up_total", labels, 1);
	}
	assert_int_equal(metric_sum("regex_gave_up_total", NULL), ROOM);
	assert_int_equal(metric_sum("metrics_overflow_total", NULL), 5);
	metrics_observe_ms("check_duration_seconds", "", 5);
	assert_int_equal(metric_sum("metrics_overflow_total", NULL), 6);
	/* Those that have a row go on. */
	metrics_add("regex_gave_up_total", "rule=\"0\"", 1);
	metrics_add("regex_gave_up_total", "rule=\"382\"", 1);
	assert_int_equal(metric_sum("regex_gave_up_total", NULL), ROOM + 2);
	assert_value("metrics_overflow_total", 6);
}

/* The same when labels overflowed before, and the counter has a row in the middle. */
static void the_overflow_counter_has_one_row(void **state)
{
	char labels[120];

	UNUSED(state);
	memset(labels, 'x', 119);
	labels[119] = '\0';
	metrics_add("regex_gave_up_total", labels, 1);
	for (int i = 0; i < 400; i++) {
		(void)snprintf(labels, sizeof(labels), "rule=\"%d\"", i);
		metrics_add("regex_gave_up_total", labels, 1);
	}
	assert_int_equal(metric_sum("regex_gave_up_total", NULL) +
				 metric_sum("metrics_overflow_total", NULL),
			 401);
	assert_value("metrics_overflow_total",
		     401.0 - (double)metric_sum("regex_gave_up_total", NULL));
}

static void a_handle_is_the_series(void **state)
{
	struct metric *a = metrics_handle("events_enqueued_total", "");
	struct metric *b = metrics_handle("webhook_duration_seconds", "");

	UNUSED(state);
	assert_ptr_equal(a, metrics_handle("events_enqueued_total", ""));
	assert_ptr_not_equal(a, metrics_handle("events_enqueued_total", "x=\"1\""));
	metric_add(a, 2);
	metrics_add("events_enqueued_total", "", 3);
	metric_observe_ms(b, 4);
	assert_value("events_enqueued_total", 5);
	assert_value("webhook_duration_seconds_count", 1);
}

/* Runs fn in a process that has this slot, as a worker of `start` would. */
static void in_child(int fd, unsigned slot, void (*fn)(void))
{
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		metrics_init(fd, slot);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void first_worker(void)
{
	metrics_add("events_enqueued_total", "", 10);
	metrics_add("webhooks_received_total", "source=\"a\"", 1);
	metrics_observe_ms("webhook_duration_seconds", "", 3);
	metrics_set_real("cache_hit_rate", "", 0.25);
}

/* The same series in other rows, and one that the first has not. */
static void second_worker(void)
{
	metrics_observe_ms("webhook_duration_seconds", "", 300);
	metrics_add("webhooks_received_total", "source=\"b\"", 5);
	metrics_add("webhooks_received_total", "source=\"a\"", 2);
	metrics_add("events_enqueued_total", "", 4);
}

static void whoever_renders_speaks_for_all_processes(void **state)
{
	int fd = metrics_area_new(3);

	UNUSED(state);
	assert_true(fd >= 0);
	metrics_init(fd, 2);
	in_child(fd, 0, first_worker);
	in_child(fd, 1, second_worker);
	metrics_add("events_enqueued_total", "", 100);
	assert_value("events_enqueued_total", 114);
	assert_value("webhooks_received_total{source=\"a\"}", 3);
	assert_value("webhooks_received_total{source=\"b\"}", 5);
	assert_value("webhook_duration_seconds_count", 2);
	assert_value("webhook_duration_seconds_sum", 0.303);
	assert_value("webhook_duration_seconds_bucket{le=\"0.005\"}", 1);
	assert_value("webhook_duration_seconds_bucket{le=\"0.5\"}", 2);
	assert_value("cache_hit_rate", 0.25);
	assert_int_equal(metric_sum("events_enqueued_total", NULL), 114);
	/* A worker that died and came back goes on counting where it was: counters never fall. */
	in_child(fd, 0, first_worker);
	assert_value("events_enqueued_total", 124);
	assert_value("webhook_duration_seconds_count", 3);
	(void)close(fd);
}

static void a_dying_worker(void)
{
	metrics_set("spool_bytes", "", 7);
	metrics_set_real("cache_hit_rate", "", 0.5);
	metrics_add("events_enqueued_total", "", 3);
	metrics_observe_ms("webhook_duration_seconds", "", 3);
}

/* A worker that was killed has no open spool any more, but it has taken what it has taken. */
static void gauges_of_the_dead_do_not_count(void **state)
{
	int fd = metrics_area_new(3);

	UNUSED(state);
	metrics_init(fd, 2);
	in_child(fd, 0, a_dying_worker);
	in_child(fd, 1, a_dying_worker);
	assert_value("spool_bytes", 14);
	metrics_area_forget_gauges(fd, 1);
	assert_value("spool_bytes", 7);
	assert_value("cache_hit_rate", 0.5);
	assert_value("events_enqueued_total", 6);
	assert_value("webhook_duration_seconds_count", 2);
	assert_value("webhook_duration_seconds_sum", 0.006);
	/* What is no slot is left alone. */
	metrics_area_forget_gauges(fd, 3);
	metrics_area_forget_gauges(-1, 0);
	metrics_area_forget_gauges(0, 0);
	assert_value("spool_bytes", 7);
	(void)close(fd);
}

static void an_area_has_limits(void **state)
{
	static const struct {
		const char *why;
		unsigned slots;
		bool ok;
	} rows[] = {
		{ "none", 0, false },
		{ "one", 1, true },
		{ "the most", 64, true },
		{ "one more", 65, false },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int fd = metrics_area_new(rows[i].slots);

		assert_case((fd >= 0) == rows[i].ok, rows[i].why);
		if (fd >= 0)
			(void)close(fd);
	}
}

/* What does not fit ends in a private area: a wrong variable must not crash a worker. */
static void a_wrong_slot_or_descriptor_is_a_private_area(void **state)
{
	int fd = metrics_area_new(2);
	FILE *empty = tmpfile();

	UNUSED(state);
	assert_true(fd >= 0 && empty);
	metrics_init(fd, 2);
	metrics_add("events_enqueued_total", "", 5);
	metrics_init(fd, 1);
	assert_int_equal(metric_sum("events_enqueued_total", NULL), 0);
	metrics_init(fileno(empty), 0);
	metrics_add("events_enqueued_total", "", 6);
	assert_value("events_enqueued_total", 6);
	metrics_init(9999, 0);
	metrics_add("events_enqueued_total", "", 7);
	assert_value("events_enqueued_total", 7);
	(void)fclose(empty);
	(void)close(fd);
}

static void the_environment_names_the_area(void **state)
{
	static const struct {
		const char *why, *fd, *slot; /* fd "F": the right one */
		bool shared;
	} rows[] = {
		{ "as `start` gives it", "F", "1", true },
		{ "no descriptor", NULL, "1", false },
		{ "no slot", "F", NULL, false },
		{ "a descriptor that is none", "x", "1", false },
		{ "a slot that is none", "F", "-1", false },
		{ "a slot beyond the area", "F", "2", false },
		{ "a huge descriptor", "4294967296", "1", false },
	};
	int fd = metrics_area_new(2);
	char number[16];

	UNUSED(state);
	assert_true(fd >= 0);
	(void)snprintf(number, sizeof(number), "%d", fd);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t before, after;

		metrics_init(fd, 0);
		before = metric_sum("events_enqueued_total", NULL);
		(void)unsetenv("PIPELINE_GUARD_METRICS_FD");
		(void)unsetenv("PIPELINE_GUARD_METRICS_SLOT");
		if (rows[i].fd)
			(void)setenv("PIPELINE_GUARD_METRICS_FD",
				     *rows[i].fd == 'F' ? number : rows[i].fd, 1);
		if (rows[i].slot)
			(void)setenv("PIPELINE_GUARD_METRICS_SLOT", rows[i].slot, 1);
		metrics_init_from_env();
		metrics_add("events_enqueued_total", "", 1);
		metrics_init(fd, 0);
		after = metric_sum("events_enqueued_total", NULL);
		assert_case(after - before == rows[i].shared, rows[i].why);
	}
	(void)unsetenv("PIPELINE_GUARD_METRICS_FD");
	(void)unsetenv("PIPELINE_GUARD_METRICS_SLOT");
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(counts_sets_and_observes, fresh),
		cmocka_unit_test_setup(a_gauge_may_go_from_real_to_whole, fresh),
		cmocka_unit_test_setup(histograms_are_cumulative, fresh),
		cmocka_unit_test_setup(histograms_need_no_labels, fresh),
		cmocka_unit_test_setup(labels_that_do_not_fit_go_to_the_overflow_counter, fresh),
		cmocka_unit_test_setup(series_that_do_not_fit_go_to_the_overflow_counter, fresh),
		cmocka_unit_test_setup(the_overflow_counter_has_one_row, fresh),
		cmocka_unit_test_setup(a_handle_is_the_series, fresh),
		cmocka_unit_test_setup(whoever_renders_speaks_for_all_processes, fresh),
		cmocka_unit_test_setup(gauges_of_the_dead_do_not_count, fresh),
		cmocka_unit_test_setup(an_area_has_limits, fresh),
		cmocka_unit_test_setup(a_wrong_slot_or_descriptor_is_a_private_area, fresh),
		cmocka_unit_test_setup(the_environment_names_the_area, fresh),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
