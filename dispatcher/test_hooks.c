#include "dispatcher/test_hooks.h"

#ifdef GUARD_TEST_HOOKS
#include <signal.h>
#include <stdlib.h>
#include <string.h>

void test_hook_kill(const char *point)
{
	const char *wanted = getenv("PIPELINE_GUARD_TEST_KILL");

	if (wanted && strcmp(wanted, point) == 0)
		(void)raise(SIGKILL);
}
#endif
