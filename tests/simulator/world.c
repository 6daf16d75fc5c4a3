#include "tests/simulator/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/job_log.h"

enum {
	REPOS_MAX = 512,
	JOBS_PER_RUN = 1024, /* ids: 51 attempts of 12 jobs fit */
	MONTH_DAYS = 30,
};
#define RUN_ID_BASE ((uint64_t)19800000000)
#define RUN_ID_STEP 13
#define JOB_ID_BASE ((uint64_t)55000000000)

struct world {
	struct event_base *base;
	struct world_options opt;
	struct world_watch watch;
	struct rng rng;
	struct repo *repos[REPOS_MAX];
	size_t n_repos;
	struct run **runs; /* a ring */
	size_t n_runs;     /* made so far */
	const struct cause *outage;
	int64_t outage_until_ms;
};

static const struct {
	const char *name, *about, *language;
} famous_repos[] = {
	{ "aurora-labs/checkout", "Orders, baskets and payments", "TypeScript" },
	{ "aurora-labs/lantern", "Feature flags with a memory", "Go" },
	{ "aurora-labs/mobile", "The app", "Kotlin" },
	{ "harbour/atlas", "Maps and addresses", "Rust" },
	{ "harbour/quill", "Documents, diffs and review", "Python" },
	{ "harbour/telemetry", "Metrics pipeline", "C" },
	{ "meadow-io/platform", "Clusters, charts and modules", "HCL" },
	{ "meadow-io/website", "What visitors see", "TypeScript" },
};

static const struct workflow workflows[] = {
	{ .id = 71200301,
	  .name = "CI",
	  .path = ".github/workflows/ci.yml",
	  .jobs = { { "lint", IN_LINT, 0 },
		    { "build", IN_BUILD, 0 },
		    { "test (ubuntu-22.04)", IN_TEST, 1 },
		    { "test (macos-14)", IN_TEST, 1 },
		    { "report", IN_ANY, 2 } },
	  .n_jobs = 5 },
	{ .id = 71200302,
	  .name = "Nightly",
	  .path = ".github/workflows/nightly.yml",
	  .jobs = { { "build", IN_BUILD, 0 },
		    { "integration tests", IN_TEST, 1 },
		    { "benchmarks", IN_TEST, 1 } },
	  .n_jobs = 3 },
	{ .id = 71200303,
	  .name = "Release",
	  .path = ".github/workflows/release.yml",
	  .jobs = { { "build", IN_BUILD, 0 },
		    { "test", IN_TEST, 1 },
		    { "deploy to production", IN_DEPLOY, 2 } },
	  .n_jobs = 3 },
};

static const char *const people[] = { "mira-k", "tomasz-w", "jun-ito", "adaobi-n", "sven-l" };

bool world_knows(const char *person)
{
	for (size_t i = 0; i < ARRAY_LEN(people); i++)
		if (strcasecmp(people[i], person) == 0)
			return true;
	return false;
}
static const char *const branches[] = {
	"main", "main", "main", "feat/basket-notes", "fix/flaky-login", "renovate/lockfile"
};
static const char *const titles[] = { "Keep the order of lines",
				      "Round prices once",
				      "Read the page size from the request",
				      "Tidy up",
				      "Bump the lockfile",
				      "Explain the retry" };

const char *state_name(enum state s)
{
	static const char *const names[] = { "queued", "in_progress", "completed" };

	return names[s];
}

static const char *const flavours[] = { "github", "gitlab", "jenkins" };

const char *flavour_name(enum flavour f)
{
	return flavours[f];
}

bool flavour_find(const char *name, enum flavour *out)
{
	for (size_t i = 0; i < ARRAY_LEN(flavours); i++) {
		if (strcmp(flavours[i], name) == 0) {
			*out = (enum flavour)i;
			return true;
		}
	}
	return false;
}

bool conclusion_failed(const char *c)
{
	return c && (strcmp(c, "failure") == 0 || strcmp(c, "timed_out") == 0 ||
		     strcmp(c, "startup_failure") == 0);
}

/* --- look-up -------------------------------------------------------------- */

