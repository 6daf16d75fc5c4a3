/*
 * Jenkins' REST API. A run is a job, and its generation is the number of the
 * newest build: a build is never run again, a later one takes its place. So a
 * later build or a queue item counts as a re-run that happened; whether it was ours is
 * known only by the user who caused it.
 */
#include "healers/provider_api.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "healers/api_core.h"

enum {
	PARAMETERS_MAX_BYTES = 256 * 1024,
	CRUMB_MAX = 256,
};

/* One call may be several requests, one after the other; `at` is the one under way. */
enum ask { ASK_RUN, ASK_JOBS, ASK_LOG, ASK_RERUN };
enum at { AT_JOB, AT_BUILD, AT_STAGES, AT_LOG, AT_PROGRESSIVE, AT_POST, AT_CRUMB };

/*
 * The ways to run a build again, best first. Which of them there are depends on plugins:
 * 404 says that one is not there, and only then the next is tried.
 */
struct variant {
	const char *path;
	bool of_job;      /* else of the build */
	bool of_pipeline; /* fits Pipelines */
	bool of_others;
};
static const struct variant variants[] = {
	{ "replay/rebuild", false, true, false },            /* Pipeline: the same script */
	{ "retry/", false, false, true },                    /* Naginator */
	{ "rebuild/?autorebuild=true", false, false, true }, /* Rebuild */
	{ "build", true, true, true },                       /* Jenkins itself */
};

struct jenkins {
	struct api api;
	size_t token; /* index in the list, during rotation */
};

struct jenkins_call {
	struct api_call call;
	enum at at;
	char *job; /* "job/folder/job/name", encoded */

	/* ASK_RERUN */
	size_t variant;
	bool pipeline, parameterized;
	bool had_crumb;
	struct buf parameters; /* as a form */
	char *crumb, *cookie;  /* whole header lines */
};

static struct jenkins_call *jenkins_call(struct api_call *c)
{
	return (struct jenkins_call *)c;
}

static void request(struct api_call *c);

static void drop(struct api_call *c)
{
	struct jenkins_call *j = jenkins_call(c);

	if (j->cookie)
		OPENSSL_cleanse(j->cookie, strlen(j->cookie));
	free(j->cookie);
	free(j->crumb);
	free(j->job);
	buf_done(&j->parameters);
}

/* --- words ---------------------------------------------------------------- */

static const char *need_of(const struct api_call *c)
{
	return c->ask == ASK_RERUN ? "the permission Job/Build" : "the permission Job/Read";
}

/* The rest are states of something that is not over. */
static const char *conclusion_of(const char *result)
{
	static const struct {
		const char *theirs, *ours;
	} rows[] = {
		{ "SUCCESS", "success" },   { "FAILURE", "failure" },
		{ "FAILED", "failure" },    { "UNSTABLE", "failure" },
		{ "ABORTED", "cancelled" }, { "NOT_BUILT", "skipped" },
		{ "SKIPPED", "skipped" },   { "NOT_EXECUTED", "skipped" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].theirs, result) == 0)
			return rows[i].ours;
	return "";
}

static bool unreserved(unsigned char c)
{
	return isalnum(c) || (c && strchr("-_.~", c));
}

static void put_encoded(struct buf *b, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (unreserved((unsigned char)s[i]))
			buf_putc(b, s[i]);
		else
			buf_printf(b, "%%%02X", (unsigned char)s[i]);
	}
}

/* "folder/app x" -> "job/folder/job/app%20x". */
static char *job_path(const char *name)
{
	struct buf b;

	buf_init(&b, 4096);
	for (;;) {
		size_t n = strcspn(name, "/");

		buf_puts(&b, b.len ? "/job/" : "job/");
		put_encoded(&b, name, n);
		if (!name[n])
			return buf_take(&b);
		name += n + 1;
	}
}

/* --- the run: newest build and queue --------------------------------------- */

static bool caused_by_us(const struct api_call *c, struct json_object *actions)
{
	const char *user = conf_str(c->api->conf, "jenkins.user");
	size_t n = json_object_is_type(actions, json_type_array) ? json_object_array_length(actions)
								 : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *causes =
			json_at(json_object_array_get_idx(actions, i), "causes");
		size_t m = json_object_is_type(causes, json_type_array)
				   ? json_object_array_length(causes)
				   : 0;

		for (size_t k = 0; k < m; k++)
			if (strcasecmp(json_str(json_object_array_get_idx(causes, k), "userId", ""),
				       user) == 0)
				return true;
	}
	return false;
}

