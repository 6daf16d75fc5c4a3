#include "dispatcher/trust.h"

#include <math.h>
#include <string.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/finding.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/redis.h"
#include "core/rule_trust.h"
#include "core/text.h"
#include "dispatcher/engine.h"
#include "dispatcher/work.h"

struct trust_watch {
	struct engine *e;
	struct event *timer;
	struct trust_book *book; /* NULL until the first answer */
	bool asked;
};

static bool demoted(const struct trust_book *book, const char *rule, enum trust_kind kind)
{
	const struct trust_entry *entry = trust_book_find(book, rule);

	return entry && trust_is_demoted(kind, &entry->trust[kind]);
}

/* Said once, when it changes. */
static void tell_changes(const struct trust_book *was, const struct trust_book *is)
{
	static const char *const what[TRUST_KINDS] = { "its causes are less trusted",
						       "its failures are not re-run" };
	int64_t n[TRUST_KINDS] = { 0 };

	for (size_t i = 0; i < is->n; i++) {
		const struct trust_entry *entry = &is->at[i];

		for (int k = 0; k < TRUST_KINDS; k++) {
			bool now = trust_is_demoted(k, &entry->trust[k]);

			n[k] += now;
			if (now == demoted(was, entry->rule, k))
				continue;
			if (now)
				log_warn("a rule keeps being wrong", KV("rule", entry->rule),
					 KV("therefore", what[k]),
					 KV("right", lround(entry->trust[k].right)),
					 KV("wrong", lround(entry->trust[k].wrong)));
			else
				log_info("a rule is trusted again", KV("rule", entry->rule));
		}
	}
	metrics_set("rules_demoted", "why=\"category\"", n[TRUST_CATEGORY]);
	metrics_set("rules_demoted", "why=\"transient\"", n[TRUST_TRANSIENT]);
}

static void on_book(const struct redisReply *reply, void *arg)
{
	struct trust_watch *w = arg;
	struct trust_book *fresh;

	w->asked = false;
	if (redis_is_error(reply, NULL))
		return; /* what was known stays */
	fresh = trust_book_read(reply, clock_wall_ms());
	tell_changes(w->book, fresh);
	trust_book_free(w->book);
	w->book = fresh;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct trust_watch *w = arg;
	struct timeval again = clock_timeval(w->e->opt.trust_refresh_ms);
	char key[KEY_MAX];

	UNUSED(fd);
	UNUSED(what);
	(void)evtimer_add(w->timer, &again);
	if (w->asked || !redis_connected(w->e->writer))
		return;
	w->asked = true;
	key_region(&w->e->ks, "rules", key);
	redis_send_args(w->e->writer, on_book, w, "HGETALL", key, (char *)NULL);
}

struct trust_watch *trust_new(struct engine *e)
{
	struct trust_watch *w = xcalloc(1, sizeof(*w));
	struct timeval soon = { 0 };

	w->e = e;
	w->timer = evtimer_new(e->base, on_timer, w);
	if (!w->timer)
		abort();
	(void)evtimer_add(w->timer, &soon);
	return w;
}

void trust_free(struct trust_watch *w)
{
	if (!w)
		return;
	event_free(w->timer);
	trust_book_free(w->book);
	free(w);
}

void trust_weigh(const struct trust_watch *w, struct finding *f)
{
	const struct trust_entry *entry = trust_book_find(w->book, f->rule);

	if (entry && trust_is_demoted(TRUST_CATEGORY, &entry->trust[TRUST_CATEGORY]))
		f->confidence =
			round(f->confidence * trust_mean(&entry->trust[TRUST_CATEGORY]) * 1000) /
			1000;
}

const char *trust_doubt(const struct trust_watch *w, const struct finding *f, struct arena *a)
{
	const struct trust_entry *entry = trust_book_find(w->book, f->rule);
	const struct trust *t = entry ? &entry->trust[TRUST_TRANSIENT] : NULL;

	if (!f->transient || !t || !trust_is_demoted(TRUST_TRANSIENT, t))
		return NULL;
	return arena_printf(a,
			    "rule %.64s expects that trying again helps, but lately it did in "
			    "about %.0f of %.0f cases",
			    entry->rule, t->right, t->right + t->wrong);
}

void trust_learn(const struct task *t, const char *result)
{
	bool right = strcmp(result, "healed") == 0;
	char key[KEY_MAX];
	struct redis_cmd cmd;

	/* Another failure says nothing: the first one may well be gone. */
	if ((!right && strcmp(result, "same_failure") != 0) || !*t->plan.rule ||
	    !text_starts(t->plan.strategy, "rerun") || strlen(t->plan.rule) > 64)
		return;
	key_region(&t->e->ks, "rules", key);
	trust_note_cmd(&cmd, key, TRUST_TRANSIENT, t->plan.rule, right);
	redis_send_script(t->e->writer, &trust_note_script, &cmd, NULL, NULL);
}
