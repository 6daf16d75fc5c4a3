/*
 * Who may ask what: the token, or a GitHub App's installation tokens, and the
 * rate limit that each of them has.
 */
#ifndef GUARD_TESTS_ACCESS_H
#define GUARD_TESTS_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct access;
struct json_object;

/* A budget of requests per hour. */
struct meter {
	int64_t limit, used, reset_ms;
	int64_t minute_ms, writes; /* the secondary limit */
};

enum caller_kind { CALLER_TOKEN, CALLER_INSTALLATION, CALLER_APP };
struct caller {
	enum caller_kind kind;
	const struct grant *grant; /* of an installation */
	struct meter *meter;
};

/* What an installation may be allowed; SCOPE_NONE: no leave is needed. */
enum scope {
	SCOPE_NONE,
	SCOPE_ACTIONS,
	SCOPE_CHECKS,
	SCOPE_CONTENTS,
	SCOPE_PULLS,
	SCOPE_ISSUES,
	SCOPE_WORKFLOWS,
	N_SCOPES
};
extern const char *const scope_names[N_SCOPES]; /* as GitHub has them */
enum leave { MAY_NOT, MAY_READ, MAY_WRITE };

enum { GRANT_REPOS_MAX = 16 };
struct grant {
	char token[48];
	int64_t expires_ms;
	unsigned char may[N_SCOPES];     /* enum leave */
	uint64_t repos[GRANT_REPOS_MAX]; /* none: all */
	unsigned n_repos;
	struct grant *next;
};

#define ACCESS_INSTALLATION UINT64_C(50216834)

struct access_options {
	const char *token_file;            /* NULL: everybody may */
	const char *app_id, *app_key_file; /* NULL: no App */
	int64_t app_token_ms, rate_limit;
};

int access_new(const struct access_options *, struct access **out, struct err *) MUST_CHECK;
void access_free(struct access *);
bool access_has_app(const struct access *);
/* What the App was allowed on its installation; all of it unless told otherwise. */
void access_allow(struct access *, enum scope, enum leave);
enum leave access_allowed(const struct access *, enum scope);

/* By the Authorization header, which may be NULL. -1: the message says why, as GitHub does. */
int access_identify(struct access *, const char *authorization, struct caller *out,
		    const char **message);
/* NULL for a repository in `repos` that the world does not know is the caller's business. */
const struct grant *access_grant(struct access *, const unsigned char may[static N_SCOPES],
				 const uint64_t *repos, unsigned n);
/* One request; false: the budget is used up. `write`s also count against `writes_max` a minute. */
bool meter_take(struct meter *, int64_t now_ms);
bool meter_take_write(struct meter *, int64_t now_ms, int64_t writes_max);
/* Of everybody, for tests of what a client does at the end of it. */
void access_set_budget(struct access *, int64_t limit, int64_t remaining, int64_t reset_ms);

#endif
