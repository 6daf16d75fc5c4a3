/*
 * What this machine can run for strategies that need a program or the sandbox, as
 * `pipeline-guard doctor` found. What was not looked for yet is thought to be there.
 */
#ifndef GUARD_HEALERS_TOOLBOX_H
#define GUARD_HEALERS_TOOLBOX_H

#include <stddef.h>

#include "core/base.h"
#include "core/err.h"

struct conf;
struct event_base;
struct finding;
struct healer;
struct toolbox;

struct toolbox *toolbox_new(void);
void toolbox_free(struct toolbox *); /* NULL is fine */
DEFINE_OWNED(struct toolbox, toolbox_free)

/* What doctor prints with --json. ERR_BUG: it is nothing of the kind, and nothing is changed. */
int toolbox_take(struct toolbox *, const char *report, size_t n, struct err *) MUST_CHECK;
/* Has doctor look, and takes what it says; told in the log. Once more: the first is given up. */
int toolbox_look(struct toolbox *, struct event_base *, const struct conf *,
		 struct err *) MUST_CHECK;

/*
 * Why the healer cannot do that here: "black is not installed", "sandbox_unavailable: ...".
 * NULL: it can, as far as is known. Borrowed until the next look. The toolbox may be NULL.
 */
const char *toolbox_lacks(const struct toolbox *, const struct healer *, const struct finding *);

#endif
