/*
 * What we ask of a CI system, as one table per provider. Every call ends in
 * exactly one callback from the loop, with one of four fates, so that the
 * dispatcher never looks at an HTTP status.
 */
#ifndef GUARD_HEALERS_PROVIDER_API_H
#define GUARD_HEALERS_PROVIDER_API_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct ci_event;
struct event_base;
struct conf;
struct http_client;
struct conf_table;

enum api_fate {
	API_OK,
	API_WAIT,    /* not possible yet ("already running"): wait for the run to complete */
	API_RETRY,   /* 429, rate-limit 403, 5xx, no answer: try again after retry_after_ms */
	API_REFUSED, /* 401, 403, 404, 410, 422, garbage: trying again will not help */
};

/*
 * Which run we talk about, and in which state we believe it to be. Borrowed during the call
 * that takes it. Generation: run_attempt (GitHub), highest job id (GitLab), build number
 * (Jenkins, whose run is the job).
 */
struct api_run {
	const char *repo; /* "owner/name", "group/sub/project", "folder/job" */
	uint64_t repo_id;
	uint64_t run_id;
	uint64_t generation;
	uint64_t installation;      /* 0: not an App, or look it up */
	uint64_t merge_request;     /* GitLab: its number in the project; 0: it runs for none */
	const char *default_branch; /* "" or NULL: not known; only clear_caches asks */
	/* Earlier calls of the same plan, which may have done some of what is asked. */
	unsigned tries;
	bool stopped; /* by us: what was cancelled is to run again, too */
};

enum { API_JOBS_MAX = 256, API_STEPS_MAX = 64 };

struct api_step {
	const char *name, *conclusion;
	unsigned number;
};
/* Texts are "" when unknown; statuses and conclusions are in GitHub's words. */
struct api_job {
	uint64_t id;
	const char *name, *stage, *status, *conclusion;
	const char *failure_reason; /* the provider's word for a failure: "runner_system_failure" */
	int64_t started_at_ms, completed_at_ms; /* 0 when unknown */
	const char *runner;
	struct api_step steps[API_STEPS_MAX];
	unsigned n_steps;
};

/* Where to look for what nobody told us. Borrowed during the call that takes it. */
struct api_scan {
	const char *repo;               /* unused for an App's own hook */
	uint64_t repo_id, installation; /* 0: not known */
	int64_t since_ms;
	unsigned page, page_size; /* page from 1 */
	const char *etag;         /* of the answer we have already; "" or NULL: none */
	uint64_t hook, delivery;
	const char *cursor; /* of a list of deliveries; "" or NULL: from the newest on */
};

/* Something that runs happen in, as the credentials see it. */
struct api_repo {
	const char *name;
	uint64_t id, installation; /* 0: not known, none */
	/* Changes with every run that begins or ends; "": the provider does not say. */
	const char *state;
};

enum { API_GUID_MAX = 64, API_CURSOR_MAX = 200 };
struct api_delivery {
	uint64_t id;
	const char *guid; /* the same for all tries of one event */
	int64_t at_ms;
	bool ok, redelivery;
};
struct api_hook {
	uint64_t id;
	const char *url;
	bool active;
};

/* What people are shown beside a commit. Borrowed during the call that takes it. */
struct api_note {
	const char *sha, *title;
	const char *summary; /* Markdown, made harmless */
	const char *brief;   /* one line of text, for where there is room for no more */
	const char *url;     /* "": none */
	bool good;           /* nothing is left to do; else nobody is kept from merging either */
	/*
	 * Of a suggestion: its plan, and what buttons say that answer it. Only where the provider
	 * itself knows who may press them. "": there is nothing to answer.
	 */
	const char *plan, *approve, *reject;
};

struct change;

/*
 * A change that is proposed to a repository, on a branch of ours that is made for it and never
 * written to again. Borrowed during the call that takes it.
 */
struct api_change {
	const char *branch;     /* ours: change_is_our_branch() */
	const char *onto, *sha; /* the branch it is for, and the head of that, on which it rests */
	const struct change *change;
	bool ci_files; /* some of them say what the CI server runs */
	const char *message, *author_name, *author_email;
	const char *title, *body; /* of the proposal; body: Markdown, made harmless */
	const char *const *labels;
	unsigned n_labels;
	bool draft;
};

/* All "" when there is no such branch; parent and message are of its head. */
struct api_branch {
	const char *sha, *parent, *message;
};

/*
 * A new run that takes the place of one that failed. `sha` and `branch` are of that one. Borrowed
 * during the call that takes it.
 */
struct api_afresh {
	const char *branch, *sha;
	const char *head_repo;     /* that the branch is in; "" when not known */
	const char *base;          /* branch that its proposal is for; "" when not known */
	uint64_t pipeline_id;      /* 0: not known */
	const char *trigger;       /* what started the failed one, in the provider's words */
	const char *const *inputs; /* "name=value": of a run by hand */
	unsigned n_inputs;
	int64_t since_ms; /* find_afresh: what began earlier is another one */
	bool updated;     /* ... the branch was brought up to date, so the commit is another one */
};

