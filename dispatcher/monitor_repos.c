#include "dispatcher/monitor_repos.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/conf.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/redis.h"
#include "core/text.h"
#include "dispatcher/engine.h"

enum {
	RUNS_AT_ONCE = 500,
	SEEN_EVERY_MS = 3600 * 1000, /* how exactly seen_ms is kept */
	WRITES_AT_ONCE = 20,
	COLUMNS = 5, /* of a row of learn_script */
};

struct repos {
	struct engine *e;
	const struct provider_api *ops;
	char source[32]; /* of what is listed, or configured without one */
	bool one_source; /* else nobody knows which one would tell of what is listed */
	int64_t keep_ms;
	struct watched **list;
	size_t n;

	/* The refresh under way. */
	void (*done)(bool, void *);
	void *arg;
	bool loaded, failed;
	unsigned partition;
	int64_t *learned_ms; /* per partition: changes of runs up to here are known */
	char since[32];
};

/*
 * KEYS runs; ARGV prefix of run keys, since, most. The repositories of runs that changed since,
 * each once, as rows of provider source id installation name, with the last time in front.
 */
static struct redis_script learn_script = {
	.name = "learn",
	.body = "local refs = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[2], '+inf', 'WITHSCORES', "
		"'LIMIT', 0, ARGV[3]) "
		"local out, had = {#refs / 2, refs[#refs] or '0'}, {} "
		"for i = 1, #refs, 2 do "
		"  local repo = string.match(refs[i], '^(.+):%d+$') "
		"  if repo and not had[repo] then "
		"    had[repo] = true "
		"    local r = redis.call('HMGET', ARGV[1] .. refs[i], 'provider', 'source', "
		"      'repo_id', 'installation', 'repo') "
		"    for k = 1, 5 do out[#out + 1] = r[k] or '' end "
		"  end "
		"end "
		"return out",
};

/* --- the table ------------------------------------------------------------ */

static struct watched *find(struct repos *t, const char *source, uint64_t repo_id, const char *repo)
{
	for (size_t i = 0; i < t->n; i++) {
		struct watched *w = t->list[i];

		if (strcmp(w->source, source) != 0)
			continue;
		if (repo_id && w->repo_id ? repo_id == w->repo_id : strcasecmp(w->repo, repo) == 0)
			return w;
	}
	return NULL;
}

static struct watched *add(struct repos *t, const char *source, uint64_t repo_id, const char *repo)
{
	struct watched *w = find(t, source, repo_id, repo);

	if (w)
		return w;
	if (t->n == REPOS_MAX)
		return NULL;
	w = xcalloc(1, sizeof(*w));
	(void)text_copy(w->source, sizeof(w->source), source, strlen(source));
	w->repo_id = repo_id;
	t->list[t->n++] = w;
	return w;
}

static void name(struct watched *w, const char *repo)
{
	if (*repo && strcmp(w->repo, repo) != 0) {
		(void)text_copy(w->repo, sizeof(w->repo), repo, strlen(repo));
		w->dirty = true;
	}
}

static void seen(struct watched *w, uint64_t id, uint64_t installation)
{
	int64_t now = clock_wall_ms();

	if (!w->repo_id || !w->known_ms || now - w->seen_ms > SEEN_EVERY_MS) {
		w->known_ms = w->known_ms ? w->known_ms : now;
		w->seen_ms = now;
		w->dirty = true;
	}
	w->repo_id = id;
	if (installation)
		w->installation = installation;
}

void repos_listed(struct repos *t, const struct api_repo *repo)
{
	if (!repo->id || strlen(repo->name) >= sizeof(t->list[0]->repo))
		return;
	if (t->one_source)
		(void)add(t, t->source, repo->id, repo->name);
	for (size_t i = 0; i < t->n; i++) {
		struct watched *w = t->list[i];

		if (w->repo_id ? w->repo_id != repo->id : strcasecmp(w->repo, repo->name) != 0)
			continue;
		seen(w, repo->id, repo->installation);
		name(w, repo->name);
		(void)text_copy(w->state, sizeof(w->state), repo->state, strlen(repo->state));
	}
}

