#include "dispatcher/dispatcher.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "core/audit.h"
#include "core/audit_trim.h"
#include "core/child.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "core/http_client.h"
#include "core/http_server.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/process.h"
#include "core/redis.h"
#include "core/settings.h"
#include "core/text.h"
#include "core/tls.h"
#include "dispatcher/answer.h"
#include "dispatcher/breaker.h"
#include "dispatcher/consumer.h"
#include "dispatcher/detector.h"
#include "dispatcher/engine.h"
#include "dispatcher/knowledge.h"
#include "dispatcher/log_reader.h"
#include "dispatcher/monitor.h"
#include "dispatcher/notify.h"
#include "dispatcher/owners.h"
#include "dispatcher/policy.h"
#include "dispatcher/record.h"
#include "dispatcher/rule_cache.h"
#include "dispatcher/trust.h"
#include "dispatcher/work.h"
#include "healers/change_tree.h"
#include "healers/refresh_credentials.h"
#include "healers/toolbox.h"
#include "web/admin.h"

static const struct conf_option options[] = {
	{ "mode", CONF_STR, "act", NULL, NULL,
	  "act: heal what is safe to heal; observe: only report what would be done." },
	{ "policy_file", CONF_STR, NULL, NULL, NULL,
	  "Who may be healed how (docs/policy.md); unset: re-runs act, changes are suggested." },
	{ "rules_dir", CONF_STR, NULL, NULL, NULL,
	  "Folder of rule files; default: the rules that came with this release." },
	{ "text_model", CONF_STR, NULL, NULL, NULL,
	  "File of the text model that is asked where no rule is sure; default: the one that came "
	  "with this release; empty: none." },
	{ "rules.trust_refresh", CONF_DURATION, "30s", "50ms", "1h",
	  "How often it is read how well the rules do in practice." },
	{ "diagnose.delay", CONF_DURATION, "0s", "0s", "10m",
	  "Wait this long after a failure before reading its log." },
	{ "diagnose.jobs", CONF_INT, "3", "1", "16",
	  "How many failed jobs of a run have their logs read." },
	{ "diagnose.tries", CONF_INT, "8", "1", "50",
	  "Tries to reach the provider before a person is asked without a diagnosis." },
	{ "heal.min_confidence", CONF_INT, "60", "0", "100",
	  "Percent of certainty below which a person is asked instead of acting; a policy may say "
	  "otherwise." },
	{ "heal.reruns_per_run", CONF_INT, "1", "0", "10",
	  "Most re-runs of one run, attempts made by people included; a policy may say "
	  "otherwise." },
	{ "heal.per_pipeline_hour", CONF_INT, "10", "0", "1000",
	  "Most heals of one pipeline within an hour; a policy may say otherwise." },
	{ "heal.minutes_per_repo_day", CONF_INT, "0", "0", "100000",
	  "Minutes of CI time that re-runs of one repository may take in a day (UTC); 0: any. A "
	  "policy may say otherwise." },
	{ "heal.approve_within", CONF_DURATION, "3d", "1s", "30d",
	  "How long a suggested heal waits for somebody to approve it." },
	{ "heal.concurrent", CONF_INT, "20", "1", "1000",
	  "Most heals being started at the same time in the region." },
	{ "heal.settle", CONF_DURATION, "15s", "0s", "10m",
	  "How long a provider may take to show a call whose answer was lost." },
	{ "heal.backoff", CONF_DURATION, "3m", "0s", "1d",
	  "How long retry_with_backoff waits before the first try of a run; doubles with every "
	  "further one." },
	{ "heal.backoff_max", CONF_DURATION, "1h", "0s", "7d",
	  "Longest such wait, also when a log asks for a longer one." },
	{ "heal.stop_within", CONF_DURATION, "5m", "1s", "1d",
	  "How long a run that was told to stop may take, before it is told again and harder." },
	{ "heal.stuck_after", CONF_DURATION, "0s", "0s", "7d",
	  "A run hangs when a job of it is in progress for longer than this, and than "
	  "heal.stuck_factor times what runs of its pipeline take; 30m is a good value. 0: nobody "
	  "looks." },
	{ "heal.stuck_factor", CONF_INT, "3", "1", "100",
	  "How many times longer than 95 of 100 runs that passed took." },
	{ "heal.stuck_act", CONF_BOOL, "false", NULL, NULL,
	  "Stop and re-run what hangs where the policy lets it (category timeout/stuck); else it "
	  "is "
	  "only suggested." },
	{ "heal.refresh_url", CONF_SECRET, NULL, NULL, NULL,
	  "Address of yours that renews credentials of pipelines, for refresh_credentials; without "
	  "one that is not chosen." },
	{ "heal.refresh_secret", CONF_SECRET, NULL, NULL, NULL,
	  "Key that such a request is signed with (whsec_...); with several, by each." },
	{ "heal.refresh_timeout", CONF_DURATION, "30s", "100ms", "1m",
	  "How long renewing may take." },
	{ "heal.timeout", CONF_DURATION, "6h", "1s", "25d",
	  "How long to wait for the re-run's completion." },
	{ "heal.give_up", CONF_DURATION, "30m", "1s", "7d",
	  "Age at which a plan that could not be carried out is given up." },
	{ "heal.person_minutes", CONF_INT, "15", "1", "480",
	  "Minutes of a person's time that a heal saves: what a try is weighed against." },
	{ "heal.ci_price", CONF_INT, "10", "0", "1000",
	  "What a minute of CI time is worth, in percent of a minute of a person." },
	{ "retry.base", CONF_DURATION, "1s", "1ms", "1m", "First wait between tries; doubles." },
	{ "retry.cap", CONF_DURATION, "2m", "10ms", "1h", "Longest wait between tries." },
	{ "breaker.failures", CONF_INT, "5", "1", "1000",
	  "Calls without an answer or with a 5xx after which a provider is left alone." },
	{ "breaker.window", CONF_DURATION, "1m", "100ms", "1h",
	  "They count together when they are within so long." },
	{ "breaker.open", CONF_DURATION, "5s", "10ms", "10m",
	  "How long a provider is left alone before one call tries again; doubles." },
	{ "breaker.open_cap", CONF_DURATION, "2m", "10ms", "1h",
	  "Longest time a provider is left alone." },
	{ "incident.enabled", CONF_BOOL, "true", NULL, NULL,
	  "Take the same failure in many repositories for one outage: hold, try one, let go bit by "
	  "bit." },
	{ "incident.repositories", CONF_INT, "5", "2", "1000",
	  "So many repositories with the same failure, or the same host that fails, are an "
	  "incident." },
	{ "incident.share", CONF_INT, "50", "0", "100",
	  "A kind of failure that so many repositories have is an incident when they are so many "
	  "percent of all where something failed; 0: never." },
	{ "incident.window", CONF_DURATION, "10m", "1s", "1d",
	  "They count together when they are within so long." },
	{ "incident.probe", CONF_DURATION, "2m", "100ms", "1h",
	  "How long an incident lasts before one run is tried; doubles." },
	{ "incident.probe_cap", CONF_DURATION, "30m", "100ms", "1d",
	  "Longest time between tries, and how long one may take before another may." },
	{ "incident.release_per_minute", CONF_INT, "5", "1", "6000",
	  "How many held runs a minute go when that try went well." },
	{ "incident.quiet", CONF_DURATION, "10m", "1s", "1d",
	  "An incident is over when nothing failed of it and nothing waited for so long." },
	{ "dispatcher.claim_idle", CONF_DURATION, "30s", "100ms", "1h",
	  "Entries of a dispatcher that is silent for so long are taken over." },
	{ "dispatcher.lease", CONF_DURATION, "2m", "500ms", "1h",
	  "How long one worker may hold a piece of work." },
	{ "dispatcher.poll", CONF_DURATION, "250ms", "10ms", "10s",
	  "How often work that others left is looked for." },
	{ "dispatcher.max_deliveries", CONF_INT, "5", "1", "100",
	  "Deliveries after which an entry becomes a dead letter." },
	{ "dispatcher.concurrency", CONF_INT, "64", "1", "1000",
	  "Pieces of work in flight per dispatcher." },
	{ "dispatcher.batch", CONF_INT, "128", "1", "1000", "Entries read at once." },
	{ "dispatcher.keep_events", CONF_DURATION, "1d", "0s", "35d",
	  "How long processed events stay in the stream for people to look at." },
	{ "dispatcher.keep_outcomes", CONF_DURATION, "90d", "1d", "3650d",
	  "How long outcomes stay in their stream." },
};

