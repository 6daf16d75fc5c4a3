/*
 * Jenkins' REST API. A run is a job, and its generation is the number of the
 * newest build: a build is never run again, a later one takes its place. So a
 * later build or a queue item counts as a re-run that happened; whether it was ours is
 * known only by the user who caused it.
 */
#include "healers/provider_api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/buf.h"
#include "core/ci_event.h"
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
	URL_MAX = 4096,
	BUILDS_MAX = 100, /* as many as Jenkins lists */
	FOLDERS_DEEP = 5, /* an organisation, its repositories, their branches, and two above */
};

/* One call may be several requests, one after the other; `at` is the one under way. */
enum at {
	AT_JOB,
	AT_PARAMETERS, /* that the job has */
	AT_BUILD,
	AT_STAGES,
	AT_LOG,
	AT_PROGRESSIVE,
	AT_POST,
	AT_CRUMB,
	AT_BUILDS,
	AT_FOLDER,
};

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

/* As the buttons of the page appear one after the other; only Pipelines have more than one. */
static const char *const ways_to_stop[] = { "stop", "term", "kill" };

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

	const char *folders; /* ASK_REPOS: the rest of jenkins.folders */
};

static struct jenkins_call *jenkins_call(struct api_call *c)
{
	return (struct jenkins_call *)c;
}

static void request(struct api_call *c);

static void drop(struct api_call *c)
{
	struct jenkins_call *j = jenkins_call(c);

	secret_free(j->cookie);
	secret_free(j->crumb);
	free(j->job);
	buf_done(&j->parameters);
}

/* --- words ---------------------------------------------------------------- */

