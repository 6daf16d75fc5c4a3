#include "receiver/handover.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/conf.h"
#include "core/enqueue.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/redis.h"
#include "core/settings.h"
#include "core/text.h"
#include "receiver/spool.h"

enum {
	CLAIM_TICK_MS = 200,
	USABLE_MS = 500,
	CHORES_MS = 5000,
	DRAIN_MAX = 128, /* records from the spool under way at once */
	DRAIN_PAUSE_MIN_MS = 100,
	DRAIN_PAUSE_MAX_MS = 5000,
	QUIET_MS = 10000,
	REPLID_BYTES = 48,
	TRIM_BYTES = 1 << 20, /* so much at once is worth giving back to the system */
};

/* A record on its way. */
struct ticket {
	TAILQ_ENTRY(ticket) link;
	struct handover *h;
	handover_fn *fn; /* NULL: it comes from the spool */
	void *arg;
	char *why; /* it was refused; malloc'ed */
	int64_t kept_ms;
	size_t place; /* in the batch that drains the spool */
	size_t n;
	char record[];
};
TAILQ_HEAD(tickets, ticket);

struct handover {
	struct event_base *base;
	const struct keyspace *ks;
	struct handover_watch watch;
	struct redis *redis;
	struct spool *spool; /* NULL: none is wanted */
	struct event *sync, *claim_tick, *chores, *drain_later;

	bool claimed; /* the data in Redis is ours to write */
	bool claiming, usable;
	bool spool_failed;    /* the last write to the disk did */
	int64_t usable_at_ms; /* at the latest */
	char replid[REPLID_BYTES];

	struct tickets in_flight; /* asked of Redis */
	struct tickets unsynced;  /* appended to the spool, or refused: answered by `sync` */
	struct tickets kept;      /* acknowledged not long ago, oldest first */
	size_t kept_bytes, kept_max_bytes;
	int64_t keep_ms;

	size_t resending; /* of `kept`, from the oldest on: in the spool with the next sync */
	bool send_again;  /* some of them could not be put there */
	bool who_is_asked, who_is_unknown;

	size_t draining, drain_n;
	struct {
		bool ok;
		struct ticket *refused; /* Redis has something against this one */
	} drained[DRAIN_MAX];
	uint64_t moved;      /* bytes that went to the end since something was taken or came */
	size_t putting_back; /* of the batch, released with the next sync */
	bool none_taken;     /* of that batch */
	int64_t drain_pause_ms;
	uint64_t damaged;
	char unclaimed[160]; /* why */
	char trouble[160];
	int64_t disk_logged_ms, trouble_logged_ms, spooled_since;
	int64_t dropped_logged_ms, dropped_since;
};

static struct ticket *ticket_new(struct handover *h, const void *record, size_t n, handover_fn *fn,
				 void *arg)
{
	struct ticket *t = xmalloc(sizeof(*t) + n);

	*t = (struct ticket){ .h = h, .fn = fn, .arg = arg, .n = n };
	memcpy(t->record, record, n);
	return t;
}

static void ticket_free(struct ticket *t)
{
	free(t->why);
	free(t);
}

static void free_all(struct tickets *list)
{
	struct ticket *t;

	while ((t = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, t, link);
		ticket_free(t);
	}
}

/* --- what was acknowledged not long ago ------------------------------------------ */

static void forget_oldest(struct handover *h)
{
	struct ticket *t = TAILQ_FIRST(&h->kept);

	TAILQ_REMOVE(&h->kept, t, link);
	h->kept_bytes -= t->n + sizeof(*t);
	h->resending -= h->resending > 0;
	ticket_free(t);
}

static void forget_old(struct handover *h, int64_t before_ms)
{
	const struct ticket *oldest;

	while ((oldest = TAILQ_FIRST(&h->kept)) &&
	       (h->kept_bytes > h->kept_max_bytes || oldest->kept_ms < before_ms))
		forget_oldest(h);
}

