/*
 * Events come late, twice, and in any order: every order of a real sequence leaves a run in the
 * same state.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "tests/integration/product.h"

enum { EVENTS_MAX = 6 };

struct told {
	const char *kind, *status, *conclusion;
	uint64_t generation;
	int64_t at_ms;
};

struct sequence {
	const char *why, *provider;
	struct told events[EVENTS_MAX]; /* as they happen */
	const char *generation, *status, *conclusion, *failed, *rank;
};

static const struct sequence sequences[] = {
	{ "GitHub: a re-run heals; a job of the first attempt is told again",
	  "github",
	  { { "run", "queued", "", 1, 1000 },
	    { "run", "running", "", 1, 2000 },
	    { "run", "completed", "failure", 1, 3000 },
	    { "run", "running", "", 2, 4000 },
	    { "job", "completed", "failure", 2, 4100 },
	    { "run", "completed", "success", 2, 5000 } },
	  "2",
	  "completed",
	  "success",
	  "0",
	  "3" },
	{ "GitLab: running comes after failed, with a higher job id; failed is told twice",
	  "gitlab",
	  { { "run", "queued", "", 30, 1000 },
	    { "run", "running", "", 30, 2000 },
	    { "run", "completed", "failure", 30, 3000 },
	    { "run", "completed", "failure", 30, 3000 },
	    { "run", "running", "", 41, 2000 }, /* a pipeline started only once */
	    { "run", "completed", "success", 41, 5000 } },
	  "41",
	  "completed",
	  "success",
	  "0",
	  "3" },
	{ "GitLab: the retry is cancelled",
	  "gitlab",
	  { { "run", "running", "", 30, 2000 },
	    { "run", "completed", "failure", 30, 3000 },
	    { "run", "running", "", 41, 2000 },
	    { "job", "completed", "cancelled", 41, 4000 },
	    { "run", "completed", "cancelled", 41, 5000 } },
	  "41",
	  "completed",
	  "cancelled",
	  "0",
	  "3" },
	{ "GitLab: the retry runs",
	  "gitlab",
	  { { "run", "queued", "", 30, 1000 },
	    { "run", "completed", "failure", 30, 3000 },
	    { "job", "completed", "failure", 30, 3000 },
	    { "run", "running", "", 41, 2000 } },
	  "41",
	  "running",
	  "",
	  "0",
	  "2" },
	{ "Jenkins: two phases at the start and two at the end; a later build succeeds",
	  "jenkins",
	  { { "run", "queued", "", 5, 1000 },
	    { "run", "running", "", 5, 1000 },
	    { "run", "running", "", 5, 3000 }, /* COMPLETED */
	    { "run", "completed", "failure", 5, 3100 },
	    { "run", "running", "", 6, 4000 },
	    { "run", "completed", "success", 6, 5000 } },
	  "6",
	  "completed",
	  "success",
	  "0",
	  "3" },
	{ "Jenkins: the plugin repeats itself, and the next build fails too",
	  "jenkins",
	  { { "run", "completed", "failure", 5, 3100 },
	    { "run", "completed", "failure", 5, 3100 },
	    { "run", "queued", "", 6, 4000 },
	    { "run", "completed", "failure", 6, 5000 },
	    { "run", "completed", "failure", 6, 5000 } },
	  "6",
	  "completed",
	  "failure",
	  "1",
	  "3" },
};

static unsigned length(const struct sequence *s)
{
	unsigned n = 0;

	while (n < EVENTS_MAX && s->events[n].kind)
		n++;
	return n;
}

static void tell(struct rig *r, const struct sequence *s, const struct told *e, uint64_t repo)
{
	static uint64_t n;

	(void)redis_do(r,
		       "XADD %s * v 1 provider %s source %s delivery d%llu kind %s status %s "
		       "conclusion %s repo_id %llu repo a/b run_id 9 generation %llu at_ms %lld "
		       "received_at_ms %lld",
		       EVENTS, s->provider, s->provider, (unsigned long long)++n, e->kind,
		       e->status, e->conclusion, (unsigned long long)repo,
		       (unsigned long long)e->generation, (long long)e->at_ms,
		       (long long)clock_wall_ms());
}

/* Tells every order of the rest; each is a repository of its own. */
static void permute(struct rig *r, const struct sequence *s, struct told *order, unsigned n,
		    unsigned at, uint64_t *repo)
{
	if (at == n) {
		++*repo;
		for (unsigned i = 0; i < n; i++)
			tell(r, s, &order[i], *repo);
		return;
	}
	for (unsigned i = at; i < n; i++) {
		struct told tmp = order[at];

		order[at] = order[i];
		order[i] = tmp;
		permute(r, s, order, n, at + 1, repo);
		order[i] = order[at];
		order[at] = tmp;
	}
}

static bool all_taken(struct rig *r, uint64_t told)
{
	const redisReply *groups = redis_do(r, "XINFO GROUPS %s", EVENTS);
	const redisReply *g = groups->elements ? groups->element[0] : NULL;
	int64_t pending = -1, taken = -1;

	for (size_t i = 0; g && i + 1 < g->elements; i += 2) {
		if (strcmp(g->element[i]->str, "pending") == 0)
			pending = g->element[i + 1]->integer;
		if (strcmp(g->element[i]->str, "entries-read") == 0)
			taken = g->element[i + 1]->integer;
	}
	return pending == 0 && taken == (int64_t)told;
}

static void check(struct rig *r, const struct sequence *s, uint64_t repo)
{
	const struct {
		const char *field, *want;
	} rows[] = { { "generation", s->generation },
		     { "status", s->status },
		     { "conclusion", s->conclusion },
		     { "failed", s->failed },
		     { "rank", s->rank } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *have =
			redis_text_of(r, "HGET pg:{local:0}:run:%s:%llu:9 %s", s->provider,
				      (unsigned long long)repo, rows[i].field);

		if (strcmp(have, rows[i].want) != 0)
			fail_msg("%s: order %" PRIu64 ": %s is \"%s\", not \"%s\"", s->why, repo,
				 rows[i].field, have, rows[i].want);
	}
}

static void every_order_ends_in_the_same_state(struct rig *r)
{
	uint64_t told = 0, repo = 0, first[ARRAY_LEN(sequences) + 1];

	(void)dispatcher_start(r, "dispatcher", rules_only(r, "markers.yaml", NULL), NULL);
	for (size_t i = 0; i < ARRAY_LEN(sequences); i++) {
		struct told order[EVENTS_MAX];
		unsigned n = length(&sequences[i]);

		memcpy(order, sequences[i].events, sizeof(order));
		first[i] = repo;
		permute(r, &sequences[i], order, n, 0, &repo);
		told += (repo - first[i]) * n;
	}
	first[ARRAY_LEN(sequences)] = repo;
	WAIT(r, all_taken(r, told));
	for (size_t i = 0; i < ARRAY_LEN(sequences); i++)
		for (uint64_t k = first[i] + 1; k <= first[i + 1]; k++)
			check(r, &sequences[i], k);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(every_order_ends_in_the_same_state),
	};

	return rig_main(tests);
}