struct repo *world_find_repo(struct world *w, const char *full_name)
{
	for (size_t i = 0; i < w->n_repos; i++)
		if (strcmp(w->repos[i]->full_name, full_name) == 0)
			return w->repos[i];
	return NULL;
}

struct repo *world_repo_by_id(struct world *w, uint64_t id)
{
	for (size_t i = 0; i < w->n_repos; i++)
		if (w->repos[i]->id == id)
			return w->repos[i];
	return NULL;
}

struct repo *world_repo_at(struct world *w, size_t index)
{
	return index < w->n_repos ? w->repos[index] : NULL;
}

bool repo_seen_by(const struct repo *r, enum flavour flavour)
{
	return r->seen_by >> flavour & 1;
}

struct repo *world_repo_by_name(struct world *w, const char *name)
{
	for (size_t i = 0; i < w->n_repos; i++) {
		const char *slash = strchr(w->repos[i]->full_name, '/');

		if (slash && strcmp(slash + 1, name) == 0)
			return w->repos[i];
	}
	return NULL;
}

struct repo *world_repo(struct world *w, const char *full_name)
{
	struct repo *r = world_find_repo(w, full_name);

	if (r)
		return r;
	if (w->n_repos == REPOS_MAX)
		return NULL;
	r = xcalloc(1, sizeof(*r));
	r->id = 100000000 + rng_hash(full_name) % 800000000;
	(void)text_copy(r->full_name, sizeof(r->full_name), full_name, strlen(full_name));
	r->about = "";
	r->language = "C";
	for (size_t i = 0; i < ARRAY_LEN(famous_repos); i++) {
		if (strcmp(famous_repos[i].name, full_name) == 0) {
			r->about = famous_repos[i].about;
			r->language = famous_repos[i].language;
		}
	}
	w->repos[w->n_repos++] = r;
	return r;
}

size_t world_count(const struct world *w)
{
	return w->n_runs;
}

size_t world_first(const struct world *w)
{
	return w->n_runs > w->opt.runs_max ? w->n_runs - w->opt.runs_max : 0;
}

struct run *world_at(struct world *w, size_t index)
{
	return index < w->n_runs && index >= world_first(w) ? w->runs[index % w->opt.runs_max]
							    : NULL;
}

struct run *world_find(struct world *w, uint64_t run_id)
{
	if (run_id < RUN_ID_BASE || (run_id - RUN_ID_BASE) % RUN_ID_STEP)
		return NULL;
	return world_at(w, (run_id - RUN_ID_BASE) / RUN_ID_STEP);
}

struct job *world_find_job(struct world *w, uint64_t job_id, struct run **run, unsigned *attempt)
{
	uint64_t n = job_id - JOB_ID_BASE;

	*run = job_id < JOB_ID_BASE ? NULL : world_at(w, n / JOBS_PER_RUN);
	if (!*run)
		return NULL;
	for (unsigned a = 0; a < (*run)->n_attempts; a++) {
		struct attempt *at = (*run)->attempts[a];

		for (unsigned i = 0; i < at->n_jobs; i++) {
			if (at->jobs[i].id == job_id) {
				*attempt = a + 1;
				return &at->jobs[i];
			}
		}
	}
	return NULL;
}

struct attempt *run_attempt(const struct run *r, unsigned number)
{
	return number >= 1 && number <= r->n_attempts ? r->attempts[number - 1] : NULL;
}

struct attempt *run_last(const struct run *r)
{
	return r->attempts[r->n_attempts - 1];
}

unsigned job_steps(const struct run *run, const struct job *job,
		   struct step out[static JOB_STEPS_MAX], char names[static 256])
{
	const struct story *story = job->cause ? &job->cause->stories[job->story] : NULL;
	bool lost = job->cause && job->cause->no_failed_step;
	bool done = job->state == STATE_COMPLETED && job->conclusion;
	const char *main_result = !done || lost ? NULL : job->conclusion;
	struct buf name;

