#include "dispatcher/monitor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "core/ci_event.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/redis.h"
#include "core/settings.h"
#include "core/text.h"
#include "dispatcher/engine.h"
#include "dispatcher/lease.h"
#include "dispatcher/monitor_repos.h"
#include "dispatcher/monitor_source.h"
#include "dispatcher/read_cache.h"
#include "dispatcher/work.h"

static const struct conf_option options[] = {
	{ "monitor.enabled", CONF_BOOL, "true", NULL, NULL,
	  "Look for what no webhook told; one dispatcher of the region does." },
	{ "monitor.check_interval", CONF_DURATION, "30s", "100ms", "1h",
	  "How often a source is looked at when all is well; it adapts." },
	{ "monitor.min_interval", CONF_DURATION, "5s", "50ms", "1h",
	  "Never more often than this." },
	{ "monitor.max_interval", CONF_DURATION, "5m", "100ms", "1d",
	  "Never less often, unless the provider asks for it or its rate limit does." },
	{ "monitor.batch_size", CONF_INT, "50", "1", "100",
	  "Repositories looked at by one check, and runs listed at once." },
	{ "monitor.cache_ttl", CONF_DURATION, "5m", "1s", "1d",
	  "How long answers may be confirmed by their ETag before they are read in full again." },
	{ "monitor.lookback", CONF_DURATION, "1d", "1m", "30d",
	  "Runs that are older than this are not looked for." },
	{ "monitor.grace", CONF_DURATION, "15s", "0s", "10m",
	  "How long a webhook may take before its event counts as missing." },
	{ "monitor.forget", CONF_DURATION, "14d", "1h", "365d",
	  "Repositories without events for so long are not looked at any more." },
	{ "monitor.repositories", CONF_STR, NULL, NULL, NULL,
	  "Looked at even if no event ever came: a list of [PROVIDER[/SOURCE]:]owner/name." },
	{ "monitor.discover", CONF_DURATION, "10m", "0s", "1d",
	  "How often providers are asked which repositories an App, which projects a GitLab token "
	  "and which jobs a Jenkins user can see; 0: never, only what events came from is looked "
	  "at." },
	{ "monitor.discover_max", CONF_INT, "500", "1", "2000",
	  "Most repositories, projects or jobs that are taken from such a list." },
	{ "monitor.lease", CONF_DURATION, "15s", "300ms", "10m",
	  "A monitor that is silent for so long is replaced by another dispatcher's." },
	{ "monitor.redeliveries", CONF_INT, "20", "0", "1000",
	  "Most failed GitHub deliveries asked for again by one check; 0: none." },
	{ "monitor.delivery_age", CONF_DURATION, "3d", "1m", "30d",
	  "Failed deliveries that are older are not asked for: GitHub forgets them, 7d on GHES." },
	{ "monitor.hook_path", CONF_STR, "/webhooks/github", NULL, NULL,
	  "What the address of a repository's hook has in it when the hook is ours." },
	{ "git.repositories", CONF_STR, NULL, NULL, NULL,
	  "Local git repositories to watch: a list of absolute paths on this machine." },
	{ "git.host", CONF_STR, NULL, NULL, NULL,
	  "Name of this machine in events about them; default: its host name." },
	{ "git.timeout", CONF_DURATION, "60s", "100ms", "30m",
	  "A look at the local repositories that takes longer is ended." },
	{ "git.stale_after", CONF_DURATION, "10m", "0s", "7d",
	  "Lock files, merges and conflicts that are younger may still be somebody's work." },
	{ "git.objects_interval", CONF_DURATION, "1h", "0s", "30d",
	  "How often all objects of HEAD are read, which takes longest." },
	{ "git.ignore", CONF_STR, NULL, NULL, NULL,
	  "Problems that are not reported: a list of words as in docs/git.md, like behind." },
};

const struct conf_table monitor_conf = {
	.title = "Monitor",
	.options = options,
	.n = ARRAY_LEN(options),
};

static const struct monitor_kind *const kinds[] = {
	&monitor_runs_github,       &monitor_runs_gitlab, &monitor_runs_jenkins,
	&monitor_deliveries_github, &monitor_git,
};

