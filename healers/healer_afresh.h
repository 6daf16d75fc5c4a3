/* What healers share that start another run in the place of the failed one. */
#ifndef GUARD_HEALERS_HEALER_AFRESH_H
#define GUARD_HEALERS_HEALER_AFRESH_H

#include <stddef.h>

#include "healers/healer.h"

/* A healer's scratch. */
struct healer_afresh {
	struct api_call *call;
};

api_afresh_fn *healer_afresh_call(const struct provider_api *, size_t call);
/* For struct healer. A try after another one first looks whether that had an effect. */
int healer_afresh_start(struct attempt *, struct err *) MUST_CHECK;
void healer_afresh_cancel(struct attempt *);

#endif
