/* Runs that no webhook told, or not to their end: what providers list against what Redis knows. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/ci_event.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/enqueue.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/redis.h"
#include "core/text.h"
#include "dispatcher/engine.h"
#include "dispatcher/monitor_repos.h"
#include "dispatcher/monitor_source.h"
#include "dispatcher/read_cache.h"

enum {
	BATCH_MAX = 100,
	AT_ONCE = 4,    /* lists under way: polite, and quick enough for hundreds */
	PAGES_MAX = 10, /* what is further down was missed for a day of heavy traffic */
	REFUSED_MS = 3600 * 1000,
	FIRST_LOOK_MS = 3600 * 1000, /* before a repository was heard of */
	HOUR_MS = 3600 * 1000,
	DEDUPE_TTL_MS = 72 * 3600 * 1000,
	NOTE_MORE = 1,  /* of a cached list: there is another page */
	SAME_MS = 1000, /* webhooks tell times to the second */
};

struct runs;

/* What Redis has of a run. */
struct known {
	uint64_t generation;
	int64_t rank, at_ms;
};

/* One repository being looked at. */
struct look {
	struct runs *r;
	struct watched *target;
	struct api_call *call;
	char address[320], etag[READ_CACHE_ETAG_MAX];
	char state[sizeof(((struct watched *)0)->state)]; /* of the target, when the look began */
	int64_t since_ms;
	unsigned page;
	bool more, young; /* young: something of the page was left for its webhook, or for later */
	bool left;        /* ... of any page */

	/* Of the page, oldest last; what is before `at` is still to be told. */
	struct ci_event *events;
	struct known *known;
	unsigned n_events, at;
	unsigned open; /* events on their way into the stream, and one for us */
	bool failed;
	bool busy;
};

struct runs {
	struct monitor_source *s;
	const struct provider_api *ops;
	struct api *api;
	struct repos *repos;
	struct look looks[AT_ONCE];
	struct watched *batch[BATCH_MAX];
	size_t n_batch, next, refusing, spared;
	struct monitor_result result;
	bool stopping;

	struct api_call *finding;
	int64_t found_ms; /* monotonic; 0: not asked yet */
	bool no_list, too_many;
};

/*
 * KEYS run ...: the runs of one list, which share a slot; what is known of each. A state that is
 * not known is older than any.
 */
static struct redis_script known_script = {
	.name = "known",
	.body = "local out = {} "
		"for _, key in ipairs(KEYS) do "
		"  local r = redis.call('HMGET', key, 'generation', 'rank', 'at_ms') "
		"  for i = 1, 3 do out[#out + 1] = r[i] or '0' end "
		"end "
		"return out",
};

static void next_looks(struct runs *r);
static void list_page(struct look *l);

/* --- the end ---------------------------------------------------------------- */

static void finish(struct runs *r)
{
	size_t total = repos_count(r->repos);

	r->result.share = total ? (double)(r->n_batch + r->spared) / (double)total : 1;
	monitor_checked(r->s, &r->result);
}

static void look_over(struct look *l)
{
	l->busy = false;
	free(TAKE(l->events));
	free(TAKE(l->known));
	l->n_events = 0;
	l->target->checked_ms = clock_mono_ms();
	next_looks(l->r);
}

/* Nothing more is begun: who does not answer now will not answer the next one either. */
static void no_answer(struct runs *r, const char *why, int64_t wait_ms)
{
	r->result.answered = false;
	(void)text_copy(r->result.why, sizeof(r->result.why), why, strlen(why));
	if (wait_ms > r->result.pace.wait_ms)
		r->result.pace.wait_ms = wait_ms;
}

/* To its end, and nothing of it has to be read again before something happens. */
static void look_done(struct look *l)
{
	if (!l->left) {
		memcpy(l->target->read_state, l->state, sizeof(l->state));
		l->target->read_ms = clock_mono_ms();
	}
	look_over(l);
}

/* --- events ------------------------------------------------------------------ */

