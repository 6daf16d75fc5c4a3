#include "fake_api.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "core/conf.h"
#include "core/http_client.h"
#include "core/mem.h"
#include "fake_http.h"
#include "healers/change.h"
#include "healers/healer_calls.h"

static const struct conf_table *const tables[] = { &provider_api_conf, &change_conf };

static const struct fake_answer *answer_of(struct fake_api *f, const struct fake_request *r)
{
	for (size_t i = 0; i < FAKE_ANSWERS_MAX && f->answers[i].method; i++) {
		const struct fake_answer *a = &f->answers[i];

		if (strcmp(a->method, r->method) != 0 || !strstr(r->path, a->path) ||
		    (a->times && f->used[i] == a->times))
			continue;
		f->used[i]++;
		return a;
	}
	return NULL;
}

static void note_post(struct fake_api *f, const struct fake_request *r)
{
	size_t n = strlen(f->posts);

	memcpy(f->post_head, f->head, sizeof(f->post_head));
	(void)snprintf(f->posts + n, sizeof(f->posts) - n, "%s\n", r->body);
}

static void serve(struct fake_request *r, void *arg)
{
	struct fake_api *f = arg;
	const struct fake_answer *a = answer_of(f, r);
	size_t n = strlen(f->asked);

	(void)snprintf(f->asked + n, sizeof(f->asked) - n, "%s %s; ", r->method, r->path);
	(void)snprintf(f->head, sizeof(f->head), "%s", r->head);
	(void)snprintf(f->body, sizeof(f->body), "%s", r->body);
	if (strcmp(r->method, "POST") == 0)
		note_post(f, r);
	if (!a)
		fake_http_reply(r, 404, "", "{\"message\":\"404 Not found\"}");
	else if (a->status == FAKE_DROPS)
		r->reset = true;
	else
		fake_http_reply(r, a->status, a->headers ? a->headers : "", a->body ? a->body : "");
}

struct fake_api *fake_api_new(const struct provider_api *ops, const char *const *sets)
{
	struct fake_api *f = xcalloc(1, sizeof(*f));
	struct err err = { 0 };

	f->ops = ops;
	f->base = event_base_new();
	f->http = http_client_new(f->base, "guard-test/1");
	f->server = fake_http_new(f->base, serve, f);
	f->conf = conf_new(tables, ARRAY_LEN(tables));
	assert_ok(conf_load_env(f->conf, &err), &err);
	for (; *sets; sets++) {
		const char *port = strstr(*sets, "PORT");
		OWNED(freep)
		char *set = port ? xasprintf("%.*s%d%s", (int)(port - *sets), *sets,
					     fake_http_port(f->server), port + 4)
				 : xstrdup(*sets);

		assert_ok(conf_set(f->conf, set, &err), &err);
	}
	assert_ok(ops->open(f->base, f->conf, f->http, &f->api, &err), &err);
	return f;
}

void fake_api_free(struct fake_api *f)
{
	f->ops->close(f->api);
	conf_free(f->conf);
	http_client_free(f->http);
	fake_http_free(f->server);
	event_base_free(f->base);
	free(f);
}

void fake_api_script(struct fake_api *f, const struct fake_answer *answers, size_t n)
{
	if (n > FAKE_ANSWERS_MAX)
		fail_msg("the script is too long");
	memset(f->answers, 0, sizeof(f->answers));
	memset(f->used, 0, sizeof(f->used));
	memcpy(f->answers, answers, n * sizeof(*answers));
	f->asked[0] = f->head[0] = f->post_head[0] = f->posts[0] = '\0';
}

unsigned fake_api_asked(const struct fake_api *f, const char *what)
{
	unsigned n = 0;

	for (const char *p = strstr(f->asked, what); p; p = strstr(p + 1, what))
		n++;
	return n;
}

static void copy(char *out, size_t cap, const char *s)
{
	(void)snprintf(out, cap, "%s", s ? s : "");
}

