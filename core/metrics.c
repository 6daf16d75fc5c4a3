#include "core/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/text.h"

enum {
	SERIES_PER_SLOT = 384,
	NAME_BYTES = 48,
	LABEL_BYTES = 96,
	SLOTS_MAX = 64,
	BUCKETS = 15, /* the last one is +Inf */
};

/* Upper bounds in ms; exposed in seconds. */
static const double bounds_ms[BUCKETS - 1] = { 1,   2.5, 5,    10,   25,   50,    100,
					       250, 500, 1000, 2500, 5000, 15000, 60000 };

/*
 * Counters are written by one process and read by others, so plain 64-bit
 * stores suffice; the name is written last and makes the row visible.
 */
struct metric {
	char labels[LABEL_BYTES];
	uint32_t kind;
	uint32_t pad;
	int64_t value; /* histogram: observations */
	double real;   /* histogram: sum in ms; gauge: what is added to `value` */
	int64_t bucket[BUCKETS];
	char name[NAME_BYTES];
};

struct slot {
	struct metric series[SERIES_PER_SLOT];
};

/* HELP and TYPE; a name that is not here cannot be used. */
static const struct known {
	const char *name;
	enum metric_kind kind;
	const char *help;
} known[] = {
	{ "active_pipelines", METRIC_GAUGE, "Runs that are queued or running." },
	{ "anomalies_detected_total", METRIC_COUNTER, "Anomalies in the series that are watched." },
	{ "breaker_state", METRIC_GAUGE,
	  "Circuit breaker of a provider host: 0 closed, 1 open, 2 half-open." },
	{ "cache_hit_rate", METRIC_GAUGE, "Share of provider reads answered from the cache." },
	{ "check_duration_seconds", METRIC_HISTOGRAM, "Time to diagnose one log." },
	{ "dead_letter_total", METRIC_COUNTER, "Entries that could not be processed." },
	{ "dead_letters_dropped_total", METRIC_COUNTER,
	  "Dead letters that went for being too many or too old." },
	{ "events_duplicate_total", METRIC_COUNTER, "Deliveries that were seen before." },
	{ "events_enqueued_total", METRIC_COUNTER, "Events written to the stream." },
	{ "events_resent_total", METRIC_COUNTER,
	  "Events sent again because another Redis answered." },
	{ "events_spooled_total", METRIC_COUNTER, "Events that were put on disk first." },
	{ "events_unknown_values_total", METRIC_COUNTER,
	  "States and conclusions in events that are not known here, by source." },
	{ "failed_pipelines", METRIC_GAUGE, "Runs whose latest attempt failed." },
	{ "findings_total", METRIC_COUNTER, "Diagnoses by category." },
	{ "flaky_failures_total", METRIC_COUNTER,
	  "Attempts of which only tests failed that are known to be flaky." },
	{ "heal_attempts_total", METRIC_COUNTER, "Heals started, by strategy." },
	{ "heal_duration_seconds", METRIC_HISTOGRAM, "From plan to healed run." },
	{ "heal_success_rate", METRIC_GAUGE, "Healed share of finished heals of the day." },
	{ "http_connections", METRIC_GAUGE, "Open connections of the listener." },
	{ "incident_open", METRIC_GAUGE, "Incidents that hold plans back." },
	{ "log_slice_seconds", METRIC_HISTOGRAM,
	  "Time in which reading a piece of a log held up everything else." },
	{ "metrics_overflow_total", METRIC_COUNTER, "Samples dropped because a slot was full." },
	{ "model_training_duration_seconds", METRIC_HISTOGRAM, "Time to train the model." },
	{ "monitor_checks_total", METRIC_COUNTER, "Checks of the monitor by source and result." },
	{ "monitor_gaps_total", METRIC_COUNTER, "Events that no webhook told, by source." },
	{ "monitor_interval_seconds", METRIC_GAUGE, "Time between two checks of a source." },
	{ "monitor_leader", METRIC_GAUGE, "1 in the process that is the region's monitor." },
	{ "monitor_redeliveries_total", METRIC_COUNTER, "Deliveries asked for again." },
	{ "monitor_source_up", METRIC_GAUGE, "1 when the last check of a source was answered." },
	{ "notifications_total", METRIC_COUNTER, "Messages to channels, by channel and result." },
	{ "plans_total", METRIC_COUNTER, "Plans by strategy and mode." },
	{ "prediction_accuracy", METRIC_GAUGE, "Share of predictions that came true." },
	{ "predictions_made_total", METRIC_COUNTER, "Predictions made." },
	{ "provider_rate_limit_remaining", METRIC_GAUGE,
	  "Requests left in the provider's window." },
	{ "provider_requests_total", METRIC_COUNTER, "Requests to providers by host and code." },
	{ "regex_gave_up_total", METRIC_COUNTER, "Rule matches that hit a limit." },
	{ "region_up", METRIC_GAUGE, "1 when the region answers." },
	{ "rules_demoted", METRIC_GAUGE, "Rules that keep being wrong, by what about." },
	{ "security_violations_total", METRIC_COUNTER, "Requests refused for safety." },
	{ "spool_bytes", METRIC_GAUGE, "Bytes of events that wait on disk for Redis." },
	{ "stream_lag", METRIC_GAUGE, "Events not yet read by the dispatchers." },
	{ "stream_pending", METRIC_GAUGE, "Events read but not yet recorded." },
	{ "webhook_duration_seconds", METRIC_HISTOGRAM, "From request to answer of a webhook." },
	{ "webhooks_received_total", METRIC_COUNTER, "Webhooks by source and result." },
};