static void keep(struct handover *h, struct ticket *t)
{
	t->kept_ms = clock_mono_ms();
	h->kept_bytes += t->n + sizeof(*t);
	TAILQ_INSERT_TAIL(&h->kept, t, link);
	forget_old(h, t->kept_ms - h->keep_ms);
}

/*
 * After a busy time nothing new comes to push the old out. Another server is noticed
 * some chores late, so what it may lack is kept for as much longer.
 */
static void forget_when_idle(struct handover *h)
{
	size_t before = h->kept_bytes;

	forget_old(h, clock_mono_ms() - h->keep_ms - 2 * CHORES_MS);
#ifdef __GLIBC__
	if (before - h->kept_bytes >= TRIM_BYTES)
		(void)malloc_trim(0);
#else
	UNUSED(before);
#endif
}

/* --- into the spool ---------------------------------------------------------------- */

static void sync_soon(struct handover *h)
{
	struct timeval now = { 0 };

	(void)evtimer_add(h->sync, &now);
}

/* One line per period: a Redis that is away is told once and not per event. */
static void note_trouble(struct handover *h, const char *why)
{
	int64_t now = clock_mono_ms();

	h->spooled_since++;
	(void)text_copy(h->trouble, sizeof(h->trouble), why, strlen(why));
	if (now - h->trouble_logged_ms < QUIET_MS)
		return;
	log_warn("Redis does not take events", KV("why", h->trouble),
		 KV("events", h->spooled_since), KV("spool", h->spool ? "in use" : "none"));
	h->trouble_logged_ms = now;
	h->spooled_since = 0;
}

static void to_spool(struct handover *h, struct ticket *t, const char *why)
{
	struct err err;

	note_trouble(h, why);
	if (!h->spool)
		t->why = xstrdup(why);
	else if (spool_append(h->spool, t->record, t->n, &err) < 0)
		t->why = xstrdup(err.msg);
	h->moved = 0;
	TAILQ_INSERT_TAIL(&h->unsynced, t, link);
	sync_soon(h);
}

static void drain(struct handover *h);
static void resent(struct handover *h, bool synced);
static void put_back(struct handover *h, bool synced);

static void on_sync(evutil_socket_t fd, short what, void *arg)
{
	struct handover *h = arg;
	struct tickets done = TAILQ_HEAD_INITIALIZER(done);
	struct ticket *t;
	struct err err = { 0 };
	int rc = h->spool ? spool_sync(h->spool, &err) : 0;

	UNUSED(fd);
	UNUSED(what);
	h->spool_failed = rc < 0;
	if (rc < 0 && clock_mono_ms() - h->disk_logged_ms >= QUIET_MS) {
		h->disk_logged_ms = clock_mono_ms();
		log_error("events are answered 503: the spool cannot be written; make room on its "
			  "disk",
			  KV("why", err.msg));
	}
	resent(h, rc == 0);
	put_back(h, rc == 0);
	TAILQ_CONCAT(&done, &h->unsynced, link);
	while ((t = TAILQ_FIRST(&done))) {
		TAILQ_REMOVE(&done, t, link);
		if (t->fn && (t->why || rc < 0))
			t->fn(HANDOVER_REFUSED, t->why ? t->why : err.msg, t->arg);
		else if (t->fn)
			t->fn(HANDOVER_SPOOLED, "", t->arg);
		metrics_add("events_spooled_total", "", t->fn && !t->why && rc == 0);
		ticket_free(t);
	}
	if (h->spool)
		metrics_set("spool_bytes", "", (int64_t)spool_bytes(h->spool));
	drain(h);
}

/* --- straight to Redis --------------------------------------------------------------- */

/* The server is a replica now; whoever took over is found by connecting again. */
static void look_for_another_master(struct handover *h, const struct redisReply *reply)
{
	if (reply && redis_is_error(reply, "READONLY"))
		redis_break(h->redis, "the server turned read-only");
}

