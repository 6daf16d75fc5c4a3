/*
 * Jenkins' REST API and the notifications of its Notification plugin. A job is named like a
 * repository, and every attempt of every run in it is a build with a number of its own.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/http_server.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/job_log.h"
#include "tests/simulator/js.h"
#include "tests/simulator/reply.h"

enum { ANSWER_MAX = 16 << 20, BUILDS_MAX = 4096 };

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

/* The newest one when none is named. */
static struct run *find_build(struct sim *sim, const struct target *t, struct attempt **out)
{
	size_t at = world_first(sim->world);
	struct run *r, *newest = NULL;
	unsigned k = 0;

	while ((r = next_build(sim, t->job, &at, &k)) != NULL) {
		if (t->build && r->attempts[k - 1]->build != t->build)
			continue;
		*out = r->attempts[k - 1];
		newest = r;
		if (t->build)
			break;
	}
	return newest;
}

/* --- answers ------------------------------------------------------------------ */

static void not_found(struct ask *a)
{
	static const char page[] = "<html><head><title>Not Found - Jenkins</title></head></html>";

	ask_reply(a, 404, "text/html", page, sizeof(page) - 1);
}

/* What stands behind a cause in Jenkins, by how the build was run again. */
static const struct way {
	const char *name; /* of the plugin, for --jenkins-plugins; "": Jenkins itself */
	const char *path, *cause;
	bool of_pipeline, of_others;
} ways[] = {
	{ "replay", "replay/rebuild", "org.jenkinsci.plugins.workflow.cps.replay.ReplayCause", true,
	  false },
	{ "naginator", "retry/", "com.chikli.hudson.plugin.naginator.NaginatorCause", false, true },
	{ "rebuild", "rebuild/", "com.sonyericsson.rebuild.RebuildCause", false, true },
	{ "", "build", "hudson.model.Cause$UserIdCause", true, true },
	{ "", "buildWithParameters", "hudson.model.Cause$UserIdCause", true, true },
};

static const struct way *find_way(const struct sim *sim, const char *path, bool of_job)
{
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		const struct way *w = &ways[i];

		if (strcmp(w->path, path) == 0 && of_job == !*w->name &&
		    (sim->opt.jenkins_freestyle ? w->of_others : w->of_pipeline) &&
		    (!*w->name || strstr(sim->opt.jenkins_plugins, w->name)))
			return w;
	}
	return NULL;
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

/* Rebuild says which build in a number, the others in words. */
static void put_way(struct buf *b, const struct attempt *at)
{
	if (!at->way)
		return;
	js_open(b, NULL, '{');
	js_str(b, "_class", at->way);
	if (strstr(at->way, "Rebuild"))
		js_u64(b, "upstreamBuild", at->of_build);
	js_url(b, "shortDescription",
	       strstr(at->way, "Naginator") ? "Started by Naginator after build #%" PRIu64
					    : "Replayed #%" PRIu64,
	       at->of_build);
	js_close(b, '}');
}

static void put_causes(struct buf *b, const struct attempt *at, bool first, const char *user)
{
	bool ours = strstr(at->actor, "[bot]") != NULL;

	js_open(b, NULL, '{');
	js_str(b, "_class", "hudson.model.CauseAction");
	js_open(b, "causes", '[');
	js_open(b, NULL, '{');
	/* Naginator's are those of the build that it tries again. */
	if (!first && !(at->way && strstr(at->way, "Naginator")))
		js_str(b, "userId", ours ? user : at->actor);
	js_close(b, '}');
	put_way(b, at);
	js_close(b, ']');
	js_close(b, '}');
}

/* What the Git plugin notes. */
static void put_revision(struct buf *b, const struct run *r)
{
	js_open(b, NULL, '{');
	js_str(b, "_class", "hudson.plugins.git.util.BuildData");
	js_open(b, "lastBuiltRevision", '{');
	js_str(b, "SHA1", r->sha);
	js_open(b, "branch", '[');
	js_open(b, NULL, '{');
	js_str(b, "SHA1", r->sha);
	js_url(b, "name", "refs/remotes/origin/%s", r->branch);
	js_close(b, '}');
	js_close(b, ']');
	js_close(b, '}');
	js_close(b, '}');
}