const struct conf_table dispatcher_conf = {
	.title = "Dispatcher",
	.options = options,
	.n = ARRAY_LEN(options),
};

static const struct {
	const char *key;
	size_t offset;
} numbers[] = {
#define N(key, field)                                       \
	{                                                   \
		key, offsetof(struct engine_options, field) \
	}
	N("dispatcher.claim_idle", claim_idle_ms),
	N("dispatcher.lease", lease_ms),
	N("dispatcher.poll", poll_ms),
	N("dispatcher.max_deliveries", max_deliveries),
	N("dispatcher.concurrency", concurrency),
	N("dispatcher.batch", batch),
	N("dispatcher.keep_events", keep_events_ms),
	N("dispatcher.keep_outcomes", keep_outcomes_ms),
	N("dead_letters.max", dead_max),
	N("dead_letters.keep", dead_keep_ms),
	N("retry.base", retry_base_ms),
	N("retry.cap", retry_cap_ms),
	N("heal.give_up", give_up_ms),
	N("incident.repositories", incident_repositories),
	N("incident.share", incident_share),
	N("incident.window", incident_window_ms),
	N("incident.probe", incident_probe_ms),
	N("incident.probe_cap", incident_probe_cap_ms),
	N("incident.release_per_minute", incident_release_per_minute),
	N("incident.quiet", incident_quiet_ms),
	N("breaker.failures", breaker_failures),
	N("breaker.window", breaker_window_ms),
	N("breaker.open", breaker_open_ms),
	N("breaker.open_cap", breaker_cap_ms),
	N("heal.settle", settle_ms),
	N("heal.backoff", backoff_ms),
	N("heal.backoff_max", backoff_max_ms),
	N("heal.stop_within", stop_within_ms),
	N("heal.stuck_after", stuck_after_ms),
	N("heal.stuck_factor", stuck_factor),
	N("heal.timeout", heal_timeout_ms),
	N("heal.approve_within", approve_ms),
	N("heal.person_minutes", person_minutes),
	N("heal.ci_price", ci_price_percent),
	N("heal.concurrent", concurrent_heals),
	N("rules.trust_refresh", trust_refresh_ms),
	N("diagnose.delay", diagnose_delay_ms),
	N("diagnose.tries", diagnose_tries),
	N("diagnose.jobs", diagnose_jobs),
#undef N
};