static void set_state(struct api_call *c, struct json_object *build)
{
	bool building = json_flag(build, "building", false);

	c->result.status = building ? "in_progress" : "completed";
	c->result.conclusion = building ? "" : conclusion_of(json_str(build, "result", ""));
}

static void read_run(struct api_call *c, struct json_object *o)
{
	struct json_object *builds = json_at(o, "builds");
	size_t n =
		json_object_is_type(builds, json_type_array) ? json_object_array_length(builds) : 0;
	uint64_t newest = 0, next = (uint64_t)json_i64(o, "nextBuildNumber", 0);
	bool ours = false;

	c->result.status = c->result.conclusion = "";
	for (size_t i = 0; i < n; i++) {
		struct json_object *b = json_object_array_get_idx(builds, i);
		uint64_t number = (uint64_t)json_i64(b, "number", 0);

		if (number > c->run.generation)
			ours |= caused_by_us(c, json_at(b, "actions"));
		if (number <= newest)
			continue;
		newest = number;
		set_state(c, b);
	}
	if (json_flag(o, "inQueue", false)) {
		ours |= caused_by_us(c, json_at(o, "queueItem.actions"));
		newest = next > newest ? next : newest + 1;
		c->result.status = "queued";
		c->result.conclusion = "";
	}
	c->result.generation = newest;
	c->result.unproven = newest > c->run.generation && !ours;
}

static void take_job(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const char *class = json_str(o, "_class", "");

	if (strcasestr(class, "folder") || strcasestr(class, "multibranch"))
		api_refuse(&c->result, r->status, "%s is a folder of jobs: building it only scans",
			   c->repo);
	else if (!json_at(o, "builds"))
		api_garbled(c, r->status, "a job");
	else
		read_run(c, o);
	api_report(c);
}

/* --- the build as a job, its stages as steps ------------------------------- */

static void add_build(struct api_call *c, struct json_object *o)
{
	struct api_job *job = api_add_job(c);
	const char *result = json_str(o, "result", "");
	int64_t began = json_i64(o, "timestamp", 0);

	*job = (struct api_job){
		.id = (uint64_t)json_i64(o, "number", 0),
		.name = arena_strdup(c->arena, c->repo),
		.stage = "",
		.status = json_flag(o, "building", false) ? "in_progress" : "completed",
		.conclusion = conclusion_of(result),
		.failure_reason = strcmp(result, "UNSTABLE") == 0 ? "unstable" : "",
		.started_at_ms = began,
		.completed_at_ms = began ? began + json_i64(o, "duration", 0) : 0,
		.runner = arena_strdup(c->arena, json_str(o, "builtOn", "")),
	};
}

static void read_stages(struct api_call *c, struct json_object *o)
{
	struct json_object *stages = json_at(o, "stages");
	struct api_job *job = &c->jobs[0];
	size_t n =
		json_object_is_type(stages, json_type_array) ? json_object_array_length(stages) : 0;

	for (size_t i = 0; i < n && job->n_steps < API_STEPS_MAX; i++) {
		struct json_object *s = json_object_array_get_idx(stages, i);

		job->steps[job->n_steps++] = (struct api_step){
			.name = arena_strdup(c->arena, json_str(s, "name", "")),
			.conclusion = conclusion_of(json_str(s, "status", "")),
			.number = (unsigned)i + 1,
		};
	}
}

static bool is_pipeline(struct json_object *build)
{
	return strstr(json_str(build, "_class", ""), "WorkflowRun") != NULL;
}

/* --- running it again ------------------------------------------------------ */

static bool put_value(struct buf *b, struct json_object *value)
{
	const char *text;

	if (!value || json_object_is_type(value, json_type_object) ||
	    json_object_is_type(value, json_type_array))
		return false;
	text = json_object_get_string(value);
	put_encoded(b, text, strlen(text));
	return true;
}