void repos_unlist(struct repos *t)
{
	for (size_t i = 0; i < t->n; i++)
		t->list[i]->state[0] = '\0';
}

/* "[PROVIDER[/SOURCE]:]owner/name" of this provider; false: it is another's. */
static bool is_ours(const struct repos *t, char *item, const char **source, const char **repo)
{
	char *colon = strchr(item, ':'), *slash;

	*source = t->source;
	*repo = item;
	if (!colon)
		return strcmp(t->ops->name, "github") == 0;
	*colon = '\0';
	*repo = colon + 1;
	slash = strchr(item, '/');
	if (slash) {
		*slash = '\0';
		*source = slash + 1;
	}
	return strcmp(t->ops->name, item) == 0;
}

static int add_configured(struct repos *t, const char *list, struct err *err)
{
	while (list && *list) {
		size_t n = strcspn(list, ", ");
		char item[sizeof(((struct watched *)0)->repo) + 48];
		const char *source, *repo;
		bool fits = text_copy(item, sizeof(item), list, n);
		struct watched *w;

		list += n + strspn(list + n, ", ");
		if (!n || (fits && !is_ours(t, item, &source, &repo)))
			continue;
		if (!fits || !*repo || strlen(repo) >= sizeof(w->repo) || !*source ||
		    strlen(source) >= sizeof(w->source))
			return err_set(err, ERR_CONFIG,
				       "monitor.repositories: \"%.60s\" is no "
				       "[PROVIDER[/SOURCE]:]owner/name",
				       item);
		if (!engine_serves(t->e, t->ops, source))
			return err_set(err, ERR_CONFIG,
				       "monitor.repositories: the source %s is not in %s", source,
				       t->ops->sources_key);
		w = add(t, source, 0, repo);
		if (!w)
			return err_set(err, ERR_CONFIG,
				       "monitor.repositories: more than %d repositories",
				       REPOS_MAX);
		name(w, repo);
		w->configured = true;
		w->known_ms = clock_wall_ms();
	}
	return 0;
}

/* Places of those that nobody heard of for long are free again. */
static void forget_old(struct repos *t)
{
	int64_t now = clock_wall_ms();
	size_t kept = 0;

	for (size_t i = 0; i < t->n; i++) {
		struct watched *w = t->list[i];

		if (w->configured || now - w->seen_ms <= t->keep_ms)
			t->list[kept++] = w;
		else
			free(w);
	}
	t->n = kept;
}

/* --- Redis ---------------------------------------------------------------- */

static void repos_key(const struct repos *t, char out[static KEY_MAX])
{
	char rest[40];

	(void)snprintf(rest, sizeof(rest), "monitor:repos:%s", t->ops->name);
	key_region(&t->e->ks, rest, out);
}

static void finish(struct repos *t, bool ok)
{
	t->loaded = ok;
	t->done(ok, t->arg);
}

static void on_saved(const struct redisReply *reply, void *arg)
{
	struct repos *t = arg;

	if (redis_is_error(reply, NULL))
		log_warn("repositories not saved", KV("why", redis_why(reply)));
	finish(t, true);
}

/* "SOURCE ID" -> "KNOWN_MS SEEN_MS INSTALLATION NAME"; some at a time, the rest next time. */
static void save(struct repos *t)
{
	char key[KEY_MAX], field[WRITES_AT_ONCE][64], value[WRITES_AT_ONCE][240];
	struct redis_cmd cmd;
	size_t n = 0;

	repos_key(t, key);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "HSET");
	redis_arg(&cmd, key);
	for (size_t i = 0; i < t->n && n < WRITES_AT_ONCE; i++) {
		struct watched *w = t->list[i];

		if (!w->dirty || !w->repo_id)
			continue;
		w->dirty = false;
		(void)snprintf(field[n], sizeof(field[n]), "%s %" PRIu64, w->source, w->repo_id);
		(void)snprintf(value[n], sizeof(value[n]), "%" PRId64 " %" PRId64 " %" PRIu64 " %s",
			       w->known_ms, w->seen_ms, w->installation, w->repo);
		redis_arg(&cmd, field[n]);
		redis_arg(&cmd, value[n]);
		n++;
	}
	if (n)
		redis_send(t->e->writer, &cmd, on_saved, t);
	else
		finish(t, true);
}

