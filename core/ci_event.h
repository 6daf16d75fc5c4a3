/*
 * ci_event: "this run (or job) of this pipeline is now in this state", the
 * same for every provider. Schema and stream encoding: schemas/ci_event.schema.json.
 */
#ifndef GUARD_CORE_CI_EVENT_H
#define GUARD_CORE_CI_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct redis_cmd;
struct redisReply;

enum { CI_EVENT_VERSION = 1 };

/* What the event is about. Only CI_RUN changes the state of a run and creates plans. */
enum ci_kind { CI_OTHER, CI_RUN, CI_JOB, CI_CHECK };

/* Order matters: state only moves to a higher rank within a generation. */
enum ci_status { CI_STATUS_UNKNOWN, CI_QUEUED, CI_RUNNING, CI_COMPLETED };

/*
 * Sizes are chosen so that an encoded entry stays within 1 KiB with usual
 * names; longer text is cut at a UTF-8 border, identities never are.
 * A text that is missing is "". Times are ms since 1970, 0 when unknown.
 */
struct ci_event {
	char provider[12]; /* "github" */
	char source[32];   /* configured source instance; "github" by default */
	char delivery[64]; /* sender's delivery id: the dedupe key within the source */
	enum ci_kind kind;
	char topic[24];  /* sender's event name: "workflow_run" */
	char action[24]; /* "completed" */
	enum ci_status status;
	/*
	 * In GitHub's words: "success", "failure", "cancelled", "skipped", "startup_failure";
	 * those of other senders are translated, and unknown ones are kept as sent.
	 */
	char conclusion[20];
	char failure_reason[40]; /* of a failure, in the sender's words: "runner_system_failure" */
	/*
	 * Numbers of the sender where it has them; else 63 bits of SHA-256 over what it names
	 * things by (docs/streams.md).
	 */
	uint64_t repo_id;    /* stable identity of the repository; Jenkins: the job */
	char repo[140];      /* "owner/name", "group/sub/project", "folder/job": for display */
	uint64_t run_id;     /* workflow run, pipeline; Jenkins: 1; for CI_CHECK the check suite */
	uint64_t generation; /* run_attempt; GitLab: highest job id; Jenkins: build number */
	uint64_t job_id;     /* CI_JOB: job; CI_CHECK: check run */
	uint64_t installation;  /* GitHub App installation, 0 when none */
	uint64_t pipeline_id;   /* workflow_id */
	uint64_t parent_run;    /* pipeline that started this one, in any project; 0 when none */
	uint64_t merge_request; /* its number within the project, 0 when none */
	char pipeline[120];     /* workflow name */
	char job[120];          /* job or check name */
	char branch[120];
	char default_branch[64];
	char base[64]; /* branch that its pull or merge request is for, "" when none or unknown */
	char sha[41];
	char trigger[24]; /* event that started the run: "push" */
	char plan[96];    /* CI_CHECK of ours whose button somebody pressed: of what plan it is */
	char answer[20];  /* ... and what the button says: "approve", "reject" */
	char actor[40];
	char head_repo[140]; /* differs from repo for a fork; "" when unknown */
	char url[160];       /* page for people */
	int64_t at_ms;       /* provider's time of this state */
	int64_t received_at_ms;
	char trace[56]; /* W3C traceparent */
};

const char *ci_kind_name(enum ci_kind);
const char *ci_status_name(enum ci_status);
/* Tolerant: what we do not know is CI_OTHER / CI_STATUS_UNKNOWN. */
enum ci_kind ci_kind_from_text(const char *);
enum ci_status ci_status_from_text(const char *);

/* A conclusion that says the run failed: failure, timed_out, startup_failure. */
int ci_conclusion_failed(const char *conclusion);

/* "github:186853002:30433642": names the run in keys and in the due set. */
enum { RUN_REF_MAX = 96 };
void ci_event_run_ref(const struct ci_event *, char out[static RUN_REF_MAX]);

/* Appends "field value" arguments for XADD; empty fields are left out. */
void ci_event_encode(const struct ci_event *, struct redis_cmd *);
/* From the flat field list of a stream entry. Unknown fields are ignored; ERR_INPUT says what is
 * wrong. */
int ci_event_decode(const struct redisReply *entry, struct ci_event *out, struct err *) MUST_CHECK;

#endif