	if (job->state == STATE_QUEUED || (done && strcmp(job->conclusion, "skipped") == 0))
		return 0;
	if (main_result && strcmp(main_result, "timed_out") == 0)
		main_result = "cancelled";
	buf_init(&name, 4096);
	buf_puts(&name, "Run ");
	job_log_expand(&name, run, story ? story->command : "make check");
	(void)text_copy(names, 256, buf_text(&name), name.len);
	buf_done(&name);
	out[0] = (struct step){ "Set up job", "success", job->started_ms, job->started_ms };
	out[1] = (struct step){ "Run actions/checkout@v4", "success", job->started_ms,
				job->started_ms };
	out[2] = (struct step){ "Run ./scripts/prepare.sh", "success", job->started_ms,
				job->started_ms };
	out[3] = (struct step){ names, main_result, job->started_ms,
				main_result ? job->completed_ms : 0 };
	if (!done || lost)
		return 4;
	out[4] = (struct step){ "Post Run actions/checkout@v4",
				strcmp(job->conclusion, "success") == 0 ? "success" : "skipped",
				job->completed_ms, job->completed_ms };
	out[5] = (struct step){ "Complete job", "success", job->completed_ms, job->completed_ms };
	return 6;
}

/* --- life of a run -------------------------------------------------------- */

static void tell_run(const struct run *r, const char *action)
{
	const struct world_watch *watch = &r->world->watch;

	watch->run_changed(r, action, watch->arg);
}

static void tell_job(const struct run *r, const struct job *j, const char *action, bool ghost)
{
	const struct world_watch *watch = &r->world->watch;

	watch->job_changed(r, j, action, ghost, watch->arg);
}

static void wait_ms(struct run *r, int64_t ms)
{
	struct world *w = r->world;
	int64_t spread = (int64_t)((double)ms * w->opt.jitter);
	struct timeval tv;

	if (spread > 0)
		ms += (int64_t)rng_below(&w->rng, (uint64_t)spread * 2 + 1) - spread;
	tv = clock_timeval(ms);
	(void)evtimer_add(r->timer, &tv);
}

static void set_run(struct run *r, enum state state, const char *conclusion, const char *action)
{
	struct attempt *a = run_last(r);

	a->state = state;
	a->conclusion = conclusion;
	a->updated_ms = clock_wall_ms();
	if (conclusion_failed(conclusion) && !r->first_failure_ms)
		r->first_failure_ms = a->updated_ms;
	tell_run(r, action);
}

static void end_job(struct run *r, struct job *j, const char *conclusion)
{
	j->state = STATE_COMPLETED;
	j->conclusion = conclusion;
	j->completed_ms = clock_wall_ms();
	if (!j->started_ms)
		j->started_ms = j->completed_ms;
	tell_job(r, j, "completed", false);
}

/* The next stage from `from` on that has something to run; UINT32_MAX when there is none. */
static unsigned next_stage(const struct attempt *a, unsigned from)
{
	unsigned found = UINT32_MAX;

	for (unsigned i = 0; i < a->n_jobs; i++)
		if (a->jobs[i].state != STATE_COMPLETED && a->jobs[i].stage >= from &&
		    a->jobs[i].stage < found)
			found = a->jobs[i].stage;
	return found;
}

static void queue_stage(struct run *r)
{
	struct attempt *a = run_last(r);

	for (unsigned i = 0; i < a->n_jobs; i++)
		if (a->jobs[i].state == STATE_QUEUED && a->jobs[i].stage == r->stage)
			tell_job(r, &a->jobs[i], "queued", false);
}

static void start_stage(struct run *r)
{
	struct attempt *a = run_last(r);

	for (unsigned i = 0; i < a->n_jobs; i++) {
		struct job *j = &a->jobs[i];

		if (j->state != STATE_QUEUED || j->stage != r->stage)
			continue;
		j->state = STATE_RUNNING;
		j->started_ms = clock_wall_ms();
		tell_job(r, j, "in_progress", false);
	}
	wait_ms(r, r->job_ms);
}

static void skip_rest(struct run *r)
{
	struct attempt *a = run_last(r);

	for (unsigned i = 0; i < a->n_jobs; i++)
		if (a->jobs[i].state == STATE_QUEUED)
			end_job(r, &a->jobs[i], "skipped");
}

