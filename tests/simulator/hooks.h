/*
 * Delivers webhooks as one CI server does. GitHub: signed, ten seconds for an answer, never
 * again by itself. GitLab: with a token, a signature, or both. Jenkins: by its Notification
 * plugin, with a password, which tries again when there was no answer, and once it has
 * begun with that goes on when another try got through. What belongs to one run leaves in
 * order, unless --reorder says otherwise.
 */
#ifndef GUARD_TESTS_HOOKS_H
#define GUARD_TESTS_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "tests/simulator/world.h"

struct event_base;
struct hooks;

enum { GUID_MAX = 37 };

struct delivery {
	uint64_t id;
	char guid[GUID_MAX];
	char event[32], action[32];
	uint64_t run_id, repo_id;
	bool failed_run; /* it says that a run failed */
	bool redelivery, duplicate, retry, over;
	int64_t delivered_ms, began_us, took_us;
	int status; /* 0: no answer */
	struct hook_body *body;
	struct delivery *next; /* in its lane */
	struct hooks *hooks;
	struct event *timer;
};

struct hook_options {
	enum flavour flavour;
	const char *secret;  /* NULL: unsigned */
	const char *signing; /* GitLab: "whsec_..."; NULL: none */
	const char *instance;
	int64_t retries; /* Jenkins */
	double duplicate, reorder;
	int64_t delay_ms; /* on the way of every one */
	uint64_t seed;
	size_t bytes_max;        /* of bodies that are remembered for redelivery */
	const char *target_type; /* "organization" or "integration" */
};

struct hook_watch {
	void (*leaves)(const struct delivery *, void *arg);
	void (*over)(const struct delivery *, void *arg);
	void *arg;
};

/* What to deliver; the texts are copied. */
struct hook_event {
	const char *event, *action;
	uint64_t run_id, repo_id;
	bool failed_run;
	const char *body;
	size_t len;
	const char *secret; /* instead of ours */
};

struct hooks *hooks_new(struct event_base *, const struct hook_options *,
			const struct hook_watch *);
void hooks_free(struct hooks *);

/* http or https; NULL or "": nothing is sent. */
void hooks_set_url(struct hooks *, const char *url);
const char *hooks_url(const struct hooks *);

/* False: it was not taken, nobody listens or too many wait. */
bool hooks_send(struct hooks *, const struct hook_event *, char guid[static GUID_MAX]);
/* The same GUID and body again. */
bool hooks_redeliver(struct hooks *, struct delivery *);

/* The log of deliveries: the newest first id, and each by number; NULL: forgotten. */
uint64_t hooks_last(const struct hooks *);
uint64_t hooks_first(const struct hooks *);
struct delivery *hooks_at(struct hooks *, uint64_t id);
size_t hooks_waiting(const struct hooks *);

#endif
