#include "web/live.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/http_server.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/redis.h"
#include "core/text.h"

enum {
	CLIENTS_MAX = 64,
	BACKLOG_MAX = 256 << 10, /* a client that reads slower than this is let go */
	HISTORY = 1024,          /* changes kept for whoever comes back */
	REFS_PER_MESSAGE = 100,
	COALESCE_MS = 100,
	HEARTBEAT_MS = 15000,
	BLOCK_MS = 20000,
	AGAIN_MS = 500,
	PARTITIONS_MAX = 32,
	FEED_KEPT = 1000, /* a feed shorter than this was never trimmed */
};

struct stream_id {
	uint64_t ms, seq;
};

struct change {
	struct stream_id id;
	char run[96];
	char what[32];
};

struct client {
	TAILQ_ENTRY(client) next;
	struct live *live;
	struct http_stream *stream;
	struct stream_id last; /* sent up to here */
	uint64_t at;           /* number of the next change to send */
	bool placed;           /* `at` is known */
	bool resumes;          /* `last` was given */
};

struct feed {
	struct live *live;
	struct stream_id seen;
};

/* Changes are numbered from 0; number n is in ring[n % HISTORY] while n is among the newest. */
struct live {
	struct event_base *base;
	struct redis *redis;
	const struct keyspace *ks;
	void (*watched)(bool, void *);
	void *arg;
	TAILQ_HEAD(, client) clients;
	unsigned n_clients;
	struct change *ring; /* NULL until somebody listened */
	uint64_t first, next;
	bool all_of_it; /* nothing older than `first` exists in Redis */
	struct feed feed[PARTITIONS_MAX];
	struct event *flush, *heartbeat, *again;
	unsigned priming; /* partitions whose history has not arrived */
	bool primed, reading, prime_failed, prime_all;
	struct change *primer; /* histories of all partitions, merged when all are there */
	size_t n_primer;
};

static void follow(struct live *);

/* --- ids ---------------------------------------------------------------------- */

static bool parse_id(const char *text, struct stream_id *out)
{
	char part[24];
	size_t n = text ? strcspn(text, "-") : 0;

	return n && text[n] == '-' && text_copy(part, sizeof(part), text, n) &&
	       text_to_u64(part, &out->ms) && text_to_u64(text + n + 1, &out->seq);
}

static int compare_ids(const struct stream_id *a, const struct stream_id *b)
{
	if (a->ms != b->ms)
		return a->ms < b->ms ? -1 : 1;
	return (a->seq > b->seq) - (a->seq < b->seq);
}

static int compare_changes(const void *a, const void *b)
{
	return compare_ids(&((const struct change *)a)->id, &((const struct change *)b)->id);
}

/* --- changes -------------------------------------------------------------------- */

static const struct change *change_at(const struct live *l, uint64_t number)
{
	return &l->ring[number % HISTORY];
}

static void remember(struct live *l, const struct change *change)
{
	l->ring[l->next++ % HISTORY] = *change;
	if (l->next - l->first > HISTORY) {
		l->first = l->next - HISTORY;
		l->all_of_it = false;
	}
}

static bool read_change(const struct redisReply *entry, struct change *out)
{
	const char *run = redis_field(redis_at(entry, 1), "run");
	const char *what = redis_field(redis_at(entry, 1), "what");

	if (!run || !parse_id(redis_str(redis_at(entry, 0)), &out->id))
		return false;
	if (!what)
		what = "";
	(void)text_copy(out->what, sizeof(out->what), what, strlen(what));
	return text_copy(out->run, sizeof(out->run), run, strlen(run));
}

/* --- clients ---------------------------------------------------------------------- */

static void set_watched(struct live *l, bool watched)
{
	struct timeval tv = clock_timeval(HEARTBEAT_MS);

	if (watched)
		(void)event_add(l->heartbeat, &tv);
	else
		(void)event_del(l->heartbeat);
	l->watched(watched, l->arg);
}

static void client_forget(struct client *c)
{
	struct live *l = c->live;

	TAILQ_REMOVE(&l->clients, c, next);
	free(c);
	if (--l->n_clients == 0)
		set_watched(l, false);
}

static void on_closed(void *arg)
{
	client_forget(arg);
}