enum {
	CACHE_ENTRIES = 8192,
	TICK_MS = 1000, /* how soon `pipeline-guard monitor --check` is heard */
	TICK_MIN_MS = 50,
	FIRST_CHECK_MS = 50,
	BREAKER_MAX_MS = 3600 * 1000,
	JITTER = 10, /* a tenth of the interval, so that regions do not march in step */
};

struct monitor {
	struct engine *e;
	struct lease *region, *host; /* host NULL: nothing of this machine to watch */
	struct monitor_source sources[ARRAY_LEN(kinds)];
	size_t n;
	struct read_cache *cache;
	struct {
		const char *provider;
		struct repos *repos;
	} repos[ENGINE_PROVIDERS_MAX];
	size_t n_repos;
	struct event *tick;
	int64_t tick_ms;
	bool asking, draining;
};

/* KEYS lease status; ARGV value of the lease, field, text, ... A leader that was replaced says
 * nothing any more. */
static struct redis_script say_script = {
	.name = "say",
	.body = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
		"redis.call('HSET', KEYS[2], unpack(ARGV, 2)) "
		"return 1",
};

/* KEYS wanted; ARGV names. Which of them somebody asks for; each is answered once. */
static struct redis_script wanted_script = {
	.name = "wanted",
	.body = "local out = {} "
		"for i, name in ipairs(ARGV) do out[i] = redis.call('SREM', KEYS[1], name) end "
		"return out",
};

/* --- what sources share ---------------------------------------------------- */

struct read_cache *monitor_cache(const struct monitor *m)
{
	return m->cache;
}

struct repos *monitor_repos(const struct monitor *m, const char *provider)
{
	for (size_t i = 0; i < m->n_repos; i++)
		if (strcmp(m->repos[i].provider, provider) == 0)
			return m->repos[i].repos;
	return NULL;
}

void monitor_read(const struct monitor *m, bool from_cache)
{
	read_cache_count(m->cache, from_cache);
	metrics_set_real("cache_hit_rate", "", read_cache_hit_rate(m->cache));
}

void monitor_name_event(struct ci_event *ev)
{
	char text[160], hash[SHA256_HEX + 1];
	unsigned char digest[SHA256_BYTES];
	int n = snprintf(text, sizeof(text), "poll-%s-%" PRIu64 "-%" PRIu64 "-%" PRIu64 "-%s",
			 ev->source, ev->repo_id, ev->run_id, ev->generation,
			 ci_status_name(ev->status));

	ev->received_at_ms = clock_wall_ms();
	if (n >= (int)sizeof(ev->delivery)) {
		sha256(text, (size_t)n, digest);
		hex_encode(digest, sizeof(digest), hash);
		(void)snprintf(text, sizeof(text), "poll-%.48s", hash);
	}
	(void)text_copy(ev->delivery, sizeof(ev->delivery), text, strlen(text));
}

/* --- saying how it fares ---------------------------------------------------- */

static char *source_json(const struct monitor_source *s)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	double rate = read_cache_hit_rate(s->monitor->cache);

	json_add_str(o, "by", s->e->name);
	json_add_bool(o, "healthy", !s->pace.refused);
	json_add_str(o, "why", s->why);
	json_add_bool(o, "checking", s->checking);
	json_add_i64(o, "last_check_ms", s->last_check_ms);
	json_add_i64(o, "next_check_ms", s->next_check_ms);
	json_add_i64(o, "interval_ms", s->interval_ms);
	json_add_i64(o, "checks", s->checks);
	json_add_i64(o, "refusals", s->refusals);
	json_add_i64(o, "gaps", s->gaps);
	json_add_i64(o, "redeliveries", s->redeliveries);
	if (s->pace.budget_left >= 0)
		json_add_i64(o, "budget_left", s->pace.budget_left);
	if (rate >= 0 && s->kind->provider)
		json_add_num(o, "cache_hit_rate", rate);
	s->kind->describe(s->state, o);
	return xstrdup(json_text(o));
}