static void put_build(struct buf *b, const struct sim *sim, const struct run *r,
		      const struct attempt *at, const char *user)
{
	struct buf path;

	buf_init(&path, 4096);
	put_job_path(&path, r->repo->full_name);
	js_open(b, NULL, '{');
	js_str(b, "_class",
	       sim->opt.jenkins_freestyle ? "hudson.model.FreeStyleBuild"
					  : "org.jenkinsci.plugins.workflow.job.WorkflowRun");
	js_u64(b, "number", at->build);
	js_url(b, "url", "%s/%s%" PRIu64 "/", sim->url, buf_text(&path), at->build);
	js_bool(b, "building", at->state != STATE_COMPLETED);
	js_str(b, "result", result_of(at));
	js_i64(b, "timestamp", at->started_ms);
	js_i64(b, "duration", at->state == STATE_COMPLETED ? at->updated_ms - at->started_ms : 0);
	js_str(b, "builtOn", "");
	js_open(b, "actions", '[');
	put_causes(b, at, at == r->attempts[0], user);
	put_revision(b, r);
	js_close(b, ']');
	js_close(b, '}');
	buf_done(&path);
}

/* "{3,5}" at the end of a tree: from the fourth to the fifth. */
static void read_range(struct ask *a, size_t *from, size_t *to)
{
	char tree[2048] = "";
	const char *at;

	*from = 0;
	*to = SIZE_MAX;
	(void)http_request_query(a->http, "tree", tree, sizeof(tree));
	at = strrchr(tree, '{');
	if (at && sscanf(at, "{%zu,%zu}", from, to) != 2)
		*to = SIZE_MAX;
}

struct numbered {
	const struct run *r;
	const struct attempt *at;
};

static int by_number(const void *a, const void *b)
{
	uint64_t x = ((const struct numbered *)a)->at->build;
	uint64_t y = ((const struct numbered *)b)->at->build;

	return (x < y) - (x > y);
}

/* The newest first, and of those the range that was asked for; a queued one is none yet. */
static void put_builds(struct buf *b, struct ask *a, const struct target *t, const char *user,
		       const struct attempt **queued)
{
	OWNED(freep) struct numbered *all = xcalloc(BUILDS_MAX, sizeof(*all));
	size_t at = world_first(a->sim->world), n = 0, from, to;
	const struct run *r;
	unsigned k = 0;

	while (n < BUILDS_MAX && (r = next_build(a->sim, t->job, &at, &k)) != NULL) {
		const struct attempt *one = r->attempts[k - 1];

		if (one->state == STATE_QUEUED)
			*queued = one;
		else
			all[n++] = (struct numbered){ r, one };
	}
	qsort(all, n, sizeof(*all), by_number);
	read_range(a, &from, &to);
	js_open(b, "builds", '[');
	for (size_t i = from; i < n && i < to; i++)
		put_build(b, a->sim, all[i].r, all[i].at, user);
	js_close(b, ']');
}

/* What the job wants to know before it builds. */
static void put_parameters(struct buf *b, struct ask *a, const struct target *t)
{
	const struct repo *r = world_find_repo(a->sim->world, t->job);

	js_open(b, "property", '[');
	if (r && *r->parameters) {
		js_open(b, NULL, '{');
		js_str(b, "_class", "hudson.model.ParametersDefinitionProperty");
		js_open(b, "parameterDefinitions", '[');
		for (const char *at = r->parameters; *at;) {
			size_t n = strcspn(at, ",");

			js_open(b, NULL, '{');
			js_url(b, "name", "%.*s", (int)n, at);
			js_close(b, '}');
			at += n + (at[n] == ',');
		}
		js_close(b, ']');
		js_close(b, '}');
	}
	js_close(b, ']');
}