/* False, and the result says why, when a parameter cannot be given again. */
static bool take_parameter(struct api_call *c, struct json_object *p)
{
	struct jenkins_call *j = jenkins_call(c);
	const char *name = json_str(p, "name", "");

	if (strcasestr(json_str(p, "_class", ""), "password")) {
		api_refuse(&c->result, 0,
			   "the build had a password as parameter \"%.60s\", which "
			   "only a person can give again",
			   name);
		return false;
	}
	if (j->parameters.len)
		buf_putc(&j->parameters, '&');
	put_encoded(&j->parameters, name, strlen(name));
	buf_putc(&j->parameters, '=');
	/* Its own ways of running again know such a value; ours does not. */
	if (!put_value(&j->parameters, json_at(p, "value")))
		j->parameters.overflow = true;
	j->parameterized = true;
	return true;
}

static bool take_parameters(struct api_call *c, struct json_object *build)
{
	struct json_object *actions = json_at(build, "actions");
	size_t n = json_object_is_type(actions, json_type_array) ? json_object_array_length(actions)
								 : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *list =
			json_at(json_object_array_get_idx(actions, i), "parameters");
		size_t m = json_object_is_type(list, json_type_array)
				   ? json_object_array_length(list)
				   : 0;

		for (size_t k = 0; k < m; k++)
			if (!take_parameter(c, json_object_array_get_idx(list, k)))
				return false;
	}
	return true;
}

/* True: there is a variant to try, from `at` on. */
static bool find_variant(struct api_call *c, size_t at)
{
	struct jenkins_call *j = jenkins_call(c);

	for (; at < ARRAY_LEN(variants); at++) {
		const struct variant *v = &variants[at];

		if (!(j->pipeline ? v->of_pipeline : v->of_others))
			continue;
		if (v->of_job && j->parameters.overflow) {
			api_refuse(&c->result, 0,
				   "the build had a parameter that cannot be read, "
				   "so only the plugins Rebuild or Naginator could repeat it");
			return false;
		}
		j->variant = at;
		return true;
	}
	api_refuse(&c->result, 404, "404: Jenkins has no way to run this build again");
	return false;
}

static void start_rerun(struct api_call *c, struct json_object *build)
{
	struct jenkins_call *j = jenkins_call(c);

	j->pipeline = is_pipeline(build);
	if (json_flag(build, "building", false))
		api_say(&c->result, API_WAIT, 0, -1, "the build is still running");
	else if (take_parameters(c, build) && find_variant(c, 0)) {
		j->at = AT_POST;
		request(c);
		return;
	}
	api_report(c);
}

static void take_build(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	uint64_t number = (uint64_t)json_i64(o, "number", 0);

	if (!number || number != c->run.generation) {
		api_garbled(c, r->status, "a build");
	} else if (c->ask == ASK_RERUN) {
		start_rerun(c, o);
		return;
	} else {
		add_build(c, o);
		if (is_pipeline(o)) {
			jenkins_call(c)->at = AT_STAGES;
			request(c);
			return;
		}
	}
	api_report(c);
}

/* With a password instead of an API token, a form needs a crumb and the session it is for. */
static void take_crumb(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	struct jenkins_call *j = jenkins_call(c);
	const char *field = json_str(o, "crumbRequestField", "Jenkins-Crumb");
	const char *crumb = json_str(o, "crumb", "");

	if (!*crumb || strlen(crumb) > CRUMB_MAX || strpbrk(crumb, "\r\n") ||
	    strpbrk(field, "\r\n: ") || !*field) {
		api_garbled(c, r->status, "a crumb");
		api_report(c);
		return;
	}
	j->crumb = xasprintf("%s: %s", field, crumb);
	if (*r->cookies)
		j->cookie = xasprintf("Cookie: %s", r->cookies);
	j->at = AT_POST;
	request(c);
}

/*
 * Most ways answer with a redirect to the job; one to the login page, or to a form that a
 * person has to fill in, is no acceptance.
 */
static void take_redirect(struct api_call *c, const struct http_reply *r)
{
	struct jenkins_call *j = jenkins_call(c);

	if (strcasestr(r->location, "login")) {
		api_refuse(&c->result, 401, "%d: %s asks to log in: it does not know this token",
			   r->status, c->api->origin.host);
	} else if (strstr(r->location, "parameterized")) {
		if (find_variant(c, j->variant + 1)) {
			request(c);
			return;
		}
	} else {
		api_say(&c->result, API_OK, r->status, -1, "%s", "");
	}
	api_report(c);
}