static enum enqueue_result result_of(struct handover *h, const struct redisReply *reply,
				     const char **detail)
{
	int64_t dropped = enqueue_dropped(reply), now;

	if (!dropped)
		return enqueue_result(reply, detail);
	metrics_add("dead_letters_dropped_total", "", dropped);
	h->dropped_since += dropped;
	now = clock_mono_ms();
	if (now - h->dropped_logged_ms >= QUIET_MS) {
		log_warn("dead letters were dropped: too many or too old",
			 KV("letters", h->dropped_since));
		h->dropped_logged_ms = now;
		h->dropped_since = 0;
	}
	return enqueue_result(reply, detail);
}

static void on_put(const struct redisReply *reply, void *arg)
{
	struct ticket *t = arg;
	struct handover *h = t->h;
	handover_fn *fn = t->fn;
	void *fn_arg = t->arg;
	const char *detail;
	enum enqueue_result got = result_of(h, reply, &detail);

	TAILQ_REMOVE(&h->in_flight, t, link);
	if (got == ENQUEUE_FAILED) {
		look_for_another_master(h, reply);
		to_spool(h, t, detail);
		return;
	}
	keep(h, t);
	fn(got == ENQUEUE_ACCEPTED ? HANDOVER_ACCEPTED : HANDOVER_DUPLICATE, detail, fn_arg);
}

static bool spool_in_use(const struct handover *h)
{
	return h->spool && (h->draining || !TAILQ_EMPTY(&h->unsynced) || !spool_empty(h->spool));
}

static const char *why_not(const struct handover *h)
{
	if (redis_connected(h->redis))
		return *h->unclaimed ? h->unclaimed : "not asked yet whose data it is";
	return *redis_problem(h->redis) ? redis_problem(h->redis) : "not connected";
}

void handover_put(struct handover *h, const void *record, size_t n, handover_fn *fn, void *arg)
{
	struct ticket *t = ticket_new(h, record, n, fn, arg);
	struct err err;

	if (!h->claimed || !redis_connected(h->redis)) {
		to_spool(h, t, why_not(h));
	} else if (spool_in_use(h)) {
		to_spool(h, t, "older events are waiting");
	} else if (enqueue_send(h->redis, h->ks, t->record, n, on_put, t, &err) < 0) {
		t->why = xstrdup(err.msg);
		TAILQ_INSERT_TAIL(&h->unsynced, t, link);
		sync_soon(h);
	} else {
		TAILQ_INSERT_TAIL(&h->in_flight, t, link);
	}
}

/* --- out of the spool ----------------------------------------------------------------- */

static void drain_after(struct handover *h, int64_t ms)
{
	struct timeval tv = clock_timeval(ms);

	(void)evtimer_add(h->drain_later, &tv);
}

/* Damage is found while reading; the file is kept. */
static void tell_damage(struct handover *h)
{
	uint64_t now = spool_damaged(h->spool);

	if (now <= h->damaged)
		return;
	log_error("a part of the spool cannot be read; the file is kept as damaged-*.seg",
		  KV("bytes", now - h->damaged));
	h->damaged = now;
}

static void try_again(struct handover *h)
{
	drain_after(h, h->drain_pause_ms);
	h->drain_pause_ms *= 2;
	if (h->drain_pause_ms > DRAIN_PAUSE_MAX_MS)
		h->drain_pause_ms = DRAIN_PAUSE_MAX_MS;
}

static void forget_refused(struct handover *h)
{
	for (size_t i = 0; i < h->drain_n; i++) {
		if (h->drained[i].refused)
			ticket_free(h->drained[i].refused);
		h->drained[i].refused = NULL;
	}
}

/* These are about the server, and concern every event. */
static bool about_this_one(const struct redisReply *reply)
{
	static const char *const others[] = { "OOM",        "READONLY",    "LOADING",  "MISCONF",
					      "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY",
					      "NOREPLICAS", "NOAUTH",      "MOVED",    "ASK" };

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (redis_is_error(reply, others[i]))
			return false;
	return reply != NULL;
}