struct daemon {
	struct engine engine;
	struct conf *conf;
	struct http_server *http;
	struct admin *admin;
	struct tls *tls; /* of the admin listener; NULL: in the clear */
	struct event *term, *interrupt, *hangup, *force;
	struct child *sweep; /* NULL once it is over */
	bool ready;
	int status;
};

const char *dispatcher_mode(const struct conf *conf, const char **why)
{
	if (strcmp(conf_str(conf, "mode"), "observe") == 0) {
		*why = "it is configured so";
		return "observe";
	}
	for (size_t i = 0; provider_apis[i]; i++) {
		if (provider_apis[i]->configured(conf)) {
			*why = conf_str(conf, "policy_file")
				       ? "a provider token is configured; the policy says who "
					 "may be healed how"
				       : "a provider token is configured; only re-runs act by "
					 "themselves";
			return "act";
		}
	}
	*why = "no provider token is configured";
	return "observe";
}

/* Numbers of one GitLab mean something else on another, and so do names of Jenkins' jobs. */
bool engine_serves(const struct engine *e, const struct provider_api *ops, const char *source)
{
	const char *list = ops->sources_key ? conf_str(e->conf, ops->sources_key) : NULL;
	size_t n = strlen(source);

	if (!list)
		return true;
	while (*list) {
		size_t len = strcspn(list, ", ");

		if (len == n && strncmp(list, source, n) == 0)
			return true;
		list += len + strspn(list + len, ", ");
	}
	return false;
}

struct api *engine_api(const struct engine *e, const char *name, const struct provider_api **ops)
{
	for (unsigned i = 0; i < e->n_providers; i++) {
		if (strcmp(e->providers[i].ops->name, name) == 0) {
			*ops = e->providers[i].ops;
			return e->providers[i].api;
		}
	}
	return NULL;
}

struct api *engine_provider(struct engine *e, const struct run *run,
			    const struct provider_api **ops)
{
	struct api *api = engine_api(e, run->provider, ops);

	return api && engine_serves(e, *ops, run->source) ? api : NULL;
}

void engine_policy(const struct engine *e, const struct run *run, const char *category,
		   const char *subcategory, const char *fingerprint, int64_t now_ms,
		   struct policy_answer *out)
{
	struct policy_case c = {
		.provider = run->provider,
		.repo = run->repo,
		.branch = run->branch,
		.pipeline = run->pipeline,
		.event = run->trigger,
		.category = category,
		.subcategory = subcategory,
		.fingerprint = fingerprint,
		.now_ms = now_ms,
	};