static void learn(struct repos *);

static void take_row(struct repos *t, const struct redisReply *reply, size_t at)
{
	const char *col[COLUMNS];
	uint64_t id, installation;
	struct watched *w;

	for (size_t k = 0; k < COLUMNS; k++)
		col[k] = redis_str(redis_at(reply, at + k));
	if (!col[0] || strcmp(col[0], t->ops->name) != 0 || !col[1] || !col[2] || !col[4] ||
	    !text_to_u64(col[2], &id) || !id || !engine_serves(t->e, t->ops, col[1]))
		return;
	w = add(t, col[1], id, col[4]);
	if (!w)
		return;
	seen(w, id, col[3] && text_to_u64(col[3], &installation) ? installation : 0);
	name(w, col[4]);
}

static void on_learned(const struct redisReply *reply, void *arg)
{
	struct repos *t = arg;
	int64_t n = redis_int(redis_at(reply, 0), -1), last;

	if (redis_is_error(reply, NULL) || n < 0) {
		finish(t, false);
		return;
	}
	for (size_t at = 2; at + COLUMNS <= redis_len(reply); at += COLUMNS)
		take_row(t, reply, at);
	last = redis_int(redis_at(reply, 1), 0);
	/* As many as could be in one moment: go on after it rather than for ever. */
	if (n == RUNS_AT_ONCE && last == t->learned_ms[t->partition])
		last++;
	if (last > t->learned_ms[t->partition])
		t->learned_ms[t->partition] = last;
	if (n < RUNS_AT_ONCE)
		t->partition++;
	learn(t);
}

static void learn(struct repos *t)
{
	char runs[KEY_MAX], prefix[KEY_MAX];
	struct redis_cmd cmd;

	if (t->partition == t->e->ks.partitions) {
		save(t);
		return;
	}
	key_part(&t->e->ks, t->partition, "runs", runs);
	key_part_of(&t->e->ks, t->partition, "run", "", prefix);
	(void)snprintf(t->since, sizeof(t->since), "%" PRId64, t->learned_ms[t->partition]);
	redis_script_cmd(&cmd, &learn_script, 1);
	redis_arg(&cmd, runs);
	redis_arg(&cmd, prefix);
	redis_arg(&cmd, t->since);
	redis_arg_i64(&cmd, RUNS_AT_ONCE);
	redis_send_script(t->e->writer, &learn_script, &cmd, on_learned, t);
}

static bool take_number(const char **at, uint64_t *out)
{
	size_t n = strspn(*at, "0123456789");
	char digits[24];

	if ((*at)[n] != ' ' || !text_copy(digits, sizeof(digits), *at, n) ||
	    !text_to_u64(digits, out))
		return false;
	*at += n + 1;
	return true;
}

/* False: it is of no use any more. */
static bool take_saved(struct repos *t, const char *field, const char *value)
{
	uint64_t id, known, seen, installation;
	size_t n = strcspn(field, " ");
	struct watched *w;
	char source[32];

	if (!text_copy(source, sizeof(source), field, n) || !field[n] ||
	    !engine_serves(t->e, t->ops, source) || !text_to_u64(field + n + 1, &id) ||
	    !take_number(&value, &known) || !take_number(&value, &seen) ||
	    !take_number(&value, &installation) || clock_wall_ms() - (int64_t)seen > t->keep_ms)
		return false;
	w = add(t, source, id, value);
	if (!w)
		return true;
	w->repo_id = id;
	w->installation = installation;
	if (!w->known_ms || (int64_t)known < w->known_ms)
		w->known_ms = (int64_t)known;
	if ((int64_t)seen > w->seen_ms)
		w->seen_ms = (int64_t)seen;
	name(w, value);
	return true;
}