/* Everything in the page is in the stream, or was known. */
static void page_done(struct look *l)
{
	struct runs *r = l->r;

	if (l->failed) {
		read_cache_forget(monitor_cache(r->s->monitor), l->address);
		look_over(l);
		return;
	}
	l->left |= l->young;
	if (!l->young)
		read_cache_store(monitor_cache(r->s->monitor), l->address, l->etag,
				 l->more ? NOTE_MORE : 0, clock_mono_ms());
	if (l->more && l->page < PAGES_MAX && !r->stopping) {
		l->page++;
		list_page(l);
	} else {
		look_done(l);
	}
}

static void redis_failed(struct look *l)
{
	l->failed = true;
	no_answer(l->r, "Redis did not take an event", 0);
}

static void on_enqueued(const struct redisReply *reply, void *arg)
{
	struct look *l = arg;
	const char *id;

	switch (enqueue_result(reply, &id)) {
	case ENQUEUE_ACCEPTED:
		l->r->result.pace.gaps++;
		metrics_add("events_enqueued_total", "", 1);
		break;
	case ENQUEUE_DUPLICATE:
		break; /* it waits in the stream */
	case ENQUEUE_FAILED:
		redis_failed(l);
		break;
	}
	if (--l->open == 0)
		page_done(l);
}

static void tell(struct look *l, struct ci_event *ev)
{
	const struct watched *w = l->target;

	(void)text_copy(ev->source, sizeof(ev->source), w->source, strlen(w->source));
	ev->installation = w->installation;
	monitor_name_event(ev);
	if (ev->status == CI_COMPLETED && ci_conclusion_failed(ev->conclusion))
		l->r->result.pace.failing++;
	l->open++;
	enqueue_event(l->r->s->e->writer, &l->r->s->e->ks, ev, DEDUPE_TTL_MS, on_enqueued, l);
}

static bool is_news(const struct known *k, const struct ci_event *ev)
{
	return ev->generation > k->generation ||
	       (ev->generation == k->generation && (int64_t)ev->status > k->rank);
}

/* Of a run whose generation only its jobs have: worth asking for them? */
static bool may_be_news(const struct known *k, const struct ci_event *ev)
{
	if ((int64_t)ev->status != k->rank)
		return true; /* it went on, or it was retried */
	return ev->status == CI_COMPLETED && ev->at_ms > k->at_ms + SAME_MS;
}

static void tell_rest(struct look *l);

/* False: somebody retried it since it was listed. */
static bool take_jobs(struct ci_event *ev, const struct api_result *list)
{
	const char *reason = "";

	for (unsigned i = 0; i < list->n_jobs; i++) {
		const struct api_job *j = &list->jobs[i];

		if (ev->status == CI_COMPLETED &&
		    (strcmp(j->status, "in_progress") == 0 || strcmp(j->status, "queued") == 0))
			return false;
		if (!*reason)
			reason = j->failure_reason;
	}
	ev->generation = list->generation ? list->generation : 1;
	if (ci_conclusion_failed(ev->conclusion))
		(void)text_copy(ev->failure_reason, sizeof(ev->failure_reason), reason,
				strlen(reason));
	return true;
}

static void on_jobs(const struct api_result *list, void *arg)
{
	struct look *l = arg;
	struct ci_event *ev = &l->events[--l->at];

	l->call = NULL;
	l->r->result.pace.calls++;
	monitor_read(l->r->s->monitor, false);
	if (list->fate == API_OK && !take_jobs(ev, list)) {
		l->young = true;
	} else if (list->fate == API_OK) {
		if (is_news(&l->known[l->at], ev))
			tell(l, ev);
	} else if (list->fate != API_REFUSED) { /* else it was deleted */
		l->failed = true;
		no_answer(l->r, list->why, list->retry_after_ms);
	}
	tell_rest(l);
}

static void ask_jobs(struct look *l, const struct ci_event *ev)
{
	const struct api_run run = { .repo = l->target->repo,
				     .repo_id = l->target->repo_id,
				     .run_id = ev->run_id,
				     .installation = l->target->installation };

	l->call = l->r->ops->list_jobs(l->r->api, &run, on_jobs, l);
}

/* From the oldest on: for Jenkins they are states of one run. */
static void tell_rest(struct look *l)
{
	for (; l->at && !l->failed; l->at--) {
		struct ci_event *ev = &l->events[l->at - 1];
		const struct known *k = &l->known[l->at - 1];

		if (ev->generation && is_news(k, ev))
			tell(l, ev);
		if (!ev->generation && may_be_news(k, ev)) {
			ask_jobs(l, ev);
			return;
		}
	}
	if (--l->open == 0)
		page_done(l);
}