	policy_ask(e->policy, &c, out);
}

int64_t engine_backoff_ms(const struct engine *e, int64_t tries, int64_t at_least_ms)
{
	int64_t cap = e->opt.retry_base_ms;

	for (int64_t i = 1; i < tries && cap < e->opt.retry_cap_ms; i++)
		cap *= 2;
	if (cap > e->opt.retry_cap_ms)
		cap = e->opt.retry_cap_ms;
	return (at_least_ms > 0 ? at_least_ms : 0) + 1 + random_below((unsigned)cap);
}

/* --- set-up --------------------------------------------------------------- */

static int read_options(struct engine *e, struct err *err)
{
	const char *why, *mode = conf_str(e->conf, "mode");

	if (strcmp(mode, "act") != 0 && strcmp(mode, "observe") != 0)
		return err_set(err, ERR_CONFIG, "mode: \"%s\" is neither act nor observe", mode);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		int64_t v = conf_int(e->conf, numbers[i].key);

		memcpy((char *)&e->opt + numbers[i].offset, &v, sizeof(v));
	}
	e->decide.observe = strcmp(dispatcher_mode(e->conf, &why), "observe") == 0;
	e->decide.observe_why = why;
	e->decide.observe_local = strcmp(conf_str(e->conf, "mode"), "observe") == 0;
	return 0;
}

static void make_name(struct engine *e)
{
	char host[64] = "", unique[9];

	(void)gethostname(host, sizeof(host) - 1);
	random_hex(unique, 4);
	(void)snprintf(e->name, sizeof(e->name), "%s-%d-%s", *host ? host : "dispatcher",
		       (int)getpid(), unique);
}

static int open_providers(struct engine *e, struct err *err)
{
	e->http = http_client_new(e->base, "pipeline-guard");
	for (size_t i = 0; provider_apis[i]; i++) {
		const struct provider_api *ops = provider_apis[i];

		if (!ops->configured(e->conf))
			continue;
		if (ops->open(e->base, e->conf, e->http, &e->providers[e->n_providers].api, err) <
		    0)
			return -1;
		api_watch(e->providers[e->n_providers].api, breaker_observe, e);
		e->providers[e->n_providers++].ops = ops;
	}
	return 0;
}

static void on_http(struct http_request *req, void *arg)
{
	struct daemon *d = arg;

	if (strcmp(req->path, "/health") == 0)
		http_reply_text(req, 200, "text/plain", "ok\n");
	else if (strcmp(req->path, "/ready") == 0 && d->ready && !d->engine.draining &&
		 redis_connected(d->engine.writer))
		http_reply_text(req, 200, "text/plain", "ready\n");
	else if (strcmp(req->path, "/ready") == 0)
		http_reply_text(req, 503, "text/plain", "not ready\n");
	else if (!admin_handle(d->admin, req))
		http_reply_text(req, 404, "text/plain", "not found\n");
}

/* "none" switches it off, as `start` does for its children. */
static int open_admin(struct daemon *d, struct err *err)
{
	const struct conf *conf = d->engine.conf;
	const char *address = conf_str(conf, "admin_listen");
	struct http_limits limits = HTTP_LIMITS_DEFAULT;

	if (address && strcmp(address, "none") == 0)
		return 0;
	if (admin_new(d->engine.base, conf, "dispatcher", &d->admin, err) < 0)
		return err_wrap(err, "admin");
	if (settings_tls(conf, &d->tls, err) < 0)
		return -1;
	limits.max_body_bytes = 64 * 1024;
	if (http_server_new(d->engine.base, address ? address : "127.0.0.1:9090", &limits, on_http,
			    d, &d->http, err) == 0) {
		http_server_tls(d->http, d->tls);
		return 0;
	}
	if (address)
		return err_wrap(err, "admin_listen");
	/* Several dispatchers on one machine: the default address belongs to the first. */
	log_warn("serving no admin page", KV("why", err->msg));
	return 0;
}

static int open_redis(struct engine *e, struct err *err)
{
	int64_t timeout_ms = conf_int(e->conf, "redis.timeout");
	const char *url;

	if (settings_redis_url(e->conf, &url, err) < 0)
		return -1;
	/* The reader may block for a second before it answers at all. */
	if (redis_new(e->base, url, timeout_ms + 1000, &e->reader, err) < 0 ||
	    redis_new(e->base, url, timeout_ms, &e->writer, err) < 0)
		return -1;
	return 0;
}