/* 404 and 405: that way does not exist here, so nothing was started by it. */
static void take_post(struct api_call *c, const struct http_reply *r)
{
	struct jenkins_call *j = jenkins_call(c);
	int s = r->status;

	if (s >= 301 && s <= 303 && !r->error) {
		take_redirect(c, r);
		return;
	}
	if ((s == 404 || s == 405) && find_variant(c, j->variant + 1)) {
		request(c);
		return;
	}
	if (s == 403 && !j->had_crumb && strcasestr(r->body, "crumb")) {
		j->had_crumb = true;
		j->at = AT_CRUMB;
		request(c);
		return;
	}
	/* A page instead of an answer: it may or may not have been started. */
	if (s == 200)
		api_postpone(&c->result, s, -1, "200: %s did not say whether it runs again",
			     c->api->origin.host);
	api_report(c);
}

/* --- answers --------------------------------------------------------------- */

static void take_json(struct api_call *c, const struct http_reply *r)
{
	OWNED(json_putp) struct json_object *o = NULL;
	struct err err;

	if (json_parse(r->body, r->body_len, &o, &err) < 0) {
		api_garbled(c, r->status, "JSON");
		api_report(c);
		return;
	}
	switch (jenkins_call(c)->at) {
	case AT_JOB:
		take_job(c, r, o);
		return;
	case AT_BUILD:
		take_build(c, r, o);
		return;
	case AT_CRUMB:
		take_crumb(c, r, o);
		return;
	case AT_STAGES:
		read_stages(c, o);
		api_report(c);
		return;
	case AT_LOG:
	case AT_PROGRESSIVE:
	case AT_POST:
		return;
	}
}

static void take_log(struct api_call *c, const struct http_reply *r)
{
	c->result.log = r->body;
	c->result.log_len = r->body_len;
	c->result.log_skipped_lines = r->dropped_lines;
	api_report(c);
}

static const struct reply_row rows[] = {
	{ 401, NULL, API_REFUSED, "user or token are wrong, or the token was revoked", false },
	{ 403, "crumb", API_REFUSED, "Jenkins wants a crumb: use an API token", false },
	{ 403, NULL, API_REFUSED, "the user may not do this", true },
	{ 404, NULL, API_REFUSED, "not there, or hidden from this user", true },
	{ 400, NULL, API_REFUSED, "the job wants other parameters than this build had", false },
	{ 409, NULL, API_REFUSED, "the job is disabled", false },
	{ 503, NULL, API_RETRY, "Jenkins is starting up or being restarted", false },
};

/* True: a second way to the same thing is tried. */
static bool otherwise(struct api_call *c, const struct http_reply *r)
{
	struct jenkins_call *j = jenkins_call(c);
	struct jenkins *jk = (struct jenkins *)c->api;

	if (r->status == 401 && !c->refused_once && conf_secret(c->api->conf, "jenkins.token", 1)) {
		c->refused_once = true;
		jk->token++;
		if (!conf_secret(c->api->conf, "jenkins.token", jk->token))
			jk->token = 0;
	} else if (r->status == 404 && j->at == AT_LOG) {
		j->at = AT_PROGRESSIVE;
	} else {
		return false;
	}
	request(c);
	return true;
}

static void on_failure(struct api_call *c, const struct http_reply *r)
{
	switch (jenkins_call(c)->at) {
	case AT_POST:
		take_post(c, r);
		return;
	case AT_STAGES:
		/* Without the plugin Pipeline: Stage View there are none. */
		if (c->result.fate == API_REFUSED)
			api_say(&c->result, API_OK, r->status, -1, "%s", "");
		break;
	case AT_LOG:
	case AT_PROGRESSIVE:
	case AT_JOB:
	case AT_BUILD:
	case AT_CRUMB:
		break;
	}
	api_report(c);
}