static const char *need_of(const struct api_call *c)
{
	if (c->ask == ASK_CANCEL)
		return "the permission Job/Cancel";
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

/* "folder/app x" -> "job/folder/job/app%20x". */
static char *job_path(const char *name, size_t n)
{
	const char *end = name + n;
	struct buf b;

	buf_init(&b, 4096);
	for (;;) {
		const char *slash = memchr(name, '/', (size_t)(end - name));

		buf_puts(&b, b.len ? "/job/" : "job/");
		api_put_encoded(&b, name, (size_t)((slash ? slash : end) - name));
		if (!slash)
			return buf_take(&b);
		name = slash + 1;
	}
}

/* Nothing in it means something else in a path. */
static bool name_ok(const char *s)
{
	for (;; s++) {
		size_t n = strcspn(s, "/");

		if (!n || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return false;
		s += n;
		if (!*s)
			return true;
	}
}

/* --- the run: newest build and queue --------------------------------------- */

/* What the causes of a build say about who wanted it. */
struct blame {
	bool ours;
	bool copied; /* the user among them is the one of the build that was run again */
	int64_t of;  /* the build whose place it takes; 0: they do not say */
};

/*
 * Rebuild names the build in a number, Replay in words ("Replayed #12"). Naginator copies the
 * causes of the build, and adds its own: who pressed its button is not among them.
 */
static void read_cause(const struct api_call *c, struct json_object *cause, struct blame *out)
{
	const char *class = json_str(cause, "_class", "");
	const char *number = strchr(json_str(cause, "shortDescription", ""), '#');

	out->ours |= strcasecmp(json_str(cause, "userId", ""),
				conf_str(c->api->conf, "jenkins.user")) == 0;
	out->copied |= strstr(class, "Naginator") != NULL;
	if (strstr(class, "RebuildCause"))
		out->of = json_i64(cause, "upstreamBuild", 0);
	else if (strstr(class, "ReplayCause") && number)
		out->of = strtoll(number + 1, NULL, 10);
}

static bool caused_by_us(const struct api_call *c, struct json_object *actions)
{
	size_t n = json_object_is_type(actions, json_type_array) ? json_object_array_length(actions)
								 : 0;
	struct blame blame = { .ours = false };

	for (size_t i = 0; i < n; i++) {
		struct json_object *causes =
			json_at(json_object_array_get_idx(actions, i), "causes");
		size_t m = json_object_is_type(causes, json_type_array)
				   ? json_object_array_length(causes)
				   : 0;

		for (size_t k = 0; k < m; k++)
			read_cause(c, json_object_array_get_idx(causes, k), &blame);
	}
	return blame.ours && !blame.copied &&
	       (!blame.of || (uint64_t)blame.of == c->run.generation);
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

/* --- lists for the monitor --------------------------------------------------- */

static void copy_text(char *out, size_t cap, const char *s)
{
	(void)text_copy(out, cap, s, strlen(s));
}

static void copy_branch(struct ci_event *ev, const char *branch)
{
	static const char *const prefixes[] = { "refs/heads/", "refs/remotes/", "origin/" };

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (text_starts(branch, prefixes[i]))
			branch += strlen(prefixes[i]);
	copy_text(ev->branch, sizeof(ev->branch), branch);
}

/* Commit and branch, which the Git plugin notes among a build's actions. */
static void read_revision(struct json_object *actions, struct ci_event *ev)
{
	size_t n = json_object_is_type(actions, json_type_array) ? json_object_array_length(actions)
								 : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *one = json_object_array_get_idx(actions, i);
		const char *sha = json_str(one, "lastBuiltRevision.SHA1", "");

		if (!*sha)
			continue;
		copy_text(ev->sha, sizeof(ev->sha), sha);
		copy_branch(ev, json_str(one, "lastBuiltRevision.branch.0.name", ""));
		return;
	}
}

/* As its notification would have told it; false: it is no build. */
static bool read_event(const struct api_call *c, struct json_object *job, struct json_object *o,
		       struct ci_event *ev)
{
	const char *leaf = strrchr(c->repo, '/'), *result = json_str(o, "result", "");
	bool building = json_flag(o, "building", false);
	int64_t number = json_i64(o, "number", 0), began = json_i64(o, "timestamp", 0);

	*ev = (struct ci_event){
		.kind = CI_RUN,
		.status = building ? CI_RUNNING : CI_COMPLETED,
		.repo_id = sha256_id(c->repo, strlen(c->repo)),
		.run_id = 1,
		.generation = (uint64_t)number,
		.at_ms = building ? began : began + json_i64(o, "duration", 0),
	};
	copy_text(ev->provider, sizeof(ev->provider), "jenkins");
	copy_text(ev->topic, sizeof(ev->topic), "build");
	copy_text(ev->action, sizeof(ev->action), building ? "started" : "finalized");
	copy_text(ev->conclusion, sizeof(ev->conclusion), building ? "" : conclusion_of(result));
	if (!building && strcmp(result, "UNSTABLE") == 0)
		copy_text(ev->failure_reason, sizeof(ev->failure_reason), "unstable");
	copy_text(ev->repo, sizeof(ev->repo), c->repo);
	copy_text(ev->pipeline, sizeof(ev->pipeline),
		  json_str(job, "displayName", leaf ? leaf + 1 : c->repo));
	copy_text(ev->url, sizeof(ev->url), json_str(o, "url", ""));
	read_revision(json_at(o, "actions"), ev);
	return number > 0 && (building || *ev->conclusion);
}

static void read_builds(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	struct json_object *builds = json_at(o, "builds");
	size_t n =
		json_object_is_type(builds, json_type_array) ? json_object_array_length(builds) : 0;

	if (!builds)
		api_garbled(c, r->status, "a job");
	/* Jenkins lists a hundred, and a job's older ones have been followed by newer ones. */
	c->result.more = n >= c->scan.page_size && c->page * c->scan.page_size < BUILDS_MAX;
	for (size_t i = 0; i < n; i++) {
		struct ci_event ev, *room;

		if (!read_event(c, o, json_object_array_get_idx(builds, i), &ev))
			continue;
		room = api_add_event(c, BUILDS_MAX);
		if (room)
			*room = ev;
	}
	api_report(c);
}

/* What is in a folder; folders in folders as deep as they were asked for. */
static void read_folder(struct api_call *c, struct json_object *jobs, unsigned depth)
{
	size_t n = json_object_is_type(jobs, json_type_array) ? json_object_array_length(jobs) : 0;

	for (size_t i = 0; i < n && !c->result.more; i++) {
		struct json_object *o = json_object_array_get_idx(jobs, i);
		const char *name = json_str(o, "fullName", "");
		int64_t last = json_i64(o, "lastBuild.number", 0);
		struct api_repo *repo;
		char state[48];

		if (json_at(o, "jobs") && depth < FOLDERS_DEEP)
			read_folder(c, json_at(o, "jobs"), depth + 1);
		if (last <= 0 || !name_ok(name))
			continue; /* a folder, or nothing ever ran */
		repo = api_add_repo(c);
		if (!repo)
			return;
		(void)snprintf(state, sizeof(state), "%" PRId64 "%s", last,
			       json_flag(o, "lastBuild.building", false) ? " running" : "");
		*repo = (struct api_repo){ .name = arena_strdup(c->arena, name),
					   .id = sha256_id(name, strlen(name)),
					   .state = arena_strdup(c->arena, state) };
	}
}

static void take_folder(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	struct jenkins_call *j = jenkins_call(c);

	if (!json_at(o, "jobs"))
		api_garbled(c, r->status, "a folder of jobs");
	read_folder(c, json_at(o, "jobs"), 1);
	j->folders += strcspn(j->folders, ",");
	j->folders += strspn(j->folders, ",");
	if (*j->folders && c->result.fate == API_OK && !c->result.more)
		request(c);
	else
		api_report(c);
}

/* --- running it again ------------------------------------------------------ */

static bool put_value(struct buf *b, struct json_object *value)
{
	const char *text;

	if (!value || json_object_is_type(value, json_type_object) ||
	    json_object_is_type(value, json_type_array))
		return false;
	text = json_object_get_string(value);
	api_put_encoded(b, text, strlen(text));
	return true;
}

/* An input of that name is given instead. */
static bool is_replaced(const struct api_call *c, const char *name)
{
	const struct api_afresh *wish = c->work;
	size_t n = strlen(name);

	for (unsigned i = 0; wish && i < wish->n_inputs; i++)
		if (strncmp(wish->inputs[i], name, n) == 0 && wish->inputs[i][n] == '=')
			return true;
	return false;
}

/* False, and the result says why, when a parameter cannot be given again. */
static bool take_parameter(struct api_call *c, struct json_object *p)
{
	struct jenkins_call *j = jenkins_call(c);
	const char *name = json_str(p, "name", "");

	if (is_replaced(c, name))
		return true;
	if (strcasestr(json_str(p, "_class", ""), "password")) {
		api_refuse(&c->result, 0,
			   "the build had a password as parameter \"%.60s\", which "
			   "only a person can give again",
			   name);
		return false;
	}
	if (j->parameters.len)
		buf_putc(&j->parameters, '&');
	api_put_encoded(&j->parameters, name, strlen(name));
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

/* The last variant is the one that takes parameters. */
static void add_inputs(struct api_call *c)
{
	struct jenkins_call *j = jenkins_call(c);
	const struct api_afresh *wish = c->work;

	for (unsigned i = 0; i < wish->n_inputs; i++) {
		const char *name, *value;

		api_input(c, wish->inputs[i], &name, &value);
		if (j->parameters.len)
			buf_putc(&j->parameters, '&');
		api_put_encoded(&j->parameters, name, strlen(name));
		buf_putc(&j->parameters, '=');
		api_put_encoded(&j->parameters, value, strlen(value));
	}
	j->parameterized = true;
}

static void start_rerun(struct api_call *c, struct json_object *build)
{
	struct jenkins_call *j = jenkins_call(c);
	bool taken;

	j->pipeline = is_pipeline(build);
	taken = take_parameters(c, build);
	if (taken && c->work)
		add_inputs(c);
	if (json_flag(build, "building", false))
		api_say(&c->result, API_WAIT, 0, -1, "the build is still running");
	else if (taken && find_variant(c, c->work ? ARRAY_LEN(variants) - 1 : 0)) {
		j->at = AT_POST;
		request(c);
		return;
	}
	api_report(c);
}

static bool has_parameter(struct json_object *job, const char *input)
{
	struct json_object *list = json_at(job, "property");
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *names =
			json_at(json_object_array_get_idx(list, i), "parameterDefinitions");
		size_t m = json_object_is_type(names, json_type_array)
				   ? json_object_array_length(names)
				   : 0;

		for (size_t k = 0; k < m; k++) {
			const char *name =
				json_str(json_object_array_get_idx(names, k), "name", "");
			size_t len = strlen(name);

			if (len && strncmp(name, input, len) == 0 && input[len] == '=')
				return true;
		}
	}
	return false;
}

/* Jenkins leaves out a parameter that a job does not have without a word: then it would be in vain.
 */
static void take_job_parameters(struct api_call *c, struct json_object *job)
{
	const struct api_afresh *wish = c->work;

	for (unsigned i = 0; i < wish->n_inputs; i++) {
		if (has_parameter(job, wish->inputs[i]))
			continue;
		api_refuse(&c->result, 0, "the job has no parameter \"%.*s\"",
			   (int)strcspn(wish->inputs[i], "="), wish->inputs[i]);
		api_report(c);
		return;
	}
	jenkins_call(c)->at = AT_BUILD;
	request(c);
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
	} else if (c->ask == ASK_RERUN && strstr(r->location, "parameterized")) {
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
	if (c->ask == ASK_RERUN && (s == 404 || s == 405) && find_variant(c, j->variant + 1)) {
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
	case AT_PARAMETERS:
		take_job_parameters(c, o);
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
	case AT_BUILDS:
		read_builds(c, r, o);
		return;
	case AT_FOLDER:
		take_folder(c, r, o);
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
	c->result.log_memory = r->memory;
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

	if (r->status == 404 && j->at == AT_LOG)
		j->at = AT_PROGRESSIVE;
	else if (!api_next_secret(c, r))
		return false;
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
	case AT_PARAMETERS:
	case AT_BUILD:
	case AT_CRUMB:
	case AT_BUILDS:
	case AT_FOLDER:
		break;
	}
	api_report(c);
}

static void on_reply(const struct http_reply *r, void *arg)
{
	struct api_call *c = arg;
	enum at at = jenkins_call(c)->at;
	const struct reply_ask ask = { c->api->origin.host,
				       *c->repo ? c->repo : "the folders",
				       need_of(c),
				       "jenkins.url",
				       rows,
				       ARRAY_LEN(rows) };

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

#define OPEN   "%%5B"
#define CLOSE  "%%5D"
#define CAUSES "causes" OPEN "_class,userId,upstreamBuild,shortDescription" CLOSE

static char *builds_url(const struct api_call *c, const char *job)
{
	unsigned from = (c->page - 1) * c->scan.page_size;

	return xasprintf("%s/api/json?tree=displayName,builds" OPEN
			 "number,url,building,result,timestamp,duration,actions" OPEN
			 "lastBuiltRevision" OPEN "SHA1,branch" OPEN "name" CLOSE CLOSE CLOSE CLOSE
			 "%%7B%u,%u%%7D",
			 job, from, from + c->scan.page_size);
}

/* Of a folder, or of all: every job and its last build, in one answer. */
static char *folder_url(const struct api_call *c, const char *folders)
{
	size_t n = strcspn(folders, ",");
	OWNED(freep) char *path = n ? job_path(folders, n) : NULL;
	struct buf b;

	buf_init(&b, URL_MAX);
	buf_printf(&b, "%s%s%s/api/json?tree=", c->api->url, path ? "/" : "", path ? path : "");
	for (unsigned i = 0; i < FOLDERS_DEEP; i++)
		buf_printf(&b, "%sjobs" OPEN "fullName,lastBuild" OPEN "number,building" CLOSE,
			   i ? "," : "");
	for (unsigned i = 0; i < FOLDERS_DEEP; i++)
		buf_printf(&b, CLOSE "%%7B0,%u%%7D", c->scan.page_size);
	return buf_take(&b);
}

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
				 "queueItem" OPEN "actions" OPEN CAUSES CLOSE CLOSE ",builds" OPEN
				 "number,building,result,actions" OPEN CAUSES CLOSE CLOSE
				 "%%7B0,50%%7D",
				 job);
	case AT_PARAMETERS:
		return xasprintf("%s/api/json?tree=property" OPEN "parameterDefinitions" OPEN
				 "name" CLOSE CLOSE,
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
	case AT_BUILDS:
		return builds_url(c, job);
	case AT_FOLDER:
		return folder_url(c, j->folders);
	case AT_POST:
		break;
	}
	if (c->ask == ASK_CANCEL)
		return xasprintf("%s/%s", build,
				 ways_to_stop[c->run.tries < ARRAY_LEN(ways_to_stop)
						      ? c->run.tries
						      : ARRAY_LEN(ways_to_stop) - 1]);
	if (!v->of_job)
		return xasprintf("%s/%s", build, v->path);
	return xasprintf("%s/%s", job, j->parameterized ? "buildWithParameters" : v->path);
}

static void set_credentials(struct api_call *c)
{
	OWNED(secret_freep) char *pair = NULL, *basic = NULL, *line = NULL;

	pair = xasprintf("%s:%s", conf_str(c->api->conf, "jenkins.user"), api_secret(c->api));
	basic = base64_encode(pair, strlen(pair));
	line = xasprintf("Authorization: Basic %s", basic);
	api_authorize(c, line);
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
		[ASK_RUN] = AT_JOB,     [ASK_JOBS] = AT_BUILD,  [ASK_LOG] = AT_LOG,
		[ASK_RERUN] = AT_BUILD, [ASK_RUNS] = AT_BUILDS, [ASK_REPOS] = AT_FOLDER,
		[ASK_CANCEL] = AT_POST,
	};
	const char *folders = conf_str(c->api->conf, "jenkins.folders");
	struct jenkins_call *j = jenkins_call(c);

	j->at = c->work ? AT_PARAMETERS : first[c->ask];
	j->job = job_path(c->repo, strlen(c->repo));
	j->folders = folders ? folders + strspn(folders, ",") : "";
	buf_init(&j->parameters, PARAMETERS_MAX_BYTES);
	if (api_limited(c))
		api_report_later(c);
	else
		request(c);
}

