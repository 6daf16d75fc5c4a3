/*
 * A provider's client against a server that follows a script: which answer to which request,
 * and what was asked in the end.
 */
#ifndef GUARD_TESTS_FAKE_API_H
#define GUARD_TESTS_FAKE_API_H

#include <stdbool.h>
#include <stdint.h>

#include "core/ci_event.h"
#include "healers/provider_api.h"

struct conf;
struct event_base;
struct fake_http;
struct http_client;

enum { FAKE_ANSWERS_MAX = 16, FAKE_DROPS = -1 };

/* The first row that fits and is not used up; 404 when none does. */
struct fake_answer {
	const char *method, *path; /* the path has this in it */
	int status;                /* FAKE_DROPS: the connection breaks instead */
	const char *headers, *body;
	unsigned times; /* 0: for ever */
};

/* What a call reported, copied. */
struct fake_report {
	bool done;
	unsigned times;
	struct api_result r;
	char status[32], conclusion[32];
	char log[256];
	struct api_job jobs[4]; /* texts are not copied: only ids, counts and times */
	char names[4][64], conclusions[4][32], stages[4][32], reasons[4][40];
	char steps[4][64]; /* "conclusion name" */
	struct ci_event events[4];
	char etag[64], repos[512]; /* repos: "name#state; " of each */
	char branch[200];          /* "sha parent message" */
	char url[100];             /* of the proposal */
	char clone[300];           /* "user:password@url size" */
};

struct fake_api {
	const struct provider_api *ops;
	struct event_base *base;
	struct http_client *http;
	struct fake_http *server;
	struct conf *conf;
	struct api *api;
	struct fake_answer answers[FAKE_ANSWERS_MAX];
	unsigned used[FAKE_ANSWERS_MAX];
	char asked[4096];     /* "GET /path; POST /path; " */
	char head[4096];      /* of the last request */
	char body[1024];      /* ... */
	char post_head[4096]; /* of the last POST */
	char posts[8192];     /* bodies of all of them, each with a newline after it */
};

/* Settings "key=value", closed by NULL; PORT in one becomes the server's port. */
struct fake_api *fake_api_new(const struct provider_api *, const char *const *sets);
void fake_api_free(struct fake_api *);
void fake_api_script(struct fake_api *, const struct fake_answer *, size_t n);
/* How often something was asked whose line has this in it. */
unsigned fake_api_asked(const struct fake_api *, const char *what);

#define SCRIPT(f, ...)                                                \
	do {                                                          \
		const struct fake_answer script_[] = { __VA_ARGS__ }; \
		fake_api_script((f), script_, ARRAY_LEN(script_));    \
	} while (0)

/* For a fixture: *state is one whose token came from the environment, as it usually does. */
int fake_api_setup(void **state, const struct provider_api *, const char *token_name,
		   const char *token, const char *const *sets);
int fake_api_teardown(void **state);
/* A test with the fixture `setup` of its file. */
#define FAKE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, fake_api_teardown)

enum fake_call { FAKE_GET_RUN, FAKE_LIST_JOBS, FAKE_GET_LOG, FAKE_GET_FILE, FAKE_RERUN };
/* Asks and waits; fails when it is not answered exactly once. */
void fake_api_ask(struct fake_api *, enum fake_call, const struct api_run *, const struct api_job *,
		  struct fake_report *out);
/* The same for something that is done: HEALER_CALL() of it. */
void fake_api_act(struct fake_api *, size_t call, const struct api_run *, struct fake_report *out);
void fake_api_show(struct fake_api *, const struct api_run *, const struct api_note *,
		   struct fake_report *out);
enum fake_list { FAKE_RUNS, FAKE_REPOS };
void fake_api_right(struct fake_api *, const struct api_run *, const char *person,
		    struct fake_report *out);
void fake_api_list(struct fake_api *, enum fake_list, const struct api_scan *,
		   struct fake_report *out);

void fake_api_branch(struct fake_api *, const struct api_run *, const char *branch,
		     struct fake_report *out);
void fake_api_proposal(struct fake_api *, const struct api_run *, const char *branch,
		       struct fake_report *out);
void fake_api_change(struct fake_api *, api_change_fn *, const struct api_run *,
		     const struct api_change *, struct fake_report *out);
void fake_api_afresh(struct fake_api *, api_afresh_fn *, const struct api_run *,
		     const struct api_afresh *, struct fake_report *out);

#endif
