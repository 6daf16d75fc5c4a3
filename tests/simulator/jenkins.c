/*
 * Jenkins' REST API and the notifications of its Notification plugin. A job is named like a
 * repository, and every attempt of every run in it is a build with a number of its own.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/http_server.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/job_log.h"
#include "tests/simulator/js.h"
#include "tests/simulator/reply.h"

enum { ANSWER_MAX = 16 << 20 };

static const char *result_of(const struct attempt *a)
{
	if (a->state != STATE_COMPLETED)
		return NULL;
	if (strcmp(a->conclusion, "success") == 0)
		return "SUCCESS";
	return strcmp(a->conclusion, "cancelled") == 0 ? "ABORTED" : "FAILURE";
}

/* "job/folder/job/name/". */
static void put_job_path(struct buf *b, const char *name)
{
	buf_puts(b, "job/");
	for (; *name; name++) {
		if (*name == '/')
			buf_puts(b, "/job/");
		else
			buf_putc(b, *name);
	}
	buf_putc(b, '/');
}

/* --- notifications ----------------------------------------------------------- */

static void put_notified_build(struct buf *b, const struct sim *sim, const struct run *r,
			       const char *phase, const char *path)
{
	const struct attempt *a = run_last(r);
	bool over = a->state == STATE_COMPLETED;

	js_open(b, "build", '{');
	js_url(b, "full_url", "%s/%s%" PRIu64 "/", sim->url, path, a->build);
	js_u64(b, "number", a->build);
	js_u64(b, "queue_id", 1000 + a->build);
	js_i64(b, "timestamp", over ? a->updated_ms : a->started_ms);
	js_i64(b, "duration", over ? a->updated_ms - a->started_ms : 0);
	js_str(b, "phase", phase);
	if (over)
		js_str(b, "status", result_of(a));
	js_url(b, "url", "%s%" PRIu64 "/", path, a->build);
	js_open(b, "scm", '{');
	js_str(b, "url", "https://git.example.org/app.git");
	js_url(b, "branch", "origin/%s", r->branch);
	js_str(b, "commit", r->sha);
	js_close(b, '}');
	js_raw(b, "parameters", "{}");
	js_str(b, "log", "");
	js_str(b, "notes", "");
	js_raw(b, "artifacts", "{}");
	js_close(b, '}');
}

void jenkins_notification(struct buf *b, const struct sim *sim, const struct run *r,
			  const char *phase)
{
	const char *leaf = strrchr(r->repo->full_name, '/');
	struct buf path;

	buf_init(&path, 4096);
	put_job_path(&path, r->repo->full_name);
	js_open(b, NULL, '{');
	js_str(b, "name", leaf ? leaf + 1 : r->repo->full_name);
	js_str(b, "display_name", leaf ? leaf + 1 : r->repo->full_name);
	js_str(b, "url", buf_text(&path));
	put_notified_build(b, sim, r, phase, buf_text(&path));
	js_close(b, '}');
	(void)js_done(b);
	buf_done(&path);
}

/* --- look-up ------------------------------------------------------------------ */

/* What a path asks for. */
struct target {
	char job[NAME_MAX_BYTES];
	uint64_t build; /* 0: the job itself */
	const char *rest;
};

/* "/job/a/job/b/12/consoleText". */
static bool read_path(const char *path, struct target *out)
{
	char digits[24];
	size_t at = 0, n;

	*out = (struct target){ .build = 0 };
	while (text_starts(path, "/job/")) {
		n = strcspn(path += 5, "/");
		if (!n || at + n + 2 > sizeof(out->job))
			return false;
		if (at)
			out->job[at++] = '/';
		memcpy(out->job + at, path, n);
		at += n;
		path += n;
	}
	n = *path == '/' ? strspn(path + 1, "0123456789") : 0;
	if (n && text_copy(digits, sizeof(digits), path + 1, n)) {
		if (!text_to_u64(digits, &out->build))
			return false;
		path += n + 1;
	}
	out->rest = path + (*path == '/');
	return at > 0;
}

/* The next attempt of that job after run `*at`, attempt `*k`. */
static struct run *next_build(struct sim *sim, const char *job, size_t *at, unsigned *k)
{
	for (; *at < world_count(sim->world); (*at)++, *k = 0) {
		struct run *r = world_at(sim->world, *at);

		if (r && r->flavour == FLAVOUR_JENKINS && *k < r->n_attempts &&
		    strcmp(r->repo->full_name, job) == 0) {
			(*k)++;
			return r;
		}
	}
	return NULL;
}

