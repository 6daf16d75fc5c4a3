/*
 * The simulated CI world: repositories, workflows, and runs that pass through
 * their states on the clock. Knows nothing of HTTP; whoever tells the outside gets a call per
 * change of state.
 */
#ifndef GUARD_TESTS_WORLD_H
#define GUARD_TESTS_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "tests/simulator/cause.h"
#include "tests/simulator/rng.h"

struct event;
struct event_base;
struct world;

enum {
	WORLD_RUNS_MAX = 20000,
	RUN_JOBS_MAX = 12,
	RUN_ATTEMPTS_MAX = 51, /* the first and GitHub's fifty re-runs */
	JOB_STEPS_MAX = 6,
	NAME_MAX_BYTES = 200,
	RUN_INPUTS_MAX = 1024,
};

/* What the token may do with a repository. */
enum repo_access { REPO_WRITE, REPO_READ, REPO_HIDDEN };

struct repo {
	uint64_t id;
	char full_name[NAME_MAX_BYTES];
	const char *about, *language;
	enum repo_access access;
	uint64_t size_kb;     /* 0: as its id has it */
	char parameters[128]; /* of the job in Jenkins, "AGENT,SIZE"; "": it has none */
	int64_t renewed_ms;   /* when its credentials were; 0: never */
	uint64_t builds;      /* numbers given to builds, when Jenkins has a job of that name */
	unsigned seen_by;     /* bits of the servers that have it */
};

struct workflow {
	uint64_t id;
	char name[NAME_MAX_BYTES];
	const char *path;
	/* Jobs with the same stage run side by side; the next stage needs all of them. */
	struct {
		const char *name;
		enum place kind;
		unsigned stage;
	} jobs[RUN_JOBS_MAX];
	unsigned n_jobs;
};

/* Which CI server a run is seen through. */
enum flavour { FLAVOUR_GITHUB, FLAVOUR_GITLAB, FLAVOUR_JENKINS };

enum state { STATE_QUEUED, STATE_RUNNING, STATE_COMPLETED };
enum rerun_rule { RERUN_BY_CAUSE, RERUN_PASS, RERUN_SAME, RERUN_DIFFERENT, RERUN_FLAKY };
/* What a run came from. */
enum run_event { EVENT_PUSH, EVENT_DISPATCH, EVENT_PULL };
/* Who asked for a re-run: the program under test, by the API, or a person, by /_sim. */
enum actor { ACTOR_API, ACTOR_PERSON };

struct job {
	uint64_t id;
	char name[NAME_MAX_BYTES];
	enum place kind;
	unsigned stage;
	enum state state;
	const char *conclusion;    /* NULL until completed */
	const struct cause *cause; /* NULL: it passes */
	unsigned story;
	bool carried; /* not run in this attempt: its result is from an earlier one */
	int64_t created_ms, started_ms, completed_ms;
};

struct attempt {
	struct job jobs[RUN_JOBS_MAX];
	unsigned n_jobs;
	enum state state;
	const char *conclusion;
	const char *actor; /* login of who started it */
	uint64_t build;    /* its number in Jenkins */
	const char *way;   /* how it was run again there; NULL: not at all, or by a person */
	uint64_t of_build; /* ... and the build whose place it takes */
	int64_t started_ms, updated_ms;
};

struct run {
	struct world *world;
	enum flavour flavour;
	uint64_t id, number, check_suite;
	unsigned index;
	const struct repo *repo;
	const struct workflow *workflow;
	const struct cause *cause; /* of the first attempt; NULL: passes */
	const struct cause *different;
	enum rerun_rule rule;
	enum rerun_rule afresh; /* how a new run in its place ends */
	enum run_event event;
	uint64_t proposal;           /* of EVENT_PULL: its number */
	char base[NAME_MAX_BYTES];   /* ... the branch that it is for */
	bool of_fork;                /* ... its branch is in somebody else's repository */
	uint64_t in_place_of;        /* the run that it was made for by hand; 0: none */
	char inputs[RUN_INPUTS_MAX]; /* what it was given then */
	unsigned story;
	uint64_t seed;
	int64_t created_ms, job_ms;
	char sha[41], branch[NAME_MAX_BYTES];
	char failing_job[NAME_MAX_BYTES]; /* "" by cause */
	char title[NAME_MAX_BYTES];
	unsigned caches; /* those that are left: bits of what run_cache() knows */
	bool stubborn;   /* being told to stop is not enough */
	bool stopping;
	unsigned cancels; /* how often it was told */
	bool silent;      /* no webhooks */
	bool logs_expired;

	struct attempt *attempts[RUN_ATTEMPTS_MAX];
	unsigned n_attempts;
	unsigned stage;
	struct event *timer;

	/* The ledger. */
	unsigned rerun_accepted, rerun_refused, rerun_by_person, rerun_all;
	unsigned log_reads;
	unsigned webhooks, webhooks_ok, webhooks_failed, webhooks_duplicate;
	int64_t first_rerun_ms;   /* when the API took the first re-run */
	int64_t first_failure_ms; /* when the first failed attempt completed */
	int64_t told_us;          /* monotonic: when word of the last failure left; 0: not yet */
};