static void say(struct monitor *m, struct lease *lease)
{
	char *text[ARRAY_LEN(m->sources)], key[KEY_MAX], status[KEY_MAX];
	struct redis_cmd cmd;
	size_t n = 0;

	if (!lease || !lease_held(lease))
		return;
	lease_key(lease, key);
	key_region(&m->e->ks, "monitor", status);
	redis_script_cmd(&cmd, &say_script, 2);
	redis_arg(&cmd, key);
	redis_arg(&cmd, status);
	redis_arg(&cmd, lease_value(lease));
	for (struct monitor_source *s = m->sources; s < m->sources + m->n; s++) {
		if (s->lease != lease || !s->dirty)
			continue;
		s->dirty = false;
		text[n] = source_json(s);
		redis_arg(&cmd, s->name);
		redis_arg(&cmd, text[n++]);
	}
	if (n)
		redis_send_script(m->e->writer, &say_script, &cmd, NULL, NULL);
	while (n)
		free(text[--n]);
}

/* --- checks --------------------------------------------------------------- */

static void check_in(struct monitor_source *s, int64_t ms)
{
	struct timeval tv = clock_timeval(ms);

	s->next_check_ms = clock_wall_ms() + ms;
	(void)evtimer_add(s->timer, &tv);
}

/* How long the provider is to be left alone, by what all dispatchers know of it. */
static int64_t breaker_left_ms(const struct redisReply *reply)
{
	int64_t now = clock_wall_ms(), left = redis_int(redis_at(reply, 2), 0) - now;
	const char *state = redis_str(redis_at(reply, 0));

	if (state && strcmp(state, "open") == 0 && redis_int(redis_at(reply, 1), 0) - now > left)
		left = redis_int(redis_at(reply, 1), 0) - now;
	/* An end that is further away comes from a clock that jumped. */
	return left > 0 && left <= BREAKER_MAX_MS ? left : 0;
}

static void on_breaker(const struct redisReply *reply, void *arg)
{
	struct monitor_source *s = arg;
	int64_t left = breaker_left_ms(reply),
		again = conf_int(s->e->conf, "monitor.check_interval");

	if (!lease_held(s->lease) || s->monitor->draining) {
		s->checking = false;
	} else if (left > 0 && !s->asked) {
		s->checking = false;
		s->dirty = true;
		(void)snprintf(
			s->why, sizeof(s->why),
			"the provider is left alone: it is in trouble, or its limit is used up");
		check_in(s, left < again ? left + 1 : again);
	} else {
		s->kind->check(s->state);
	}
}

static const char *provider_host(const struct engine *e, const char *name)
{
	const struct provider_api *ops;
	struct api *api = engine_api(e, name, &ops);

	return ops->host(api);
}

static void begin_check(struct monitor_source *s)
{
	char name[300], key[KEY_MAX];

	if (s->checking || !lease_held(s->lease) || s->monitor->draining)
		return;
	(void)evtimer_del(s->timer);
	s->asked = s->wanted;
	s->wanted = false;
	s->checking = true;
	if (!s->kind->provider) {
		s->kind->check(s->state);
		return;
	}
	(void)snprintf(name, sizeof(name), "breaker:%.256s",
		       provider_host(s->e, s->kind->provider));
	key_region(&s->e->ks, name, key);
	redis_send_args(s->e->writer, on_breaker, s, "HMGET", key, "state", "open_until_ms",
			"limited_until_ms", NULL);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	UNUSED(fd);
	UNUSED(what);
	begin_check(arg);
}

static void count(struct monitor_source *s, const struct monitor_result *r)
{
	char labels[160];

	(void)snprintf(labels, sizeof(labels), "source=\"%s\",result=\"%s\"", s->kind->name,
		       r->answered ? "answered" : "no_answer");
	metrics_add("monitor_checks_total", labels, 1);
	(void)snprintf(labels, sizeof(labels), "source=\"%s\"", s->kind->name);
	metrics_add("monitor_gaps_total", labels, r->pace.gaps);
	metrics_set_real("monitor_interval_seconds", labels, (double)s->interval_ms / 1000);
	metrics_set("monitor_source_up", labels, r->answered);
}

