/*
 * The repositories a monitor looks at, of one provider: those that are configured, and those that
 * events came from. Kept in pg:{R}:monitor:repos:PROVIDER, so that they outlive a leader.
 */
#ifndef GUARD_DISPATCHER_MONITOR_REPOS_H
#define GUARD_DISPATCHER_MONITOR_REPOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct api_repo;
struct engine;
struct provider_api;
struct repos;

enum { REPOS_MAX = 2000 };

struct watched {
	char source[32], repo[140];
	uint64_t repo_id, installation; /* 0: not known yet */
	int64_t known_ms, seen_ms;      /* wall clock; configured ones are always seen */
	bool configured, dirty;

	/* For whoever looks at it; forgotten with the lease. */
	int64_t checked_ms;       /* monotonic, of the last look */
	int64_t refused_until_ms; /* monotonic */
	/* What the provider says of it now, as in struct api_repo, and what it said when it was
	 * read in full; "": not known. */
	char state[32], read_state[32];
	int64_t read_ms; /* monotonic */
};

int repos_new(struct engine *, const struct provider_api *, struct repos **out,
	      struct err *) MUST_CHECK;
void repos_free(struct repos *);
DEFINE_OWNED(struct repos, repos_free)

/* Learns what is new. done(ok) follows from the loop; one refresh at a time. */
void repos_refresh(struct repos *, void (*done)(bool ok, void *arg), void *arg);
/* What others did meanwhile is read anew at the next refresh. */
void repos_forget(struct repos *);

/* The provider listed it: looked at from now on. */
void repos_listed(struct repos *, const struct api_repo *);
/* Before all that are listed anew: what was said of any is not true any more. */
void repos_unlist(struct repos *);

size_t repos_count(const struct repos *);
/* Valid until the next refresh. */
struct watched *repos_at(struct repos *, size_t i);
/*
 * Those that were not looked at for longest, at most n; their number. Those that refused lately
 * only when asked for. Valid until the next refresh.
 */
size_t repos_oldest(struct repos *, bool refused_too, struct watched **out, size_t n);

#endif
