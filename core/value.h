/*
 * What heals were worth: one hash per day (UTC), with a sum of each name below, and one per
 * strategy and category, "<strategy> <category> <name>". Written by the dispatcher when a heal
 * ended, read by whoever shows it.
 */
#ifndef GUARD_CORE_VALUE_H
#define GUARD_CORE_VALUE_H

#include <stdint.h>

#include "core/keys.h"

/* For Lua; in the order of struct value. */
#define VALUE_NAMES "'tries', 'healed', 'ci_minutes_spent', 'person_minutes_saved', 'flakes_masked'"

enum { VALUE_N = 5, VALUE_DAY_MS = 24 * 3600 * 1000, VALUE_DAYS_MAX = 400 };
extern const char *const value_names[VALUE_N];

struct value {
	int64_t of[VALUE_N];
};
enum { VALUE_TRIES, VALUE_HEALED, VALUE_SPENT, VALUE_SAVED, VALUE_MASKED };

/* The day is counted from 1970. */
void value_key(const struct keyspace *, int64_t day, char key[static KEY_MAX]);

#endif
