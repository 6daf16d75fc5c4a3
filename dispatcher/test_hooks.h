/*
 * Crash points for the tests, compiled in only with GUARD_TEST_HOOKS (dev and
 * asan presets): PIPELINE_GUARD_TEST_KILL=POINT ends the process with SIGKILL there.
 */
#ifndef GUARD_DISPATCHER_TEST_HOOKS_H
#define GUARD_DISPATCHER_TEST_HOOKS_H

#include "core/base.h"

#ifdef GUARD_TEST_HOOKS
void test_hook_kill(const char *point);
#else
static inline void test_hook_kill(const char *point)
{
	UNUSED(point);
}
#endif

#endif