/* False when the client was let go. */
static bool client_write(struct client *c, const char *text, size_t n)
{
	if (http_stream_backlog(c->stream) + n > BACKLOG_MAX) {
		/* It will come back with the id it has seen, or be told to start over. */
		http_stream_end(c->stream);
		client_forget(c);
		return false;
	}
	http_stream_write(c->stream, text, n);
	return true;
}

static struct stream_id newest_id(const struct live *l)
{
	return l->next > l->first ? change_at(l, l->next - 1)->id : (struct stream_id){ 0, 0 };
}

/*
 * Where a client goes on that has seen everything up to its `last`. False when some of what
 * it missed is not there any more.
 */
static bool place(const struct live *l, struct client *c)
{
	uint64_t n = l->first;

	c->placed = true;
	if (!c->resumes) {
		c->at = l->next;
		c->last = newest_id(l);
		c->resumes = true;
		return true;
	}
	/* Partitions are merged by arrival: from the same millisecond on, twice does no harm. */
	while (n < l->next &&
	       (l->ks->partitions > 1 ? change_at(l, n)->id.ms < c->last.ms
				      : compare_ids(&change_at(l, n)->id, &c->last) <= 0))
		n++;
	c->at = n;
	return n > l->first || l->all_of_it;
}

static bool is_repeated(const struct live *l, uint64_t number, uint64_t end)
{
	for (uint64_t n = number + 1; n < end; n++)
		if (strcmp(change_at(l, n)->run, change_at(l, number)->run) == 0)
			return true;
	return false;
}

/* One message: the runs that changed, each once with its latest word. */
static void write_message(const struct live *l, uint64_t from, uint64_t end, struct buf *out)
{
	const struct stream_id *id = &change_at(l, end - 1)->id;
	bool any = false;

	buf_printf(out, "id: %" PRIu64 "-%" PRIu64 "\nevent: runs\ndata: {\"changes\":[", id->ms,
		   id->seq);
	for (uint64_t n = from; n < end; n++) {
		const struct change *ch = change_at(l, n);

		if (is_repeated(l, n, end))
			continue;
		buf_puts(out, any ? ",{\"run\":" : "{\"run\":");
		buf_json(out, ch->run, strlen(ch->run));
		buf_puts(out, ",\"what\":");
		buf_json(out, ch->what, strlen(ch->what));
		buf_putc(out, '}');
		any = true;
	}
	buf_puts(out, "]}\n\n");
}

static void pump(struct live *l, struct client *c)
{
	struct stream_id newest = newest_id(l);
	const char *what = NULL;
	OWNED(buf_done) struct buf text;

	buf_init(&text, BACKLOG_MAX);
	if (!c->placed && !c->resumes)
		what = "ready";
	if ((!c->placed && !place(l, c)) || c->at < l->first) {
		what = "reset";
		c->at = l->next;
	}
	if (what)
		buf_printf(&text, "id: %" PRIu64 "-%" PRIu64 "\nevent: %s\ndata: {}\n\n", newest.ms,
			   newest.seq, what);
	while (c->at < l->next) {
		uint64_t end =
			l->next - c->at > REFS_PER_MESSAGE ? c->at + REFS_PER_MESSAGE : l->next;

		write_message(l, c->at, end, &text);
		c->at = end;
	}
	if (!text.len)
		return;
	c->last = newest;
	(void)client_write(c, text.data, text.len);
}

static void pump_all(struct live *l)
{
	struct client *c, *next;

	if (!l->primed)
		return;
	for (c = TAILQ_FIRST(&l->clients); c; c = next) {
		next = TAILQ_NEXT(c, next);
		pump(l, c);
	}
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	UNUSED(fd);
	UNUSED(what);
	pump_all(arg);
}

static void write_all(struct live *l, const char *text, size_t n)
{
	struct client *c, *next;

	for (c = TAILQ_FIRST(&l->clients); c; c = next) {
		next = TAILQ_NEXT(c, next);
		(void)client_write(c, text, n);
	}
}

static void on_heartbeat(evutil_socket_t fd, short what, void *arg)
{
	UNUSED(fd);
	UNUSED(what);
	write_all(arg, ":\n\n", 3);
}

/* --- following the feed ------------------------------------------------------------ */