static void pace(struct monitor_source *s, const struct monitor_result *r)
{
	const struct engine *e = s->e;
	double share = r->answered && r->share > 0 && r->share < 1 ? r->share : 1;
	struct pace_limits limits = {
		.base_ms = (int64_t)((double)conf_int(e->conf, "monitor.check_interval") * share),
		.min_ms = conf_int(e->conf, "monitor.min_interval"),
		.max_ms = conf_int(e->conf, "monitor.max_interval"),
	};
	int64_t quiet = s->pace.quiet, refused = s->pace.refused;

	s->pace = r->pace;
	s->pace.quiet = r->answered && !r->pace.gaps ? quiet + 1 : 0;
	s->pace.refused = r->answered ? 0 : refused + 1;
	s->pace.load = (double)work_running(e->work) / (double)e->opt.concurrency;
	s->interval_ms = pace_next_ms(&limits, &s->pace);
}

void monitor_checked(struct monitor_source *s, const struct monitor_result *r)
{
	bool was_well = !s->pace.refused;

	s->checking = false;
	s->dirty = true;
	s->checks++;
	s->refusals += !r->answered;
	s->gaps += r->pace.gaps;
	s->last_check_ms = clock_wall_ms();
	(void)text_copy(s->why, sizeof(s->why), r->why, strlen(r->why));
	pace(s, r);
	count(s, r);
	if (r->pace.gaps)
		log_info("found what no webhook told", KV("source", s->name),
			 KV("events", r->pace.gaps));
	if (!r->answered && was_well)
		log_warn("source does not answer", KV("source", s->name), KV("why", r->why));
	else if (r->answered && !was_well)
		log_info("source answers again", KV("source", s->name));
	if (!lease_held(s->lease) || s->monitor->draining)
		return;
	check_in(s, s->wanted ? 0
			      : s->interval_ms +
					random_below((unsigned)(s->interval_ms / JITTER) + 1));
	say(s->monitor, s->lease);
}

static void on_wanted(const struct redisReply *reply, void *arg)
{
	struct monitor *m = arg;
	size_t at = 0;

	m->asking = false;
	for (struct monitor_source *s = m->sources; s < m->sources + m->n; s++) {
		if (!lease_held(s->lease))
			continue;
		if (redis_int(redis_at(reply, at++), 0) != 1)
			continue;
		s->wanted = true;
		begin_check(s);
	}
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct monitor *m = arg;
	struct timeval tv = clock_timeval(m->tick_ms);
	struct redis_cmd cmd;
	char wanted[KEY_MAX];
	int head;

	UNUSED(fd);
	UNUSED(what);
	(void)evtimer_add(m->tick, &tv);
	if (m->asking || m->draining)
		return;
	key_region(&m->e->ks, "monitor:wanted", wanted);
	redis_script_cmd(&cmd, &wanted_script, 1);
	redis_arg(&cmd, wanted);
	head = cmd.argc;
	for (struct monitor_source *s = m->sources; s < m->sources + m->n; s++)
		if (lease_held(s->lease))
			redis_arg(&cmd, s->name);
	if (cmd.argc == head)
		return;
	m->asking = true;
	redis_send_script(m->e->writer, &wanted_script, &cmd, on_wanted, m);
	say(m, m->region);
	say(m, m->host);
}

/* --- the leases -------------------------------------------------------------- */

static void start_source(struct monitor_source *s)
{
	s->pace = (struct pace_facts){ .budget_left = -1 };
	s->dirty = true;
	if (!s->checking)
		check_in(s, FIRST_CHECK_MS);
}

static void stop_source(struct monitor_source *s)
{
	(void)evtimer_del(s->timer);
	s->wanted = false;
	if (s->checking)
		s->kind->stop(s->state);
}

static void on_lease(struct monitor *m, const struct lease *lease, bool held)
{
	/* What another leader read meanwhile we did not see. */
	if (lease == m->region) {
		read_cache_clear(m->cache);
		for (size_t i = 0; i < m->n_repos; i++)
			repos_forget(m->repos[i].repos);
		metrics_set("monitor_leader", "", held);
		if (!held)
			metrics_set_real("cache_hit_rate", "", 0);
	}
	for (struct monitor_source *s = m->sources; s < m->sources + m->n; s++) {
		if (s->lease != lease)
			continue;
		if (held)
			start_source(s);
		else
			stop_source(s);
	}
}

static void on_region(bool held, void *arg)
{
	struct monitor *m = arg;

	on_lease(m, m->region, held);
}

static void on_host(bool held, void *arg)
{
	struct monitor *m = arg;

	on_lease(m, m->host, held);
}