/*
 * When Redis refuses some for what they are, they must neither get lost nor keep those behind them
 * waiting. They go to the end of the spool, and are asked for again. When all have been
 * refused once, it was not them, and they are in their order again: there they stay.
 */
static bool put_refused_back(struct handover *h)
{
	size_t ok = 0, refused = 0;
	struct err err;

	for (size_t i = 0; i < h->drain_n; i++) {
		ok += h->drained[i].ok;
		refused += h->drained[i].refused != NULL;
	}
	if (ok)
		h->moved = 0;
	if (refused == 0 || ok + refused < h->drain_n ||
	    (ok == 0 && (h->moved >= spool_bytes(h->spool) || !spool_more(h->spool))))
		return false;
	for (size_t i = 0; i < h->drain_n; i++) {
		const struct ticket *t = h->drained[i].refused;

		if (t && spool_put_back(h->spool, t->record, t->n, &err) < 0)
			return false;
		h->moved += t ? t->n : 0;
	}
	h->none_taken = ok == 0;
	h->putting_back = h->drain_n;
	log_warn("Redis refuses some events: they go to the end of the spool",
		 KV("events", refused), KV("why", h->trouble));
	sync_soon(h);
	return true;
}

static void put_back(struct handover *h, bool synced)
{
	if (!h->putting_back)
		return;
	if (synced)
		spool_release(h->spool, h->putting_back);
	spool_rewind(h->spool);
	h->putting_back = 0;
	if (!synced || h->none_taken)
		try_again(h);
}

/* All of a batch is answered. What came after a failure is sent again: Redis knows it by its
 * delivery. */
static void batch_done(struct handover *h)
{
	bool waits = put_refused_back(h);
	size_t ok = 0;

	forget_refused(h);
	if (waits)
		return;
	while (ok < h->drain_n && h->drained[ok].ok)
		ok++;
	spool_release(h->spool, ok);
	spool_rewind(h->spool);
	metrics_set("spool_bytes", "", (int64_t)spool_bytes(h->spool));
	if (ok == h->drain_n) {
		h->drain_pause_ms = DRAIN_PAUSE_MIN_MS;
		drain(h);
	} else {
		try_again(h);
	}
}

static void on_drained(const struct redisReply *reply, void *arg)
{
	struct ticket *t = arg;
	struct handover *h = t->h;
	size_t place = t->place;
	const char *detail;

	TAILQ_REMOVE(&h->in_flight, t, link);
	h->drained[place].ok = result_of(h, reply, &detail) != ENQUEUE_FAILED;
	if (h->drained[place].ok) {
		keep(h, t);
	} else {
		look_for_another_master(h, reply);
		note_trouble(h, detail);
		if (about_this_one(reply))
			h->drained[place].refused = t;
		else
			ticket_free(t);
	}
	if (--h->draining == 0)
		batch_done(h);
}

static void drain_one(struct handover *h, const struct spool_record *r)
{
	struct ticket *t = ticket_new(h, r->data, r->n, NULL, NULL);
	struct err err;

	t->place = h->drain_n++;
	h->drained[t->place].ok = false;
	TAILQ_INSERT_TAIL(&h->in_flight, t, link);
	h->draining++;
	if (enqueue_send(h->redis, h->ks, t->record, t->n, on_drained, t, &err) == 0)
		return;
	/* Of a release that we are not; people have to look at it. */
	log_error("a record of the spool cannot be read", KV("why", err.msg), KV("bytes", r->n));
	enqueue_unreadable(h->redis, h->ks, t->record, t->n, err.msg, on_drained, t);
}

