/*
 * Local git repositories: a process of ours looks (dispatcher/git_look.h), this compares with what
 * was known and tells what changed. A problem is a run that fails when it appears and
 * passes when it is gone; each change is a generation of its own.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/child.h"
#include "core/ci_event.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "core/enqueue.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/redis.h"
#include "core/text.h"
#include "dispatcher/engine.h"
#include "dispatcher/git_finding.h"
#include "dispatcher/lease.h"
#include "dispatcher/monitor_source.h"

enum {
	PATHS_MAX = 64,
	PATH_BYTES_MAX = 255,
	PROBLEMS_MAX = 500, /* known, and found by one look */
	OUTPUT_MAX = 1 << 20,
	DEDUPE_TTL_MS = 72 * 3600 * 1000,
	TELL_MAX = 200, /* changes told by one check; the rest by the next */
};

/* A problem, now or earlier; kept in Redis so that another monitor goes on counting. */
struct known {
	char field[48];
	char path[PATH_BYTES_MAX + 1], problem[24], subject[128], detail[200];
	uint64_t generation;
	bool open, present, dirty;
	int64_t changed_ms;
};

struct git {
	struct monitor_source *s;
	const char *host;
	char *paths[PATHS_MAX];
	size_t n_paths;

	struct child *child;
	struct known *known;
	size_t n_known, n_open;
	struct json_object *lines; /* of the last look, an array */
	int64_t deep_at_ms;        /* monotonic, of the last look at objects */
	bool deep;

	unsigned open, told; /* events on their way, of this check */
	struct monitor_result result;
	bool stopping;
};

/* One event on its way. */
struct telling {
	struct git *g;
	struct known *known; /* NULL: of a hook */
	char *file;          /* of a hook's note, to be removed */
};

/* KEYS lease known; ARGV value of the lease, field, text, ... */
static struct redis_script keep_script = {
	.name = "keep",
	.body = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
		"redis.call('HSET', KEYS[2], unpack(ARGV, 2)) "
		"return 1",
};

/* --- ends ------------------------------------------------------------------- */

static void finish(struct git *g)
{
	json_object_put(TAKE(g->lines));
	g->result.share = 1;
	g->n_open = 0;
	for (size_t i = 0; i < g->n_known; i++)
		g->n_open += g->known[i].open;
	monitor_checked(g->s, &g->result);
}

static void fail(struct git *g, const char *why)
{
	g->result.answered = false;
	(void)text_copy(g->result.why, sizeof(g->result.why), why, strlen(why));
}

/* --- what is known, in Redis ---------------------------------------------------- */

static void known_key(const struct git *g, char out[static KEY_MAX])
{
	char name[96];

	(void)snprintf(name, sizeof(name), "monitor:git:%.60s", g->host);
	key_region(&g->s->e->ks, name, out);
}

static char *known_text(const struct known *k)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();

	json_add_i64(o, "v", 1);
	json_add_i64(o, "generation", (int64_t)k->generation);
	json_add_bool(o, "open", k->open);
	json_add_i64(o, "changed_ms", k->changed_ms);
	json_add_str(o, "path", k->path);
	json_add_str(o, "problem", k->problem);
	json_add_str(o, "subject", k->subject);
	json_add_str(o, "detail", k->detail);
	return xstrdup(json_text(o));
}

static void on_kept(const struct redisReply *reply, void *arg)
{
	struct git *g = arg;

	/* What was told is told; not kept, it is told again under the same delivery id. */
	if (redis_is_error(reply, NULL))
		fail(g, "Redis did not take what was found");
	finish(g);
}

static void keep(struct git *g)
{
	enum { KEEP_MAX = 50 };
	char lease[KEY_MAX], key[KEY_MAX], *text[KEEP_MAX];
	struct redis_cmd cmd;
	size_t n = 0;

	lease_key(g->s->lease, lease);
	known_key(g, key);
	redis_script_cmd(&cmd, &keep_script, 2);
	redis_arg(&cmd, lease);
	redis_arg(&cmd, key);
	redis_arg(&cmd, lease_value(g->s->lease));
	for (size_t i = 0; i < g->n_known && n < KEEP_MAX; i++) {
		if (!g->known[i].dirty)
			continue;
		text[n] = known_text(&g->known[i]);
		redis_arg(&cmd, g->known[i].field);
		redis_arg(&cmd, text[n++]);
	}
	if (n)
		redis_send_script(g->s->e->writer, &keep_script, &cmd, on_kept, g);
	else
		finish(g);
	while (n)
		free(text[--n]);
}