/* Of the whole attempt: what the first job that did not pass says. */
static const char *attempt_result(const struct attempt *a)
{
	for (unsigned i = 0; i < a->n_jobs; i++) {
		const char *c = a->jobs[i].conclusion;

		if (c && strcmp(c, "success") != 0 && strcmp(c, "skipped") != 0)
			return c;
	}
	return "success";
}

static void end_stage(struct run *r)
{
	struct attempt *a = run_last(r);
	const char *result;

	for (unsigned i = 0; i < a->n_jobs; i++) {
		struct job *j = &a->jobs[i];

		if (j->state == STATE_RUNNING)
			end_job(r, j,
				!j->cause              ? "success"
				: j->cause->conclusion ? j->cause->conclusion
						       : "failure");
	}
	result = attempt_result(a);
	r->stage = next_stage(a, r->stage);
	if (strcmp(result, "success") != 0 || r->stage == UINT32_MAX) {
		skip_rest(r);
		set_run(r, STATE_COMPLETED, result, "completed");
		return;
	}
	queue_stage(r);
	start_stage(r);
}

static void stop(struct run *r)
{
	struct attempt *a = run_last(r);

	r->stopping = false;
	r->job_ms = r->world->opt.job_ms;
	for (unsigned i = 0; i < a->n_jobs; i++)
		if (a->jobs[i].state != STATE_COMPLETED)
			end_job(r, &a->jobs[i], "cancelled");
	set_run(r, STATE_COMPLETED, "cancelled", "completed");
}

bool run_cancel(struct run *r, bool by_force)
{
	enum { STOPS_MS = 50 };

	if (run_last(r)->state == STATE_COMPLETED)
		return false;
	r->cancels++;
	if (!r->stubborn || by_force) {
		r->stopping = true;
		wait_ms(r, STOPS_MS);
	}
	return true;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct run *r = arg;
	struct attempt *a = run_last(r);

	UNUSED(fd);
	UNUSED(what);
	if (r->stopping) {
		stop(r);
		return;
	}
	if (a->state == STATE_RUNNING) {
		end_stage(r);
	} else if (a->n_jobs == 0) {
		set_run(r, STATE_COMPLETED, "startup_failure", "completed");
	} else {
		set_run(r, STATE_RUNNING, NULL, "in_progress");
		start_stage(r);
	}
}

/* Announces the attempt and sets the clock going; "requested" is not said of a re-run. */
static void begin(struct run *r)
{
	struct attempt *a = run_last(r);

	r->stage = next_stage(a, 0);
	if (r->n_attempts == 1)
		tell_run(r, "requested");
	queue_stage(r);
	wait_ms(r, r->job_ms / 10);
}

static struct attempt *add_attempt(struct run *r, const char *actor)
{
	struct attempt *a = xcalloc(1, sizeof(*a));

	a->started_ms = a->updated_ms = clock_wall_ms();
	a->actor = actor;
	if (r->flavour == FLAVOUR_JENKINS)
		a->build = ++world_find_repo(r->world, r->repo->full_name)->builds;
	r->attempts[r->n_attempts++] = a;
	return a;
}

static struct job *add_job(struct run *r, struct attempt *a, const char *name, enum place kind,
			   unsigned stage)
{
	struct job *j = &a->jobs[a->n_jobs];

	j->id = JOB_ID_BASE + (uint64_t)r->index * JOBS_PER_RUN +
		(uint64_t)(r->n_attempts - 1) * RUN_JOBS_MAX + a->n_jobs;
	(void)text_copy(j->name, sizeof(j->name), name, strlen(name));
	j->kind = kind;
	j->stage = stage;
	j->created_ms = a->started_ms;
	j->story = r->story;
	a->n_jobs++;
	return j;
}

/* The first job of the right kind, the right name, or any that a cause may strike. */
static struct job *victim(const struct run *r, struct attempt *a)
{
	struct rng rng;
	struct job *fit[RUN_JOBS_MAX];
	unsigned n = 0;

