/* Answers that go wrong on purpose: which call, how often, and how. */
#ifndef GUARD_TESTS_FAULTS_H
#define GUARD_TESTS_FAULTS_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct json_object;

enum call {
	CALL_GET_RUN,
	CALL_LIST_JOBS,
	CALL_LOG,      /* the link to a log */
	CALL_LOG_FILE, /* the log behind the link */
	CALL_RERUN,
	CALL_TOKEN,
	CALL_LIST_RUNS,
	CALL_LIST_REPOS,
	CALL_HOOKS, /* hooks and their deliveries */
	CALL_CACHES,
	CALL_CANCEL,
	CALL_GIT,      /* what is in the repository, and new commits */
	CALL_PULLS,    /* pull and merge requests, and what is said about them */
	CALL_DISPATCH, /* a new run by hand */
	CALL_PUSH,     /* git itself, over HTTP */
	CALL_RENEW,    /* of credentials, by whoever looks after them */
	CALL_RIGHT,    /* what a person may do */
	CALL_OTHER,
};

enum fault_kind {
	FAULT_STATUS,
	FAULT_HANG,
	FAULT_DROP,
	FAULT_GARBAGE,
	FAULT_REDIRECT,
	FAULT_APPLY_THEN_DROP,
	FAULT_SLOW,
	FAULT_TRUNCATE,
	FAULT_TRUNCATED_ZIP,
	FAULT_PRIMARY_LIMIT,
	FAULT_SECONDARY_LIMIT,
};

enum { FAULT_HEADERS_MAX = 8 };

struct fault {
	enum fault_kind kind;
	int status;
	char *body, *location;
	struct {
		char *name, *value;
	} headers[FAULT_HEADERS_MAX];
	unsigned n_headers;
	int64_t ms;

	struct fault *next;
	int call; /* enum call, or -1: any */
	uint64_t run;
	unsigned times, users;
};

struct faults {
	struct fault *first;
};

/* From the body of POST /_sim/faults. */
int faults_add(struct faults *, struct json_object *, struct err *) MUST_CHECK;
/* Those in use live on until they are put back. */
void faults_clear(struct faults *);
/* The first one for this call, and one time less; NULL: all goes well. fault_put() it. */
struct fault *faults_take(struct faults *, enum call, uint64_t run);
void fault_put(struct fault *);
/* Calls that are still to go wrong. */
uint64_t faults_left(const struct faults *);

#endif
