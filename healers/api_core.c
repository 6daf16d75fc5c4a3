#include "healers/api_core.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "core/buf.h"
#include "core/ci_event.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/text.h"

enum {
	LIMIT_PAUSE_MS = 60000, /* when nobody says how long: a minute at least */
	LIMIT_PAUSE_MIN_MS = 1000,
};

/* --- verdicts ------------------------------------------------------------- */

void api_say(struct api_result *out, enum api_fate fate, int status, int64_t retry_after_ms,
	     const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	out->fate = fate;
	out->http_status = status;
	out->retry_after_ms = retry_after_ms;
	(void)text_copy(out->why, sizeof(out->why), text, strlen(text));
}

void api_garbled(struct api_call *c, int status, const char *what)
{
	api_refuse(&c->result, status, "%d: %s sent something else than %s: check %s", status,
		   c->api->origin.host, what, c->api->kind->url_key);
}

int64_t api_limit_pause(const struct http_reply *r, int64_t now_ms)
{
	int64_t pause = LIMIT_PAUSE_MS;

	if (r->retry_after_ms >= 0)
		pause = r->retry_after_ms;
	else if (r->rate_remaining == 0 && r->rate_reset_at_ms >= 0)
		pause = r->rate_reset_at_ms - now_ms;
	if (pause < LIMIT_PAUSE_MIN_MS)
		return LIMIT_PAUSE_MIN_MS;
	return pause < API_LIMIT_MAX_MS ? pause : API_LIMIT_MAX_MS;
}

/* True: a row of the provider's said what it means. */
static bool judge_by_rows(const struct http_reply *r, const struct reply_ask *ask,
			  struct api_result *out)
{
	for (const struct reply_row *row = ask->rows; row < ask->rows + ask->n_rows; row++) {
		if (row->status != r->status || (row->says && !strcasestr(r->body, row->says)))
			continue;
		if (row->needs)
			api_say(out, row->fate, r->status, -1, "%d: %s: it needs %s on %s",
				r->status, row->why, ask->need, ask->repo);
		else
			api_say(out, row->fate, r->status, -1, "%d: %s", r->status, row->why);
		return true;
	}
	return false;
}

void api_judge(const struct http_reply *r, const struct reply_ask *ask, int64_t now_ms,
	       struct api_result *out)
{
	int s = r->status;

	if (!s)
		api_postpone(out, s, -1, "no answer from %s: %s", ask->host,
			     r->error ? r->error : "?");
	else if (r->error)
		api_refuse(out, s, "%d: %s", s, r->error);
	else if (s >= 200 && s < 300)
		api_say(out, API_OK, s, -1, "%s", "");
	else if (s == 429 || (s == 403 && r->retry_after_ms >= 0))
		api_postpone(out, s, api_limit_pause(r, now_ms), "%d: rate limit of %s", s,
			     ask->host);
	else if (judge_by_rows(r, ask, out))
		return;
	else if (s >= 300 && s < 400)
		api_refuse(out, s, "%d: unexpected redirect: check %s", s, ask->url_key);
	else if (s == 408 || s >= 500)
		api_postpone(out, s, r->retry_after_ms, "%d: %s is in trouble", s, ask->host);
	else if (s == 401)
		api_refuse(out, s,
			   "401: %s does not know this token: it is wrong, expired or revoked",
			   ask->host);
	else if (s == 403)
		api_refuse(out, s, "403: the token lacks %s on %s", ask->need, ask->repo);
	else if (s == 404)
		api_refuse(out, s, "404: not there, or hidden from this token: it needs %s on %s",
			   ask->need, ask->repo);
	else if (s == 410)
		api_refuse(out, s, "410: gone for good: expired, or deleted");
	else
		api_refuse(out, s, "%d: an answer we do not expect", s);
}

/* --- life of a call ------------------------------------------------------- */

static void start_writes(struct api *api);

static void list_remove(struct api_call *c)
{
	struct api *api = c->api;

	if (!c->in_link)
		return;
	*c->in_link = c->in_next;
	if (c->in_next)
		c->in_next->in_link = c->in_link;
	else if (api->queue_tail == &c->in_next)
		api->queue_tail = c->in_link;
	else if (api->late_tail == &c->in_next)
		api->late_tail = c->in_link;
	c->in_link = NULL;
	c->in_next = NULL;
}

static void list_append(struct api_call *c, struct api_call ***tail)
{
	c->in_link = *tail;
	**tail = c;
	*tail = &c->in_next;
}