static struct run *find_build(struct sim *sim, const struct target *t, struct attempt **out)
{
	size_t at = world_first(sim->world);
	unsigned k = 0;
	struct run *r;

	while ((r = next_build(sim, t->job, &at, &k)) != NULL) {
		*out = r->attempts[k - 1];
		if (t->build ? (*out)->build == t->build : true)
			return r;
	}
	return NULL;
}

/* --- answers ------------------------------------------------------------------ */

static void not_found(struct ask *a)
{
	static const char page[] = "<html><head><title>Not Found - Jenkins</title></head></html>";

	ask_reply(a, 404, "text/html", page, sizeof(page) - 1);
}

/* Who asks; Jenkins knows the user of a build that was started by hand. */
static void user_of(struct ask *a, char out[static 64])
{
	const char *line = http_request_header(a->http, "Authorization");
	unsigned char pair[512];
	size_t n = 0;

	out[0] = '\0';
	if (!line || strncasecmp(line, "Basic ", 6) != 0 ||
	    !base64_decode(line + 6, strlen(line + 6), pair, sizeof(pair) - 1, &n))
		return;
	pair[n] = '\0';
	(void)text_copy(out, 64, (const char *)pair, strcspn((const char *)pair, ":"));
}

static void put_causes(struct buf *b, const struct attempt *at, bool first, const char *user)
{
	bool ours = strstr(at->actor, "[bot]") != NULL;

	js_open(b, "actions", '[');
	js_open(b, NULL, '{');
	js_str(b, "_class", "hudson.model.CauseAction");
	js_open(b, "causes", '[');
	js_open(b, NULL, '{');
	if (!first)
		js_str(b, "userId", ours ? user : at->actor);
	js_close(b, '}');
	js_close(b, ']');
	js_close(b, '}');
	js_close(b, ']');
}

static void put_build(struct buf *b, const struct run *r, const struct attempt *at,
		      const char *user)
{
	js_open(b, NULL, '{');
	js_str(b, "_class", "org.jenkinsci.plugins.workflow.job.WorkflowRun");
	js_u64(b, "number", at->build);
	js_bool(b, "building", at->state != STATE_COMPLETED);
	js_str(b, "result", result_of(at));
	js_i64(b, "timestamp", at->started_ms);
	js_i64(b, "duration", at->state == STATE_COMPLETED ? at->updated_ms - at->started_ms : 0);
	js_str(b, "builtOn", "");
	put_causes(b, at, at == r->attempts[0], user);
	js_close(b, '}');
}

static void get_job(struct ask *a, const struct target *t)
{
	size_t at = world_first(a->sim->world);
	const struct attempt *queued = NULL;
	const struct run *r;
	char user[64];
	unsigned k = 0;
	struct buf b;

	user_of(a, user);
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_str(&b, "_class", "org.jenkinsci.plugins.workflow.job.WorkflowJob");
	js_open(&b, "builds", '[');
	while ((r = next_build(a->sim, t->job, &at, &k)) != NULL) {
		const struct attempt *one = r->attempts[k - 1];

		if (one->state == STATE_QUEUED)
			queued = one;
		else
			put_build(&b, r, one, user);
	}
	js_close(&b, ']');
	js_bool(&b, "inQueue", queued != NULL);
	if (queued) {
		js_u64(&b, "nextBuildNumber", queued->build);
		js_open(&b, "queueItem", '{');
		put_causes(&b, queued, queued->build == 1, user);
		js_close(&b, '}');
	}
	js_close(&b, '}');
	ask_reply_json(a, 200, js_done(&b));
	buf_done(&b);
}

static void get_build(struct ask *a, const struct run *r, const struct attempt *at)
{
	struct buf b;
	char user[64];

	user_of(a, user);
	buf_init(&b, ANSWER_MAX);
	put_build(&b, r, at, user);
	ask_reply_json(a, 200, js_done(&b));
	buf_done(&b);
}

/* Stages that were left out after the failed one look as if they had failed too. */
static void get_stages(struct ask *a, const struct attempt *at)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_open(&b, "stages", '[');
	for (unsigned i = 0; i < at->n_jobs; i++) {
		const struct job *j = &at->jobs[i];

		if (!j->conclusion)
			continue;
		js_open(&b, NULL, '{');
		js_u64(&b, "id", i + 6);
		js_str(&b, "name", j->name);
		js_str(&b, "status", strcmp(j->conclusion, "success") == 0 ? "SUCCESS" : "FAILED");
		js_close(&b, '}');
	}
	js_close(&b, ']');
	js_close(&b, '}');
	ask_reply_json(a, 200, js_done(&b));
	buf_done(&b);
}