static void try_again(struct live *l)
{
	struct timeval tv = clock_timeval(AGAIN_MS);

	if (l->n_clients)
		(void)evtimer_add(l->again, &tv);
}

/* Everybody goes on from what they have seen, in the new numbering. */
static void primed(struct live *l)
{
	struct client *c;

	qsort(l->primer, l->n_primer, sizeof(*l->primer), compare_changes);
	l->first = l->next;
	l->all_of_it = l->prime_all;
	for (size_t i = 0; i < l->n_primer; i++)
		remember(l, &l->primer[i]);
	TAILQ_FOREACH(c, &l->clients, next)
	c->placed = false;
	l->primed = true;
	pump_all(l);
	follow(l);
}

static void on_history(const struct redisReply *reply, void *arg)
{
	struct feed *feed = arg;
	struct live *l = feed->live;
	size_t each = HISTORY / l->ks->partitions;

	if (redis_is_error(reply, NULL))
		l->prime_failed = true;
	if (redis_len(reply) >= each || redis_len(reply) >= FEED_KEPT)
		l->prime_all = false;
	/* Newest first. An empty feed is read from its start. */
	if (!parse_id(redis_str(redis_at(redis_at(reply, 0), 0)), &feed->seen))
		feed->seen = (struct stream_id){ 0, 0 };
	for (size_t i = 0; i < redis_len(reply) && l->n_primer < HISTORY; i++)
		if (read_change(redis_at(reply, i), &l->primer[l->n_primer]))
			l->n_primer++;
	if (--l->priming)
		return;
	if (l->prime_failed)
		try_again(l);
	else
		primed(l);
}

static void prime(struct live *l)
{
	char key[KEY_MAX], count[16];

	if (l->priming || l->reading)
		return;
	(void)evtimer_del(l->again);
	if (!l->ring) {
		l->ring = xcalloc(HISTORY, sizeof(*l->ring));
		l->primer = xcalloc(HISTORY, sizeof(*l->primer));
	}
	l->primed = false;
	l->prime_failed = false;
	l->prime_all = true;
	l->n_primer = 0;
	l->priming = l->ks->partitions;
	(void)snprintf(count, sizeof(count), "%u", HISTORY / l->ks->partitions);
	for (unsigned p = 0; p < l->ks->partitions; p++) {
		key_part(l->ks, p, "feed", key);
		redis_send_args(l->redis, on_history, &l->feed[p], "XREVRANGE", key, "+", "-",
				"COUNT", count, (char *)NULL);
	}
}

static void take_entries(struct live *l, const struct redisReply *stream)
{
	const struct redisReply *entries = redis_at(stream, 1);
	const char *name = redis_str(redis_at(stream, 0));
	struct change change;
	char key[KEY_MAX];

	for (unsigned p = 0; name && p < l->ks->partitions; p++) {
		key_part(l->ks, p, "feed", key);
		if (strcmp(key, name) == 0)
			(void)parse_id(
				redis_str(redis_at(redis_at(entries, redis_len(entries) - 1), 0)),
				&l->feed[p].seen);
	}
	for (size_t i = 0; i < redis_len(entries); i++)
		if (read_change(redis_at(entries, i), &change))
			remember(l, &change);
}

static void on_read(const struct redisReply *reply, void *arg)
{
	struct timeval tv = clock_timeval(COALESCE_MS);
	struct live *l = arg;

	l->reading = false;
	if (redis_is_error(reply, NULL)) {
		l->primed = false;
		try_again(l);
		return;
	}
	for (size_t i = 0; i < redis_len(reply); i++)
		take_entries(l, redis_at(reply, i));
	if (redis_len(reply) && !evtimer_pending(l->flush, NULL))
		(void)evtimer_add(l->flush, &tv);
	if (l->n_clients)
		follow(l);
	else
		l->primed = false;
}

