/* cmocka with its prerequisites, and assertions that print our errors and the failing row. */
#ifndef GUARD_TESTS_UNIT_H
#define GUARD_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/err.h"

#define assert_ok(expr, errp)                                                                     \
	do {                                                                                      \
		if ((expr) != 0)                                                                  \
			fail_msg("%s: %s (%s)", #expr, (errp)->msg, err_kind_name((errp)->kind)); \
	} while (0)

/* For rows of a table: says which row failed. */
#define assert_case(cond, why)                                    \
	do {                                                      \
		if (!(cond))                                      \
			fail_msg("%s: row \"%s\"", #cond, (why)); \
	} while (0)

#endif