/* From here on the api may die and the call does not notice. */
static void detach(struct api_call *c)
{
	struct api *api = c->api;

	list_remove(c);
	if (!c->link)
		return;
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	c->link = NULL;
	if (api->writing == c) {
		api->writing = NULL;
		start_writes(api);
	}
}

void api_authorize(struct api_call *c, const char *authorization)
{
	secret_free(c->authorization);
	c->authorization = authorization ? xstrdup(authorization) : NULL;
}

static void call_free(struct api_call *c)
{
	detach(c);
	if (c->drop)
		c->drop(c);
	http_call_cancel(c->http);
	api_authorize(c, NULL);
	arena_free(c->arena);
	free(c->jobs);
	free(c->events);
	free(c->repos);
	free(c->repo);
	free(c->default_branch);
	free(c->job_name);
	free(c->file);
	free(c->file_sha);
	free(c);
}

void api_report(struct api_call *c)
{
	detach(c);
	c->delivering = true;
	c->fn(&c->result, c->arg);
	call_free(c);
}

void api_report_later(struct api_call *c)
{
	struct timeval now = { 0 };

	list_append(c, &c->api->late_tail);
	(void)evtimer_add(c->api->deliver, &now);
}

static void on_deliver(evutil_socket_t fd, short what, void *arg)
{
	struct api *api = arg;
	bool freed = false;
	size_t n = 0;

	UNUSED(fd);
	UNUSED(what);
	for (const struct api_call *c = api->late; c; c = c->in_next)
		n++;
	api->freed = &freed;
	for (; n && !freed && api->late; n--)
		api_report(api->late);
	if (!freed)
		api->freed = NULL;
}

static struct api_call *begin(struct api *api, enum api_ask ask, bool writes,
			      const struct api_run *run, api_fn *fn, void *arg)
{
	struct api_call *c = xcalloc(1, api->kind->call_size);

	c->api = api;
	c->drop = api->kind->drop;
	c->ask = ask;
	c->writes = writes;
	c->fn = fn;
	c->arg = arg;
	c->repo = xstrdup(run->repo ? run->repo : "");
	c->run = *run;
	c->run.repo = c->repo;
	c->default_branch = xstrdup(run->default_branch ? run->default_branch : "");
	c->run.default_branch = c->default_branch;
	c->page = 1;
	c->result.retry_after_ms = -1;
	c->result.budget_left = -1;
	c->result.etag = c->result.cursor = c->scan.etag = c->scan.cursor = "";
	c->result.branch = (struct api_branch){ "", "", "" };
	c->result.proposal.url = "";
	c->next = api->calls;
	c->link = &api->calls;
	if (c->next)
		c->next->link = &c->next;
	api->calls = c;
	return c;
}

struct api_call *api_begin_scan(struct api *api, enum api_ask ask, bool writes,
				const struct api_scan *scan, api_fn *fn, void *arg)
{
	struct api_run run = { .repo = scan->repo,
			       .repo_id = scan->repo_id,
			       .installation = scan->installation };
	struct api_call *c = begin(api, ask, writes, &run, fn, arg);

	c->arena = arena_new();
	c->scan = *scan;
	c->scan.repo = c->repo;
	c->scan.etag = arena_strdup(c->arena, scan->etag ? scan->etag : "");
	c->scan.cursor = arena_strdup(c->arena, scan->cursor ? scan->cursor : "");
	c->page = scan->page ? scan->page : 1;
	return c;
}

struct api_call *api_submit(struct api_call *c)
{
	struct api *api = c->api;
	const char *interval = api->kind->write_interval_key;

	if (!api->kind->fits(c)) {
		api_refuse(&c->result, 0, "the name of the repository is not one of %s's",
			   api->origin.host);
		api_report_later(c);
	} else if (c->writes && interval && conf_int(api->conf, interval) > 0) {
		list_append(c, &api->queue_tail);
		start_writes(api);
	} else {
		api->kind->start(c);
	}
	return c;
}

struct api_call *api_begin_requests(struct api *api, const struct api_run *run, api_fn *fn,
				    void *arg)
{
	struct api_call *c = begin(api, ASK_REQUEST, false, run, fn, arg);

	c->arena = arena_new();
	return c;
}