static void copy(char *out, size_t cap, struct json_object *o, const char *path)
{
	const char *s = json_str(o, path, "");

	(void)text_copy(out, cap, s, strlen(s));
}

static void name_known(struct known *k)
{
	char text[sizeof(k->path) + sizeof(k->problem) + sizeof(k->subject) + 4];

	(void)snprintf(text, sizeof(text), "%s\n%s\n%s", k->path, k->problem, k->subject);
	(void)snprintf(k->field, sizeof(k->field), "%" PRIu64, sha256_id(text, strlen(text)));
}

static void read_known(struct known *k, struct json_object *o)
{
	int64_t generation = json_i64(o, "generation", 0);

	*k = (struct known){ .generation = generation > 0 ? (uint64_t)generation : 0,
			     .open = json_flag(o, "open", false),
			     .changed_ms = json_i64(o, "changed_ms", 0) };
	copy(k->path, sizeof(k->path), o, "path");
	copy(k->problem, sizeof(k->problem), o, "problem");
	copy(k->subject, sizeof(k->subject), o, "subject");
	copy(k->detail, sizeof(k->detail), o, "detail");
	name_known(k);
}

static struct known *known_of(struct git *g, struct json_object *line)
{
	struct known fresh, *k = g->known;

	read_known(&fresh, line);
	fresh.generation = 0;
	fresh.open = false;
	while (k < g->known + g->n_known && strcmp(k->field, fresh.field) != 0)
		k++;
	if (k < g->known + g->n_known)
		return k;
	if (g->n_known == PROBLEMS_MAX)
		return NULL;
	*k = fresh;
	g->n_known++;
	return k;
}

/* --- telling ------------------------------------------------------------------------ */

static void told_one(struct git *g)
{
	if (--g->open == 0)
		keep(g);
}

static void on_enqueued(const struct redisReply *reply, void *arg)
{
	struct telling *t = arg;
	struct git *g = t->g;
	const char *id;
	enum enqueue_result r = enqueue_result(reply, &id);

	if (r == ENQUEUE_FAILED) {
		fail(g, "Redis did not take an event");
	} else if (t->known) {
		t->known->dirty = true;
		t->known->generation++;
		t->known->open = t->known->present;
		t->known->changed_ms = clock_wall_ms();
	} else if (unlink(t->file) < 0 && errno != ENOENT) {
		log_warn("note of a hook not removed", KV("file", t->file),
			 KV("why", strerror(errno)));
	}
	if (r == ENQUEUE_ACCEPTED) {
		g->result.pace.gaps++;
		metrics_add("events_enqueued_total", "", 1);
	}
	free(t->file);
	free(t);
	told_one(g);
}

static void send(struct git *g, struct ci_event *ev, struct known *known, const char *file)
{
	struct telling *t = xcalloc(1, sizeof(*t));

	t->g = g;
	t->known = known;
	t->file = file ? xstrdup(file) : NULL;
	monitor_name_event(ev);
	g->open++;
	g->told++;
	enqueue_event(g->s->e->writer, &g->s->e->ks, ev, DEDUPE_TTL_MS, on_enqueued, t);
}

/* `looked` is the line that ends what is said of one repository. */
static void tell_change(struct git *g, struct known *k, struct json_object *looked)
{
	const struct git_problem p = {
		.host = g->host,
		.path = k->path,
		.problem = k->problem,
		.subject = k->subject,
		.detail = k->detail,
		.branch = json_str(looked, "branch", ""),
		.sha = json_str(looked, "sha", ""),
	};
	const char *conclusion = k->present ? "failure" : "success";
	struct ci_event ev;

	git_event(&p, &ev);
	ev.generation = k->generation + 1;
	ev.at_ms = clock_wall_ms();
	(void)text_copy(ev.conclusion, sizeof(ev.conclusion), conclusion, strlen(conclusion));
	if (k->present)
		(void)text_copy(ev.failure_reason, sizeof(ev.failure_reason), k->problem,
				strlen(k->problem));
	send(g, &ev, k, NULL);
}

