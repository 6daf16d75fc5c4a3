/*
 * GitHub's list of what it tried to tell us: what never arrived is asked for again, once. GitHub
 * does not try twice by itself, and forgets after three days.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/conf.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/redis.h"
#include "core/text.h"
#include "dispatcher/engine.h"
#include "dispatcher/lease.h"
#include "dispatcher/monitor_repos.h"
#include "dispatcher/monitor_source.h"
#include "dispatcher/read_cache.h"

enum {
	HOOKS_MAX = 512,
	FAILED_MAX = 1000, /* of all hooks together */
	PAGES_MAX = 20,
	WALK_MAX = PAGES_MAX * 100,
	ASKED_KEEP_MS = 8 * 24 * 3600 * 1000,
};

/* One hook that is ours, and how far its list is known. */
struct hook {
	char repo[140];             /* "" for an App's */
	uint64_t repo_id, id, seen; /* seen: newest delivery that was taken */
	bool due;                   /* to be looked at by this check */
};

struct failed {
	const struct hook *hook;
	uint64_t delivery;
	char guid[API_GUID_MAX + 1];
	int64_t at_ms;
	bool asked;
};

struct step {
	uint64_t delivery;
	char guid[API_GUID_MAX + 1];
	int64_t at_ms;
	bool ok;
};

struct deliveries {
	struct monitor_source *s;
	const struct provider_api *ops;
	struct api *api;
	struct api_call *call;

	struct hook *hooks;
	size_t n_hooks, at_hook;
	struct failed *failed;
	size_t n_failed, at_failed;
	int64_t budget; /* redeliveries this check may still ask for */

	/* The repositories whose hooks are looked for, and the list being walked. */
	struct watched repo;
	size_t from_repo, at_repo, n_repos, refusing;
	struct step *walk;
	size_t n_walk;
	unsigned page;
	char cursor[API_CURSOR_MAX], etag[READ_CACHE_ETAG_MAX], address[320];

	struct monitor_result result;
	bool off, stopping;
	char off_why[200];
};

/*
 * KEYS lease asked; ARGV lease's value, guid, now, keep. 1: ask for it; 0: somebody did; -1:
 * another dispatcher is the monitor. Written before the call: two answers would be worse than
 * none, for the run itself is found by its list as well.
 */
static struct redis_script once_script = {
	.name = "once",
	.body = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end "
		"redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', "
		"  string.format('%.0f', ARGV[3] - ARGV[4])) "
		"return redis.call('ZADD', KEYS[2], 'NX', ARGV[3], ARGV[2])",
};

static void next_repo(struct deliveries *d);
static void next_hook(struct deliveries *d);
static void next_failed(struct deliveries *d);

/* --- ends ------------------------------------------------------------------------ */

static void finish(struct deliveries *d)
{
	size_t total = repos_count(monitor_repos(d->s->monitor, d->s->kind->provider));

	d->result.share = d->n_repos && total ? (double)d->n_repos / (double)total : 1;
	if (d->off)
		(void)text_copy(d->result.why, sizeof(d->result.why), d->off_why,
				strlen(d->off_why));
	monitor_checked(d->s, &d->result);
}

static void give_up(struct deliveries *d, const char *why, int64_t wait_ms)
{
	d->result.answered = false;
	d->result.pace.wait_ms = wait_ms > 0 ? wait_ms : 0;
	(void)text_copy(d->result.why, sizeof(d->result.why), why, strlen(why));
	finish(d);
}

/* Without the permission there is nothing to do here, and nothing is wrong. */
static void switch_off(struct deliveries *d, const char *why)
{
	if (!d->off)
		log_warn("failed deliveries are not looked for", KV("why", why),
			 KV("until", "this monitor is replaced, or is asked to check them"));
	d->off = true;
	(void)text_copy(d->off_why, sizeof(d->off_why), why, strlen(why));
	finish(d);
}

static void note_budget(struct deliveries *d, const struct api_result *r)
{
	d->result.pace.calls += !r->unchanged;
	if (r->budget_left < 0)
		return;
	d->result.pace.budget_left = r->budget_left;
	d->result.pace.budget_reset_ms = r->budget_reset_at_ms - clock_wall_ms();
}

static bool is_forbidden(const struct api_result *r)
{
	return r->fate == API_REFUSED && (r->http_status == 403 || r->http_status == 404);
}

/* One of many is left out. */
static void skip(struct deliveries *d, const struct api_result *r)
{
	d->call = NULL;
	note_budget(d, r);
	(void)text_copy(d->result.why, sizeof(d->result.why), r->why, strlen(r->why));
}