static void drain(struct handover *h)
{
	struct spool_record r;

	if (!h->spool || h->draining || h->putting_back || !h->claimed ||
	    !redis_connected(h->redis) || evtimer_pending(h->drain_later, NULL))
		return;
	h->drain_n = 0;
	while (h->drain_n < DRAIN_MAX && spool_next(h->spool, &r))
		drain_one(h, &r);
	tell_damage(h);
	if (h->drain_n == 0)
		metrics_set("spool_bytes", "", (int64_t)spool_bytes(h->spool));
}

static void on_drain_later(evutil_socket_t fd, short what, void *arg)
{
	UNUSED(fd);
	UNUSED(what);
	drain(arg);
}

/* --- another server ---------------------------------------------------------------------- */

static void count_resent(size_t n)
{
	log_warn("another Redis answers: sending it what the last one acknowledged",
		 KV("events", n));
	metrics_add("events_resent_total", "", (int64_t)n);
}

/* Through the spool, so that it survives us and goes in order; Redis knows what it has already. */
static void resend_by_spool(struct handover *h)
{
	struct ticket *t;
	struct err err;

	if (h->resending)
		return; /* the rest after this */
	h->send_again = false;
	TAILQ_FOREACH(t, &h->kept, link)
	{
		if (spool_append(h->spool, t->record, t->n, &err) < 0) {
			log_error("events cannot be sent again to the new server yet",
				  KV("why", err.msg));
			h->send_again = true;
			break;
		}
		h->resending++;
	}
	if (h->resending)
		sync_soon(h);
}

/* They are forgotten when the disk has them, and not before. */
static void resent(struct handover *h, bool synced)
{
	size_t n = h->resending;

	if (n == 0)
		return;
	if (!synced) {
		h->resending = 0;
		h->send_again = true;
		return;
	}
	while (h->resending)
		forget_oldest(h);
	count_resent(n);
}

static void on_resent(const struct redisReply *reply, void *arg)
{
	struct ticket *t = arg;
	struct handover *h = t->h;
	const char *detail;

	TAILQ_REMOVE(&h->in_flight, t, link);
	if (result_of(h, reply, &detail) == ENQUEUE_FAILED) {
		h->send_again = true;
		note_trouble(h, detail);
	}
	keep(h, t);
}

static void resend_directly(struct handover *h)
{
	struct tickets all = TAILQ_HEAD_INITIALIZER(all);
	struct ticket *t;
	struct err err;
	size_t n = 0;

	h->send_again = false;
	TAILQ_CONCAT(&all, &h->kept, link);
	h->kept_bytes = 0;
	while ((t = TAILQ_FIRST(&all))) {
		TAILQ_REMOVE(&all, t, link);
		if (enqueue_send(h->redis, h->ks, t->record, t->n, on_resent, t, &err) < 0) {
			ticket_free(t);
			continue;
		}
		TAILQ_INSERT_TAIL(&h->in_flight, t, link);
		n++;
	}
	count_resent(n);
}

static void hand_over_again(struct handover *h)
{
	int64_t now = clock_mono_ms();
	const struct ticket *t;

	while ((t = TAILQ_FIRST(&h->kept)) && now - t->kept_ms > h->keep_ms)
		forget_oldest(h);
	if (TAILQ_EMPTY(&h->kept))
		h->send_again = false;
	else if (h->spool)
		resend_by_spool(h);
	else
		resend_directly(h);
}

/* It may be another one each time it is connected to; Redis knows what it has already. */
static void who_is_unknown(struct handover *h, const struct redisReply *reply)
{
	if (!h->who_is_unknown)
		log_warn("the server does not tell its replication id: after each connect it is "
			 "sent what was acknowledged not long ago",
			 KV("why", redis_why(reply)), KV("command", "INFO replication"));
	h->who_is_unknown = true;
	if (h->who_is_asked)
		hand_over_again(h);
	h->who_is_asked = false;
}

