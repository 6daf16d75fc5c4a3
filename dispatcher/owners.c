#include "dispatcher/owners.h"

#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/codeowners.h"
#include "dispatcher/work.h"

enum {
	KEPT_MAX = 64,
	KEEP_MS = 3600 * 1000,
	SOURCE_MAX = 96,
};

struct kept {
	char source[SOURCE_MAX];
	uint64_t repo_id;
	int64_t until_ms;
	struct arena *arena;           /* NULL: a free place */
	const struct codeowners *what; /* NULL: the repository has none */
};

struct owners {
	struct kept kept[KEPT_MAX];
};

/* In the order in which the provider itself looks. */
static const struct places {
	const char *provider;
	enum codeowners_dialect dialect;
	const char *at[4];
} places[] = {
	{ "github", CODEOWNERS_GITHUB, { ".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS" } },
	{ "gitlab", CODEOWNERS_GITLAB, { "CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS" } },
};

struct question {
	struct task *task;
	struct api *api;
	const struct provider_api *ops;
	const struct places *places;
	unsigned at;
	void (*then)(struct task *, const struct codeowners *);
};

struct owners *owners_new(void)
{
	return xcalloc(1, sizeof(struct owners));
}

void owners_free(struct owners *o)
{
	for (size_t i = 0; o && i < KEPT_MAX; i++)
		arena_free(o->kept[i].arena);
	free(o);
}

static struct kept *find(struct owners *o, const struct run *run)
{
	for (size_t i = 0; i < KEPT_MAX; i++)
		if (o->kept[i].arena && o->kept[i].repo_id == run->repo_id &&
		    strcmp(o->kept[i].source, run->source) == 0)
			return &o->kept[i];
	return NULL;
}

/* A free place, else the one that ends first. */
static struct kept *place_for(struct owners *o, const struct run *run)
{
	struct kept *place = find(o, run);

	for (size_t i = 0; i < KEPT_MAX && !place; i++)
		if (!o->kept[i].arena)
			place = &o->kept[i];
	for (size_t i = 0; i < KEPT_MAX && (!place || place->arena); i++)
		if (!place || o->kept[i].until_ms < place->until_ms)
			place = &o->kept[i];
	return place;
}

static void keep(struct question *q, const char *text, size_t n)
{
	const struct run *run = &q->task->run;
	struct kept *k = place_for(q->task->e->owners, run);

	arena_free(k->arena);
	*k = (struct kept){ .repo_id = run->repo_id, .until_ms = clock_mono_ms() + KEEP_MS };
	(void)text_copy(k->source, sizeof(k->source), run->source, strlen(run->source));
	k->arena = arena_new();
	if (text)
		k->what = codeowners_parse(text, n, q->places->dialect, k->arena);
	q->then(q->task, k->what);
}

static void ask_next(struct question *);

static void on_file(const struct api_result *r, void *arg)
{
	enum { NOT_THERE = 404 };
	struct question *q = arg;

	q->task->call = NULL;
	if (r->fate == API_OK) {
		keep(q, r->log, r->log_len);
	} else if (r->fate == API_REFUSED && r->http_status == NOT_THERE &&
		   q->places->at[++q->at]) {
		ask_next(q);
	} else if (r->fate == API_REFUSED) {
		if (r->http_status != NOT_THERE)
			log_info("CODEOWNERS cannot be read", KV("repo", q->task->run.repo),
				 KV("why", r->why));
		keep(q, NULL, 0);
	} else {
		q->then(q->task, NULL);
	}
}

static void ask_next(struct question *q)
{
	struct api_run run;

	run_api(&q->task->run, &run);
	q->task->call = q->ops->get_file(q->api, &run, NULL, q->places->at[q->at], on_file, q);
}

void owners_ask(struct task *t, struct api *api, const struct provider_api *ops,
		void (*then)(struct task *, const struct codeowners *))
{
	const struct kept *k = find(t->e->owners, &t->run);
	struct question *q;

	if (k && k->until_ms > clock_mono_ms()) {
		then(t, k->what);
		return;
	}
	q = arena_alloc(t->arena, sizeof(*q));
	*q = (struct question){ .task = t, .api = api, .ops = ops, .then = then };
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (strcmp(places[i].provider, t->run.provider) == 0)
			q->places = &places[i];
	if (q->places && ops->get_file)
		ask_next(q);
	else
		then(t, NULL);
}
