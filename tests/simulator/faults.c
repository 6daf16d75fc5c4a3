#include "tests/simulator/faults.h"

#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"

static const char *const calls[] = { "get_run", "list_jobs", "log",        "log_file", "rerun",
				     "token",   "list_runs", "list_repos", "hooks",    "caches",
				     "cancel",  "git",       "pulls",      "dispatch", "push",
				     "renew",   "right",     "other" };
static const char *const kinds[] = { "status",     "hang",           "drop",
				     "garbage",    "redirect",       "apply_then_drop",
				     "slow",       "truncate",       "truncated_zip",
				     "rate_limit", "secondary_limit" };

static int find(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -1;
}

static void fault_free(struct fault *f)
{
	for (unsigned i = 0; i < f->n_headers; i++) {
		free(f->headers[i].name);
		free(f->headers[i].value);
	}
	free(f->body);
	free(f->location);
	free(f);
}

static char *copy(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

int faults_add(struct faults *all, struct json_object *o, struct err *err)
{
	const char *call = json_str(o, "call", "any"), *kind = json_str(o, "kind", "status");
	int64_t times = json_i64(o, "times", 1), status = json_i64(o, "status", 503);
	int which = find(calls, ARRAY_LEN(calls), call), how = find(kinds, ARRAY_LEN(kinds), kind);
	struct json_object *headers = json_at(o, "headers");
	struct fault *f, **end = &all->first;

	if (which < 0 && strcmp(call, "any") != 0)
		return err_set(
			err, ERR_INPUT,
			"call \"%.40s\" is none of get_run, list_jobs, list_runs, list_repos, "
			"log, log_file, rerun, token, hooks, caches, cancel, git, pulls, dispatch, "
			"push, renew, other, any",
			call);
	if (how < 0)
		return err_set(err, ERR_INPUT,
			       "kind \"%.40s\" is none of status, hang, drop, garbage, redirect, "
			       "apply_then_drop, slow, truncate, truncated_zip, rate_limit, "
			       "secondary_limit",
			       kind);
	if (times < 1 || times > 1000000 || status < 100 || status > 599)
		return err_set(err, ERR_INPUT, "times is 1 to 1000000, status 100 to 599");
	if (how == FAULT_REDIRECT && !json_str(o, "location", NULL))
		return err_set(err, ERR_INPUT, "a redirect wants a location");
	f = xcalloc(1, sizeof(*f));
	f->kind = (enum fault_kind)how;
	f->call = which;
	f->times = (unsigned)times;
	f->status = (int)status;
	f->body = copy(json_str(o, "body", NULL));
	f->location = copy(json_str(o, "location", NULL));
	f->ms = json_i64(o, "ms", -1);
	f->run = (uint64_t)json_i64(o, "run", 0);
	f->users = 1;
	if (json_object_is_type(headers, json_type_object)) {
		json_object_object_foreach(headers, name, value)
		{
			if (f->n_headers == FAULT_HEADERS_MAX)
				break;
			f->headers[f->n_headers].name = xstrdup(name);
			f->headers[f->n_headers++].value = xstrdup(json_object_get_string(value));
		}
	}
	while (*end)
		end = &(*end)->next;
	*end = f;
	return 0;
}

void fault_put(struct fault *f)
{
	if (f && --f->users == 0)
		fault_free(f);
}

void faults_clear(struct faults *all)
{
	while (all->first) {
		struct fault *f = all->first;

		all->first = f->next;
		fault_put(f);
	}
}

struct fault *faults_take(struct faults *all, enum call call, uint64_t run)
{
	for (struct fault **at = &all->first; *at; at = &(*at)->next) {
		struct fault *f = *at;

		if ((f->call >= 0 && f->call != (int)call) || (f->run && f->run != run))
			continue;
		f->users++;
		if (--f->times == 0) {
			*at = f->next;
			fault_put(f);
		}
		return f;
	}
	return NULL;
}

uint64_t faults_left(const struct faults *all)
{
	uint64_t left = 0;

	for (const struct fault *f = all->first; f; f = f->next)
		left += f->times;
	return left;
}