/* False: the check is over. */
static bool usable(struct deliveries *d, const struct api_result *r)
{
	d->call = NULL;
	note_budget(d, r);
	if (r->fate == API_OK)
		return true;
	if (is_forbidden(r))
		switch_off(d, r->why);
	else
		give_up(d, r->why, r->retry_after_ms);
	return false;
}

/* --- what failed ------------------------------------------------------------------- */

static struct failed *find_failed(struct deliveries *d, const char *guid)
{
	for (size_t i = 0; i < d->n_failed; i++)
		if (strcmp(d->failed[i].guid, guid) == 0)
			return &d->failed[i];
	return NULL;
}

static void drop_failed(struct deliveries *d, struct failed *f)
{
	*f = d->failed[--d->n_failed];
}

/* Of all tries of one event the last one counts, and one that arrived settles it. */
static void take_step(struct deliveries *d, const struct hook *h, const struct step *s)
{
	struct failed *f = find_failed(d, s->guid);

	if (s->ok) {
		if (f)
			drop_failed(d, f);
		return;
	}
	if (!f && d->n_failed == FAILED_MAX)
		return;
	if (!f) {
		f = &d->failed[d->n_failed++];
		*f = (struct failed){ .hook = h, .at_ms = s->at_ms };
		memcpy(f->guid, s->guid, sizeof(f->guid));
	}
	f->delivery = s->delivery;
}

static void forget_old(struct deliveries *d)
{
	int64_t oldest = clock_wall_ms() - conf_int(d->s->e->conf, "monitor.delivery_age");

	for (size_t i = d->n_failed; i-- > 0;)
		if (d->failed[i].at_ms < oldest)
			drop_failed(d, &d->failed[i]);
}

static void on_redelivered(const struct api_result *r, void *arg)
{
	struct deliveries *d = arg;
	struct failed *f = &d->failed[d->at_failed];

	/* Not there any more: GitHub forgot it, and the next one may be younger. */
	if (r->fate == API_REFUSED && (r->http_status == 404 || r->http_status == 422)) {
		d->call = NULL;
		log_warn("a delivery cannot be had again", KV("guid", f->guid), KV("why", r->why));
	} else if (!usable(d, r)) {
		return;
	} else {
		d->s->redeliveries++;
		metrics_add("monitor_redeliveries_total", "", 1);
		log_info("asked for a delivery again", KV("guid", f->guid),
			 KV("repo", *f->hook->repo ? f->hook->repo : "(App)"));
	}
	d->budget--;
	d->at_failed++;
	next_failed(d);
}

static void on_once(const struct redisReply *reply, void *arg)
{
	struct deliveries *d = arg;
	struct failed *f = &d->failed[d->at_failed];
	struct api_scan scan = { 0 };
	int64_t answer = redis_int(reply, -2);

	if (d->stopping || answer < 0) {
		give_up(d, answer == -2 ? "Redis does not answer" : "stopped", 0);
		return;
	}
	scan.repo = f->hook->repo;
	scan.repo_id = f->hook->repo_id;
	scan.hook = f->hook->id;
	scan.delivery = f->delivery;
	f->asked = true;
	if (answer == 0) {
		d->at_failed++;
		next_failed(d);
		return;
	}
	d->call = d->ops->redeliver(d->api, &scan, on_redelivered, d);
}

static void next_failed(struct deliveries *d)
{
	int64_t now = clock_wall_ms(), grace = conf_int(d->s->e->conf, "monitor.grace");
	char lease[KEY_MAX], asked[KEY_MAX];
	struct redis_cmd cmd;

	while (d->at_failed < d->n_failed &&
	       (d->failed[d->at_failed].asked || now - d->failed[d->at_failed].at_ms < grace))
		d->at_failed++;
	if (d->at_failed == d->n_failed || d->budget <= 0 || d->stopping) {
		if (d->at_failed < d->n_failed && d->s->e->decide.observe)
			(void)snprintf(d->result.why, sizeof(d->result.why),
				       "mode observe: nothing is asked for again");
		finish(d);
		return;
	}
	lease_key(d->s->lease, lease);
	key_region(&d->s->e->ks, "monitor:asked", asked);
	redis_script_cmd(&cmd, &once_script, 2);
	redis_arg(&cmd, lease);
	redis_arg(&cmd, asked);
	redis_arg(&cmd, lease_value(d->s->lease));
	redis_arg(&cmd, d->failed[d->at_failed].guid);
	redis_arg_i64(&cmd, now);
	redis_arg_i64(&cmd, ASKED_KEEP_MS);
	redis_send_script(d->s->e->writer, &once_script, &cmd, on_once, d);
}

/* --- lists of deliveries -------------------------------------------------------------- */