static void on_known(const struct redisReply *reply, void *arg)
{
	struct look *l = arg;

	l->open = 1; /* ours, so that the page does not end before the last was sent */
	l->known = xcalloc(l->n_events, sizeof(*l->known));
	l->failed = l->r->stopping;
	if (redis_is_error(reply, NULL) || redis_len(reply) != 3 * (size_t)l->n_events)
		redis_failed(l);
	for (unsigned i = 0; i < l->n_events && !l->failed; i++)
		l->known[i] = (struct known){
			.generation = (uint64_t)redis_int(redis_at(reply, 3 * (size_t)i), 0),
			.rank = redis_int(redis_at(reply, 3 * (size_t)i + 1), 0),
			.at_ms = redis_int(redis_at(reply, 3 * (size_t)i + 2), 0),
		};
	l->at = l->n_events;
	tell_rest(l);
}

static void ask_known(struct look *l)
{
	const struct keyspace *ks = &l->r->s->e->ks;
	unsigned partition = key_partition(ks, l->target->source, l->target->repo_id);
	OWNED(freep) char *keys = xcalloc(l->n_events, KEY_MAX);
	struct redis_cmd cmd;

	redis_script_cmd(&cmd, &known_script, (int)l->n_events);
	for (unsigned i = 0; i < l->n_events; i++) {
		struct ci_event *ev = &l->events[i];
		char ref[RUN_REF_MAX], *key = keys + (size_t)i * KEY_MAX;

		(void)text_copy(ev->source, sizeof(ev->source), l->target->source,
				strlen(l->target->source));
		ci_event_run_ref(ev, ref);
		key_part_of(ks, partition, "run", ref, key);
		redis_arg(&cmd, key);
	}
	redis_send_script(l->r->s->e->writer, &known_script, &cmd, on_known, l);
}

/* Its webhook may still be on the way; a clock that is ahead of ours does not put it off. */
static bool is_young(const struct runs *r, const struct ci_event *ev, int64_t now_ms)
{
	int64_t age = now_ms - ev->at_ms, grace = conf_int(r->s->e->conf, "monitor.grace");

	return age < grace && age > -grace;
}

static void take_events(struct look *l, const struct api_result *list)
{
	struct watched *w = l->target;
	int64_t now = clock_wall_ms();

	l->events = xcalloc(list->n_events + 1, sizeof(l->events[0]));
	for (unsigned i = 0; i < list->n_events; i++) {
		const struct ci_event *ev = &list->events[i];

		if (!w->repo_id)
			w->dirty = true;
		w->repo_id = w->repo_id ? w->repo_id : ev->repo_id;
		if (ev->repo_id != w->repo_id || ev->at_ms < l->since_ms - HOUR_MS)
			continue;
		if (is_young(l->r, ev, now))
			l->young = true;
		else
			l->events[l->n_events++] = *ev;
	}
}

/* --- lists --------------------------------------------------------------------- */

static void take_page(struct look *l, const struct api_result *list)
{
	free(TAKE(l->events));
	free(TAKE(l->known));
	l->n_events = 0;
	l->failed = l->young = false;
	l->more = list->more;
	if (!text_copy(l->etag, sizeof(l->etag), list->etag, strlen(list->etag)))
		l->etag[0] = '\0';
	take_events(l, list);
	if (l->n_events)
		ask_known(l);
	else
		page_done(l);
}

static void unchanged(struct look *l)
{
	uint32_t note;

	/* It was found a moment ago. */
	(void)read_cache_find(monitor_cache(l->r->s->monitor), l->address, clock_mono_ms(), &note);
	if ((note & NOTE_MORE) && l->page < PAGES_MAX && !l->r->stopping) {
		l->page++;
		list_page(l);
	} else {
		look_done(l);
	}
}

static void refused(struct look *l, const char *why)
{
	struct runs *r = l->r;

	log_warn("repository cannot be looked at", KV("source", r->s->name),
		 KV("repo", l->target->repo), KV("why", why));
	l->target->refused_until_ms = clock_mono_ms() + REFUSED_MS;
	r->refusing++;
	(void)text_copy(r->result.why, sizeof(r->result.why), why, strlen(why));
	look_over(l);
}

