/*
 * Credentials for GitHub: a token as configured, or short-lived tokens of a
 * GitHub App, narrowed to one repository and to what a call needs.
 */
#ifndef GUARD_HEALERS_GITHUB_AUTH_H
#define GUARD_HEALERS_GITHUB_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "healers/provider_api.h"

struct conf;
struct event_base;
struct http_client;
struct http_reply;
struct github_auth;
struct github_wait;

struct github_auth_target {
	const char *api_url; /* without a slash at its end; outlives the auth */
	const char *host;
	const char *api_version;
	/* Told of every answer, for rate limits and metrics; may be NULL. */
	void (*seen)(const struct http_reply *, void *arg);
	void *arg;
};

/* Neither a token nor an App configured is ERR_CONFIG. The App's key is read here. */
int github_auth_new(struct event_base *, struct http_client *, const struct conf *,
		    const struct github_auth_target *, struct github_auth **out,
		    struct err *) MUST_CHECK;
/* Waiting callers are not called any more. */
void github_auth_free(struct github_auth *);
DEFINE_OWNED(struct github_auth, github_auth_free)

/*
 * From the loop, exactly once. `authorization` is a whole header line, borrowed;
 * NULL: `refusal` says why (fate API_RETRY or API_REFUSED).
 */
typedef void github_token_fn(const char *authorization, const struct api_result *refusal,
			     void *arg);

/* What a token may be for; github_auth.c has the permissions of each. */
enum github_grant { GRANT_READ, GRANT_ACT, GRANT_SHOW, GRANT_CHANGE, GRANT_CHANGE_CI };

/*
 * `run` names repository and installation, or with "" for a name the installation alone, for its
 * list of repositories; NULL: the App itself, for what is not about its
 * installations (a plain token stays what it is). `grant` is what its token may do.
 */
struct github_wait *github_auth_get(struct github_auth *, const struct api_run *run,
				    enum github_grant, github_token_fn *, void *arg);
/* For a wait that has not been called; NULL is fine. */
void github_auth_cancel(struct github_wait *);

/* GitHub said 401 to this line. True: another one can be had, ask again (once). */
bool github_auth_reject(struct github_auth *, const char *authorization);

/* Signed proof of being the App (RS256); malloc'ed. For tests. */
char *github_auth_jwt(const struct github_auth *, int64_t now_ms);

#endif
