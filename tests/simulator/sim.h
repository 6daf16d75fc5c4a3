/* The parts of the simulator and what they share. */
#ifndef GUARD_TESTS_SIM_H
#define GUARD_TESTS_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "tests/simulator/access.h"
#include "tests/simulator/faults.h"
#include "tests/simulator/forge.h"
#include "tests/simulator/github_json.h"
#include "tests/simulator/options.h"
#include "tests/simulator/world.h"

struct ask;
struct cgi;
struct event_base;
struct hooks;
struct http_request;
struct http_server;
struct job;
struct run;
struct storage;
struct traffic;

enum { LATENCIES_MAX = 100000 };

/* Sums over runs; what is forgotten stays in them. */
struct totals {
	uint64_t runs, passed, failed, transient, running, healed;
	uint64_t rerun_accepted, rerun_refused, rerun_by_person, rerun_twice;
	uint64_t webhooks, webhooks_ok, webhooks_failed, webhooks_duplicate, log_reads;
};

struct sim {
	struct event_base *base;
	struct options opt;
	struct github github;
	char url[160];
	char *secret;
	char *gitlab_secret, *gitlab_signing, *jenkins_secret, *renew_secret;
	bool gitlab_read_api; /* the token's scope: it may write nothing */
	struct world *world;
	struct hooks *hooks; /* GitHub's */
	struct hooks *gitlab_hooks, *jenkins_hooks;
	struct faults faults;
	struct access *access;
	struct storage *storage;
	struct forge *forge;
	struct http_server *server;
	struct traffic *traffic;
	struct ask *asks; /* those that wait */
	struct cgi *gits; /* git, at work for one of them */

	struct totals past;    /* of forgotten runs */
	uint64_t hooks_untold; /* nobody to send them to, or too many */
	uint64_t hooks_other, auth_leaks, api_requests, git_requests, renewals, checks,
		checks_neutral, checks_buttons, statuses;
	/* From the first webhook of a failure to the accepted re-run. */
	int64_t latencies_us[LATENCIES_MAX];
	size_t n_latencies;
};

/* Listens; the options' texts are borrowed. */
int sim_new(struct event_base *, const struct options *, struct sim **out, struct err *) MUST_CHECK;
void sim_free(struct sim *);

void sim_totals(struct sim *, struct totals *out);
/* What API or person asked for, and its place in the ledger. */
enum rerun_answer sim_rerun(struct sim *, struct run *, bool only_failed, enum actor);
void sim_ping(struct sim *);
/* A proposal's branch has a new head: CI runs on that, if it ran on the one before. */
void sim_branch_moved(struct sim *, const struct repo *, enum flavour, const char *branch);

struct hooks *sim_hooks(struct sim *, enum flavour);

/* The routes: rest_serve() and control_serve() answer each request exactly once. */
void rest_serve(struct sim *, struct http_request *);
void rest_free(struct sim *);
/* False: the path is not theirs. */
bool gitlab_serve(struct sim *, struct http_request *);
bool jenkins_serve(struct sim *, struct http_request *);
bool control_serve(struct sim *, struct http_request *);
bool page_serve(struct sim *, struct http_request *);
bool smart_http_serve(struct sim *, struct http_request *);
/* Before rest_free(). */
void smart_http_free(struct sim *);

/* Runs that come by themselves: --demo and --rate. */
struct traffic *traffic_new(struct sim *);
void traffic_free(struct traffic *);

/* The highest id of a job that the pipeline shows. */
uint64_t gitlab_generation(const struct run *);
/* Whole bodies of webhooks, about the last attempt; GitLab's `event` is what its header says. */
void gitlab_pipeline_hook(struct buf *, const struct sim *, const struct run *);
void gitlab_job_hook(struct buf *, const struct sim *, const struct run *, const struct job *);
void jenkins_notification(struct buf *, const struct sim *, const struct run *, const char *phase);

#endif
