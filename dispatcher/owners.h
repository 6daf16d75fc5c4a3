/* Who owns which file of a repository: its CODEOWNERS, asked for now and then and kept. */
#ifndef GUARD_DISPATCHER_OWNERS_H
#define GUARD_DISPATCHER_OWNERS_H

#include "core/base.h"

struct api;
struct codeowners;
struct owners;
struct provider_api;
struct task;

struct owners *owners_new(void);
void owners_free(struct owners *);
DEFINE_OWNED(struct owners, owners_free)

/*
 * then() with what the repository of the task's run says; NULL when it says nothing, or when the
 * provider cannot be asked now: owners are worth having, and nothing waits for them. Valid until
 * then() returns.
 */
void owners_ask(struct task *, struct api *, const struct provider_api *,
		void (*then)(struct task *, const struct codeowners *));

#endif
