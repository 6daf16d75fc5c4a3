/* Bodies as GitLab might send them, read as each of its events. */
#include "tests/fuzz/event_checks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const topics[] = { "Pipeline Hook", "Job Hook", "Push Hook",
					      "Merge Request Hook" };

	for (size_t i = 0; i < ARRAY_LEN(topics); i++)
		check_body(&provider_gitlab, topics[i], data, size);
	return 0;
}