static void on_info(const struct redisReply *reply, void *arg)
{
	static const char name[] = "master_replid:";
	struct handover *h = arg;
	const char *info = redis_is_error(reply, NULL) ? NULL : redis_str(reply);
	const char *at = info ? strstr(info, name) : NULL;
	char id[REPLID_BYTES];

	if (!at) {
		if (reply)
			who_is_unknown(h, reply);
		return;
	}
	at += strlen(name);
	(void)text_copy(id, sizeof(id), at, strcspn(at, "\r\n"));
	if ((*h->replid && strcmp(h->replid, id) != 0) || (h->who_is_unknown && h->who_is_asked))
		h->send_again = true;
	h->who_is_asked = h->who_is_unknown = false;
	(void)text_copy(h->replid, sizeof(h->replid), id, strlen(id));
	if (h->send_again)
		hand_over_again(h);
}

static void ask_who(struct handover *h)
{
	redis_send_args(h->redis, on_info, h, "INFO", "replication", (char *)NULL);
}

/* --- whose data it is ---------------------------------------------------------------------- */

static void become_usable(struct handover *h)
{
	if (h->usable)
		return;
	h->usable = true;
	if (!h->claimed)
		log_warn("starting although Redis does not take events", KV("why", why_not(h)),
			 KV("spool", h->spool ? "in use" : "none"));
	h->watch.usable(h->watch.arg);
}

static void on_claimed(const struct redisReply *reply, void *arg)
{
	struct handover *h = arg;
	struct err err = { 0 };

	h->claiming = false;
	if (enqueue_layout(reply, h->ks, &err) == 0) {
		h->claimed = h->who_is_asked = true;
		ask_who(h);
		drain(h);
		become_usable(h);
	} else if (err.kind == ERR_CONFIG) {
		h->watch.misfit(err.msg, h->watch.arg);
	} else {
		(void)text_copy(h->unclaimed, sizeof(h->unclaimed), err.msg, strlen(err.msg));
		look_for_another_master(h, reply);
	}
}

static void claim(struct handover *h)
{
	if (h->claimed || h->claiming || !redis_connected(h->redis))
		return;
	h->claiming = true;
	enqueue_claim(h->redis, h->ks, on_claimed, h);
}

static void on_claim_tick(evutil_socket_t fd, short what, void *arg)
{
	struct handover *h = arg;
	struct timeval tv = clock_timeval(CLAIM_TICK_MS);

	UNUSED(fd);
	UNUSED(what);
	if (clock_mono_ms() >= h->usable_at_ms)
		become_usable(h);
	claim(h);
	(void)evtimer_add(h->claim_tick, &tv);
}

static void on_redis_state(bool up, void *arg)
{
	struct handover *h = arg;

	h->claimed = false; /* what answers next may be another server */
	if (up) {
		log_info("redis connected");
		claim(h);
	} else {
		log_warn("redis connection lost", KV("why", redis_problem(h->redis)));
	}
}

static void on_chores(evutil_socket_t fd, short what, void *arg)
{
	struct handover *h = arg;
	struct timeval tv = clock_timeval(CHORES_MS);
	size_t adopted = h->spool ? spool_adopt(h->spool) : 0;

	UNUSED(fd);
	UNUSED(what);
	if (adopted) {
		log_info("events of a receiver that died were found in the spool",
			 KV("segments", adopted), KV("bytes", spool_bytes(h->spool)));
		metrics_set("spool_bytes", "", (int64_t)spool_bytes(h->spool));
	}
	if (h->claimed && redis_connected(h->redis))
		ask_who(h);
	drain(h);
	forget_when_idle(h);
	(void)evtimer_add(h->chores, &tv);
}

/* --- life ----------------------------------------------------------------------------------- */

static struct event *timer(struct handover *h, event_callback_fn fn)
{
	struct event *ev = evtimer_new(h->base, fn, h);

	if (!ev)
		abort();
	return ev;
}

