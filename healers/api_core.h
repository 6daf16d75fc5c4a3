/*
 * What the clients of all providers share: the life of a call, the queue of
 * writes, rate limits, counting, the words of a verdict. A client's own struct
 * begins with struct api, its calls with struct api_call.
 */
#ifndef GUARD_HEALERS_API_CORE_H
#define GUARD_HEALERS_API_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/http_client.h"
#include "healers/provider_api.h"

struct arena;
struct buf;
struct event;
struct json_object;

enum {
	API_LIMITS_MAX = 32,
	API_JSON_MAX_BYTES = 8 << 20,
	API_FILE_MAX_BYTES = 1 << 20,
	API_REDIRECTS_MAX = 5,
	API_LOG_TIMEOUT_FACTOR = 4,
	/* Providers show a log some seconds after its job ended. */
	API_FRESH_LOG_MS = 2 * 60 * 1000,
	API_FRESH_LOG_RETRY_MS = 15 * 1000,
};

#define API_WENT_ON "the branch went on since, and its newer run counts"

/* What a table asks for, one for each of its functions. */
enum api_ask {
	ASK_RUN,
	ASK_JOBS,
	ASK_LOG,
	ASK_ARCHIVE,
	ASK_FILE,
	ASK_RERUN,
	ASK_RERUN_ALL,
	ASK_SHOW,
	ASK_CLEAR,
	ASK_CACHES,
	ASK_UNCACHE,
	ASK_CANCEL,
	ASK_RUNS,
	ASK_REPOS,
	ASK_HOOKS,
	ASK_DELIVERIES,
	ASK_REDELIVER,
	ASK_REQUEST,
};

/*
 * One of the requests that a call of ASK_REQUEST is made of. `take` gets the answer, whatever its
 * fate, and ends in api_report() or api_request(). NULL for JSON: it was none.
 */
struct api_request {
	const char *method;
	/* Below the repository's address, or with ~ in front below the API's own. */
	const char *path; /* in the call's arena, as is the body */
	const char *body; /* JSON; NULL: none */
	const char *need; /* the permission, for words */
	void (*take)(struct api_call *, const struct http_reply *, struct json_object *);
};

struct api_kind {
	const char *url_key;            /* "github.api_url": where people have to look */
	const char *token_key;          /* a list during rotation; NULL: the client knows */
	const char *write_interval_key; /* NULL: writes are not queued */
	size_t call_size;
	/* Asks; a call that writes is started when its turn comes. */
	void (*start)(struct api_call *);
	/* Ends what the client's part of the call has outstanding; NULL: nothing. */
	void (*drop)(struct api_call *);
	/* Whether what it is about is safe to put into a path. */
	bool (*fits)(const struct api_call *);
};

/* Everybody who uses one key's limit waits together. */
struct api_limit {
	uint64_t key;
	int64_t until_ms; /* monotonic: the wall clock may jump */
};

struct api {
	const struct api_kind *kind;
	struct event_base *base;
	const struct conf *conf;
	struct http_client *http;
	struct http_origin origin;
	char *url;    /* without a slash at its end */
	size_t token; /* index in the list of the kind's token_key */
	struct api_limit limits[API_LIMITS_MAX];
	/* Who our calls are by, "" until that was asked for; a token may not be allowed to know. */
	char self[80];
	bool self_unknown;

	struct api_call *calls;             /* all that have not reported */
	struct api_call *late, **late_tail; /* ended before anything was asked */
	struct event *deliver;

	struct api_call *queue, **queue_tail; /* writes, first come first served */
	struct api_call *writing;
	int64_t last_write_ms; /* monotonic */
	struct event *write_timer;
	bool closing;
	bool *freed;

	api_watch_fn *watch;
	void *watch_arg;
};

struct api_call {
	struct api *api;
	struct api_call *next, **link;       /* in calls */
	struct api_call *in_next, **in_link; /* in queue or late */
	enum api_ask ask;
	void (*drop)(struct api_call *); /* of the kind; the api may be gone by then */
	bool writes;
	api_fn *fn;
	void *arg;
	char *repo, *default_branch;
	struct api_run run; /* its texts are copies */
	uint64_t job_id;
	char *job_name;
	char *file, *file_sha; /* path in the repository, and at which commit; NULL: the newest */
	int64_t job_ended_ms;
	unsigned page;
	uint64_t limit_key;
	struct api_scan scan;

