/*
 * What the parts of a dispatcher share: consumer (stream in), work (the due
 * set) and the stages. One engine per process, alive until the process ends.
 */
#ifndef GUARD_DISPATCHER_ENGINE_H
#define GUARD_DISPATCHER_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/keys.h"
#include "healers/provider_api.h"

struct answers;
struct audit;
struct audit_trim;
struct conf;
struct consumer;
struct detector;
struct event_base;
struct http_client;
struct knowledge;
struct log_reader;
struct monitor;
struct notify;
struct policy;
struct policy_answer;
struct owners;
struct redis;
struct run;
struct toolbox;
struct trust_watch;
struct work;

enum { ENGINE_PROVIDERS_MAX = 4, ENGINE_NAME_MAX = 96 };

/* Parsed from dispatcher_conf once; see dispatcher.c for what each means. */
struct engine_options {
	int64_t claim_idle_ms, lease_ms, poll_ms;
	int64_t retry_base_ms, retry_cap_ms, give_up_ms;
	int64_t backoff_ms, backoff_max_ms, stop_within_ms;
	int64_t stuck_after_ms, stuck_factor;
	int64_t settle_ms, heal_timeout_ms, keep_events_ms, keep_outcomes_ms;
	int64_t dead_max, dead_keep_ms;
	int64_t max_deliveries, concurrency, batch;
	int64_t diagnose_delay_ms, diagnose_tries, diagnose_jobs;
	int64_t concurrent_heals, approve_ms, person_minutes, ci_price_percent, trust_refresh_ms;
	int64_t incident_repositories, incident_share, incident_window_ms, incident_quiet_ms;
	int64_t incident_probe_ms, incident_probe_cap_ms, incident_release_per_minute;
	int64_t breaker_failures, breaker_window_ms, breaker_open_ms, breaker_cap_ms;
};

struct engine {
	struct event_base *base;
	const struct conf *conf;
	struct keyspace ks;
	char name[ENGINE_NAME_MAX]; /* consumer name, unique per process */
	struct engine_options opt;
	struct {
		bool observe; /* whatever the policy says */
		/* The same for what needs no provider, and so no token of one. */
		bool observe_local;
		const char *observe_why;
	} decide;

	struct redis *reader; /* blocks in XREADGROUP */
	struct redis *writer; /* everything else */
	struct audit *audit;
	struct audit_trim *audit_trim;
	struct http_client *http;
	struct {
		const struct provider_api *ops;
		struct api *api;
	} providers[ENGINE_PROVIDERS_MAX];
	unsigned n_providers;
	struct detector *detector;
	struct log_reader *logs; /* reads them with it */
	struct policy *policy;
	struct notify *notify; /* who is told */
	struct owners *owners;
	struct answers *answers;     /* from buttons */
	struct toolbox *tools;       /* what can run on this machine */
	struct knowledge *knowledge; /* what to say of a cause */
	struct trust_watch *trust;   /* in the rules */

	struct consumer *consumer;
	struct work *work;
	struct monitor *monitor; /* NULL: switched off */
	struct {
		bool busy, failed;
		unsigned asked; /* channels that have not answered */
		char id[48];
	} news; /* of incidents: the one that is told */
	bool draining;
};

/* NULL when there are no credentials here for a provider of that name. */
struct api *engine_api(const struct engine *, const char *name, const struct provider_api **ops);
/* NULL when there are none for the provider of that run, or for its source. */
struct api *engine_provider(struct engine *, const struct run *, const struct provider_api **ops);

/* What the policy says of a run, as it is known now; category and fingerprint are the finding's. */
void engine_policy(const struct engine *, const struct run *, const char *category,
		   const char *subcategory, const char *fingerprint, int64_t now_ms,
		   struct policy_answer *out);

/* Whether the server that is configured here is the one a source's events come from. */
bool engine_serves(const struct engine *, const struct provider_api *, const char *source);

/* Full jitter: somewhere in (0, min(cap, base * 2^tries)], at least `at_least_ms` when that is >=
 * 0. */
int64_t engine_backoff_ms(const struct engine *, int64_t tries, int64_t at_least_ms);

#endif
