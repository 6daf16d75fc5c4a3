/* What GitHub says about runs and jobs: the objects of its API and of its webhooks. */
#ifndef GUARD_TESTS_GITHUB_JSON_H
#define GUARD_TESTS_GITHUB_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "tests/simulator/world.h"

/* Every address in the objects begins with one of these. */
struct github {
	const char *api;       /* "http://127.0.0.1:40123" */
	const char *web;       /* pages for people */
	uint64_t installation; /* of the App; 0: none */
};

enum { PAYLOAD_MAX = 1 << 20 };

void github_user(struct buf *, const char *key, const char *login);
void github_repo(struct buf *, const struct github *, const char *key, const struct repo *,
		 bool full);
/* Somebody's copy of it. */
#define GITHUB_FORK_OWNER "mallory"
void github_fork(struct buf *, const char *key, const struct repo *of);
/* `attempt` is 1-based. */
void github_run(struct buf *, const struct github *, const char *key, const struct run *,
		unsigned attempt);
void github_job(struct buf *, const struct github *, const char *key, const struct run *,
		const struct job *, unsigned attempt);
void github_workflow(struct buf *, const struct github *, const char *key, const struct run *);

/* Whole bodies of webhooks, about the last attempt. */
void payload_workflow_run(struct buf *, const struct github *, const struct run *,
			  const char *action);
void payload_workflow_job(struct buf *, const struct github *, const struct run *,
			  const struct job *, const char *action);
void payload_check_run(struct buf *, const struct github *, const struct run *, const struct job *,
		       const char *action);
void payload_check_suite(struct buf *, const struct github *, const struct run *,
			 const char *action);
void payload_ping(struct buf *, const struct github *, const char *hook_url);

/* What started it, in GitHub's words. */
const char *github_event(const struct run *);
/* "MDE1..." as GitHub's ids of nodes look. */
void github_node_id(char out[static 64], const char *kind, uint64_t id);

#endif