static void get_job(struct ask *a, const struct target *t)
{
	const char *leaf = strrchr(t->job, '/');
	const struct attempt *queued = NULL;
	char user[64];
	struct buf b;

	user_of(a, user);
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_str(&b, "_class",
	       a->sim->opt.jenkins_freestyle ? "hudson.model.FreeStyleProject"
					     : "org.jenkinsci.plugins.workflow.job.WorkflowJob");
	js_str(&b, "displayName", leaf ? leaf + 1 : t->job);
	put_parameters(&b, a, t);
	put_builds(&b, a, t, user, &queued);
	js_bool(&b, "inQueue", queued != NULL);
	if (queued) {
		js_u64(&b, "nextBuildNumber", queued->build);
		js_open(&b, "queueItem", '{');
		js_open(&b, "actions", '[');
		put_causes(&b, queued, queued->build == 1, user);
		js_close(&b, ']');
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
	put_build(&b, a->sim, r, at, user);
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

/* --- folders -------------------------------------------------------------------- */

/* The part of a job's name that is directly in the folder ("" is the root); 0: it is not there. */
static size_t child_of(const struct repo *r, const char *folder)
{
	size_t n = strlen(folder);

	if (!repo_seen_by(r, FLAVOUR_JENKINS) || r->access == REPO_HIDDEN ||
	    (n && (strncmp(r->full_name, folder, n) != 0 || r->full_name[n] != '/')))
		return 0;
	n += n > 0;
	return n + strcspn(r->full_name + n, "/");
}

static bool had(struct world *w, size_t before, const char *folder, const char *name, size_t n)
{
	for (size_t i = 0; i < before; i++) {
		const struct repo *r = world_repo_at(w, i);

		if (child_of(r, folder) == n && strncmp(r->full_name, name, n) == 0)
			return true;
	}
	return false;
}

static void put_last_build(struct buf *b, struct sim *sim, const char *job)
{
	size_t at = world_first(sim->world);
	const struct attempt *last = NULL;
	const struct run *r;
	unsigned k = 0;

	while ((r = next_build(sim, job, &at, &k)) != NULL) {
		const struct attempt *one = r->attempts[k - 1];

		if (one->state != STATE_QUEUED && (!last || one->build > last->build))
			last = one;
	}
	if (!last) {
		js_null(b, "lastBuild");
		return;
	}
	js_open(b, "lastBuild", '{');
	js_u64(b, "number", last->build);
	js_bool(b, "building", last->state != STATE_COMPLETED);
	js_close(b, '}');
}

static void put_folder(struct buf *b, struct sim *sim, const char *folder, unsigned deep)
{
	const struct repo *r;
	size_t n;

	js_open(b, "jobs", '[');
	for (size_t i = 0; (r = world_repo_at(sim->world, i)) != NULL; i++) {
		char name[NAME_MAX_BYTES];

		n = child_of(r, folder);
		if (!n || had(sim->world, i, folder, r->full_name, n))
			continue;
		(void)text_copy(name, sizeof(name), r->full_name, n);
		js_open(b, NULL, '{');
		js_str(b, "fullName", name);
		if (!r->full_name[n])
			put_last_build(b, sim, name);
		else if (deep > 1)
			put_folder(b, sim, name, deep - 1);
		js_close(b, '}');
	}
	js_close(b, ']');
}

/* True: the tree asks for jobs, so it is about a folder. */
static bool asks_for_jobs(struct ask *a, unsigned *deep)
{
	char tree[2048] = "";

	*deep = 0;
	(void)http_request_query(a->http, "tree", tree, sizeof(tree));
	for (const char *at = tree; (at = strstr(at, "jobs[")) != NULL; at++)
		++*deep;
	return *deep > 0;
}

static void get_folder(struct ask *a, const char *folder, unsigned deep)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	put_folder(&b, a->sim, folder, deep);
	js_close(&b, '}');
	ask_reply_json(a, 200, js_done(&b));
	buf_done(&b);
}

/* --- running again ----------------------------------------------------------------- */

static bool is_parameter(const char *list, const char *name, size_t n)
{
	for (; *list; list += strcspn(list, ",") + (strchr(list, ',') != NULL))
		if (strcspn(list, ",") == n && strncmp(list, name, n) == 0)
			return true;
	return false;
}

/* Those of the form that the job has; the others are left out without a word. */
static void take_parameters(struct ask *a, struct run *r)
{
	const char *at = a->http->body ? a->http->body : "", *end = at + a->http->body_len;
	struct buf b;

	buf_init(&b, sizeof(r->inputs) - 1);
	while (at < end) {
		const char *stop = memchr(at, '&', (size_t)(end - at));
		size_t n = (size_t)((stop ? stop : end) - at);
		const char *equals = memchr(at, '=', n);

		if (equals && is_parameter(r->repo->parameters, at, (size_t)(equals - at))) {
			if (b.len)
				buf_putc(&b, '&');
			buf_append(&b, at, n);
		}
		at += n + 1;
	}
	(void)text_copy(r->inputs, sizeof(r->inputs), buf_text(&b), b.len);
	buf_done(&b);
}

/* A build can be run again as often as one likes: nobody refuses the second time. */
static void rebuild(struct ask *a, struct run *r, const struct way *way, uint64_t of_build)
{
	struct buf b;

	r->inputs[0] = '\0';
	if (strcmp(way->path, "buildWithParameters") == 0) {
		if (!*r->repo->parameters) {
			static const char page[] = "<html>the job is not parameterized";

			ask_reply(a, 400, "text/html", page, sizeof(page) - 1);
			return;
		}
		take_parameters(a, r);
	}
	if (sim_rerun(a->sim, r, false, ACTOR_API) != RERUN_ACCEPTED)
		r->rerun_accepted++;
	run_last(r)->way = way->cause;
	run_last(r)->of_build = of_build;
	buf_init(&b, 4096);
	buf_printf(&b, "%s/", a->sim->url);
	put_job_path(&b, r->repo->full_name);
	http_reply_header(a->http, "Location", buf_text(&b));
	ask_reply(a, 302, NULL, NULL, 0);
	buf_done(&b);
}

/* The buttons that stop a build, each harder than the one before. */
static bool is_stop(const struct target *t)
{
	return t->build && (strcmp(t->rest, "stop") == 0 || strcmp(t->rest, "term") == 0 ||
			    strcmp(t->rest, "kill") == 0);
}

static void stop_build(struct ask *a, struct run *r, const struct target *t)
{
	struct buf b;

	(void)run_cancel(r, strcmp(t->rest, "kill") == 0);
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
	{ "GET", "api/json", false, CALL_GET_RUN },
	{ "GET", "api/json", true, CALL_LIST_JOBS },
	{ "GET", "wfapi/describe", true, CALL_OTHER },
	{ "GET", "consoleText", true, CALL_LOG },
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
	if (route == 2 && a->sim->opt.jenkins_freestyle) {
		not_found(a);
		return;
	}
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
	default:
		get_log(a, r, at);
		return;
	}
}