static struct slot *area; /* n_slots of them */
static unsigned n_slots;
static struct slot *mine;

static const struct known *find_known(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(known[i].name, name) == 0)
			return &known[i];
	fprintf(stderr, "pipeline-guard: metric %s is not in the table of core/metrics.c\n", name);
	abort();
}

int metrics_area_new(unsigned slots)
{
	int fd = memfd_create("pipeline-guard-metrics", 0);

	if (fd < 0 || slots == 0 || slots > SLOTS_MAX ||
	    ftruncate(fd, (off_t)(slots * sizeof(struct slot))) < 0) {
		if (fd >= 0)
			(void)close(fd);
		return -1;
	}
	return fd;
}

void metrics_area_forget_gauges(int fd, unsigned slot)
{
	size_t size = (slot + 1) * sizeof(struct slot);
	struct slot *all;

	if (fd < 0 || slot >= SLOTS_MAX || lseek(fd, 0, SEEK_END) < (off_t)size)
		return;
	all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (all == MAP_FAILED)
		return;
	for (size_t i = 0; i < SERIES_PER_SLOT && all[slot].series[i].name[0]; i++) {
		struct metric *m = &all[slot].series[i];

		if (m->kind == METRIC_GAUGE) {
			m->value = 0;
			m->real = 0;
		}
	}
	(void)munmap(all, size);
}