static void note_budget(struct runs *r, const struct api_result *list)
{
	r->result.pace.calls += list->http_status != 304 || !r->ops->unchanged_is_free;
	if (list->budget_left < 0)
		return;
	r->result.pace.budget_left = list->budget_left;
	r->result.pace.budget_reset_ms = list->budget_reset_at_ms - clock_wall_ms();
}

static void on_list(const struct api_result *list, void *arg)
{
	struct look *l = arg;
	struct runs *r = l->r;

	l->call = NULL;
	if (list->fate == API_REFUSED) {
		refused(l, list->why);
		return;
	}
	if (list->fate != API_OK) {
		no_answer(r, list->why, list->retry_after_ms);
		look_over(l);
		return;
	}
	monitor_read(r->s->monitor, list->http_status == 304);
	note_budget(r, list);
	if (list->unchanged)
		unchanged(l);
	else
		take_page(l, list);
}

static void list_page(struct look *l)
{
	struct runs *r = l->r;
	const struct watched *w = l->target;
	struct api_scan scan = {
		.repo = w->repo,
		.repo_id = w->repo_id,
		.installation = w->installation,
		.since_ms = l->since_ms,
		.page = l->page,
		.page_size = (unsigned)conf_int(r->s->e->conf, "monitor.batch_size"),
	};

	(void)snprintf(l->address, sizeof(l->address), "runs %s %s %" PRId64 " %u", w->source,
		       w->repo, l->since_ms, l->page);
	scan.etag =
		read_cache_find(monitor_cache(r->s->monitor), l->address, clock_mono_ms(), NULL);
	l->call = r->ops->list_runs(r->api, &scan, on_list, l);
}

static void begin_look(struct look *l, struct watched *w)
{
	const struct conf *conf = l->r->s->e->conf;
	int64_t since = clock_wall_ms() - conf_int(conf, "monitor.lookback");

	if (since < w->known_ms - FIRST_LOOK_MS)
		since = w->known_ms - FIRST_LOOK_MS;
	*l = (struct look){ .r = l->r,
			    .target = w,
			    .page = 1,
			    .busy = true,
			    /* By the hour, so that the address and its ETag last. */
			    .since_ms = since - since % HOUR_MS };
	memcpy(l->state, w->state, sizeof(l->state));
	list_page(l);
}

static void next_looks(struct runs *r)
{
	bool busy = false;

	for (struct look *l = r->looks; l < r->looks + AT_ONCE; l++) {
		if (!l->busy && r->next < r->n_batch && r->result.answered && !r->stopping)
			begin_look(l, r->batch[r->next++]);
		busy |= l->busy;
	}
	if (!busy)
		finish(r);
}

/* --- what to look at ------------------------------------------------------------- */

/* Nothing began or ended there since it was read, says the provider. */
static bool is_read(const struct runs *r, const struct watched *w, int64_t now)
{
	return *w->state && strcmp(w->state, w->read_state) == 0 && !r->s->asked &&
	       now - w->read_ms < conf_int(r->s->e->conf, "monitor.cache_ttl");
}

static void choose(struct runs *r)
{
	size_t most = (size_t)conf_int(r->s->e->conf, "monitor.batch_size"), n;
	int64_t now = clock_mono_ms();

	for (size_t i = 0; i < repos_count(r->repos); i++) {
		struct watched *w = repos_at(r->repos, i);

		if (!is_read(r, w, now))
			continue;
		w->checked_ms = now;
		monitor_read(r->s->monitor, true);
		r->spared++;
	}
	/* They come last. */
	n = repos_oldest(r->repos, r->s->asked, r->batch, most < BATCH_MAX ? most : BATCH_MAX);
	while (n && is_read(r, r->batch[n - 1], now))
		n--;
	r->n_batch = n;
	next_looks(r);
}

static void take_found(struct runs *r, const struct api_result *list)
{
	for (unsigned i = 0; i < list->n_repos; i++)
		repos_listed(r->repos, &list->repos[i]);
	if (list->more && !r->too_many)
		log_warn("there is more to look at than monitor.discover_max",
			 KV("source", r->s->name), KV("taken", (int64_t)list->n_repos));
	r->too_many = list->more;
}