/* --- signals and drain ---------------------------------------------------- */

static void on_left(void *arg)
{
	struct daemon *d = arg;

	log_info("drained");
	(void)event_base_loopexit(d->engine.base, NULL);
}

static void on_idle(void *arg)
{
	struct daemon *d = arg;

	consumer_leave(d->engine.consumer, on_left, d);
}

static void on_force(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	UNUSED(fd);
	UNUSED(what);
	log_warn("drain_timeout is over; what is left will be taken over when its lease ends",
		 KV("running", work_running(d->engine.work)));
	(void)event_base_loopexit(d->engine.base, NULL);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *d = arg;
	struct timeval tv = clock_timeval(conf_int(d->engine.conf, "drain_timeout"));

	UNUSED(what);
	if (d->engine.draining) {
		(void)event_base_loopexit(d->engine.base, NULL);
		return;
	}
	process_notify("STOPPING=1");
	log_info("draining", KV("signal", (int)sig), KV("running", work_running(d->engine.work)));
	d->engine.draining = true;
	consumer_drain(d->engine.consumer);
	monitor_drain(d->engine.monitor);
	(void)evtimer_add(d->force, &tv);
	work_drain(d->engine.work, on_idle, d);
}

static int load_rules(struct engine *e, struct detector **out, struct err *err)
{
	const char *data_dir = conf_str(e->conf, "data_dir");
	OWNED(detector_freep) struct detector *d = NULL;
	char cache[RULE_CACHE_PATH_MAX];

	if (detector_new(conf_str(e->conf, "rules_dir"),
			 rule_cache_folder(data_dir, cache) ? cache : NULL, &d, err) < 0 ||
	    detector_load_model(d, conf_str(e->conf, "text_model"), err) < 0)
		return -1;
	*out = TAKE(d);
	return 0;
}

static int load_policy(const struct engine *e, struct policy **out, struct err *err)
{
	struct policy_answer base;

	policy_base(e->conf, &base);
	return policy_load(conf_str(e->conf, "policy_file"), &base, out, err);
}

static void reload_policy(struct engine *e)
{
	struct policy *fresh;
	struct err err;

	if (load_policy(e, &fresh, &err) < 0) {
		log_error("policy not reloaded, the old one stays", KV("why", err.msg));
		return;
	}
	policy_free(e->policy);
	e->policy = fresh;
	log_info("policy reloaded");
}

static int load_knowledge(const struct engine *e, struct knowledge **out, struct err *err)
{
	return knowledge_load(conf_str(e->conf, "knowledge_dir"), conf_str(e->conf, "locale"), out,
			      err);
}

/* For findings, and for each channel in its language. */
static void reload_knowledge(struct engine *e)
{
	OWNED(knowledge_freep) struct knowledge *fresh = NULL;
	struct err err;

	if (load_knowledge(e, &fresh, &err) < 0 || notify_reload(e->notify, &err) < 0) {
		log_error("knowledge not reloaded, the old one stays", KV("why", err.msg));
		return;
	}
	knowledge_free(e->knowledge);
	e->knowledge = TAKE(fresh);
	log_info("knowledge reloaded");
}

/* For strategies that run programs: with a provider, or a repository of this machine. */
static void look_at_tools(struct engine *e)
{
	struct err err;

	if ((e->n_providers || conf_str(e->conf, "git.repositories")) &&
	    toolbox_look(e->tools, e->base, e->conf, &err) < 0)
		log_warn("what strategies need of this machine is not known", KV("why", err.msg));
}

/* A bad file is refused, and what was read before stays in use. */
static void on_hangup(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *d = arg;
	struct engine *e = &d->engine;
	struct detector *fresh;
	struct err err;

	UNUSED(sig);
	UNUSED(what);
	if (load_rules(e, &fresh, &err) < 0) {
		log_error("rules not reloaded", KV("why", err.msg));
	} else {
		log_reader_use(e->logs, fresh);
		detector_free(e->detector);
		e->detector = fresh;
		log_info("rules reloaded", KV("rules", detector_rule_count(fresh)));
	}
	reload_policy(e);
	reload_knowledge(e);
	look_at_tools(e);
	if (conf_reload_secrets(d->conf, &err) < 0)
		log_error("secrets not reloaded", KV("why", err.msg));
	else if (d->tls && tls_reload(d->tls, &err) < 0)
		log_error("certificate not reloaded", KV("why", err.msg));
}

