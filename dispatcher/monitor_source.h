/* A kind of thing that can be asked what is new: one table each, listed in monitor.c. */
#ifndef GUARD_DISPATCHER_MONITOR_SOURCE_H
#define GUARD_DISPATCHER_MONITOR_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "dispatcher/pace.h"

struct ci_event;
struct engine;
struct json_object;
struct lease;
struct monitor;
struct monitor_source;
struct read_cache;
struct repos;

/* What a check came to. `answered` is false when nothing can be said of the source. */
struct monitor_result {
	bool answered;
	char why[200];          /* for people, when it was not, or not wholly */
	struct pace_facts pace; /* gaps, failing, wait_ms, calls and budget; the rest is ours */
	double share; /* of all there is to look at; the next check goes on with the rest */
};

struct monitor_kind {
	const char *name;     /* "github" */
	const char *provider; /* whose API it needs; NULL: none */
	bool of_host;         /* about this machine, so every machine has its own */

	/* *state NULL, without an error: there is nothing for it to do here. */
	int (*open)(struct monitor_source *, void **state, struct err *) MUST_CHECK;
	void (*close)(void *state);
	/* Ends in exactly one monitor_checked(), perhaps at once. */
	void (*check)(void *state);
	/* The lease went: ends what can be ended, monitor_checked() comes all the same. */
	void (*stop)(void *state);
	/* Adds what /status should say of it. */
	void (*describe)(const void *state, struct json_object *);
};

extern const struct monitor_kind monitor_runs_github, monitor_runs_gitlab, monitor_runs_jenkins;
extern const struct monitor_kind monitor_deliveries_github;
extern const struct monitor_kind monitor_git;

struct monitor_source {
	const struct monitor_kind *kind;
	struct monitor *monitor;
	struct engine *e;
	struct lease *lease;
	char name[96]; /* of the kind; with the machine's name when it is of this one */
	void *state;

	struct event *timer;
	bool checking, dirty;
	bool wanted, asked; /* somebody wants a check; somebody wanted this one */
	struct pace_facts pace;
	int64_t interval_ms, last_check_ms, next_check_ms; /* wall clock */
	int64_t checks, refusals, gaps, redeliveries;
	char why[200];
};

void monitor_checked(struct monitor_source *, const struct monitor_result *);
/* Shared by the sources of the region. */
struct read_cache *monitor_cache(const struct monitor *);
struct repos *monitor_repos(const struct monitor *, const char *provider);
/* Counts one read, for the hit rate: was it spared? */
void monitor_read(const struct monitor *, bool from_cache);
/*
 * The delivery id of an event that was found and not sent: the same whoever finds it, however
 * often. Fills delivery and received_at_ms; source has to be set.
 */
void monitor_name_event(struct ci_event *);

#endif
