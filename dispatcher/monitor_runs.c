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
	NOTE_MORE = 1, /* of a cached list: there is another page */
};

struct runs;

/* One repository being looked at. */
struct look {
	struct runs *r;
	struct watched *target;
	struct api_call *call;
	char address[320], etag[READ_CACHE_ETAG_MAX];
	int64_t since_ms;
	unsigned page;
	bool more, young; /* young: something was left for its webhook */

	struct ci_event *events; /* of the page, until Redis said what it knows */
	unsigned n_events, open; /* open: events on their way into the stream */
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
	size_t n_batch, next, refusing;
	struct monitor_result result;
	bool stopping;
};

/*
 * KEYS run ...: the runs of one list, which share a slot; what is known of each. A state that is
 * not known is older than any.
 */
static struct redis_script known_script = {
	.name = "known",
	.body = "local out = {} "
		"for _, key in ipairs(KEYS) do "
		"  local r = redis.call('HMGET', key, 'generation', 'rank') "
		"  out[#out + 1] = r[1] or '0' "
		"  out[#out + 1] = r[2] or '0' "
		"end "
		"return out",
};

static void next_looks(struct runs *r);
static void list_page(struct look *l);

/* --- the end ---------------------------------------------------------------- */

static void finish(struct runs *r)
{
	size_t total = repos_count(r->repos);

	r->result.share = total ? (double)r->n_batch / (double)total : 1;
	monitor_checked(r->s, &r->result);
}

static void look_over(struct look *l)
{
	l->busy = false;
	free(TAKE(l->events));
	l->n_events = 0;
	l->target->checked_ms = clock_mono_ms();
	next_looks(l->r);
}

/* Nothing more is begun: who does not answer now will not answer the next one either. */
static void give_up(struct look *l, const char *why, int64_t wait_ms)
{
	struct runs *r = l->r;

	r->result.answered = false;
	(void)text_copy(r->result.why, sizeof(r->result.why), why, strlen(why));
	if (wait_ms > r->result.pace.wait_ms)
		r->result.pace.wait_ms = wait_ms;
	look_over(l);
}

/* --- events ------------------------------------------------------------------ */

/* Everything in the page is in the stream, or was known. */
static void page_done(struct look *l)
{
	struct runs *r = l->r;

	if (l->failed) {
		read_cache_forget(monitor_cache(r->s->monitor), l->address);
		give_up(l, "Redis did not take an event", 0);
		return;
	}
	if (!l->young)
		read_cache_store(monitor_cache(r->s->monitor), l->address, l->etag,
				 l->more ? NOTE_MORE : 0, clock_mono_ms());
	if (l->more && l->page < PAGES_MAX && !r->stopping) {
		l->page++;
		list_page(l);
	} else {
		look_over(l);
	}
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
		l->failed = true;
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

static bool is_news(const struct redisReply *known, size_t i, const struct ci_event *ev)
{
	uint64_t generation = (uint64_t)redis_int(redis_at(known, 2 * i), 0);
	int64_t rank = redis_int(redis_at(known, 2 * i + 1), 0);

	return ev->generation > generation ||
	       (ev->generation == generation && (int64_t)ev->status > rank);
}

static void on_known(const struct redisReply *reply, void *arg)
{
	struct look *l = arg;

	l->open = 1; /* ours, so that the page does not end before the last was sent */
	l->failed = redis_is_error(reply, NULL) || redis_len(reply) != 2 * (size_t)l->n_events;
	for (unsigned i = 0; i < l->n_events && !l->failed; i++)
		if (is_news(reply, i, &l->events[i]))
			tell(l, &l->events[i]);
	if (--l->open == 0)
		page_done(l);
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
		look_over(l);
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
		give_up(l, list->why, list->retry_after_ms);
		return;
	}
	monitor_read(r->s->monitor, list->unchanged);
	if (list->budget_left >= 0) {
		r->result.pace.budget_left = list->budget_left;
		r->result.pace.budget_reset_ms = list->budget_reset_at_ms - clock_wall_ms();
	}
	if (list->unchanged) {
		unchanged(l);
		return;
	}
	r->result.pace.calls++;
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

/* --- the table ------------------------------------------------------------------ */

static void on_repos(bool ok, void *arg)
{
	struct runs *r = arg;
	size_t most = (size_t)conf_int(r->s->e->conf, "monitor.batch_size");

	r->n_batch = r->next = r->refusing = 0;
	if (!ok) {
		r->result.answered = false;
		(void)snprintf(r->result.why, sizeof(r->result.why), "Redis does not answer");
		finish(r);
		return;
	}
	r->n_batch =
		repos_oldest(r->repos, r->s->asked, r->batch, most < BATCH_MAX ? most : BATCH_MAX);
	next_looks(r);
}

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
	r->result.answered = false;
	(void)snprintf(r->result.why, sizeof(r->result.why), "stopped");
	for (struct look *l = r->looks; l < r->looks + AT_ONCE; l++) {
		if (!l->call)
			continue;
		r->ops->cancel(TAKE(l->call));
		look_over(l);
	}
}

static int open_runs(struct monitor_source *s, void **state, struct err *err)
{
	struct runs *r = xcalloc(1, sizeof(*r));

	UNUSED(err);
	r->s = s;
	r->repos = monitor_repos(s->monitor, s->kind->provider);
	for (unsigned i = 0; i < s->e->n_providers; i++) {
		if (strcmp(s->e->providers[i].ops->name, s->kind->provider) == 0) {
			r->ops = s->e->providers[i].ops;
			r->api = s->e->providers[i].api;
		}
	}
	for (struct look *l = r->looks; l < r->looks + AT_ONCE; l++)
		l->r = r;
	if (!r->ops || !r->ops->list_runs)
		free(TAKE(r));
	*state = r;
	return 0;
}

static void close_runs(void *state)
{
	struct runs *r = state;

	for (struct look *l = r->looks; l < r->looks + AT_ONCE; l++) {
		if (l->call)
			r->ops->cancel(TAKE(l->call));
		free(l->events);
	}
	free(r);
}

static void describe(const void *state, struct json_object *o)
{
	const struct runs *r = state;

	json_add_i64(o, "repositories", (int64_t)repos_count(r->repos));
}

const struct monitor_kind monitor_runs_github = {
	.name = "github",
	.provider = "github",
	.open = open_runs,
	.close = close_runs,
	.check = check,
	.stop = stop,
	.describe = describe,
};