static void on_found(const struct api_result *list, void *arg)
{
	struct runs *r = arg;

	r->finding = NULL;
	r->found_ms = clock_mono_ms();
	repos_unlist(r->repos);
	if (list->http_status)
		note_budget(r, list);
	if (list->fate == API_OK) {
		take_found(r, list);
	} else if (list->fate == API_REFUSED) {
		(void)text_copy(r->result.why, sizeof(r->result.why), list->why, strlen(list->why));
		if (!r->no_list)
			log_warn("what there is to look at cannot be listed",
				 KV("source", r->s->name), KV("why", list->why));
	} else {
		no_answer(r, list->why, list->retry_after_ms);
	}
	r->no_list = list->fate == API_REFUSED;
	choose(r);
}

static bool list_is_due(const struct runs *r)
{
	int64_t every = conf_int(r->s->e->conf, "monitor.discover");

	if (!every)
		return false;
	return r->s->asked || !r->found_ms || clock_mono_ms() - r->found_ms >= every ||
	       (r->ops->repos_have_state && !r->no_list);
}

static void on_repos(bool ok, void *arg)
{
	struct runs *r = arg;
	const struct conf *conf = r->s->e->conf;
	const struct api_scan scan = {
		.since_ms = clock_wall_ms() - conf_int(conf, "monitor.forget"),
		.page_size = (unsigned)conf_int(conf, "monitor.discover_max"),
	};

	r->n_batch = r->next = r->refusing = r->spared = 0;
	if (r->stopping || !ok) {
		no_answer(r, r->stopping ? "stopped" : "Redis does not answer", 0);
		finish(r);
	} else if (list_is_due(r)) {
		r->finding = r->ops->list_repos(r->api, &scan, on_found, r);
	} else {
		choose(r);
	}
}

/* --- the table ------------------------------------------------------------------ */

static void check(void *state)
{
	struct runs *r = state;

	r->stopping = false;
	r->result = (struct monitor_result){ .answered = true, .pace.budget_left = -1 };
	repos_refresh(r->repos, on_repos, r);
}

static void stop(void *state)
{
	struct runs *r = state;

	r->stopping = true;
	r->found_ms = 0;
	no_answer(r, "stopped", 0);
	if (r->finding) {
		r->ops->cancel(TAKE(r->finding));
		finish(r);
	}
	for (struct look *l = r->looks; l < r->looks + AT_ONCE; l++) {
		if (!l->call)
			continue;
		r->ops->cancel(TAKE(l->call));
		l->failed = true;
		/* What was told by then is on its way, and has to arrive first. */
		if (!l->open || --l->open == 0)
			page_done(l);
	}
}

static int open_runs(struct monitor_source *s, void **state, struct err *err)
{
	struct runs *r = xcalloc(1, sizeof(*r));

	UNUSED(err);
	r->s = s;
	r->repos = monitor_repos(s->monitor, s->kind->provider);
	r->api = engine_api(s->e, s->kind->provider, &r->ops);
	for (struct look *l = r->looks; l < r->looks + AT_ONCE; l++)
		l->r = r;
	*state = r;
	return 0;
}

static void close_runs(void *state)
{
	struct runs *r = state;

	if (r->finding)
		r->ops->cancel(TAKE(r->finding));
	for (struct look *l = r->looks; l < r->looks + AT_ONCE; l++) {
		if (l->call)
			r->ops->cancel(TAKE(l->call));
		free(l->events);
		free(l->known);
	}
	free(r);
}

static void describe(const void *state, struct json_object *o)
{
	const struct runs *r = state;

	json_add_i64(o, "repositories", (int64_t)repos_count(r->repos));
}

#define KIND(name_)                                        \
	const struct monitor_kind monitor_runs_##name_ = { \
		.name = #name_,                            \
		.provider = #name_,                        \
		.open = open_runs,                         \
		.close = close_runs,                       \
		.check = check,                            \
		.stop = stop,                              \
		.describe = describe,                      \
	}

KIND(github);
KIND(gitlab);
KIND(jenkins);