static void hook_done(struct deliveries *d)
{
	struct hook *h = &d->hooks[d->at_hook];

	/* Collected from the newest on, to be taken from the oldest on. */
	for (size_t i = d->n_walk; i-- > 0;)
		take_step(d, h, &d->walk[i]);
	if (d->n_walk)
		h->seen = d->walk[0].delivery;
	read_cache_store(monitor_cache(d->s->monitor), d->address, d->etag, 0, clock_mono_ms());
	d->at_hook++;
	next_hook(d);
}

/* True: what follows was taken by an earlier check, or is too old. */
static bool collect(struct deliveries *d, const struct api_result *r)
{
	const struct hook *h = &d->hooks[d->at_hook];
	int64_t oldest = clock_wall_ms() - conf_int(d->s->e->conf, "monitor.delivery_age");

	for (unsigned i = 0; i < r->n_deliveries; i++) {
		const struct api_delivery *from = &r->deliveries[i];
		struct step *to;

		if (from->id <= h->seen || from->at_ms < oldest || d->n_walk == WALK_MAX)
			return true;
		to = &d->walk[d->n_walk++];
		*to = (struct step){ .delivery = from->id, .at_ms = from->at_ms, .ok = from->ok };
		(void)text_copy(to->guid, sizeof(to->guid), from->guid, strlen(from->guid));
	}
	return false;
}

static void list_page(struct deliveries *d);

static void on_deliveries(const struct api_result *r, void *arg)
{
	struct deliveries *d = arg;

	if (d->hooks[d->at_hook].id && is_forbidden(r)) {
		/* Removed a moment ago, or of a repository that changed hands: the others go on. */
		skip(d, r);
		d->at_hook++;
		next_hook(d);
		return;
	}
	if (!usable(d, r))
		return;
	monitor_read(d->s->monitor, r->unchanged);
	if (r->unchanged) {
		d->at_hook++;
		next_hook(d);
		return;
	}
	if (d->page == 1 && !text_copy(d->etag, sizeof(d->etag), r->etag, strlen(r->etag)))
		d->etag[0] = '\0';
	if (collect(d, r) || !r->more || d->page == PAGES_MAX || d->stopping) {
		hook_done(d);
		return;
	}
	(void)text_copy(d->cursor, sizeof(d->cursor), r->cursor, strlen(r->cursor));
	d->page++;
	list_page(d);
}

static void list_page(struct deliveries *d)
{
	const struct hook *h = &d->hooks[d->at_hook];
	struct api_scan scan = { .repo = h->repo, .repo_id = h->repo_id, .hook = h->id };

	if (d->page > 1)
		scan.cursor = d->cursor;
	else
		scan.etag = read_cache_find(monitor_cache(d->s->monitor), d->address,
					    clock_mono_ms(), NULL);
	d->call = d->ops->list_deliveries(d->api, &scan, on_deliveries, d);
}

static void next_hook(struct deliveries *d)
{
	while (d->at_hook < d->n_hooks && !d->hooks[d->at_hook].due)
		d->at_hook++;
	if (d->stopping) {
		give_up(d, "stopped", 0);
		return;
	}
	if (d->at_hook == d->n_hooks) {
		forget_old(d);
		d->at_failed = 0;
		next_failed(d);
		return;
	}
	d->page = 1;
	d->n_walk = 0;
	(void)snprintf(d->address, sizeof(d->address), "deliveries %s %" PRIu64,
		       d->hooks[d->at_hook].repo, d->hooks[d->at_hook].id);
	list_page(d);
}

/* --- hooks of repositories --------------------------------------------------------------- */

static void add_hook(struct deliveries *d, const char *repo, uint64_t repo_id, uint64_t id)
{
	struct hook *h = d->hooks;

	while (h < d->hooks + d->n_hooks && (h->id != id || strcmp(h->repo, repo) != 0))
		h++;
	if (h == d->hooks + HOOKS_MAX)
		return;
	if (h == d->hooks + d->n_hooks) {
		*h = (struct hook){ .repo_id = repo_id, .id = id };
		(void)text_copy(h->repo, sizeof(h->repo), repo, strlen(repo));
		d->n_hooks++;
	}
	h->due = true;
}

static void take_hooks(struct deliveries *d, const struct api_result *r)
{
	const char *path = conf_str(d->s->e->conf, "monitor.hook_path");

	for (unsigned i = 0; i < r->n_hooks; i++)
		if (r->hooks[i].active && strstr(r->hooks[i].url, path))
			add_hook(d, d->repo.repo, d->repo.repo_id, r->hooks[i].id);
	read_cache_store(monitor_cache(d->s->monitor), d->address, r->etag, 0, clock_mono_ms());
}