static void tell_hook(struct git *g, struct json_object *line)
{
	int64_t at = json_i64(line, "at_ms", 0), status = json_i64(line, "exit", 0);
	const char *hook = json_str(line, "hook", ""), *file = json_str(line, "file", "");
	char detail[120];
	struct git_problem p = {
		.host = g->host,
		.path = json_str(line, "path", ""),
		.problem = "hook_failed",
		.subject = hook,
		.detail = detail,
		.branch = json_str(line, "branch", ""),
		.sha = json_str(line, "sha", ""),
	};
	const char *conclusion = status ? "failure" : "success";
	struct ci_event ev;

	if (!*hook || at <= 0) {
		(void)unlink(file); /* a note that cannot be read */
		return;
	}
	(void)snprintf(detail, sizeof(detail), "hook %.40s", hook);
	git_event(&p, &ev);
	ev.generation = (uint64_t)at;
	ev.at_ms = at;
	(void)text_copy(ev.conclusion, sizeof(ev.conclusion), conclusion, strlen(conclusion));
	if (status)
		(void)text_copy(ev.failure_reason, sizeof(ev.failure_reason), p.problem,
				strlen(p.problem));
	send(g, &ev, NULL, file);
}

/* What only a look at all objects can say was not looked at. */
static bool was_looked_for(const struct git *g, const struct known *k)
{
	return g->deep || strcmp(k->problem, "corrupt") != 0;
}

static bool is_ignored(const struct git *g, const char *problem)
{
	const char *list = conf_str(g->s->e->conf, "git.ignore");
	size_t n = strlen(problem);

	while (list && *list) {
		size_t len = strcspn(list, ", ");

		if (len == n && strncmp(list, problem, n) == 0)
			return true;
		list += len + strspn(list + len, ", ");
	}
	return false;
}

static void settle_repository(struct git *g, struct json_object *looked)
{
	const char *path = json_str(looked, "path", "");

	for (struct known *k = g->known; k < g->known + g->n_known && g->told < TELL_MAX; k++)
		if (strcmp(k->path, path) == 0 && k->open != k->present && was_looked_for(g, k))
			tell_change(g, k, looked);
}

static void note_problem(struct git *g, struct json_object *line)
{
	const char *problem = json_str(line, "problem", "");
	struct known *k;

	if (!git_problem_known(problem) || is_ignored(g, problem))
		return;
	k = known_of(g, line);
	if (!k)
		return;
	k->present = true;
	if (!k->open)
		copy(k->detail, sizeof(k->detail), line, "detail");
}

static void take_lines(struct git *g)
{
	size_t n = json_object_array_length(g->lines);

	g->open = 1; /* ours, so that the check does not end before all was sent */
	g->told = 0;
	for (size_t i = 0; i < g->n_known; i++)
		g->known[i].present = false;
	for (size_t i = 0; i < n; i++)
		if (json_at(json_object_array_get_idx(g->lines, i), "problem"))
			note_problem(g, json_object_array_get_idx(g->lines, i));
	for (size_t i = 0; i < n && g->told < TELL_MAX; i++) {
		struct json_object *line = json_object_array_get_idx(g->lines, i);

		if (json_at(line, "looked"))
			settle_repository(g, line);
		else if (json_at(line, "file"))
			tell_hook(g, line);
	}
	told_one(g);
}

/* --- looking --------------------------------------------------------------------------- */

/* One JSON object a line; the last may be half of one when the process was ended. */
static void parse_lines(struct git *g, const struct child_end *end)
{
	const char *at = end->out, *stop = end->out + end->n;

	g->lines = json_object_new_array();
	while (at < stop) {
		const char *eol = memchr(at, '\n', (size_t)(stop - at));
		struct json_object *o;
		struct err err;

		if (!eol)
			break;
		if (json_parse(at, (size_t)(eol - at), &o, &err) == 0)
			(void)json_object_array_add(g->lines, o);
		at = eol + 1;
	}
}

static void on_end(const struct child_end *end, void *arg)
{
	struct git *g = arg;
	char why[120];

	g->child = NULL;
	parse_lines(g, end);
	if (end->late)
		fail(g, "the look at the repositories took longer than git.timeout");
	else if (end->over)
		fail(g, "the repositories have more problems than can be said");
	else if (end->status != 0 && end->status != 1) {
		(void)snprintf(why, sizeof(why), "the look at the repositories ended with %d",
			       end->status);
		fail(g, why);
	} else if (g->deep) {
		g->deep_at_ms = clock_mono_ms();
	}
	take_lines(g);
}