static void on_result(const struct api_result *r, void *arg)
{
	struct fake_report *s = arg;

	s->done = true;
	s->times++;
	s->r = *r;
	copy(s->status, sizeof(s->status), r->status);
	copy(s->conclusion, sizeof(s->conclusion), r->conclusion);
	copy(s->log, sizeof(s->log), r->log);
	for (unsigned i = 0; i < r->n_jobs && i < ARRAY_LEN(s->jobs); i++) {
		const struct api_job *j = &r->jobs[i];

		s->jobs[i] = *j;
		copy(s->names[i], sizeof(s->names[i]), j->name);
		copy(s->conclusions[i], sizeof(s->conclusions[i]), j->conclusion);
		copy(s->stages[i], sizeof(s->stages[i]), j->stage);
		copy(s->reasons[i], sizeof(s->reasons[i]), j->failure_reason);
	}
	copy(s->etag, sizeof(s->etag), r->etag);
	for (unsigned i = 0; i < r->n_events && i < ARRAY_LEN(s->events); i++)
		s->events[i] = r->events[i];
	if (r->branch.sha)
		(void)snprintf(s->branch, sizeof(s->branch), "%s %s %s", r->branch.sha,
			       r->branch.parent, r->branch.message);
	copy(s->url, sizeof(s->url), r->proposal.url);
	if (r->clone.url)
		(void)snprintf(s->clone, sizeof(s->clone), "%s:%s@%s %lld", r->clone.user,
			       r->clone.password, r->clone.url, (long long)r->clone.size_bytes);
	for (unsigned i = 0; i < r->n_repos; i++) {
		size_t n = strlen(s->repos);

		(void)snprintf(s->repos + n, sizeof(s->repos) - n, "%s#%s; ", r->repos[i].name,
			       r->repos[i].state);
	}
	for (unsigned i = 0; r->n_jobs && i < r->jobs[0].n_steps && i < ARRAY_LEN(s->steps); i++)
		(void)snprintf(s->steps[i], sizeof(s->steps[i]), "%s %s",
			       r->jobs[0].steps[i].conclusion, r->jobs[0].steps[i].name);
}

static void wait_report(struct fake_api *f, const struct fake_report *out)
{
	assert_false(out->done);
	assert_true(fake_http_wait(f->base, &out->done));
	fake_http_settle(f->base, 5);
	assert_int_equal(out->times, 1);
}

void fake_api_ask(struct fake_api *f, enum fake_call call, const struct api_run *run,
		  const struct api_job *job, struct fake_report *out)
{
	*out = (struct fake_report){ 0 };
	switch (call) {
	case FAKE_GET_RUN:
		(void)f->ops->get_run(f->api, run, on_result, out);
		break;
	case FAKE_LIST_JOBS:
		(void)f->ops->list_jobs(f->api, run, on_result, out);
		break;
	case FAKE_GET_LOG:
		(void)f->ops->get_log(f->api, run, job, on_result, out);
		break;
	case FAKE_GET_FILE:
		(void)f->ops->get_file(f->api, run, NULL, "docs/CODEOWNERS", on_result, out);
		break;
	case FAKE_RERUN:
		(void)f->ops->rerun_failed_jobs(f->api, run, on_result, out);
		break;
	}
	wait_report(f, out);
}

void fake_api_act(struct fake_api *f, size_t call, const struct api_run *run,
		  struct fake_report *out)
{
	*out = (struct fake_report){ 0 };
	(void)healer_call(f->ops, call)(f->api, run, on_result, out);
	wait_report(f, out);
}

void fake_api_show(struct fake_api *f, const struct api_run *run, const struct api_note *note,
		   struct fake_report *out)
{
	*out = (struct fake_report){ 0 };
	(void)f->ops->show(f->api, run, note, on_result, out);
	wait_report(f, out);
}

void fake_api_right(struct fake_api *f, const struct api_run *run, const char *person,
		    struct fake_report *out)
{
	*out = (struct fake_report){ 0 };
	(void)f->ops->get_right(f->api, run, person, on_result, out);
	wait_report(f, out);
}

void fake_api_list(struct fake_api *f, enum fake_list list, const struct api_scan *scan,
		   struct fake_report *out)
{
	*out = (struct fake_report){ 0 };
	if (list == FAKE_RUNS)
		(void)f->ops->list_runs(f->api, scan, on_result, out);
	else
		(void)f->ops->list_repos(f->api, scan, on_result, out);
	wait_report(f, out);
}

void fake_api_branch(struct fake_api *f, const struct api_run *run, const char *branch,
		     struct fake_report *out)
{
	*out = (struct fake_report){ 0 };
	(void)f->ops->get_branch(f->api, run, branch, on_result, out);
	wait_report(f, out);
}

void fake_api_proposal(struct fake_api *f, const struct api_run *run, const char *branch,
		       struct fake_report *out)
{
	*out = (struct fake_report){ 0 };
	(void)f->ops->find_proposal(f->api, run, branch, on_result, out);
	wait_report(f, out);
}

void fake_api_change(struct fake_api *f, api_change_fn *fn, const struct api_run *run,
		     const struct api_change *change, struct fake_report *out)
{
	*out = (struct fake_report){ 0 };
	(void)fn(f->api, run, change, on_result, out);
	wait_report(f, out);
}

void fake_api_afresh(struct fake_api *f, api_afresh_fn *fn, const struct api_run *run,
		     const struct api_afresh *wish, struct fake_report *out)
{
	*out = (struct fake_report){ 0 };
	(void)fn(f->api, run, wish, on_result, out);
	wait_report(f, out);
}

int fake_api_setup(void **state, const struct provider_api *ops, const char *token_name,
		   const char *token, const char *const *sets)
{
	(void)setenv(token_name, token, 1);
	*state = fake_api_new(ops, sets);
	(void)unsetenv(token_name);
	return 0;
}

int fake_api_teardown(void **state)
{
	fake_api_free(*state);
	return 0;
}