	rng_seed(&rng, r->seed, 5);
	for (unsigned i = 0; i < a->n_jobs; i++) {
		struct job *j = &a->jobs[i];

		if (r->failing_job[0]) {
			if (strcmp(j->name, r->failing_job) == 0)
				return j;
		} else if (r->cause->place == IN_ANY ? j->kind != IN_DEPLOY
						     : j->kind == r->cause->place) {
			fit[n++] = j;
		}
	}
	if (n)
		return fit[rng_below(&rng, n)];
	if (r->failing_job[0]) {
		(void)text_copy(a->jobs[0].name, NAME_MAX_BYTES, r->failing_job,
				strlen(r->failing_job));
		return &a->jobs[0];
	}
	return &a->jobs[a->n_jobs - 1];
}

/* Whose the token is. */
static const char *api_user(const struct run *r)
{
	return r->flavour == FLAVOUR_GITLAB ? "pipeline-guard" : "pipeline-guard[bot]";
}

static void first_attempt(struct run *r, bool by_api)
{
	const char *person = people[rng_below(&r->world->rng, ARRAY_LEN(people))];
	struct attempt *a = add_attempt(r, by_api ? api_user(r) : person);

	if (r->cause && r->cause->place == IN_NO_JOB)
		return;
	for (unsigned i = 0; i < r->workflow->n_jobs; i++)
		(void)add_job(r, a, r->workflow->jobs[i].name, r->workflow->jobs[i].kind,
			      r->workflow->jobs[i].stage);
	if (r->cause)
		victim(r, a)->cause = r->cause;
}

/* --- caches ----------------------------------------------------------------- */

bool run_cache(const struct run *r, unsigned i, struct cache *out)
{
	enum { DAY_MS = 86400 * 1000 };
	/* Its own branch's, the default branch's, an old one, and another branch's. */
	static const char *const keys[RUN_CACHES] = { "Linux-node", "Linux-build", "Linux-lint",
						      "Linux-node" };
	const char *const refs[RUN_CACHES] = { r->branch, "main", r->branch, "somebody/else" };

	if (i >= RUN_CACHES || !(r->caches & 1U << i))
		return false;
	out->id = r->id * RUN_CACHES + i;
	(void)snprintf(out->key, sizeof(out->key), "%s-%.12s", keys[i], r->sha);
	(void)snprintf(out->ref, sizeof(out->ref), "refs/heads/%s", refs[i]);
	out->created_ms = r->created_ms - DAY_MS;
	out->accessed_ms = i == 2 ? out->created_ms : run_last(r)->started_ms;
	return true;
}

bool world_delete_cache(struct world *w, const struct repo *repo, uint64_t id)
{
	struct run *r = world_find(w, id / RUN_CACHES);
	unsigned bit = 1U << id % RUN_CACHES;

	if (!r || r->repo != repo || !(r->caches & bit))
		return false;
	r->caches &= ~bit;
	return true;
}

/* --- re-runs -------------------------------------------------------------- */

void world_outage(struct world *w, const struct cause *cause, int64_t ms)
{
	w->outage = cause;
	w->outage_until_ms = clock_mono_ms() + ms;
}

static const struct cause *outage(const struct world *w)
{
	return w->outage && clock_mono_ms() < w->outage_until_ms ? w->outage : NULL;
}

/* A larger machine helps where room or time was short; elsewhere it is another try. */
static bool passes_afresh(const struct run *r, enum run_event event)
{
	static const char *const short_of[] = { "resource_exhaustion", "timeout" };

	if (!r->cause || r->afresh == RERUN_PASS)
		return true;
	if (r->afresh != RERUN_BY_CAUSE)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(short_of) && event == EVENT_DISPATCH; i++)
		if (strcmp(r->cause->category, short_of[i]) == 0)
			return true;
	return r->cause->transient;
}