struct api_call *api_begin_change(struct api *api, const struct api_run *run,
				  const struct api_change *change, api_fn *fn, void *arg)
{
	struct api_call *c = begin(api, ASK_REQUEST, true, run, fn, arg);
	struct arena *a = c->arena = arena_new();
	const char **labels = arena_alloc(a, (change->n_labels + 1) * sizeof(*labels));

	for (unsigned i = 0; i < change->n_labels; i++)
		labels[i] = arena_strdup(a, change->labels[i]);
	c->change = (struct api_change){
		.branch = arena_strdup(a, change->branch),
		.onto = arena_strdup(a, change->onto),
		.sha = arena_strdup(a, change->sha),
		.change = change->change,
		.ci_files = change->ci_files,
		.message = arena_strdup(a, change->message),
		.author_name = arena_strdup(a, change->author_name),
		.author_email = arena_strdup(a, change->author_email),
		.title = arena_strdup(a, change->title),
		.body = arena_strdup(a, change->body),
		.labels = labels,
		.n_labels = change->n_labels,
		.draft = change->draft,
	};
	return c;
}

struct api_call *api_begin_afresh(struct api *api, bool writes, const struct api_run *run,
				  const struct api_afresh *wish, api_fn *fn, void *arg)
{
	struct api_call *c = begin(api, ASK_REQUEST, writes, run, fn, arg);
	struct arena *a = c->arena = arena_new();
	const char **inputs = arena_alloc(a, (wish->n_inputs + 1) * sizeof(*inputs));
	struct api_afresh *copy = arena_alloc(a, sizeof(*copy));

	for (unsigned i = 0; i < wish->n_inputs; i++)
		inputs[i] = arena_strdup(a, wish->inputs[i]);
	*copy = *wish;
	copy->branch = arena_strdup(a, wish->branch);
	copy->sha = arena_strdup(a, wish->sha);
	copy->trigger = arena_strdup(a, wish->trigger);
	copy->head_repo = arena_strdup(a, wish->head_repo);
	copy->base = arena_strdup(a, wish->base);
	copy->inputs = inputs;
	c->work = copy;
	return c;
}

void api_input(struct api_call *c, const char *input, const char **name, const char **value)
{
	size_t n = strcspn(input, "=");

	*name = arena_strndup(c->arena, input, n);
	*value = arena_strdup(c->arena, input + n + (input[n] == '='));
}

void api_request(struct api_call *c, const struct api_request *next)
{
	c->request = *next;
	c->api->kind->start(c);
}

bool api_ask_self(struct api_call *c, void (*knowing)(struct api_call *), const char *path,
		  void (*take)(struct api_call *, const struct http_reply *, struct json_object *),
		  struct api_request *request)
{
	if (*c->api->self || c->api->self_unknown)
		return false;
	c->knowing = knowing;
	*request = (struct api_request){ .method = "GET", .path = path, .take = take };
	return true;
}

/* What this call is about can be told all the same. */
void api_take_self(struct api_call *c, const struct http_reply *r, const char *name)
{
	struct api *api = c->api;

	if (c->result.fate == API_OK)
		(void)snprintf(api->self, sizeof(api->self), "%.79s", name);
	else if (r->status == 403 || r->status == 404)
		api->self_unknown = true;
	api_say(&c->result, API_OK, r->status, -1, "%s", "");
	c->knowing(c);
}

bool api_is_foreign(const struct api *api, const char *name)
{
	return *api->self && strcasecmp(api->self, name) != 0;
}

void api_take(struct api_call *c, const struct http_reply *r)
{
	OWNED(json_putp) struct json_object *o = NULL;
	struct err err;

	if (json_parse(r->body, r->body_len, &o, &err) < 0)
		o = NULL; /* which is what `take` makes of it */
	c->request.take(c, r, o);
}

bool api_ended(struct api_call *c, const struct http_reply *r, bool good, const char *what)
{
	if (c->result.fate == API_OK && good)
		return false;
	if (c->result.fate == API_OK)
		api_garbled(c, r->status, what);
	api_report(c);
	return true;
}

void api_end_refused(struct api_call *c, const char *why)
{
	api_refuse(&c->result, 0, "%s", why);
	api_report(c);
}

void api_end_went_on(struct api_call *c)
{
	if (c->run.tries)
		api_say(&c->result, API_WAIT, 0, -1, "the interrupted call had arrived");
	else
		api_refuse(&c->result, 0, API_WENT_ON);
	api_report(c);
}

void api_end_there(struct api_call *c, const struct http_reply *r)
{
	api_say(&c->result, API_WAIT, r->status, -1, "%d: it is there already", r->status);
	api_report(c);
}