static void on_reply(const struct http_reply *r, void *arg)
{
	struct api_call *c = arg;
	enum at at = jenkins_call(c)->at;
	const struct reply_ask ask = { c->api->origin.host, c->repo, need_of(c),
				       "jenkins.url",       rows,    ARRAY_LEN(rows) };

	c->http = NULL;
	api_count(c->api, r);
	api_judge(r, &ask, clock_wall_ms(), &c->result);
	api_note_limit(c, r);
	if (otherwise(c, r))
		return;
	if (c->result.fate != API_OK || (at == AT_POST && r->status == 200))
		on_failure(c, r);
	else if (at == AT_LOG || at == AT_PROGRESSIVE)
		take_log(c, r);
	else if (at == AT_POST)
		api_report(c);
	else
		take_json(c, r);
}

/* --- one request ---------------------------------------------------------- */

#define OPEN  "%%5B"
#define CLOSE "%%5D"

static char *url_of(const struct api_call *c)
{
	const struct jenkins_call *j = (const struct jenkins_call *)c;
	const struct variant *v = &variants[j->variant];
	uint64_t number = c->ask == ASK_LOG ? c->job_id : c->run.generation;
	OWNED(freep) char *job = xasprintf("%s/%s", c->api->url, j->job);
	OWNED(freep) char *build = xasprintf("%s/%" PRIu64, job, number);

	switch (j->at) {
	case AT_JOB:
		return xasprintf("%s/api/json?tree=_class,inQueue,nextBuildNumber,"
				 "queueItem" OPEN "actions" OPEN "causes" OPEN
				 "userId" CLOSE CLOSE CLOSE ",builds" OPEN
				 "number,building,result,actions" OPEN "causes" OPEN
				 "userId" CLOSE CLOSE CLOSE "%%7B0,50%%7D",
				 job);
	case AT_BUILD:
		return xasprintf("%s/api/json?tree=_class,number,building,result,timestamp,"
				 "duration,builtOn,actions" OPEN "parameters" OPEN
				 "_class,name,value" CLOSE CLOSE,
				 build);
	case AT_STAGES:
		return xasprintf("%s/wfapi/describe", build);
	case AT_LOG:
		return xasprintf("%s/consoleText", build);
	case AT_PROGRESSIVE:
		return xasprintf("%s/logText/progressiveText?start=0", build);
	case AT_CRUMB:
		return xasprintf("%s/crumbIssuer/api/json", c->api->url);
	case AT_POST:
		break;
	}
	if (!v->of_job)
		return xasprintf("%s/%s", build, v->path);
	return xasprintf("%s/%s", job, j->parameterized ? "buildWithParameters" : v->path);
}

static void set_credentials(struct api_call *c)
{
	const struct jenkins *jk = (const struct jenkins *)c->api;
	const struct conf *conf = c->api->conf;
	const char *secret = conf_secret(conf, "jenkins.token", jk->token);
	OWNED(freep) char *pair = NULL, *basic = NULL, *line = NULL;

	/* After a reload the list may be shorter. */
	pair = xasprintf("%s:%s", conf_str(conf, "jenkins.user"),
			 secret ? secret : conf_secret(conf, "jenkins.token", 0));
	basic = base64_encode(pair, strlen(pair));
	line = xasprintf("Authorization: Basic %s", basic);
	api_authorize(c, line);
	OPENSSL_cleanse(pair, strlen(pair));
	OPENSSL_cleanse(basic, strlen(basic));
	OPENSSL_cleanse(line, strlen(line));
}

static void set_form(struct api_call *c, struct http_call_options *o)
{
	struct jenkins_call *j = jenkins_call(c);
	size_t n = 0;

	o->method = "POST";
	o->once = true;
	if (j->crumb)
		o->headers[n++] = j->crumb;
	if (j->cookie)
		o->headers[n++] = j->cookie;
	if (variants[j->variant].of_job && j->parameterized) {
		o->headers[n++] = "Content-Type: application/x-www-form-urlencoded";
		o->body = buf_text(&j->parameters);
		o->body_len = j->parameters.len;
	}
	c->api->last_write_ms = clock_mono_ms();
}