static const struct cause *next_cause(struct run *r)
{
	struct world *w = r->world;
	enum rerun_rule rule = r->rule;
	bool clean = r->cause && r->cause->cached && !(r->caches & ((1U << RUN_CACHES_USED) - 1));
	bool heals = rng_chance(&w->rng, w->opt.heal_rate);
	bool lucky = rng_chance(&w->rng, w->opt.flaky_rate);

	if (outage(w))
		return outage(w);
	if (r->cause && strcmp(r->cause->category, "auth_failure") == 0 &&
	    r->repo->renewed_ms >= r->first_failure_ms && r->repo->renewed_ms)
		return NULL;
	/* Builds of Jenkins are run again in place, with other parameters. */
	if (*r->inputs && r->cause && passes_afresh(r, EVENT_DISPATCH))
		return NULL;
	if (rule == RERUN_BY_CAUSE && r->cause)
		rule = clean                 ? RERUN_PASS
		       : r->cause->transient ? (heals ? RERUN_PASS : RERUN_SAME)
		       : r->cause->flaky     ? RERUN_FLAKY
					     : RERUN_SAME;
	if (rule == RERUN_PASS || (rule == RERUN_FLAKY && lucky))
		return NULL;
	return rule == RERUN_DIFFERENT ? r->different : r->cause;
}

static void copy_job(struct run *r, struct attempt *a, const struct job *old, bool again,
		     const struct cause *cause)
{
	struct job *j = add_job(r, a, old->name, old->kind, old->stage);

	if (again) {
		j->cause = old->cause ? cause : NULL;
		if (j->cause && j->story >= cause_stories(j->cause))
			j->story = 0;
		return;
	}
	j->carried = true;
	j->cause = old->cause;
	j->state = old->state;
	j->conclusion = old->conclusion;
	j->started_ms = old->started_ms;
	j->completed_ms = old->completed_ms;
}

static enum rerun_answer rerun_refusal(const struct run *r, bool only_failed)
{
	const struct attempt *last = run_last(r);
	int64_t month_ms = (int64_t)MONTH_DAYS * 86400 * 1000;

	if (last->state != STATE_COMPLETED)
		return RERUN_RUNNING;
	if (clock_wall_ms() - r->created_ms > month_ms)
		return RERUN_TOO_OLD;
	if (r->n_attempts == RUN_ATTEMPTS_MAX)
		return RERUN_TOO_OFTEN;
	if (!last->n_jobs || (only_failed && strcmp(last->conclusion, "success") == 0))
		return RERUN_NOTHING;
	return RERUN_ACCEPTED;
}

enum rerun_answer run_rerun(struct run *r, bool only_failed, enum actor actor)
{
	enum rerun_answer answer = rerun_refusal(r, only_failed);
	const struct attempt *old = run_last(r);
	const struct cause *cause;
	struct attempt *a;

	if (answer != RERUN_ACCEPTED) {
		r->rerun_refused += actor == ACTOR_API;
		return answer;
	}
	if (actor == ACTOR_PERSON)
		r->rerun_by_person++;
	else if (r->rerun_accepted++ == 0)
		r->first_rerun_ms = clock_wall_ms();
	r->told_us = 0;
	r->rerun_all += !only_failed;
	cause = next_cause(r);
	if (only_failed && r->cause && r->cause->upstream)
		cause = r->cause;
	a = add_attempt(r, actor == ACTOR_PERSON ? people[0] : api_user(r));
	for (unsigned i = 0; i < old->n_jobs; i++)
		copy_job(r, a, &old->jobs[i],
			 !only_failed || strcmp(old->jobs[i].conclusion, "success") != 0, cause);
	begin(r);
	for (unsigned i = 0; i < a->n_jobs; i++)
		if (a->jobs[i].carried)
			tell_job(r, &a->jobs[i], "completed", true);
	return RERUN_ACCEPTED;
}

/* --- making runs ---------------------------------------------------------- */

static const struct cause *draw_by_weight(struct world *w)
{
	uint64_t total = 0, at;

	for (size_t i = 0; i < n_causes; i++)
		total += causes[i].weight;
	at = rng_below(&w->rng, total);
	for (size_t i = 0; i < n_causes; i++) {
		if (at < causes[i].weight)
			return &causes[i];
		at -= causes[i].weight;
	}
	return &causes[0];
}