static void on_loaded(const struct redisReply *reply, void *arg)
{
	struct repos *t = arg;
	struct redis_cmd drop;
	char key[KEY_MAX];

	if (redis_is_error(reply, NULL)) {
		finish(t, false);
		return;
	}
	repos_key(t, key);
	redis_cmd_init(&drop);
	redis_arg(&drop, "HDEL");
	redis_arg(&drop, key);
	for (size_t i = 0; i + 1 < redis_len(reply); i += 2) {
		const char *field = redis_str(redis_at(reply, i));
		const char *value = redis_str(redis_at(reply, i + 1));

		if (field && value && !take_saved(t, field, value) && drop.argc < REDIS_ARGS_MAX)
			redis_arg(&drop, field);
	}
	if (drop.argc > 2)
		redis_send(t->e->writer, &drop, NULL, NULL);
	learn(t);
}

void repos_refresh(struct repos *t, void (*done)(bool, void *), void *arg)
{
	char key[KEY_MAX];

	t->done = done;
	t->arg = arg;
	t->partition = 0;
	forget_old(t);
	if (t->loaded) {
		learn(t);
		return;
	}
	for (unsigned p = 0; p < t->e->ks.partitions; p++)
		t->learned_ms[p] = clock_wall_ms() - t->keep_ms;
	repos_key(t, key);
	redis_send_args(t->e->writer, on_loaded, t, "HGETALL", key, NULL);
}

void repos_forget(struct repos *t)
{
	t->loaded = false;
	for (size_t i = 0; i < t->n; i++) {
		t->list[i]->checked_ms = t->list[i]->refused_until_ms = 0;
		t->list[i]->read_state[0] = '\0';
	}
}

/* --- life ----------------------------------------------------------------- */

/* The first of the sources that the configured server sends. */
static void own_source(struct repos *t)
{
	const char *list = t->ops->sources_key ? conf_str(t->e->conf, t->ops->sources_key) : NULL;

	list = list ? list + strspn(list, ", ") : t->ops->name;
	(void)text_copy(t->source, sizeof(t->source), list, strcspn(list, ", "));
	list += strcspn(list, ", ");
	t->one_source = !list[strspn(list, ", ")];
}

int repos_new(struct engine *e, const struct provider_api *ops, struct repos **out, struct err *err)
{
	OWNED(repos_freep) struct repos *t = xcalloc(1, sizeof(*t));

	t->e = e;
	t->ops = ops;
	own_source(t);
	t->keep_ms = conf_int(e->conf, "monitor.forget");
	t->list = xcalloc(REPOS_MAX, sizeof(struct watched *));
	t->learned_ms = xcalloc(e->ks.partitions, sizeof(*t->learned_ms));
	if (add_configured(t, conf_str(e->conf, "monitor.repositories"), err) < 0)
		return -1;
	*out = TAKE(t);
	return 0;
}

void repos_free(struct repos *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		free(t->list[i]);
	free(t->list);
	free(t->learned_ms);
	free(t);
}

size_t repos_count(const struct repos *t)
{
	return t->n;
}

struct watched *repos_at(struct repos *t, size_t i)
{
	return t->list[i];
}

static int by_look(const void *a, const void *b)
{
	const struct watched *x = *(struct watched *const *)a, *y = *(struct watched *const *)b;

	return (x->checked_ms > y->checked_ms) - (x->checked_ms < y->checked_ms);
}

size_t repos_oldest(struct repos *t, bool refused_too, struct watched **out, size_t n)
{
	OWNED(freep) struct watched **all = xcalloc(t->n + 1, sizeof(struct watched *));
	int64_t now = clock_mono_ms();
	size_t usable = 0;

	for (size_t i = 0; i < t->n; i++)
		if (refused_too || t->list[i]->refused_until_ms <= now)
			all[usable++] = t->list[i];
	qsort(all, usable, sizeof(struct watched *), by_look);
	if (n > usable)
		n = usable;
	memcpy(out, all, n * sizeof(struct watched *));
	return n;
}