void api_end_nothing(struct api_call *c, const struct http_reply *r)
{
	api_say(&c->result, API_OK, r->status, -1, "%s", "");
	api_report(c);
}

const char *api_text(struct api_call *c, struct json_object *o, const char *path)
{
	return arena_strdup(c->arena, json_str(o, path, ""));
}

bool api_clone(struct api_call *c, const char *url, const char *user, int64_t size_bytes)
{
	const char *secret = strrchr(c->authorization, ' ');
	struct http_origin origin;
	struct err err;

	if (!secret || http_origin_of(url, &origin, &err) < 0 ||
	    (!origin.tls && !origin.loopback)) {
		api_refuse(&c->result, 0, "%s names no https address of the repository",
			   c->api->origin.host);
		return false;
	}
	c->result.clone =
		(struct api_clone){ arena_strdup(c->arena, url), user, secret + 1, size_bytes };
	return true;
}

const char *api_body(struct api_call *c, struct buf *b)
{
	const char *body = b->overflow ? NULL : arena_strdup(c->arena, buf_text(b));

	buf_done(b);
	return body;
}

void api_put_member(struct buf *b, const char *name, const char *text)
{
	buf_printf(b, "\"%s\":", name);
	buf_json(b, text, strlen(text));
}

struct api_call *api_get_run(struct api *api, const struct api_run *run, api_fn *fn, void *arg)
{
	return api_submit(begin(api, ASK_RUN, false, run, fn, arg));
}

struct api_call *api_list_jobs(struct api *api, const struct api_run *run, api_fn *fn, void *arg)
{
	return api_submit(begin(api, ASK_JOBS, false, run, fn, arg));
}

struct api_call *api_get_log(struct api *api, const struct api_run *run, const struct api_job *job,
			     api_fn *fn, void *arg)
{
	struct api_call *c = begin(api, ASK_LOG, false, run, fn, arg);

	c->job_id = job->id;
	c->job_name = xstrdup(job->name ? job->name : "");
	c->job_ended_ms = job->completed_at_ms;
	return api_submit(c);
}

struct api_call *api_get_file(struct api *api, const struct api_run *run, const char *sha,
			      const char *path, api_fn *fn, void *arg)
{
	struct api_call *c = begin(api, ASK_FILE, false, run, fn, arg);

	c->file = xstrdup(path);
	c->file_sha = sha ? xstrdup(sha) : NULL;
	return api_submit(c);
}

struct api_call *api_rerun_failed_jobs(struct api *api, const struct api_run *run, api_fn *fn,
				       void *arg)
{
	return api_submit(begin(api, ASK_RERUN, true, run, fn, arg));
}

struct api_call *api_cancel_run(struct api *api, const struct api_run *run, api_fn *fn, void *arg)
{
	return api_submit(begin(api, ASK_CANCEL, true, run, fn, arg));
}

struct api_call *api_clear_caches(struct api *api, const struct api_run *run, api_fn *fn, void *arg)
{
	return api_submit(begin(api, ASK_CLEAR, true, run, fn, arg));
}

struct api_call *api_rerun_all(struct api *api, const struct api_run *run, api_fn *fn, void *arg)
{
	return api_submit(begin(api, ASK_RERUN_ALL, true, run, fn, arg));
}

struct api_call *api_list_runs(struct api *api, const struct api_scan *scan, api_fn *fn, void *arg)
{
	return api_submit(api_begin_scan(api, ASK_RUNS, false, scan, fn, arg));
}

struct api_call *api_list_repos(struct api *api, const struct api_scan *scan, api_fn *fn, void *arg)
{
	return api_submit(api_begin_scan(api, ASK_REPOS, false, scan, fn, arg));
}

void api_cancel(struct api_call *c)
{
	if (c && !c->delivering)
		call_free(c);
}

bool api_is_commit(const char *sha)
{
	size_t n = strspn(sha, "0123456789abcdefABCDEF");

	return (n == 40 || n == 64) && !sha[n];
}

const char *api_host(const struct api *api)
{
	return api->origin.host;
}

struct api_job *api_add_job(struct api_call *c)
{
	if (!c->arena)
		c->arena = arena_new();
	if (!c->jobs)
		c->jobs = xcalloc(API_JOBS_MAX, sizeof(c->jobs[0]));
	c->result.jobs = c->jobs;
	if (c->result.n_jobs == API_JOBS_MAX) {
		c->result.more_jobs = true;
		return NULL;
	}
	return &c->jobs[c->result.n_jobs++];
}