static const struct cause *draw_cause(struct world *w)
{
	enum { TRIES_MAX = 100 };
	bool transient = rng_chance(&w->rng, w->opt.transient_rate);
	const struct cause *c = draw_by_weight(w);

	for (int i = 0; w->opt.transient_rate > 0 && c->transient != transient && i < TRIES_MAX;
	     i++)
		c = draw_by_weight(w);
	return c;
}

static bool has_kind(const struct workflow *f, enum place kind)
{
	if (kind == IN_ANY || kind == IN_NO_JOB)
		return true;
	for (unsigned i = 0; i < f->n_jobs; i++)
		if (f->jobs[i].kind == kind)
			return true;
	return false;
}

static const struct workflow *choose_workflow(struct world *w, const struct run_wish *wish,
					      const struct cause *cause)
{
	const struct workflow *fit[ARRAY_LEN(workflows)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(workflows); i++) {
		if (wish->workflow && strcmp(wish->workflow, workflows[i].name) == 0)
			return &workflows[i];
		if (has_kind(&workflows[i], cause ? cause->place : IN_ANY))
			fit[n++] = &workflows[i];
	}
	/* Unless it is about a deployment, the plain one, so that tests know what they get. */
	if (wish->cause && !(cause && cause->place == IN_DEPLOY))
		return &workflows[0];
	return fit[rng_below(&w->rng, n)];
}

static void copy_text(char *dst, const char *wish, const char *otherwise)
{
	const char *s = wish ? wish : otherwise;

	(void)text_copy(dst, NAME_MAX_BYTES, s, strlen(s));
}

static int choose_cause(struct world *w, const struct run_wish *wish, const struct cause **cause,
			const struct cause **different, struct err *err)
{
	const char *second = wish->different ? wish->different : "build_compile";

	*cause = NULL;
	if (wish->cause)
		*cause = cause_find(wish->cause);
	else if (!wish->passes && outage(w))
		*cause = outage(w);
	else if (!wish->passes && (wish->fails || !rng_chance(&w->rng, w->opt.pass_rate)))
		*cause = draw_cause(w);
	if (wish->cause && !*cause)
		return err_set(err, ERR_INPUT, "no cause \"%.60s\"", wish->cause);
	*different = cause_find(second);
	if (!*different)
		return err_set(err, ERR_INPUT, "no cause \"%.60s\"", second);
	return 0;
}

static void run_free(struct run *r)
{
	for (unsigned a = 0; a < r->n_attempts; a++)
		free(r->attempts[a]);
	event_free(r->timer);
	free(r);
}

/* The ring has come round: what was there is forgotten, unless it is still going on. */
static int make_room(struct world *w, struct err *err)
{
	struct run **slot = &w->runs[w->n_runs % w->opt.runs_max];

	if (*slot && run_last(*slot)->state != STATE_COMPLETED)
		return err_set(err, ERR_TRANSIENT, "the world is full: %zu runs", w->opt.runs_max);
	if (*slot) {
		w->watch.run_forgotten(*slot, w->watch.arg);
		run_free(*slot);
	}
	*slot = NULL;
	return 0;
}