static void request(struct api_call *c)
{
	const struct conf *conf = c->api->conf;
	enum at at = jenkins_call(c)->at;
	OWNED(freep) char *url = url_of(c);
	struct http_call_options o = {
		.method = "GET",
		.url = url,
		.timeout_ms = conf_int(conf, "jenkins.timeout"),
		.max_body_bytes = API_JSON_MAX_BYTES,
	};

	if (at == AT_LOG || at == AT_PROGRESSIVE) {
		o.timeout_ms *= API_LOG_TIMEOUT_FACTOR;
		o.keep_tail = true;
		o.max_body_bytes = (size_t)conf_int(conf, "jenkins.log_max");
	}
	if (at == AT_POST)
		set_form(c, &o);
	set_credentials(c);
	o.authorization = c->authorization;
	c->http = http_call_start(c->api->http, &o, on_reply, c);
}

/* --- the table ------------------------------------------------------------ */

static void start(struct api_call *c)
{
	static const enum at first[] = {
		[ASK_RUN] = AT_JOB,
		[ASK_JOBS] = AT_BUILD,
		[ASK_LOG] = AT_LOG,
		[ASK_RERUN] = AT_BUILD,
	};
	struct jenkins_call *j = jenkins_call(c);

	j->at = first[c->ask];
	j->job = job_path(c->repo);
	buf_init(&j->parameters, PARAMETERS_MAX_BYTES);
	if (api_limited(c))
		api_report_later(c);
	else
		request(c);
}

/* A name that was cut to fit an event is not the one that the id was made from. */
static bool run_ok(const struct api_run *run)
{
	const char *s = run->repo;

	if (!*s || sha256_id(s, strlen(s)) != run->repo_id)
		return false;
	for (;; s++) {
		size_t n = strcspn(s, "/");

		if (!n || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return false;
		s += n;
		if (!*s)
			return true;
	}
}

static const struct api_kind kind = {
	.url_key = "jenkins.url",
	.write_interval_key = "jenkins.write_interval",
	.call_size = sizeof(struct jenkins_call),
	.start = start,
	.drop = drop,
	.run_ok = run_ok,
};

static struct api_call *get_run(struct api *api, const struct api_run *run, api_fn *fn, void *arg)
{
	return api_submit(api_begin(api, ASK_RUN, false, run, fn, arg));
}

static struct api_call *list_jobs(struct api *api, const struct api_run *run, api_fn *fn, void *arg)
{
	return api_submit(api_begin(api, ASK_JOBS, false, run, fn, arg));
}

static struct api_call *get_log(struct api *api, const struct api_run *run,
				const struct api_job *job, api_fn *fn, void *arg)
{
	return api_submit(api_begin_log(api, ASK_LOG, run, job, fn, arg));
}

static struct api_call *rerun_failed_jobs(struct api *api, const struct api_run *run, api_fn *fn,
					  void *arg)
{
	return api_submit(api_begin(api, ASK_RERUN, true, run, fn, arg));
}

static bool configured(const struct conf *conf)
{
	return conf_secret(conf, "jenkins.token", 0) != NULL;
}

static void api_close(struct api *api)
{
	if (!api)
		return;
	api_done(api);
	free(api);
}

DEFINE_OWNED(struct api, api_close)

static int api_open(struct event_base *base, const struct conf *conf, struct http_client *http,
		    struct api **out, struct err *err)
{
	struct jenkins *jk = xcalloc(1, sizeof(*jk));
	OWNED(api_closep) struct api *api = &jk->api;

	if (api_init(api, &kind, base, conf, http, err) < 0)
		return -1;
	if (!conf_str(conf, "jenkins.user") || !configured(conf))
		return err_set(err, ERR_CONFIG, "jenkins.user and jenkins.token belong together");
	if (strchr(conf_str(conf, "jenkins.user"), ':'))
		return err_set(err, ERR_CONFIG, "jenkins.user: a colon cannot be in it");
	*out = TAKE(api);
	return 0;
}

const struct provider_api provider_api_jenkins = {
	.name = "jenkins",
	.steps_are_stages = true,
	.sources_key = "jenkins.sources",
	.configured = configured,
	.open = api_open,
	.close = api_close,
	.get_run = get_run,
	.list_jobs = list_jobs,
	.get_log = get_log,
	.rerun_failed_jobs = rerun_failed_jobs,
	.cancel = api_cancel,
	.host = api_host,
};