struct ci_event *api_add_event(struct api_call *c, size_t page)
{
	if (!c->events)
		c->events = xcalloc(page, sizeof(c->events[0]));
	c->result.events = c->events;
	return c->result.n_events < page ? &c->events[c->result.n_events++] : NULL;
}

struct api_repo *api_add_repo(struct api_call *c)
{
	if (!c->repos)
		c->repos = xcalloc(c->scan.page_size, sizeof(c->repos[0]));
	c->result.repos = c->repos;
	if (c->result.n_repos == c->scan.page_size) {
		c->result.more = true;
		return NULL;
	}
	return &c->repos[c->result.n_repos++];
}

/* --- secrets ---------------------------------------------------------------- */

const char *api_secret(const struct api *api)
{
	const char *key = api->kind->token_key, *secret = conf_secret(api->conf, key, api->token);

	return secret ? secret : conf_secret(api->conf, key, 0);
}

bool api_next_secret(struct api_call *c, const struct http_reply *r)
{
	struct api *api = c->api;

	if (r->status != 401 || c->refused_once || !api_from_origin(api, r) ||
	    !conf_secret(api->conf, api->kind->token_key, 1))
		return false;
	c->refused_once = true;
	*api->self = '\0'; /* it may be another user's */
	api->token++;
	if (!conf_secret(api->conf, api->kind->token_key, api->token))
		api->token = 0;
	return true;
}

/* --- what was not changed ----------------------------------------------------- */

char *api_if_news(const struct api_call *c)
{
	return *c->scan.etag ? xasprintf("If-None-Match: %s", c->scan.etag) : NULL;
}

bool api_unchanged(struct api_call *c, const struct http_reply *r)
{
	if (!*c->scan.etag || r->error ||
	    (r->status != 304 && (r->status != 200 || strcmp(r->etag, c->scan.etag) != 0)))
		return false;
	api_note_limit(c, r);
	c->result.http_status = r->status;
	c->result.unchanged = true;
	c->result.etag = c->scan.etag;
	return true;
}

void api_put_encoded(struct buf *b, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char ch = (unsigned char)s[i];

		if (isalnum(ch) || (ch && strchr("-_.~", ch)))
			buf_putc(b, s[i]);
		else
			buf_printf(b, "%%%02X", ch);
	}
}

void api_put_path(struct buf *b, const char *path)
{
	for (size_t n; *path; path += n) {
		n = strcspn(path, "/");
		api_put_encoded(b, path, n);
		for (; path[n] == '/'; n++)
			buf_putc(b, '/');
	}
}

/* --- writes, one after the other ------------------------------------------ */

static void start_writes(struct api *api)
{
	int64_t wait;
	struct timeval tv;

	if (api->writing || !api->queue || api->closing)
		return;
	wait = api->last_write_ms + conf_int(api->conf, api->kind->write_interval_key) -
	       clock_mono_ms();
	if (wait > 0) {
		tv = clock_timeval(wait);
		(void)evtimer_add(api->write_timer, &tv);
		return;
	}
	api->writing = api->queue;
	list_remove(api->writing);
	api->kind->start(api->writing);
}

static void on_write_timer(evutil_socket_t fd, short what, void *arg)
{
	UNUSED(fd);
	UNUSED(what);
	start_writes(arg);
}

/* --- rate limits ---------------------------------------------------------- */

void api_watch(struct api *api, api_watch_fn *fn, void *arg)
{
	api->watch = fn;
	api->watch_arg = arg;
}

static void tell(const struct api *api, enum api_news news, uint64_t limit_key, int64_t for_ms)
{
	if (api->watch)
		api->watch(api->watch_arg, api->origin.host, news, limit_key, for_ms);
}

bool api_limited(struct api_call *c)
{
	const struct api_limit *limits = c->api->limits;
	int64_t left = 0;

	for (size_t i = 0; i < API_LIMITS_MAX; i++)
		if (limits[i].until_ms && limits[i].key == c->limit_key)
			left = limits[i].until_ms - clock_mono_ms();
	if (left <= 0)
		return false;
	api_postpone(&c->result, 0, left, "rate limit of %s: nothing is asked before it ends",
		     c->api->origin.host);
	return true;
}