static void get_log(struct ask *a, struct run *r, const struct attempt *at)
{
	const struct job *told = at->jobs;
	struct buf b;

	for (unsigned i = 0; i < at->n_jobs; i++)
		if (at->jobs[i].cause)
			told = &at->jobs[i];
	buf_init(&b, JOB_LOG_MAX);
	r->log_reads++;
	job_log_write(&b, r, told, (unsigned)a->sim->opt.noise);
	ask_reply(a, 200, "text/plain;charset=UTF-8", buf_text(&b), b.len);
	buf_done(&b);
}

/* A build can be run again as often as one likes: nobody refuses the second time. */
static void rebuild(struct ask *a, struct run *r)
{
	struct buf b;

	if (sim_rerun(a->sim, r, false, ACTOR_API) != RERUN_ACCEPTED)
		r->rerun_accepted++;
	buf_init(&b, 4096);
	buf_printf(&b, "%s/", a->sim->url);
	put_job_path(&b, r->repo->full_name);
	http_reply_header(a->http, "Location", buf_text(&b));
	ask_reply(a, 302, NULL, NULL, 0);
	buf_done(&b);
}

/* --- from request to answer ---------------------------------------------------- */

static const struct {
	const char *method, *rest;
	bool of_build;
	enum call call;
} routes[] = {
	{ "GET", "api/json", false, CALL_GET_RUN },     { "GET", "api/json", true, CALL_LIST_JOBS },
	{ "GET", "wfapi/describe", true, CALL_OTHER },  { "GET", "consoleText", true, CALL_LOG },
	{ "POST", "replay/rebuild", true, CALL_RERUN },
};

static int find_route(const struct ask *a, const struct target *t)
{
	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		if (strcmp(routes[i].method, a->http->method) == 0 &&
		    strcmp(routes[i].rest, t->rest) == 0 && routes[i].of_build == (t->build > 0))
			return (int)i;
	return -1;
}

static bool identify(struct ask *a)
{
	const char *line = http_request_header(a->http, "Authorization"), *why, *colon;
	unsigned char pair[512];
	OWNED(freep) char *bearer = NULL;
	size_t n = 0;

	if (line && strncasecmp(line, "Basic ", 6) == 0 &&
	    base64_decode(line + 6, strlen(line + 6), pair, sizeof(pair) - 1, &n)) {
		pair[n] = '\0';
		colon = strchr((const char *)pair, ':');
		bearer = xasprintf("Bearer %s", colon ? colon + 1 : "");
	}
	return access_identify(a->sim->access, bearer, &a->caller, &why) == 0;
}

static void answer(struct ask *a, const struct target *t, struct run *r, struct attempt *at,
		   int route)
{
	switch (route) {
	case 0:
		get_job(a, t);
		return;
	case 1:
		get_build(a, r, at);
		return;
	case 2:
		get_stages(a, at);
		return;
	case 3:
		get_log(a, r, at);
		return;
	default:
		rebuild(a, r);
		return;
	}
}

static void serve(struct ask *a)
{
	struct attempt *at = NULL;
	struct target t;
	struct run *r = read_path(a->http->path, &t) ? find_build(a->sim, &t, &at) : NULL;
	int route = r ? find_route(a, &t) : -1;

	if (ask_fault(a, route < 0 ? CALL_OTHER : routes[route].call, r ? r->id : 0))
		return;
	http_reply_header(a->http, "X-Jenkins", "2.479.1");
	if (!identify(a)) {
		http_reply_header(a->http, "WWW-Authenticate", "Basic realm=\"Jenkins\"");
		ask_reply(a, 401, "text/html", "", 0);
	} else if (route < 0 || r->repo->access == REPO_HIDDEN) {
		not_found(a);
	} else if (routes[route].call == CALL_RERUN && r->repo->access != REPO_WRITE) {
		ask_reply(a, 403, "text/html", "<html>the user is missing the Job/Build permission",
			  50);
	} else {
		answer(a, &t, r, at, route);
	}
}

bool jenkins_serve(struct sim *sim, struct http_request *http)
{
	if (!text_starts(http->path, "/job/") && !text_starts(http->path, "/crumbIssuer"))
		return false;
	sim->api_requests++;
	ask_start(ask_new(sim, http, serve), sim->opt.latency_ms);
	return true;
}