static struct event *signal_event(struct daemon *d, int sig, event_callback_fn fn)
{
	struct event *ev = evsignal_new(d->engine.base, sig, fn, d);

	if (!ev || evsignal_add(ev, NULL) < 0)
		abort();
	return ev;
}

static void on_ready(void *arg)
{
	struct daemon *d = arg;

	d->ready = true;
	printf("dispatcher ready %s", d->engine.name);
	if (d->http)
		printf(" admin %s://%s", d->tls ? "https" : "http", http_server_address(d->http));
	printf("\n");
	(void)fflush(stdout);
	process_notify("READY=1");
	log_info("dispatcher consumes", KV("name", d->engine.name),
		 KV("mode", d->engine.decide.observe ? "observe" : "act"),
		 KV("why", d->engine.decide.observe_why),
		 KV("rules", detector_rule_count(d->engine.detector)));
}

static int set_up(struct daemon *d, struct err *err)
{
	struct engine *e = &d->engine;

	make_name(e);
	if (settings_keyspace(e->conf, &e->ks, err) < 0 || read_options(e, err) < 0 ||
	    refresh_credentials_check(e->conf, err) < 0 || load_policy(e, &e->policy, err) < 0 ||
	    load_rules(e, &e->detector, err) < 0 || load_knowledge(e, &e->knowledge, err) < 0 ||
	    notify_new(e->conf, &e->notify, err) < 0 || open_redis(e, err) < 0 ||
	    open_providers(e, err) < 0 || open_admin(d, err) < 0)
		return -1;
	e->audit = audit_new(e->base, e->writer, &e->ks, e->conf, "dispatcher");
	e->audit_trim = audit_trim_new(e->audit, e->writer, &e->ks, e->conf);
	d->term = signal_event(d, SIGTERM, on_signal);
	d->interrupt = signal_event(d, SIGINT, on_signal);
	d->hangup = signal_event(d, SIGHUP, on_hangup);
	d->force = evtimer_new(e->base, on_force, d);
	if (!d->force)
		abort();
	e->logs = log_reader_new(e->base, e->detector);
	e->owners = owners_new();
	e->answers = answers_new(e);
	e->tools = toolbox_new();
	e->trust = trust_new(e);
	e->work = work_new(e);
	e->consumer = consumer_new(e, on_ready, d);
	look_at_tools(e);
	/* Only who can propose leaves copies behind. */
	if (e->n_providers && change_tree_sweep(e->base, e->conf, &d->sweep, err) < 0)
		log_warn("copies that were left behind stay", KV("why", err->msg));
	return monitor_new(e, &e->monitor, err);
}

static void free_event(struct event *ev)
{
	if (ev)
		event_free(ev);
}

static void tear_down(struct daemon *d)
{
	struct engine *e = &d->engine;

	/* First what calls back, then what it calls. */
	child_cancel(d->sweep);
	http_server_free(d->http);
	admin_free(d->admin);
	redis_free(e->reader);
	redis_free(e->writer);
	if (e->audit)
		audit_anchor(e->audit);
	audit_trim_free(e->audit_trim);
	audit_free(e->audit);
	work_free(e->work);
	log_reader_free(e->logs);
	consumer_free(e->consumer);
	trust_free(e->trust);
	monitor_free(e->monitor);
	for (unsigned i = 0; i < e->n_providers; i++)
		e->providers[i].ops->close(e->providers[i].api);
	http_client_free(e->http);
	owners_free(e->owners);
	answers_free(e->answers);
	toolbox_free(e->tools);
	knowledge_free(e->knowledge);
	detector_free(e->detector);
	policy_free(e->policy);
	notify_free(e->notify);
	free_event(d->term);
	free_event(d->interrupt);
	free_event(d->hangup);
	tls_free(d->tls);
	free_event(d->force);
	event_base_free(e->base);
}

int dispatcher_run(struct conf *conf)
{
	struct daemon d = { .engine.conf = conf, .conf = conf };
	struct err err = { 0 };
	int status = 0;

	process_daemon();
	d.engine.base = event_base_new();
	if (!d.engine.base)
		abort();
	if (set_up(&d, &err) < 0) {
		log_error("cannot start", KV("why", err.msg));
		status = err.kind == ERR_CONFIG ? 2 : 3;
	} else {
		(void)event_base_dispatch(d.engine.base);
		/* Left without a signal: the consumer refused the data it found. */
		if (!d.engine.draining)
			status = 2;
	}
	tear_down(&d);
	return status;
}