static void limit_until(struct api_call *c, int64_t until_ms)
{
	struct api_limit *slot = &c->api->limits[0];

	for (struct api_limit *l = c->api->limits; l < c->api->limits + API_LIMITS_MAX; l++) {
		if (l->until_ms && l->key == c->limit_key) {
			slot = l;
			break;
		}
		if (l->until_ms < slot->until_ms)
			slot = l;
	}
	if (slot->key == c->limit_key && slot->until_ms > until_ms)
		return;
	*slot = (struct api_limit){ c->limit_key, until_ms };
}

void api_note_limit(struct api_call *c, const struct http_reply *r)
{
	int64_t now = clock_wall_ms(), pause = -1;

	c->result.budget_left = r->rate_remaining;
	c->result.budget_reset_at_ms = r->rate_reset_at_ms > 0 ? r->rate_reset_at_ms : 0;
	if (r->rate_remaining == 0 && r->rate_reset_at_ms > now)
		pause = r->rate_reset_at_ms - now;
	if (c->result.fate == API_RETRY && (r->status == 403 || r->status == 429) &&
	    c->result.retry_after_ms > pause)
		pause = c->result.retry_after_ms;
	if (pause <= 0)
		return;
	if (pause > API_LIMIT_MAX_MS)
		pause = API_LIMIT_MAX_MS;
	limit_until(c, clock_mono_ms() + pause);
	tell(c->api, API_NEWS_LIMITED, c->limit_key, pause);
}

bool api_from_origin(const struct api *api, const struct http_reply *r)
{
	struct http_origin o;
	struct err err;

	return http_origin_of(r->final_url, &o, &err) < 0 ||
	       (strcmp(o.host, api->origin.host) == 0 && strcmp(o.port, api->origin.port) == 0);
}

void api_count(const struct api *api, const struct http_reply *r)
{
	bool ours = api_from_origin(api, r);
	const char *host = ours ? api->origin.host : "log storage";
	char labels[320];

	if (r->status)
		(void)snprintf(labels, sizeof(labels), "host=\"%s\",code=\"%d\"", host, r->status);
	else
		(void)snprintf(labels, sizeof(labels), "host=\"%s\",code=\"none\"", host);
	metrics_add("provider_requests_total", labels, 1);
	if (ours)
		tell(api,
		     !r->status || r->status == 408 || r->status >= 500 ? API_NEWS_FAILED
									: API_NEWS_ANSWERED,
		     0, 0);
	if (r->rate_remaining >= 0) {
		(void)snprintf(labels, sizeof(labels), "host=\"%s\"", host);
		metrics_set("provider_rate_limit_remaining", labels, r->rate_remaining);
	}
}

/* --- opening -------------------------------------------------------------- */

static int check_url(struct api *api, struct err *err)
{
	const char *key = api->kind->url_key, *url = conf_str(api->conf, key);
	size_t n;

	if (!url)
		return err_set(err, ERR_CONFIG, "%s is not set", key);
	if (http_origin_of(url, &api->origin, err) < 0)
		return err_wrap(err, "%s", key);
	if (!api->origin.tls && !api->origin.loopback)
		return err_set(err, ERR_CONFIG,
			       "%s: a token must not travel over plain http: use https", key);
	if (strpbrk(url, "?#"))
		return err_set(err, ERR_CONFIG, "%s: no query or fragment belongs here", key);
	n = strlen(url);
	while (n && url[n - 1] == '/')
		n--;
	api->url = xstrndup(url, n);
	return 0;
}

int api_init(struct api *api, const struct api_kind *kind, struct event_base *base,
	     const struct conf *conf, struct http_client *http, struct err *err)
{
	api->kind = kind;
	api->base = base;
	api->conf = conf;
	api->http = http;
	api->late_tail = &api->late;
	api->queue_tail = &api->queue;
	api->last_write_ms = INT64_MIN / 2;
	api->deliver = evtimer_new(base, on_deliver, api);
	api->write_timer = evtimer_new(base, on_write_timer, api);
	if (!api->deliver || !api->write_timer)
		abort();
	if (check_url(api, err) < 0) {
		err->kind = ERR_CONFIG;
		return -1;
	}
	return 0;
}

void api_done(struct api *api)
{
	if (api->freed)
		*api->freed = true;
	api->closing = true;
	while (api->calls)
		call_free(api->calls);
	if (api->deliver)
		event_free(api->deliver);
	if (api->write_timer)
		event_free(api->write_timer);
	free(api->url);
}

void api_close(struct api *api)
{
	if (!api)
		return;
	api_done(api);
	free(api);
}
