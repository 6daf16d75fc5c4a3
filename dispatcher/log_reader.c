#include "dispatcher/log_reader.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "core/mem.h"
#include "core/metrics.h"

struct log_reading {
	struct log_reader *reader;
	struct tail_buf log;
	size_t at;
	struct detect_input input;
	struct detect_scan *scan; /* NULL: not begun */
	const char *look_for;
	bool found;
	struct arena *arena;
	log_read_fn *fn;
	void *arg;
	struct log_reading *next;
};

struct log_reader {
	const struct detector *detector;
	struct event *turn;
	struct log_reading *first, **end; /* in the order of their turns */
	struct metric *slices;
};

static void append(struct log_reader *r, struct log_reading *l)
{
	l->next = NULL;
	*r->end = l;
	r->end = &l->next;
}

static void detach(struct log_reader *r, struct log_reading *l)
{
	struct log_reading **link = &r->first;

	while (*link != l)
		link = &(*link)->next;
	*link = l->next;
	if (r->end == &l->next)
		r->end = link;
}

static void reading_free(struct log_reading *l)
{
	detect_scan_free(l->scan);
	tail_buf_done(&l->log);
	free(l);
}

/* Where it begins in one slice and ends in the next. */
static bool is_at_seam(const struct log_reading *l, size_t want)
{
	OWNED(freep) char *seam = xmalloc(2 * want);
	size_t from = l->at < want ? 0 : l->at - want;
	size_t n = tail_buf_copy(&l->log, from, seam, 2 * want);

	return memmem(seam, n, l->look_for, want) != NULL;
}

static void look(struct log_reading *l, const char *slice, size_t n)
{
	size_t want = l->look_for ? strlen(l->look_for) : 0;

	if (want && !l->found)
		l->found = memmem(slice, n, l->look_for, want) || is_at_seam(l, want);
}

static void read_slice(struct log_reader *r, struct log_reading *l)
{
	const char *slice = "";
	size_t n = 0;
	double before;

	if (!l->scan)
		l->scan = detect_scan_new(r->detector, &l->input);
	before = detect_scan_ms(l->scan);
	if (l->at < l->log.len)
		slice = tail_buf_piece(&l->log, l->at, &n);
	n = n < LOG_SLICE_BYTES ? n : LOG_SLICE_BYTES;
	look(l, slice, n);
	detect_scan_feed(l->scan, slice, n);
	l->at += n;
	metric_observe_ms(r->slices, detect_scan_ms(l->scan) - before);
}

static void finish(struct log_reader *r, struct log_reading *l)
{
	struct finding f;

	detect_scan_end(l->scan, l->arena, &f);
	detach(r, l);
	l->fn(&f, l->found, l->arg);
	reading_free(l);
}

static void wait_turn(struct log_reader *r)
{
	struct timeval now = { 0 };

	if (r->first)
		(void)evtimer_add(r->turn, &now);
}

/* What came in meanwhile is served before the next one. */
static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct log_reader *r = arg;
	struct log_reading *l = r->first;

	UNUSED(fd);
	UNUSED(what);
	if (l->at < l->log.len || !l->scan) {
		read_slice(r, l);
		detach(r, l);
		append(r, l);
	} else {
		finish(r, l);
	}
	wait_turn(r);
}

struct log_reader *log_reader_new(struct event_base *base, const struct detector *d)
{
	struct log_reader *r = xcalloc(1, sizeof(*r));

	r->detector = d;
	r->end = &r->first;
	r->slices = metrics_handle("log_slice_seconds", "");
	r->turn = evtimer_new(base, on_turn, r);
	if (!r->turn)
		abort();
	return r;
}

void log_reader_free(struct log_reader *r)
{
	if (!r)
		return;
	while (r->first)
		log_reading_cancel(r->first);
	event_free(r->turn);
	free(r);
}

void log_reader_use(struct log_reader *r, const struct detector *d)
{
	r->detector = d;
	for (struct log_reading *l = r->first; l; l = l->next) {
		detect_scan_free(TAKE(l->scan));
		l->at = 0;
	}
}

struct log_reading *log_reader_begin(struct log_reader *r, struct tail_buf *log,
				     const struct detect_input *in, const char *look_for,
				     struct arena *a, log_read_fn *fn, void *arg)
{
	struct log_reading *l = xcalloc(1, sizeof(*l));

	l->reader = r;
	tail_buf_move(&l->log, log);
	l->input = *in;
	l->look_for = look_for;
	l->arena = a;
	l->fn = fn;
	l->arg = arg;
	append(r, l);
	wait_turn(r);
	return l;
}

void log_reading_cancel(struct log_reading *l)
{
	if (!l)
		return;
	detach(l->reader, l);
	if (!l->reader->first)
		(void)evtimer_del(l->reader->turn);
	reading_free(l);
}