/* The monitor's question about a job is for the job's display name, too. */
static enum call call_of(struct ask *a, const struct way *way, int route, bool folder)
{
	char tree[2048] = "";

	if (folder)
		return CALL_LIST_REPOS;
	if (way)
		return CALL_RERUN;
	if (route < 0)
		return CALL_OTHER;
	(void)http_request_query(a->http, "tree", tree, sizeof(tree));
	return text_starts(tree, "displayName") ? CALL_LIST_RUNS : routes[route].call;
}

static void serve(struct ask *a)
{
	struct attempt *at = NULL;
	struct target t;
	bool path = read_path(a->http->path, &t), post = strcmp(a->http->method, "POST") == 0;
	struct run *r = path ? find_build(a->sim, &t, &at) : NULL;
	const struct way *way = r && post ? find_way(a->sim, t.rest, !t.build) : NULL;
	int route = r ? find_route(a, &t) : -1;
	unsigned deep;
	bool stop = r && post && is_stop(&t);
	bool folder = !post && asks_for_jobs(a, &deep);

	if (ask_fault(a, call_of(a, way, route, folder), r ? r->id : 0))
		return;
	http_reply_header(a->http, "X-Jenkins", "2.479.1");
	if (!identify(a)) {
		http_reply_header(a->http, "WWW-Authenticate", "Basic realm=\"Jenkins\"");
		ask_reply(a, 401, "text/html", "", 0);
	} else if (folder) {
		get_folder(a, path ? t.job : "", deep);
	} else if (!r || (route < 0 && !way && !stop) || r->repo->access == REPO_HIDDEN) {
		not_found(a);
	} else if ((way || stop) && r->repo->access != REPO_WRITE) {
		ask_reply(a, 403, "text/html", "<html>the user is missing the Job/Build permission",
			  50);
	} else if (stop) {
		stop_build(a, r, &t);
	} else if (way) {
		rebuild(a, r, way, at->build);
	} else {
		answer(a, &t, r, at, route);
	}
}

bool jenkins_serve(struct sim *sim, struct http_request *http)
{
	if (!text_starts(http->path, "/job/") && !text_starts(http->path, "/crumbIssuer") &&
	    strcmp(http->path, "/api/json") != 0)
		return false;
	sim->api_requests++;
	ask_start(ask_new(sim, http, serve), sim->opt.latency_ms);
	return true;
}