/* Where git finds the repository, with what it needs to get in: a secret. */
struct api_clone {
	const char *url, *user, *password;
	int64_t size_bytes; /* as the provider thinks; 0: it does not say */
};

enum api_proposal_state { PROPOSAL_OPEN, PROPOSAL_MERGED, PROPOSAL_CLOSED };
/* A pull request, a merge request. url is "" when there is none. */
struct api_proposal {
	const char *url;
	enum api_proposal_state state;
	int64_t ended_at_ms;
};

/* What came back; only the part that was asked for is set. Borrowed during the callback. */
struct api_result {
	enum api_fate fate;
	int http_status;        /* 0: no answer */
	int64_t retry_after_ms; /* with API_RETRY; -1: the provider did not say */
	char why[200];          /* for people, when fate is not API_OK; never a secret */

	/* get_run; list_jobs where only the latest generation can be listed, else 0 */
	uint64_t generation;
	const char *status, *conclusion;
	const char *ci_file; /* what it was made by: ".github/workflows/ci.yml"; NULL: not known */
	/* The generation is newer than run->generation, but that may be anybody's doing. */
	bool unproven;
	bool foreign; /* ... and it was somebody else's */
	/* find_afresh: the new one, with status and conclusion; 0: there is none so far */
	uint64_t other_run;

	/* list_jobs */
	const struct api_job *jobs;
	unsigned n_jobs;
	bool more_jobs; /* over API_JOBS_MAX */

	/*
	 * get_log: plain text of one job's log; when it lost its front it is empty, and only its
	 * memory has it, in pieces. get_file: the file as it is
	 */
	const char *log;
	size_t log_len;
	struct tail_buf *log_memory; /* of get_log: its bytes, which may be moved away */
	uint64_t log_skipped_lines;  /* cut off the front of a very large log */

	/* get_branch */
	struct api_branch branch;
	/* get_clone */
	struct api_clone clone;
	/* get_right */
	bool may_write;
	/* find_proposal: the newest from that branch; open_proposal */
	struct api_proposal proposal;

	/* Of what we may ask; -1 and 0 when the provider did not say. */
	int64_t budget_left, budget_reset_at_ms;

	/*
	 * Lists of a scan: the same as what the ETag was of, and then nothing else is set. With
	 * http_status 304 the answer was spared, too.
	 */
	bool unchanged;
	const char *etag; /* "" when there was none */
	bool more;        /* there is another page; list_repos: more than were wanted */
	/*
	 * list_runs: the latest state of each, without source and delivery. Generation 0: it takes
	 * list_jobs to know it.
	 */
	const struct ci_event *events;
	unsigned n_events;
	/* list_repos */
	const struct api_repo *repos;
	unsigned n_repos;
	/* list_hooks, list_deliveries */
	const struct api_hook *hooks;
	unsigned n_hooks;
	const struct api_delivery *deliveries;
	unsigned n_deliveries;
	const char *cursor; /* of the next page, "" after the last */
};
typedef void api_fn(const struct api_result *, void *arg);
struct api;
struct api_call;
/* Something that is done to a run. */
typedef struct api_call *api_act_fn(struct api *, const struct api_run *, api_fn *, void *arg);

typedef struct api_call *api_change_fn(struct api *, const struct api_run *,
				       const struct api_change *, api_fn *, void *arg);

typedef struct api_call *api_afresh_fn(struct api *, const struct api_run *,
				       const struct api_afresh *, api_fn *, void *arg);

/* Owns tokens, rate-limit state and the call table of one provider host. */
struct api;
struct api_call;

/*
 * Who wants to know how the provider behaves: called for every reply, also those of which the
 * caller of a request never hears. `limit_key` and `for_ms` belong to API_NEWS_LIMITED; 0 is the
 * key of everybody, else it is an installation of an App.
 */
enum api_news { API_NEWS_ANSWERED, API_NEWS_FAILED, API_NEWS_LIMITED };
enum { API_LIMIT_MAX_MS = 3600 * 1000 }; /* limits are per hour; a longer one is a wrong clock */
typedef void api_watch_fn(void *arg, const char *host, enum api_news, uint64_t limit_key,
			  int64_t for_ms);
void api_watch(struct api *, api_watch_fn *, void *arg);

struct provider_api {
	const char *name; /* "github" */
	/* A generation counts the attempts of a run, from 1. Else only we know how many we made. */
	bool counts_attempts;
	/* rerun_failed_jobs may be repeated for a generation: it does only what is not done yet. */
	bool rerun_repeats;
	/* Steps are stages: a re-run repeats those that passed too, and one may be a deployment. */
	bool steps_are_stages;
	/* list_repos says with one request where something happened: it is asked at every check. */
	bool repos_have_state;
	/* "Not modified" does not count against the rate limit. */
	bool unchanged_is_free;
	/* Option with the names of the sources that the configured server sends; NULL: all. */
	const char *sources_key;

	/* False: no credentials are configured, so nothing can be asked or done. */
	bool (*configured)(const struct conf *);
	/* Conf and client outlive the api. Errors say what to configure. */
	int (*open)(struct event_base *, const struct conf *, struct http_client *,
		    struct api **out, struct err *) MUST_CHECK;
	void (*close)(struct api *);

