/* Runs that come by themselves. */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/hooks.h"
#include "tests/simulator/sim.h"

enum { LISTENER_WAIT_MS = 250, DEMO_MIN_MS = 1500, DEMO_SPREAD_MS = 4500, TICK_MS = 10 };

/*
 * What a newcomer sees first: failures of every sort, so that within seconds something heals,
 * something needs a person, and something is fine.
 */
static const struct scene {
	const char *cause; /* NULL: passes */
	enum rerun_rule rule;
	int64_t job_ms, after_ms;
} opening[] = {
	{ "network_dns", RERUN_PASS, 1000, 0 },
	{ "test_assertion", RERUN_SAME, 900, 300 },
	{ NULL, RERUN_BY_CAUSE, 900, 500 },
	{ "rate_limit_docker", RERUN_PASS, 1200, 700 },
	{ "build_compile", RERUN_SAME, 1200, 800 },
	{ NULL, RERUN_BY_CAUSE, 1100, 600 },
	{ "runner_lost", RERUN_PASS, 1300, 600 },
	{ "auth_denied", RERUN_SAME, 1200, 800 },
	{ "cache_corrupt", RERUN_BY_CAUSE, 1100, 800 },
	{ "network_reset", RERUN_PASS, 1200, 900 },
	{ "network_503", RERUN_SAME, 1200, 900 },
	{ NULL, RERUN_BY_CAUSE, 1000, 700 },
	{ "test_flaky", RERUN_PASS, 1200, 900 },
};

struct traffic {
	struct sim *sim;
	struct event *timer;
	struct rng rng;
	unsigned scene;
	int64_t made;
	int64_t began_ms; /* of --rate */
	bool complained;
	const char *provider; /* the rest of the list */
};

static void again(struct traffic *t, int64_t ms)
{
	struct timeval tv = clock_timeval(ms);

	(void)evtimer_add(t->timer, &tv);
}

/* The next one of the list, and from its end the first again. */
static enum flavour next_flavour(struct traffic *t)
{
	enum flavour flavour = FLAVOUR_GITHUB;
	char name[16];
	size_t n;

	if (!t->provider || !*t->provider)
		t->provider = t->sim->opt.providers;
	n = strcspn(t->provider, ",");
	if (text_copy(name, sizeof(name), t->provider, n))
		(void)flavour_find(name, &flavour);
	t->provider += n + (t->provider[n] == ',');
	return flavour;
}

static bool make(struct traffic *t, const struct run_wish *asked)
{
	struct run_wish wish = *asked;
	struct run *r;
	struct err err;

	wish.flavour = next_flavour(t);
	if (world_create(t->sim->world, &wish, &r, &err) == 0) {
		t->complained = false;
		t->made++;
		return true;
	}
	if (!t->complained)
		log_warn("no new runs for now", KV("why", err.msg));
	t->complained = true;
	return false;
}

/* Nothing is told before somebody listens: the ping that is sent at first shows it. */
static bool somebody_listens(struct traffic *t)
{
	struct hooks *h = t->sim->hooks;

	if (!hooks_url(h))
		return false;
	for (uint64_t id = hooks_last(h); id >= hooks_first(h); id--) {
		const struct delivery *d = hooks_at(h, id);

		if (d && d->over && d->status)
			return true;
	}
	if (!hooks_waiting(h))
		sim_ping(t->sim);
	return false;
}

static void on_demo(evutil_socket_t fd, short what, void *arg)
{
	struct traffic *t = arg;
	int64_t pause = DEMO_MIN_MS + (int64_t)rng_below(&t->rng, DEMO_SPREAD_MS);

	UNUSED(fd);
	UNUSED(what);
	if (t->scene == 0 && !somebody_listens(t)) {
		again(t, LISTENER_WAIT_MS);
		return;
	}
	if (t->scene < ARRAY_LEN(opening)) {
		const struct scene *s = &opening[t->scene++];
		const struct run_wish wish = {
			.cause = s->cause, .rule = s->rule, .job_ms = s->job_ms, .passes = !s->cause
		};

		(void)make(t, &wish);
		again(t, t->scene < ARRAY_LEN(opening) ? opening[t->scene].after_ms : pause);
		return;
	}
	(void)make(t, &(struct run_wish){ .job_ms = -1 });
	again(t, pause);
}

static void on_rate(evutil_socket_t fd, short what, void *arg)
{
	struct traffic *t = arg;
	const struct options *o = &t->sim->opt;
	const struct run_wish wish = { .cause = o->cause, .job_ms = -1, .fails = true };
	int64_t now = clock_mono_ms(), due;

	UNUSED(fd);
	UNUSED(what);
	if (!t->began_ms)
		t->began_ms = now;
	due = (int64_t)((double)(now - t->began_ms) * o->rate / 1000) + 1;
	while (t->made < due && (!o->count || t->made < o->count))
		if (!make(t, &wish))
			break;
	if (!o->count || t->made < o->count)
		again(t, TICK_MS);
}

struct traffic *traffic_new(struct sim *sim)
{
	struct traffic *t = xcalloc(1, sizeof(*t));

	t->sim = sim;
	rng_seed(&t->rng, (uint64_t)sim->opt.seed, 21);
	t->timer = evtimer_new(sim->base, sim->opt.demo ? on_demo : on_rate, t);
	if (!t->timer)
		abort();
	if (sim->opt.demo || sim->opt.rate > 0)
		again(t, 0);
	return t;
}

void traffic_free(struct traffic *t)
{
	if (!t)
		return;
	event_free(t->timer);
	free(t);
}