int world_create(struct world *w, const struct run_wish *wish, struct run **out, struct err *err)
{
	const struct cause *cause, *different;
	struct repo *repo;
	struct run *r;

	if (choose_cause(w, wish, &cause, &different, err) < 0)
		return -1;
	repo = world_repo(
		w, wish->repo ? wish->repo
			      : famous_repos[rng_below(&w->rng, ARRAY_LEN(famous_repos))].name);
	if (!repo)
		return err_set(err, ERR_TRANSIENT, "the world is full: %d repositories", REPOS_MAX);
	if (make_room(w, err) < 0)
		return -1;
	repo->seen_by |= 1U << wish->flavour;
	r = xcalloc(1, sizeof(*r));
	r->world = w;
	r->flavour = wish->flavour;
	r->index = (unsigned)w->n_runs;
	r->id = RUN_ID_BASE + (uint64_t)r->index * RUN_ID_STEP;
	r->number = 100 + r->index;
	r->check_suite = r->id + 4;
	r->repo = repo;
	r->cause = cause;
	r->different = different;
	r->workflow = choose_workflow(w, wish, cause);
	r->rule = wish->rule;
	r->afresh = wish->afresh;
	r->event = wish->event;
	r->proposal = wish->proposal;
	r->in_place_of = wish->in_place_of;
	if (wish->inputs)
		(void)text_copy(r->inputs, sizeof(r->inputs), wish->inputs, strlen(wish->inputs));
	r->seed = rng_next(&w->rng);
	if (wish->like && world_find(w, wish->like))
		r->seed = world_find(w, wish->like)->seed;
	r->story = cause ? (unsigned)((wish->story > 0 ? (uint64_t)wish->story - 1 : r->seed) %
				      cause_stories(cause))
			 : 0;
	r->created_ms = clock_wall_ms() - wish->age_ms;
	r->job_ms = wish->job_ms >= 0 ? wish->job_ms : w->opt.job_ms;
	rng_hex(&w->rng, r->sha, 40);
	copy_text(r->branch, wish->branch, branches[rng_below(&w->rng, ARRAY_LEN(branches))]);
	if (w->watch.head)
		w->watch.head(r, w->watch.arg);
	copy_text(r->title, NULL, titles[rng_below(&w->rng, ARRAY_LEN(titles))]);
	copy_text(r->failing_job, wish->failing_job, "");
	r->caches = cause && cause->cached ? (1U << RUN_CACHES) - 1 : 0;
	r->silent = wish->silent;
	r->stubborn = wish->stubborn;
	r->logs_expired = wish->logs_expired;
	r->timer = evtimer_new(w->base, on_timer, r);
	if (!r->timer)
		abort();
	w->runs[w->n_runs++ % w->opt.runs_max] = r;
	first_attempt(r, wish->by_api);
	begin(r);
	*out = r;
	return 0;
}

const struct run *world_newest(struct world *w, const struct repo *repo, enum flavour flavour,
			       const char *branch, const char *file)
{
	for (size_t i = w->n_runs; i-- > world_first(w);) {
		const struct run *r = world_at(w, i);

		if (r->repo == repo && r->flavour == flavour && strcmp(r->branch, branch) == 0 &&
		    (!file || strcmp(r->workflow->path, file) == 0))
			return r;
	}
	return NULL;
}

int world_run_again(struct world *w, const struct run *r, enum run_event event, const char *inputs,
		    struct run **out, struct err *err)
{
	const bool passes = passes_afresh(r, event);
	const struct run_wish wish = {
		.repo = r->repo->full_name,
		.workflow = r->workflow->name,
		.branch = r->branch,
		.flavour = r->flavour,
		.cause = passes                         ? NULL
			 : r->afresh == RERUN_DIFFERENT ? r->different->id
							: r->cause->id,
		.failing_job = r->failing_job[0] ? r->failing_job : NULL,
		.rule = r->rule,
		.afresh = r->afresh,
		.event = event,
		.proposal = event == EVENT_PULL ? r->proposal : 0,
		.in_place_of = r->id,
		.inputs = inputs,
		.job_ms = r->job_ms,
		.passes = passes,
		.by_api = true,
	};

	return world_create(w, &wish, out, err);
}

struct world *world_new(struct event_base *base, const struct world_options *opt,
			const struct world_watch *watch)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->base = base;
	w->opt = *opt;
	w->watch = *watch;
	if (!w->opt.runs_max || w->opt.runs_max > WORLD_RUNS_MAX)
		w->opt.runs_max = WORLD_RUNS_MAX;
	w->runs = xcalloc(w->opt.runs_max, sizeof(struct run *));
	rng_seed(&w->rng, opt->seed, 1);
	return w;
}

void world_free(struct world *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->opt.runs_max; i++)
		if (w->runs[i])
			run_free(w->runs[i]);
	for (size_t i = 0; i < w->n_repos; i++)
		free(w->repos[i]);
	free(w->runs);
	free(w);
}