	/* Uncached state of the run. */
	struct api_call *(*get_run)(struct api *, const struct api_run *, api_fn *, void *arg);
	/* Jobs of run->generation (GitLab: the latest), all pages up to API_JOBS_MAX. */
	struct api_call *(*list_jobs)(struct api *, const struct api_run *, api_fn *, void *arg);
	/* Log of one job: the plain-text link, else the run's zip archive. */
	struct api_call *(*get_log)(struct api *, const struct api_run *, const struct api_job *,
				    api_fn *, void *arg);
	/*
	 * A small file of the repository at that commit, NULL: of the default branch; API_REFUSED
	 * with status 404: it is not there. NULL where a provider has no files.
	 */
	struct api_call *(*get_file)(struct api *, const struct api_run *, const char *sha,
				     const char *path, api_fn *, void *arg);
	/* What failed in run->generation; API_OK: accepted, API_WAIT: it runs again already. */
	api_act_fn *rerun_failed_jobs;
	/* The same with what passed. NULL: that would be a new run, not this one again. */
	api_act_fn *rerun_all;
	/*
	 * Ends a run that is going on, the harder the more often it was tried; it is over only when
	 * get_run says so. API_OK also when it is over already.
	 */
	api_act_fn *cancel_run;
	/*
	 * Deletes the caches that the run used, one by one, so that repeating it does no more;
	 * API_REFUSED: there are none, unless it is resumed. NULL: they are no business of the API.
	 */
	api_act_fn *clear_caches;
	/*
	 * Starts the same by hand, with inputs; API_REFUSED: it takes none of that name, or the
	 * branch went on since. The outcome is what find_afresh says, and where that is NULL the
	 * next generation of the run.
	 */
	api_afresh_fn *start_afresh;
	/*
	 * Brings the branch of the proposal that the run is of up to date with the one it is for;
	 * API_WAIT: another call of the same plan did. NULL: there are no proposals.
	 */
	api_afresh_fn *update_branch;
	/* The newest one that was started so for that commit; API_OK also when there is none. */
	api_afresh_fn *find_afresh;
	/*
	 * Shows people something beside a commit, or the merge request that it is of, in place of
	 * what was shown there before. NULL: the provider has no place for it.
	 */
	struct api_call *(*show)(struct api *, const struct api_run *, const struct api_note *,
				 api_fn *, void *arg);

	/*
	 * Whether the person of that name may write to the repository, and so could do all that we
	 * do. NULL: nobody can be asked that.
	 */
	struct api_call *(*get_right)(struct api *, const struct api_run *, const char *person,
				      api_fn *, void *arg);

	/*
	 * For proposals; NULL, all of them, where a provider keeps no repositories. API_OK with
	 * nothing in it: there is no such branch, or nothing was ever proposed from it.
	 */
	struct api_call *(*get_branch)(struct api *, const struct api_run *, const char *branch,
				       api_fn *, void *arg);
	struct api_call *(*find_proposal)(struct api *, const struct api_run *, const char *branch,
					  api_fn *, void *arg);
	/* For a token that may do what a proposal takes. */
	api_act_fn *get_clone;
	/*
	 * One commit on a new branch, which is all that is ever written. API_WAIT: something of
	 * that name is there already, and was left as it is.
	 */
	api_change_fn *commit_files;
	api_change_fn *open_proposal;

	/*
	 * For the monitor; NULL where a provider has no such thing. Runs that began (or changed,
	 * where that can be asked for) since, newest first.
	 */
	struct api_call *(*list_runs)(struct api *, const struct api_scan *, api_fn *, void *arg);
	/*
	 * At most scan->page_size of what the credentials can see; where that can be asked for,
	 * only where something happened since, and the liveliest first. None for credentials that
	 * were not made for certain repositories.
	 */
	struct api_call *(*list_repos)(struct api *, const struct api_scan *, api_fn *, void *arg);
	/* True: there is one hook for all repositories, ours, and list_hooks is not needed. */
	bool (*own_hook)(const struct api *);
	struct api_call *(*list_hooks)(struct api *, const struct api_scan *, api_fn *, void *arg);
	/* Tries to tell us something, newest first. */
	struct api_call *(*list_deliveries)(struct api *, const struct api_scan *, api_fn *,
					    void *arg);
	struct api_call *(*redeliver)(struct api *, const struct api_scan *, api_fn *, void *arg);

	/* The callback is not called any more. For a call that has not reported. */
	void (*cancel)(struct api_call *);
	const char *(*host)(const struct api *); /* "api.github.com": for breakers and metrics */
};

extern const struct provider_api provider_api_github;
extern const struct provider_api provider_api_gitlab;
extern const struct provider_api provider_api_jenkins;
/* github.api_url, github.token, gitlab.url, jenkins.url, ... */
extern const struct conf_table provider_api_conf;

/* All of them, NULL-terminated. */
extern const struct provider_api *const provider_apis[];
/* NULL when there is none of that name. */
const struct provider_api *provider_api_find(const char *name);

#endif
