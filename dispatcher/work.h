/*
 * Deferred work: items of the due set, taken under a lease and an epoch, run
 * through a stage, and settled by one script. A worker that lost its lease
 * settles nothing: the epoch no longer matches.
 */
#ifndef GUARD_DISPATCHER_WORK_H
#define GUARD_DISPATCHER_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/finding.h"
#include "dispatcher/engine.h"
#include "dispatcher/record.h"
#include "healers/healer.h"

struct arena;
struct event;
struct redis_cmd;
struct redisReply;
struct redis_script;
struct task;

/* Item "NAME:SUBJECT" is worked on by the stage NAME. */
struct stage {
	const char *name;
	bool has_plan;   /* the subject is a plan id, else a run reference */
	bool alone;      /* the subject is something else, and neither run nor plan is loaded */
	bool only_tells; /* losing it is a dead letter and no outcome of a plan */
	size_t state_size;
	/* Called once when run (and plan) are loaded. Ends in exactly one task_settle() or
	 * task_retry(). */
	void (*start)(struct task *);
	/* Stops what is outstanding; nothing may call back afterwards. */
	void (*cancel)(struct task *);
};

extern const struct stage stage_hang;
extern const struct stage stage_diagnose;
extern const struct stage stage_act;
extern const struct stage stage_await;
extern const struct stage stage_follow;
extern const struct stage stage_notify;
extern const struct stage stage_deliver;

enum { ITEM_MAX = 160 };

struct task {
	struct engine *e;
	const struct stage *stage;
	struct arena *arena; /* everything of this task, freed after it was settled */
	char item[ITEM_MAX];
	char ref[ITEM_MAX];
	char plan_id[ITEM_MAX]; /* "" in the diagnose stage until one is made */
	unsigned partition;
	int64_t epoch;
	int64_t tries;                  /* 1 for the first */
	int64_t lost;                   /* how many workers died or lost their lease over it */
	int64_t taken_at_ms;            /* monotonic; since when its lease runs */
	int64_t renewed_at_ms;          /* when that was last asked for; 0: never */
	int64_t loaded_at_ms, redis_ms; /* the same moment here (monotonic) and there */
	struct run run;
	struct plan plan;
	struct api_call *call; /* outstanding provider call; the stage keeps it current */
	void *state;           /* zeroed, of the stage's size */

	bool settling; /* its end is on the way */
	/* Called when its end is in Redis; what follows from that is told there and then. */
	void (*recorded)(struct task *);
	bool quiet;                  /* nobody is told of its end: they were told before */
	const char *result, *detail; /* of its plan, once that ended */
	unsigned asked; /* answers of Redis that are still to come, while it has not ended */
	void (*stepped)(struct task *);
	struct {
		void (*go)(struct task *);
		void (*retry)(struct task *, int64_t at_least_ms, const char *why);
		int64_t at_least_ms;
		const char *why;
	} breaker;              /* how to go on when it has answered */
	struct event *deadline; /* well before the lease runs out */
	struct task *next, **prev;
};

struct work *work_new(struct engine *);
void work_free(struct work *);
/* Looks for due items in the next loop turn; cheap to call often. */
void work_kick(struct work *);
size_t work_running(const struct work *);
/* Takes nothing new; calls idle(arg) once, when the last task is settled: perhaps at once. */
void work_drain(struct work *, void (*idle)(void *arg), void *arg);

/*
 * How a task ends. Everything in one script, which does nothing when the epoch
 * is stale. Pairs are "field", "value", ..., NULL; texts are borrowed until the call returns.
 */
enum { SETTLE_PAIRS_MAX = 28 };
struct settle {
	const char *feed;      /* word for the feed: "diagnosed", "sent", "healed", ... */
	const char *next_item; /* put into due, unless NULL */
	int64_t next_delay_ms;
	int64_t again_ms; /* >= 0: keep this item, due again after so long; -1: remove it */
	bool create_plan; /* plan_pairs make a new plan, if there is none yet */
	const char *plan_pairs[2 * SETTLE_PAIRS_MAX + 1];
	const char *run_pairs[2 * SETTLE_PAIRS_MAX + 1];
	const char *outcome_pairs[2 * SETTLE_PAIRS_MAX + 1];
	const char *stat; /* counter of the day: "findings:network_failure" */
};
#define SETTLE_INIT ((struct settle){ .again_ms = -1 })

void task_settle(struct task *, const struct settle *);
/*
 * Now, by the clock of Redis: the one that all dispatchers share, whatever their own say. For
 * everything that is stored or compared with what is stored.
 */
int64_t task_now_ms(const struct task *);
/* Try again later, with backoff; `why` is logged. */
void task_retry(struct task *, int64_t at_least_ms, const char *why);
/* It could not even be tried: again after so long, which costs no try and no age. */
void task_hold(struct task *, int64_t ms, const char *why);
/*
 * For work that takes longer than a lease and has a time limit of its own: it begins anew. Called
 * again and again; a lease that was lost stays lost.
 */
void task_renew(struct task *);
/*
 * An intermediate write under the epoch that keeps item and lease. then() follows when it
 * is done; when the lease was lost or Redis is gone, the task ends instead.
 */
void task_step(struct task *, const struct settle *, void (*then)(struct task *));

/*
 * The item that tells channels of the plan, for next_item; NULL when none wants to hear that word:
 * a result, or "suggested".
 */
const char *notify_item(struct task *, const char *word);

/*
 * Ends the task by a script of the stage's own, which checks the epoch, writes what becomes of the
 * item and answers "ok", or "stale" when it did nothing.
 */
void task_end_by(struct task *, struct redis_script *, const struct redis_cmd *);

/*
 * What makes a new plan of a decision about a finding, "" or the host it is about; with the item
 * that carries it out.
 */
struct decision;
struct policy_answer;
void task_plan(struct task *, const struct finding *, const char *host,
	       const struct policy_answer *, const struct decision *, struct settle *);

/*
 * A finished plan: writes plan, run and outcomes entry in one settle. `result`
 * as in docs/streams.md.
 */
void task_outcome(struct task *, const char *result, const char *detail);

#endif