	struct api_request request; /* the one that is under way */
	bool of_runs; /* ... is about runs: the token of an App need not be for changes */
	struct api_change change;           /* a copy in the arena, but for its files */
	void *work;                         /* of the request's, in the arena */
	void (*knowing)(struct api_call *); /* what goes on once it is known who we are */

	struct http_call *http;
	char *authorization; /* as sent, to say which one was refused */
	bool refused_once, delivering;

	struct arena *arena; /* of the jobs' strings, and of lists */
	struct api_job *jobs;
	struct ci_event *events;
	struct api_repo *repos;
	struct api_result result;
};

/* Checks the address; ERR_CONFIG names its key. */
int api_init(struct api *, const struct api_kind *, struct event_base *, const struct conf *,
	     struct http_client *, struct err *) MUST_CHECK;
/* Ends all calls; their callbacks are not called any more. Before the client frees its own. */
void api_done(struct api *);
/* The same, for a client that is one block and has nothing of its own in it. */
void api_close(struct api *);
DEFINE_OWNED(struct api, api_close)

/* Takes the address, the page and so on along; `scan` of the call is a copy that lives as long. */
struct api_call *api_begin_scan(struct api *, enum api_ask, bool writes, const struct api_scan *,
				api_fn *, void *arg);
struct api_call *api_submit(struct api_call *);

/* A call of ASK_REQUEST: its first request is to be set, then api_submit(). */
struct api_call *api_begin_requests(struct api *, const struct api_run *, api_fn *, void *arg);
/*
 * The same for one that writes. The change is copied, but for the files: they must live until it
 * has reported.
 */
struct api_call *api_begin_change(struct api *, const struct api_run *, const struct api_change *,
				  api_fn *, void *arg);
/* The same for a run that takes the place of another one; c->work is a copy of what is wished. */
struct api_call *api_begin_afresh(struct api *, bool writes, const struct api_run *,
				  const struct api_afresh *, api_fn *, void *arg);
/* "name" and "value" of an input, which are both in the arena. */
void api_input(struct api_call *, const char *input, const char **name, const char **value);
/* Hands the answer to what the request named for that, after it was judged. */
void api_take(struct api_call *, const struct http_reply *);
/* The next one. Only from `take`. */
void api_request(struct api_call *, const struct api_request *);
/*
 * True: somebody has to be asked who we are; `request` does, and its answer is for api_take_self(),
 * after which it goes on with `knowing`. False: it is known, or nobody will say.
 */
bool api_ask_self(struct api_call *, void (*knowing)(struct api_call *), const char *path,
		  void (*take)(struct api_call *, const struct http_reply *, struct json_object *),
		  struct api_request *request);
/* `name` as it was told, "" when it was not. */
void api_take_self(struct api_call *, const struct http_reply *, const char *name);
/* True: that is somebody else, for certain. */
bool api_is_foreign(const struct api *, const char *name);
/*
 * For `take`. True: the answer was refused, or is not what was asked for (not `good`), and that was
 * reported.
 */
bool api_ended(struct api_call *, const struct http_reply *, bool good, const char *what);
/* Ends it without a further request; `why` is for people. Only from `take`, as those below. */
void api_end_refused(struct api_call *, const char *why);
/* The branch went on: after an earlier call of the same plan that is what one expects to see. */
void api_end_went_on(struct api_call *);
/* Something of that name is there already, and is left as it is. */
void api_end_there(struct api_call *, const struct http_reply *);
/* There is no such thing, which is an answer. */
void api_end_nothing(struct api_call *, const struct http_reply *);
/* A text of an answer, in the call's arena; "" when it is not there. */
const char *api_text(struct api_call *, struct json_object *, const char *path);
/*
 * What git needs to get at `url` with the credentials of this call. False, and the call is refused:
 * that address is none a secret may be sent to.
 */
bool api_clone(struct api_call *, const char *url, const char *user, int64_t size_bytes);
/* What was written into a buffer of ours, in the call's arena; NULL when it was too much. */
const char *api_body(struct api_call *, struct buf *);
void api_put_member(struct buf *, const char *name, const char *text); /* "name":"text" */