/* What to make; everything that is zero or NULL is chosen by chance, but for job_ms. */
struct run_wish {
	const char *repo, *workflow, *cause, *different, *branch, *failing_job;
	const char *inputs;
	enum flavour flavour;
	enum rerun_rule rule, afresh;
	enum run_event event;
	uint64_t proposal, in_place_of;
	uint64_t like;  /* names what that run named: the same failure once more; 0: by chance */
	int64_t job_ms; /* -1: the world's */
	int64_t age_ms; /* created so long ago */
	int64_t story;  /* which of the cause's, from 1; 0: by chance */
	bool silent, logs_expired, stubborn;
	bool passes, fails; /* neither: by chance */
	bool by_api;        /* nobody else started it */
};

struct world_options {
	uint64_t seed;
	int64_t job_ms;        /* how long a stage takes */
	double jitter;         /* 0.3: 30 % more or less */
	double pass_rate;      /* runs that pass at first */
	double transient_rate; /* share of causes that are transient; 0: by their weights */
	double heal_rate;      /* transient failures that pass when run again */
	double flaky_rate;     /* the same for flaky ones */
	size_t runs_max; /* beyond, the oldest one that is over is forgotten; 0: WORLD_RUNS_MAX */
};

struct world_watch {
	void (*run_changed)(const struct run *, const char *action, void *arg);
	/* `ghost`: told again after a re-run that did not run it. */
	void (*job_changed)(const struct run *, const struct job *, const char *action, bool ghost,
			    void *arg);
	/* Its place in the ring is needed; it is freed after this. */
	void (*run_forgotten)(const struct run *, void *arg);
	/* Sets where the run's branch is, or that of its proposal, and what that is; otherwise the
	 * run is of some commit. NULL: nobody knows. */
	void (*head)(struct run *, void *arg);
	void *arg;
};

struct world *world_new(struct event_base *, const struct world_options *,
			const struct world_watch *);
void world_free(struct world *);

int world_create(struct world *, const struct run_wish *, struct run **out,
		 struct err *) MUST_CHECK;
/* How many were made, and the oldest index that is not forgotten yet. */
size_t world_count(const struct world *);
size_t world_first(const struct world *);
/* NULL when there was none, or it is forgotten. */
struct run *world_at(struct world *, size_t index);
/* NULL when unknown. */
struct run *world_find(struct world *, uint64_t run_id);
/* Also says in which attempt it is. */
struct job *world_find_job(struct world *, uint64_t job_id, struct run **run, unsigned *attempt);
/* Made up when it does not exist yet; the same name has the same id in every world. NULL: too many.
 */
struct repo *world_repo(struct world *, const char *full_name);
/* NULL when no run of it was made. */
struct repo *world_find_repo(struct world *, const char *full_name);
struct repo *world_repo_by_id(struct world *, uint64_t id);
/* NULL past the end. */
struct repo *world_repo_at(struct world *, size_t index);
bool repo_seen_by(const struct repo *, enum flavour);
/* By the part after the slash. */
struct repo *world_repo_by_name(struct world *, const char *name);

/* Whether it is one of the people who push; they may write everywhere. */
bool world_knows(const char *person);
/* Until then every run fails because of it, at first and when it is run again. */
void world_outage(struct world *, const struct cause *, int64_t ms);

/*
 * A new run of the same workflow at the branch's head: by hand with these inputs, or because the
 * branch of a proposal moved. The API was asked for it. The newest run of that branch says how it
 * ends.
 */
int world_run_again(struct world *, const struct run *, enum run_event, const char *inputs,
		    struct run **out, struct err *) MUST_CHECK;
/* The newest run of that branch, of the workflow with that file unless NULL; NULL: there is none.
 */
const struct run *world_newest(struct world *, const struct repo *, enum flavour,
			       const char *branch, const char *file);

enum rerun_answer { RERUN_ACCEPTED, RERUN_RUNNING, RERUN_TOO_OLD, RERUN_TOO_OFTEN, RERUN_NOTHING };
enum rerun_answer run_rerun(struct run *, bool only_failed, enum actor);

/* Told to stop; a moment later it is over. False: it is over already. */
bool run_cancel(struct run *, bool by_force);

/* A cache of the repository that this run brought along. */
struct cache {
	uint64_t id;
	char key[80], ref[NAME_MAX_BYTES + 16];
	int64_t created_ms, accessed_ms;
};
enum { RUN_CACHES = 4, RUN_CACHES_USED = 2 };
/* The first RUN_CACHES_USED are those that it unpacked. False: that one is gone. */
bool run_cache(const struct run *, unsigned i, struct cache *out);
/* By its id; false when there is none. */
bool world_delete_cache(struct world *, const struct repo *, uint64_t id);

struct attempt *run_attempt(const struct run *, unsigned number); /* 1..; NULL: none such */
struct attempt *run_last(const struct run *);

struct step {
	const char *name;
	const char *conclusion; /* NULL: never finished */
	int64_t started_ms, completed_ms;
};
/* The steps of a job as the API shows them; name buffers live in `names`. */
unsigned job_steps(const struct run *, const struct job *, struct step out[static JOB_STEPS_MAX],
		   char names[static 256]);

const char *state_name(enum state);
const char *flavour_name(enum flavour);
/* False when there is none of that name. */
bool flavour_find(const char *name, enum flavour *out);
bool conclusion_failed(const char *conclusion);

#endif
