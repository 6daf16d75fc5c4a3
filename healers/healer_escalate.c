/* Asks a person, by being recorded: the plan and its reason are the question. */
#include "healers/healer.h"

#include <stdlib.h>

#include <event2/event.h>

struct state {
	struct event *soon;
};

static void forget(struct state *s)
{
	if (s->soon)
		event_free(s->soon);
	s->soon = NULL;
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct attempt *attempt = arg;

	UNUSED(fd);
	UNUSED(what);
	forget(attempt->state);
	attempt->done(attempt, HEAL_OK, -1, "left to a person");
}

static int start(struct attempt *attempt, struct err *err)
{
	struct state *s = attempt->state;
	struct timeval now = { 0 };

	UNUSED(err);
	s->soon = evtimer_new(attempt->base, on_soon, attempt);
	if (!s->soon || evtimer_add(s->soon, &now) < 0)
		abort();
	return 0;
}

static void cancel(struct attempt *attempt)
{
	forget(attempt->state);
}

const struct healer healer_escalate = {
	.name = "escalate",
	.summary = "Does nothing itself: tells a person what failed and why nothing was tried.",
	.risk = RISK_OBSERVE,
	.done_as = "escalated",
	.scopes = "",
	.state_size = sizeof(struct state),
	.start = start,
	.cancel = cancel,
};