/* What is the same in every table. */
struct api_call *api_get_run(struct api *, const struct api_run *, api_fn *, void *arg);
struct api_call *api_list_jobs(struct api *, const struct api_run *, api_fn *, void *arg);
struct api_call *api_get_log(struct api *, const struct api_run *, const struct api_job *, api_fn *,
			     void *arg);
struct api_call *api_get_file(struct api *, const struct api_run *, const char *sha,
			      const char *path, api_fn *, void *arg);
struct api_call *api_rerun_failed_jobs(struct api *, const struct api_run *, api_fn *, void *arg);
struct api_call *api_cancel_run(struct api *, const struct api_run *, api_fn *, void *arg);
struct api_call *api_clear_caches(struct api *, const struct api_run *, api_fn *, void *arg);
struct api_call *api_rerun_all(struct api *, const struct api_run *, api_fn *, void *arg);
struct api_call *api_list_runs(struct api *, const struct api_scan *, api_fn *, void *arg);
struct api_call *api_list_repos(struct api *, const struct api_scan *, api_fn *, void *arg);
void api_cancel(struct api_call *); /* NULL is fine */
const char *api_host(const struct api *);

/* Ends the call with what is in its result. Only from a callback of the loop. */
void api_report(struct api_call *);
/* The same in the next turn of the loop, for a call that has not asked anything. */
void api_report_later(struct api_call *);
void api_authorize(struct api_call *, const char *authorization);
/* The secret of the kind's token_key to ask with now; after a reload the list may be shorter. */
const char *api_secret(const struct api *);
/* Answered 401: true when another one of the list is to be tried, once per call. */
bool api_next_secret(struct api_call *, const struct http_reply *);

/* Room for one more job; NULL, and the result says so, when there are too many. */
struct api_job *api_add_job(struct api_call *);

/* True, and the result says so, when asking now would only annoy the provider. */
bool api_limited(struct api_call *);
/* After the answer was judged. */
void api_note_limit(struct api_call *, const struct http_reply *);
/* Room for a list of events as long as a page; the result shows them. */
struct ci_event *api_add_event(struct api_call *, size_t page);
/* Room for one more repository; NULL, and the result says so, when there are as many as wanted. */
struct api_repo *api_add_repo(struct api_call *);
/* A header line that asks for news only; NULL: there is nothing to compare with. Caller frees. */
char *api_if_news(const struct api_call *);
/*
 * True: it is what the ETag of the scan was of, and the result says so. Not every server that
 * sends ETags compares them; then the same one came again with the whole answer.
 */
bool api_unchanged(struct api_call *, const struct http_reply *);
/* For a path or a form: everything but letters, digits and -_.~ as %XX. */
void api_put_encoded(struct buf *, const char *s, size_t n);
/* The same for a path of a repository, or a branch where one is written like a path. */
void api_put_path(struct buf *, const char *path);
/* Hexadecimal, as long as a hash: safe to put into a path. */
bool api_is_commit(const char *sha);
bool api_from_origin(const struct api *, const struct http_reply *);
void api_count(const struct api *, const struct http_reply *);

/* --- verdicts ------------------------------------------------------------- */

/* The whole of a verdict; words are cut to fit, control characters become '?'. */
void api_say(struct api_result *out, enum api_fate, int status, int64_t retry_after_ms,
	     const char *fmt, ...) PRINTF_LIKE(5, 6);
#define api_refuse(out, status, ...) api_say((out), API_REFUSED, (status), -1, __VA_ARGS__)
#define api_postpone(out, status, retry_after_ms, ...) \
	api_say((out), API_RETRY, (status), (retry_after_ms), __VA_ARGS__)
void api_garbled(struct api_call *, int status, const char *what);

/* How long a limit lasts, by its headers; a minute when they say nothing. */
int64_t api_limit_pause(const struct http_reply *, int64_t now_ms);

/* A provider's own meanings; the first row that fits decides, before what holds for all. */
struct reply_row {
	int status;
	const char *says; /* somewhere in the body, in any case; NULL: whatever it says */
	enum api_fate fate;
	const char *why;
	bool needs; /* the permission is named too */
};
struct reply_ask {
	const char *host, *repo, *need;
	const char *url_key;
	const struct reply_row *rows;
	size_t n_rows;
};
/* Sets fate, http_status, retry_after_ms and why; a 2xx is API_OK. */
void api_judge(const struct http_reply *, const struct reply_ask *, int64_t now_ms,
	       struct api_result *out);

#endif
