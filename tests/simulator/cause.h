/*
 * Why a simulated run fails: the truth that a diagnosis is compared with, and
 * the logs that such a failure leaves behind.
 */
#ifndef GUARD_TESTS_CAUSE_H
#define GUARD_TESTS_CAUSE_H

#include <stdbool.h>
#include <stddef.h>

/* Which job of a workflow it happens in. */
enum place { IN_ANY, IN_LINT, IN_BUILD, IN_TEST, IN_DEPLOY, IN_NO_JOB };

/*
 * What the failing step printed. In the text {name} stands for a value that is
 * the same in every attempt of a run, {~name} for one that changes (job_log.c has the list).
 */
struct story {
	const char *command; /* the step is called "Run <command>" */
	const char *text;    /* lines; NULL ends the list */
	int exit_code;       /* 0: the step ends without the usual last line */
};

enum { STORIES_MAX = 4 };
struct cause {
	const char *id; /* "network_dns" */
	const char *category, *subcategory;
	bool transient; /* another attempt passes */
	enum place place;
	const char *conclusion; /* of job and run; NULL: "failure" */
	bool no_failed_step;    /* the runner was lost: the log just stops */
	bool flaky;             /* another attempt passes sometimes */
	bool upstream;          /* ... only when the jobs before it run again, too */
	bool cached;            /* ... only when the caches that it used are gone */
	unsigned weight;        /* how often it is drawn; 0: only when asked for */
	struct story stories[STORIES_MAX];
};

extern const struct cause causes[];
extern const size_t n_causes;

/* By id, or the first one of that category; NULL when there is none. */
const struct cause *cause_find(const char *name);
unsigned cause_stories(const struct cause *);

#endif
