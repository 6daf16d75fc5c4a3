/* A rule file is written by people: any text is taken or refused with a reason, and nothing hangs.
 */
#include <string.h>

#include "dispatcher/prefilter.h"
#include "dispatcher/rule_set.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { .kind = ERR_NONE };
	struct rule_set *set = NULL;

	if (rule_set_parse("fuzz.yaml", (const char *)data, size, &set, &err) < 0) {
		FUZZ_ASSERT(set == NULL && err.kind == ERR_CONFIG);
		FUZZ_ASSERT(strncmp(err.msg, "fuzz.yaml", 9) == 0);
		return 0;
	}
	/* What was taken must not confuse the engine. */
	prefilter_free(prefilter_new(set, true));
	rule_set_free(set);
	return 0;
}