/* A name that was cut to fit an event is not the one that the id was made from. */
static bool fits(const struct api_call *c)
{
	if (c->ask == ASK_REPOS)
		return true;
	return name_ok(c->repo) && ((c->ask == ASK_RUNS && !c->run.repo_id) ||
				    sha256_id(c->repo, strlen(c->repo)) == c->run.repo_id);
}

static const struct api_kind kind = {
	.url_key = "jenkins.url",
	.token_key = "jenkins.token",
	.write_interval_key = "jenkins.write_interval",
	.call_size = sizeof(struct jenkins_call),
	.start = start,
	.drop = drop,
	.fits = fits,
};

/* The next build of the same job, so whether it was made is seen as of any re-run. */
static struct api_call *start_afresh(struct api *api, const struct api_run *run,
				     const struct api_afresh *wish, api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_afresh(api, true, run, wish, fn, arg);

	c->ask = ASK_RERUN;
	return api_submit(c);
}

static bool configured(const struct conf *conf)
{
	return conf_secret(conf, "jenkins.token", 0) != NULL;
}

static int api_open(struct event_base *base, const struct conf *conf, struct http_client *http,
		    struct api **out, struct err *err)
{
	OWNED(api_closep) struct api *api = xcalloc(1, sizeof(*api));

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
	.repos_have_state = true,
	.sources_key = "jenkins.sources",
	.configured = configured,
	.open = api_open,
	.close = api_close,
	.get_run = api_get_run,
	.list_jobs = api_list_jobs,
	.get_log = api_get_log,
	.rerun_failed_jobs = api_rerun_failed_jobs,
	.cancel_run = api_cancel_run,
	.start_afresh = start_afresh,
	.rerun_all = api_rerun_failed_jobs, /* a build is repeated as a whole anyway */
	.list_runs = api_list_runs,
	.list_repos = api_list_repos,
	.cancel = api_cancel,
	.host = api_host,
};
