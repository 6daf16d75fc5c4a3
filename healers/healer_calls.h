/* How a healer acts that is a list of calls to the provider: its start, cancel and state. */
#ifndef GUARD_HEALERS_HEALER_CALLS_H
#define GUARD_HEALERS_HEALER_CALLS_H

#include "healers/healer.h"

struct healer_calls {
	struct api_call *call;
	unsigned at;
};

int healer_calls_start(struct attempt *, struct err *) MUST_CHECK;
void healer_calls_cancel(struct attempt *);
/* Whether the provider can be asked for what the healer does: a person may want it where not. */
int healer_usable(const struct attempt *, struct err *) MUST_CHECK;
/* Ends the attempt as its last call ended. */
void healer_end(struct attempt *, const struct api_result *);
/* NULL where the provider has no such thing. */
api_act_fn *healer_call(const struct provider_api *, size_t call);

#endif