static int open_spool(struct handover *h, const struct conf *conf, struct err *err)
{
	int64_t max_bytes = conf_int(conf, "receiver.spool_max");
	const char *dir = conf_str(conf, "receiver.spool_dir");
	OWNED(freep) char *path = NULL;

	if (max_bytes == 0)
		return 0;
	if (!dir)
		return err_set(err, ERR_CONFIG,
			       "receiver.spool_dir is not set: say where events may wait on disk "
			       "while Redis is away, or set receiver.spool_max=0");
	/* Whoever adopts from there must have the same Redis: at least the same region. */
	path = xasprintf("%s/%s", dir, h->ks->region);
	if (spool_open(path, (uint64_t)max_bytes, &h->spool, err) < 0)
		return err_wrap(err, "receiver.spool_dir");
	return 0;
}

int handover_new(struct event_base *base, const struct conf *conf, const struct keyspace *ks,
		 const struct handover_watch *watch, struct handover **out, struct err *err)
{
	OWNED(handover_freep) struct handover *h = xcalloc(1, sizeof(*h));
	int64_t timeout_ms = conf_int(conf, "redis.timeout");
	struct timeval now = { 0 };
	const char *url;

	h->base = base;
	h->ks = ks;
	h->watch = *watch;
	TAILQ_INIT(&h->in_flight);
	TAILQ_INIT(&h->unsynced);
	TAILQ_INIT(&h->kept);
	h->keep_ms = conf_int(conf, "receiver.resend_window");
	h->kept_max_bytes = (size_t)conf_int(conf, "receiver.resend_max");
	h->drain_pause_ms = DRAIN_PAUSE_MIN_MS;
	h->trouble_logged_ms = h->disk_logged_ms = h->dropped_logged_ms = -QUIET_MS;
	enqueue_dead_limits(conf_int(conf, "dead_letters.max"),
			    conf_int(conf, "dead_letters.keep"));
	if (settings_redis_url(conf, &url, err) < 0 || open_spool(h, conf, err) < 0 ||
	    redis_new(base, url, timeout_ms, &h->redis, err) < 0)
		return -1;
	h->sync = timer(h, on_sync);
	h->claim_tick = timer(h, on_claim_tick);
	h->chores = timer(h, on_chores);
	h->drain_later = timer(h, on_drain_later);
	redis_on_state(h->redis, on_redis_state, h);
	metrics_set("spool_bytes", "", 0);
	/* Until then senders wait in the socket's queue, instead of being made to take the longer
	 * way, or of getting a 503 that none of them repeats. */
	h->usable_at_ms = clock_mono_ms() + (h->spool ? USABLE_MS : timeout_ms);
	(void)evtimer_add(h->claim_tick, &now);
	(void)evtimer_add(h->chores, &now);
	*out = TAKE(h);
	return 0;
}

void handover_free(struct handover *h)
{
	if (!h)
		return;
	redis_free(h->redis);
	/* Nobody got an answer for these, but the disk may as well have them. */
	/* What stays on disk is counted by whoever adopts it. */
	metrics_set("spool_bytes", "", 0);
	if (h->spool && !TAILQ_EMPTY(&h->unsynced)) {
		struct err err;

		(void)!spool_sync(h->spool, &err);
	}
	spool_close(h->spool);
	forget_refused(h);
	free_all(&h->in_flight);
	free_all(&h->unsynced);
	free_all(&h->kept);
	if (h->sync)
		event_free(h->sync);
	if (h->claim_tick)
		event_free(h->claim_tick);
	if (h->chores)
		event_free(h->chores);
	if (h->drain_later)
		event_free(h->drain_later);
	free(h);
}

bool handover_ready(const struct handover *h)
{
	if (h->claimed && redis_connected(h->redis))
		return true;
	return h->spool && !h->spool_failed && spool_has_room(h->spool);
}

bool handover_settled(const struct handover *h)
{
	return !spool_in_use(h) || !h->claimed || !redis_connected(h->redis);
}
