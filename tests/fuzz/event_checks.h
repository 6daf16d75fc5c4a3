/* What holds for every event, whoever sent it and whatever was in the body. */
#ifndef GUARD_TESTS_FUZZ_EVENT_CHECKS_H
#define GUARD_TESTS_FUZZ_EVENT_CHECKS_H

#include <string.h>

#include "core/ci_event.h"
#include "core/enqueue.h"
#include "core/text.h"
#include "receiver/provider.h"
#include "tests/fuzz/fuzz.h"

#define CHECK_TEXT(a)                                       \
	FUZZ_ASSERT(memchr((a), '\0', sizeof(a)) != NULL && \
		    utf8_valid((const unsigned char *)(a), strlen(a)))

static inline void check_event(struct ci_event *ev)
{
	FUZZ_ASSERT(ev->run_id && ev->repo_id && ev->generation && *ev->repo && *ev->provider);
	FUZZ_ASSERT(ev->run_id <= INT64_MAX && ev->repo_id <= INT64_MAX && ev->at_ms >= 0);
	FUZZ_ASSERT(ev->generation <= INT64_MAX && ev->parent_run <= INT64_MAX &&
		    ev->merge_request <= INT64_MAX);
	CHECK_TEXT(ev->repo);
	CHECK_TEXT(ev->pipeline);
	CHECK_TEXT(ev->job);
	CHECK_TEXT(ev->branch);
	CHECK_TEXT(ev->conclusion);
	CHECK_TEXT(ev->failure_reason);
	CHECK_TEXT(ev->url);
	CHECK_TEXT(ev->actor);
	CHECK_TEXT(ev->delivery);
	CHECK_TEXT(ev->action);
	FUZZ_ASSERT(ev->status == CI_COMPLETED || !*ev->conclusion);
	FUZZ_ASSERT(provider_unknown_values(ev) <= 1);
	enqueue_fit(ev);
	FUZZ_ASSERT(enqueue_entry_bytes(ev) <= ENQUEUE_ENTRY_BYTES_MAX);
	CHECK_TEXT(ev->job);
	CHECK_TEXT(ev->pipeline);
}

/* A signed body: either a usable event or an input error; nothing else is allowed. */
static inline void check_body(const struct provider *p, const char *topic, const uint8_t *data,
			      size_t n)
{
	struct ci_event ev = { 0 };
	struct err err = { 0 };
	int rc = p->normalise(topic, (const char *)data, n, &ev, &err);

	if (rc == NORMALISED) {
		check_event(&ev);
		return;
	}
	FUZZ_ASSERT(err.kind == ERR_INPUT && *err.msg);
	FUZZ_ASSERT(ev.run_id == 0 && !*ev.repo);
}

#endif