/* --- life ---------------------------------------------------------------------- */

static int open_repos(struct monitor *m, const struct provider_api *ops, struct err *err)
{
	if (monitor_repos(m, ops->name))
		return 0;
	if (repos_new(m->e, ops, &m->repos[m->n_repos].repos, err) < 0)
		return -1;
	m->repos[m->n_repos++].provider = ops->name;
	return 0;
}

static int open_source(struct monitor *m, const struct monitor_kind *kind, const char *host,
		       struct err *err)
{
	struct monitor_source *s = &m->sources[m->n];
	const struct provider_api *ops;

	if (kind->provider && !engine_api(m->e, kind->provider, &ops))
		return 0;
	if (kind->provider && open_repos(m, ops, err) < 0)
		return -1;
	*s = (struct monitor_source){ .kind = kind, .monitor = m, .e = m->e };
	(void)snprintf(s->name, sizeof(s->name), kind->of_host ? "%s:%.60s" : "%s", kind->name,
		       host);
	if (kind->open(s, &s->state, err) < 0)
		return -1;
	if (!s->state)
		return 0;
	s->timer = evtimer_new(m->e->base, on_timer, s);
	if (!s->timer)
		abort();
	m->n++;
	return 0;
}

static int open_sources(struct monitor *m, const char *host, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (open_source(m, kinds[i], host, err) < 0)
			return -1;
	return 0;
}

static void open_leases(struct monitor *m, const char *host)
{
	int64_t ms = conf_int(m->e->conf, "monitor.lease");
	char name[80];

	for (struct monitor_source *s = m->sources; s < m->sources + m->n; s++) {
		struct lease **lease = s->kind->of_host ? &m->host : &m->region;

		(void)snprintf(name, sizeof(name), s->kind->of_host ? "monitor:%.50s" : "monitor",
			       host);
		if (!*lease)
			*lease = lease_new(m->e, name, ms, s->kind->of_host ? on_host : on_region,
					   m);
		s->lease = *lease;
	}
}

DEFINE_OWNED(struct monitor, monitor_free)

int monitor_new(struct engine *e, struct monitor **out, struct err *err)
{
	OWNED(monitor_freep) struct monitor *m = NULL;
	struct timeval tv;
	char host[64];

	*out = NULL;
	if (!conf_bool(e->conf, "monitor.enabled"))
		return 0;
	m = xcalloc(1, sizeof(*m));
	m->e = e;
	m->cache = read_cache_new(CACHE_ENTRIES, conf_int(e->conf, "monitor.cache_ttl"));
	settings_host(e->conf, host, sizeof(host));
	if (open_sources(m, host, err) < 0)
		return -1;
	m->tick = evtimer_new(e->base, on_tick, m);
	if (!m->tick)
		abort();
	open_leases(m, host);
	m->tick_ms = conf_int(e->conf, "monitor.lease") / 3;
	m->tick_ms = m->tick_ms > TICK_MS ? TICK_MS : m->tick_ms;
	m->tick_ms = m->tick_ms < TICK_MIN_MS ? TICK_MIN_MS : m->tick_ms;
	tv = clock_timeval(m->tick_ms);
	if (m->n)
		(void)evtimer_add(m->tick, &tv);
	*out = TAKE(m);
	return 0;
}

void monitor_drain(struct monitor *m)
{
	if (!m || m->draining)
		return;
	m->draining = true;
	(void)evtimer_del(m->tick);
	for (struct monitor_source *s = m->sources; s < m->sources + m->n; s++)
		stop_source(s);
	if (m->region)
		lease_release(m->region);
	if (m->host)
		lease_release(m->host);
	metrics_set("monitor_leader", "", 0);
}

void monitor_free(struct monitor *m)
{
	if (!m)
		return;
	for (struct monitor_source *s = m->sources; s < m->sources + m->n; s++) {
		s->kind->close(s->state);
		event_free(s->timer);
	}
	lease_free(m->region);
	lease_free(m->host);
	for (size_t i = 0; i < m->n_repos; i++)
		repos_free(m->repos[i].repos);
	read_cache_free(m->cache);
	if (m->tick)
		event_free(m->tick);
	free(m);
}