static void begin_look(struct git *g)
{
	const struct conf *conf = g->s->e->conf;
	const char *argv[PATHS_MAX + 8] = { NULL };
	char self[PATH_MAX], settle[32];
	struct err err;
	size_t n = 0;

	if (child_self(self, sizeof(self), &err) < 0) {
		fail(g, err.msg);
		finish(g);
		return;
	}
	g->deep = g->s->asked || !g->deep_at_ms ||
		  clock_mono_ms() - g->deep_at_ms >= conf_int(conf, "git.objects_interval");
	(void)snprintf(settle, sizeof(settle), "%" PRId64 "ms", conf_int(conf, "git.stale_after"));
	argv[n++] = self;
	argv[n++] = "git-watch";
	argv[n++] = "--json";
	argv[n++] = "--stale-after";
	argv[n++] = settle;
	if (!g->deep)
		argv[n++] = "--quick";
	for (size_t i = 0; i < g->n_paths; i++)
		argv[n++] = g->paths[i];
	if (child_start(g->s->e->base, argv, conf_int(conf, "git.timeout"), OUTPUT_MAX, on_end, g,
			&g->child, &err) < 0) {
		fail(g, err.msg);
		finish(g);
	}
}

static void on_known(const struct redisReply *reply, void *arg)
{
	struct git *g = arg;

	g->n_known = 0;
	if (redis_is_error(reply, NULL) || g->stopping) {
		fail(g, g->stopping ? "stopped" : "Redis does not answer");
		finish(g);
		return;
	}
	for (size_t i = 1; i < redis_len(reply) && g->n_known < PROBLEMS_MAX; i += 2) {
		const struct redisReply *value = redis_at(reply, i);
		OWNED(json_putp) struct json_object *o = NULL;
		struct err err;

		if (!redis_str(value) ||
		    json_parse(redis_str(value), redis_len(value), &o, &err) < 0)
			continue;
		read_known(&g->known[g->n_known++], o);
	}
	begin_look(g);
}

/* --- the table ---------------------------------------------------------------------------- */

static void check(void *state)
{
	struct git *g = state;
	char key[KEY_MAX];

	g->stopping = false;
	g->result = (struct monitor_result){ .answered = true, .pace.budget_left = -1 };
	known_key(g, key);
	redis_send_args(g->s->e->writer, on_known, g, "HGETALL", key, NULL);
}

static void stop(void *state)
{
	struct git *g = state;

	g->stopping = true;
	g->deep_at_ms = 0;
	if (!g->child)
		return;
	child_cancel(TAKE(g->child));
	fail(g, "stopped");
	finish(g);
}

static int take_paths(struct git *g, const char *list, struct err *err)
{
	while (*list) {
		size_t n = strcspn(list, ",\n");

		while (n && list[0] == ' ') {
			list++;
			n--;
		}
		if (n && (list[0] != '/' || n > PATH_BYTES_MAX || g->n_paths == PATHS_MAX))
			return err_set(err, ERR_CONFIG,
				       "git.repositories: at most %d absolute paths of at most %d "
				       "bytes, separated by commas; not \"%.60s\"",
				       PATHS_MAX, PATH_BYTES_MAX, list);
		if (n)
			g->paths[g->n_paths++] = xstrndup(list, n);
		list += n + strspn(list + n, ",\n");
	}
	return 0;
}

static void close_git(void *state)
{
	struct git *g = state;

	child_cancel(g->child);
	json_object_put(g->lines);
	for (size_t i = 0; i < g->n_paths; i++)
		free(g->paths[i]);
	free(g->known);
	free(g);
}

static int open_git(struct monitor_source *s, void **state, struct err *err)
{
	const char *list = conf_str(s->e->conf, "git.repositories");
	struct git *g;

	*state = NULL;
	if (!list || !*list)
		return 0;
	g = xcalloc(1, sizeof(*g));
	g->s = s;
	g->host = strchr(s->name, ':') + 1;
	g->known = xcalloc(PROBLEMS_MAX, sizeof(*g->known));
	if (take_paths(g, list, err) < 0) {
		close_git(g);
		return -1;
	}
	*state = g;
	return 0;
}

static void describe(const void *state, struct json_object *o)
{
	const struct git *g = state;

	json_add_i64(o, "repositories", (int64_t)g->n_paths);
	json_add_i64(o, "problems", (int64_t)g->n_open);
}

const struct monitor_kind monitor_git = {
	.name = "git",
	.of_host = true,
	.open = open_git,
	.close = close_git,
	.check = check,
	.stop = stop,
	.describe = describe,
};