void metrics_init(int fd, unsigned slot)
{
	off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;

	n_slots = size > 0 ? (unsigned)((size_t)size / sizeof(struct slot)) : 1;
	if (size <= 0 || slot >= n_slots) {
		fd = -1;
		n_slots = 1;
		slot = 0;
	}
	area = mmap(NULL, n_slots * sizeof(struct slot), PROT_READ | PROT_WRITE,
		    fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
	if (area == MAP_FAILED)
		abort();
	mine = &area[slot];
}

void metrics_init_from_env(void)
{
	const char *fd = getenv("PIPELINE_GUARD_METRICS_FD");
	const char *slot = getenv("PIPELINE_GUARD_METRICS_SLOT");
	uint64_t f, s;

	if (fd && slot && text_to_u64(fd, &f) && text_to_u64(slot, &s) && f < 1024)
		metrics_init((int)f, (unsigned)s);
	else
		metrics_init(-1, 0);
}

struct metric *metrics_handle(const char *name, const char *labels)
{
	enum metric_kind kind = find_known(name)->kind;
	struct metric *m;

	if (!mine)
		metrics_init_from_env();
	/* Cut labels would not be Prometheus' format any more. */
	if (strlen(labels) >= LABEL_BYTES)
		return metrics_handle("metrics_overflow_total", "");
	for (size_t i = 0; i < SERIES_PER_SLOT; i++) {
		m = &mine->series[i];
		if (!m->name[0]) {
			if (i == SERIES_PER_SLOT - 1 && strcmp(name, "metrics_overflow_total") != 0)
				return metrics_handle("metrics_overflow_total", "");
			m->kind = kind;
			(void)text_copy(m->labels, sizeof(m->labels), labels, strlen(labels));
			__atomic_signal_fence(__ATOMIC_SEQ_CST);
			(void)text_copy(m->name, sizeof(m->name), name, strlen(name));
			return m;
		}
		if (strcmp(m->name, name) == 0 && strcmp(m->labels, labels) == 0)
			return m;
	}
	return &mine->series[SERIES_PER_SLOT - 1];
}

void metric_add(struct metric *m, int64_t n)
{
	m->value += n;
}

void metric_observe_ms(struct metric *m, double ms)
{
	size_t i = 0;

	/* The overflow counter, where this counts as one sample. */
	if (m->kind != METRIC_HISTOGRAM) {
		m->value++;
		return;
	}
	while (i < BUCKETS - 1 && ms > bounds_ms[i])
		i++;
	m->bucket[i]++;
	m->real += ms;
	m->value++;
}

void metrics_add(const char *name, const char *labels, int64_t n)
{
	metric_add(metrics_handle(name, labels), n);
}

void metrics_set(const char *name, const char *labels, int64_t value)
{
	struct metric *m = metrics_handle(name, labels);

	if (m->kind != METRIC_GAUGE) {
		m->value++;
		return;
	}
	m->value = value;
	m->real = 0;
}

void metrics_set_real(const char *name, const char *labels, double value)
{
	struct metric *m = metrics_handle(name, labels);

	metrics_set(name, labels, 0);
	if (m->kind == METRIC_GAUGE)
		m->real = value;
}

void metrics_observe_ms(const char *name, const char *labels, double ms)
{
	metric_observe_ms(metrics_handle(name, labels), ms);
}

/* --- exposition ------------------------------------------------------------ */

/* Adds up the rows of one series over all slots; false when an earlier slot had it already. */
static bool collect(unsigned slot, size_t row, struct metric *out)
{
	const struct metric *first = &area[slot].series[row];

	*out = *first;
	for (unsigned s = 0; s < n_slots; s++) {
		for (size_t i = 0; s != slot && i < SERIES_PER_SLOT; i++) {
			const struct metric *m = &area[s].series[i];

			if (!m->name[0])
				break;
			if (strcmp(m->name, first->name) != 0 ||
			    strcmp(m->labels, first->labels) != 0)
				continue;
			if (s < slot)
				return false;
			out->value += m->value;
			out->real += m->real;
			for (size_t b = 0; b < BUCKETS; b++)
				out->bucket[b] += m->bucket[b];
		}
	}
	return true;
}

static void render_histogram(struct buf *out, const struct metric *m)
{
	const char *comma = m->labels[0] ? "," : "";
	char set[LABEL_BYTES + 2] = "";
	int64_t below = 0;

	if (m->labels[0])
		(void)snprintf(set, sizeof(set), "{%s}", m->labels);
	for (size_t b = 0; b < BUCKETS; b++) {
		below += m->bucket[b];
		buf_printf(out, "pipeline_guard_%s_bucket{%s%sle=\"", m->name, m->labels, comma);
		if (b < BUCKETS - 1)
			buf_printf(out, "%g", bounds_ms[b] / 1000);
		else
			buf_puts(out, "+Inf");
		buf_printf(out, "\"} %" PRId64 "\n", below);
	}
	buf_printf(out, "pipeline_guard_%s_sum%s %.6f\n", m->name, set, m->real / 1000);
	/* Not `value`: another process may be between its two stores. */
	buf_printf(out, "pipeline_guard_%s_count%s %" PRId64 "\n", m->name, set, below);
}

static void render_series(struct buf *out, const struct metric *m)
{
	if (m->kind == METRIC_HISTOGRAM) {
		render_histogram(out, m);
		return;
	}
	buf_printf(out, "pipeline_guard_%s", m->name);
	if (m->labels[0])
		buf_printf(out, "{%s}", m->labels);
	if (m->real < 0 || m->real > 0)
		buf_printf(out, " %g\n", (double)m->value + m->real);
	else
		buf_printf(out, " %" PRId64 "\n", m->value);
}

static void render_name(struct buf *out, const struct known *k)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };
	bool headed = false;
	struct metric m;

	for (unsigned s = 0; s < n_slots; s++) {
		for (size_t i = 0; i < SERIES_PER_SLOT && area[s].series[i].name[0]; i++) {
			if (strcmp(area[s].series[i].name, k->name) != 0 || !collect(s, i, &m))
				continue;
			if (!headed)
				buf_printf(out,
					   "# HELP pipeline_guard_%s %s\n# TYPE pipeline_guard_%s "
					   "%s\n",
					   k->name, k->help, k->name, types[k->kind]);
			headed = true;
			render_series(out, &m);
		}
	}
}

void metrics_render(struct buf *out)
{
	if (!mine)
		metrics_init_from_env();
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		render_name(out, &known[i]);
}