static void follow(struct live *l)
{
	char keys[PARTITIONS_MAX][KEY_MAX], ids[PARTITIONS_MAX][48];
	struct redis_cmd cmd;

	if (l->reading)
		return;
	l->reading = true;
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "XREAD");
	redis_arg(&cmd, "COUNT");
	redis_arg(&cmd, "200");
	redis_arg(&cmd, "BLOCK");
	redis_arg_i64(&cmd, BLOCK_MS);
	redis_arg(&cmd, "STREAMS");
	for (unsigned p = 0; p < l->ks->partitions; p++) {
		key_part(l->ks, p, "feed", keys[p]);
		redis_arg(&cmd, keys[p]);
	}
	for (unsigned p = 0; p < l->ks->partitions; p++) {
		(void)snprintf(ids[p], sizeof(ids[p]), "%" PRIu64 "-%" PRIu64, l->feed[p].seen.ms,
			       l->feed[p].seen.seq);
		redis_arg(&cmd, ids[p]);
	}
	redis_send(l->redis, &cmd, on_read, l);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct live *l = arg;

	UNUSED(fd);
	UNUSED(what);
	if (l->n_clients && !l->primed)
		prime(l);
}

/* --- requests ------------------------------------------------------------------------- */

/* One line of JSON. */
static void write_status(struct buf *out, const char *text, size_t n)
{
	buf_puts(out, "event: status\ndata: ");
	buf_append(out, text, n);
	buf_puts(out, "\n\n");
}

void live_handle(struct live *l, struct http_request *req, const char *status, size_t n)
{
	OWNED(buf_done) struct buf hello;
	const char *last = http_request_header(req, "Last-Event-ID");
	struct client *c;

	if (l->n_clients >= CLIENTS_MAX) {
		http_reply_header(req, "Retry-After", "10");
		http_reply_text(req, 503, "application/json",
				"{\"error\":\"too many pages are open\"}\n");
		return;
	}
	http_reply_header(req, "Cache-Control", "no-store");
	/* Told to proxies that would collect the answer first. */
	http_reply_header(req, "X-Accel-Buffering", "no");
	if (strcmp(req->method, "HEAD") == 0) {
		http_reply(req, 200, "text/event-stream", NULL, 0);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->live = l;
	c->resumes = parse_id(last, &c->last);
	TAILQ_INSERT_TAIL(&l->clients, c, next);
	l->n_clients++;
	c->stream = http_reply_stream(req, 200, "text/event-stream", on_closed, c);
	buf_init(&hello, BACKLOG_MAX);
	buf_puts(&hello, "retry: 2000\n\n");
	write_status(&hello, status, n);
	http_stream_write(c->stream, buf_text(&hello), hello.len);
	if (l->n_clients == 1)
		set_watched(l, true);
	if (l->primed)
		pump(l, c);
	else
		prime(l);
}

void live_status(struct live *l, const char *text, size_t n)
{
	OWNED(buf_done) struct buf message;

	if (!l->n_clients)
		return;
	buf_init(&message, BACKLOG_MAX);
	write_status(&message, text, n);
	if (!message.overflow)
		write_all(l, message.data, message.len);
}

/* --- life -------------------------------------------------------------------------------- */

int live_new(struct event_base *base, const char *url, int64_t timeout_ms,
	     const struct keyspace *ks, void (*watched)(bool, void *), void *arg, struct live **out,
	     struct err *err)
{
	OWNED(live_freep) struct live *l = xcalloc(1, sizeof(*l));

	TAILQ_INIT(&l->clients);
	l->base = base;
	l->ks = ks;
	l->watched = watched;
	l->arg = arg;
	for (unsigned p = 0; p < PARTITIONS_MAX; p++)
		l->feed[p] = (struct feed){ .live = l };
	l->flush = evtimer_new(base, on_flush, l);
	l->again = evtimer_new(base, on_again, l);
	l->heartbeat = event_new(base, -1, EV_PERSIST, on_heartbeat, l);
	if (!l->flush || !l->again || !l->heartbeat)
		abort();
	if (redis_new(base, url, timeout_ms + BLOCK_MS, &l->redis, err) < 0)
		return -1;
	*out = TAKE(l);
	return 0;
}

void live_free(struct live *l)
{
	struct client *c;

	if (!l)
		return;
	redis_free(l->redis);
	while ((c = TAILQ_FIRST(&l->clients))) {
		http_stream_end(c->stream);
		TAILQ_REMOVE(&l->clients, c, next);
		free(c);
	}
	event_free(l->flush);
	event_free(l->again);
	event_free(l->heartbeat);
	free(l->ring);
	free(l->primer);
	free(l);
}
