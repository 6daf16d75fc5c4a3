/* A signed body: either a usable event or an input error; nothing else is allowed. */
#include <string.h>

#include "core/buf.h"
#include "core/ci_event.h"
#include "core/enqueue.h"
#include "core/text.h"
#include "receiver/provider.h"
#include "receiver/redact.h"
#include "tests/fuzz/fuzz.h"

#define TERMINATED_UTF8(a) \
	(memchr((a), '\0', sizeof(a)) != NULL && utf8_valid((const unsigned char *)(a), strlen(a)))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const topics[] = { "workflow_run", "workflow_job", "check_run",
					      "check_suite" };
	OWNED(buf_done) struct buf kept;

	for (size_t i = 0; i < ARRAY_LEN(topics); i++) {
		struct ci_event ev = { 0 };
		struct err err = { 0 };

		if (provider_github.normalise(topics[i], (const char *)data, size, &ev, &err) < 0) {
			FUZZ_ASSERT(err.kind == ERR_INPUT && *err.msg);
			FUZZ_ASSERT(ev.run_id == 0 && !*ev.repo);
			continue;
		}
		FUZZ_ASSERT(ev.run_id && ev.repo_id && ev.generation && ev.kind != CI_OTHER);
		FUZZ_ASSERT(ev.run_id <= INT64_MAX && ev.repo_id <= INT64_MAX && ev.at_ms >= 0);
		FUZZ_ASSERT(strchr(ev.repo, '/') && strcmp(strchr(ev.repo, '/'), "/..") != 0);
		FUZZ_ASSERT(TERMINATED_UTF8(ev.repo) && TERMINATED_UTF8(ev.pipeline) &&
			    TERMINATED_UTF8(ev.job) && TERMINATED_UTF8(ev.branch) &&
			    TERMINATED_UTF8(ev.conclusion) && TERMINATED_UTF8(ev.url));
		enqueue_fit(&ev);
		FUZZ_ASSERT(TERMINATED_UTF8(ev.job) && TERMINATED_UTF8(ev.pipeline));
	}
	buf_init(&kept, 4096);
	redact((const char *)data, size, &kept);
	FUZZ_ASSERT(kept.len <= 4096);
	return 0;
}