static void on_hooks(const struct api_result *r, void *arg)
{
	struct deliveries *d = arg;

	if (is_forbidden(r)) {
		skip(d, r);
		d->refusing++;
	} else if (!usable(d, r)) {
		return;
	} else if (r->unchanged) {
		monitor_read(d->s->monitor, true);
		for (struct hook *h = d->hooks; h < d->hooks + d->n_hooks; h++)
			h->due |= strcmp(h->repo, d->repo.repo) == 0;
	} else {
		monitor_read(d->s->monitor, false);
		take_hooks(d, r);
	}
	d->at_repo++;
	next_repo(d);
}

static void repos_done(struct deliveries *d)
{
	if (d->refusing && d->refusing == d->n_repos && !d->n_hooks) {
		switch_off(d, d->result.why);
		return;
	}
	d->at_hook = 0;
	next_hook(d);
}

static void next_repo(struct deliveries *d)
{
	struct repos *repos = monitor_repos(d->s->monitor, d->s->kind->provider);
	struct api_scan scan;

	if (d->stopping) {
		give_up(d, "stopped", 0);
		return;
	}
	if (d->at_repo == d->n_repos || repos_count(repos) < d->n_repos) {
		repos_done(d);
		return;
	}
	/* A copy: the table may change before the answer is here. */
	d->repo = *repos_at(repos, (d->from_repo + d->at_repo) % repos_count(repos));
	(void)snprintf(d->address, sizeof(d->address), "hooks %s", d->repo.repo);
	scan = (struct api_scan){
		.repo = d->repo.repo,
		.repo_id = d->repo.repo_id,
		.installation = d->repo.installation,
		.etag = read_cache_find(monitor_cache(d->s->monitor), d->address, clock_mono_ms(),
					NULL),
	};
	d->call = d->ops->list_hooks(d->api, &scan, on_hooks, d);
}

/* --- the table ------------------------------------------------------------------------------ */

/* The next ones of all, as many as a check may look at. */
static void choose_repos(struct deliveries *d)
{
	size_t total = repos_count(monitor_repos(d->s->monitor, d->s->kind->provider));
	size_t most = (size_t)conf_int(d->s->e->conf, "monitor.batch_size");

	d->from_repo += d->n_repos;
	d->n_repos = total < most ? total : most;
	if (d->n_repos)
		next_repo(d);
	else
		finish(d);
}

static void check(void *state)
{
	struct deliveries *d = state;

	d->stopping = false;
	d->result = (struct monitor_result){ .answered = true, .pace.budget_left = -1 };
	d->budget = d->s->e->decide.observe ? 0 : conf_int(d->s->e->conf, "monitor.redeliveries");
	/* Asked for by a person: perhaps the permission is there now. */
	if (d->off && !d->s->asked) {
		finish(d);
		return;
	}
	d->off = false;
	d->at_repo = d->at_hook = d->refusing = 0;
	for (struct hook *h = d->hooks; h < d->hooks + d->n_hooks; h++)
		h->due = false;
	if (d->ops->own_hook(d->api)) {
		add_hook(d, "", 0, 0);
		next_hook(d);
	} else {
		choose_repos(d);
	}
}

static void stop(void *state)
{
	struct deliveries *d = state;

	d->stopping = true;
	/* The next one to be the monitor starts over; so do we, when we are it again. */
	d->off = false;
	d->n_hooks = d->n_failed = 0;
	if (!d->call)
		return;
	d->ops->cancel(TAKE(d->call));
	give_up(d, "stopped", 0);
}

static int open_deliveries(struct monitor_source *s, void **state, struct err *err)
{
	struct deliveries *d;

	UNUSED(err);
	*state = NULL;
	if (conf_int(s->e->conf, "monitor.redeliveries") == 0)
		return 0;
	d = xcalloc(1, sizeof(*d));
	d->s = s;
	d->api = engine_api(s->e, s->kind->provider, &d->ops);
	d->hooks = xcalloc(HOOKS_MAX, sizeof(*d->hooks));
	d->failed = xcalloc(FAILED_MAX, sizeof(*d->failed));
	d->walk = xcalloc(WALK_MAX, sizeof(*d->walk));
	*state = d;
	return 0;
}

static void close_deliveries(void *state)
{
	struct deliveries *d = state;

	if (d->call)
		d->ops->cancel(TAKE(d->call));
	free(d->hooks);
	free(d->failed);
	free(d->walk);
	free(d);
}

static void describe(const void *state, struct json_object *o)
{
	const struct deliveries *d = state;

	json_add_bool(o, "off", d->off);
	json_add_i64(o, "hooks", (int64_t)d->n_hooks);
	json_add_i64(o, "failed_deliveries", (int64_t)d->n_failed);
}

const struct monitor_kind monitor_deliveries_github = {
	.name = "github-deliveries",
	.provider = "github",
	.open = open_deliveries,
	.close = close_deliveries,
	.check = check,
	.stop = stop,
	.describe = describe,
};
