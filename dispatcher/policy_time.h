/* Times of the week in which a policy holds: "Mon-Fri 22:00-06:00". */
#ifndef GUARD_DISPATCHER_POLICY_TIME_H
#define GUARD_DISPATCHER_POLICY_TIME_H

#include <stdbool.h>
#include <stdint.h>

/* Begins on one of `days` (bit 0: Sunday) at `from`; over midnight when `to` is not after it. */
struct week_time {
	uint8_t days;
	uint16_t from, to; /* minutes of the day, local */
};

enum { WEEK_MINUTES = 7 * 24 * 60 };

/* "Mon-Fri", "Sat,Sun", "22:00-06:00", "Fri 18:00-24:00"; false when it is none of these. */
bool week_time_parse(const char *text, struct week_time *out);
/* Minute of the week, from Sunday 00:00. */
bool week_time_has(const struct week_time *, unsigned minute);
/* In the time zone of the process (TZ). */
unsigned week_minute(int64_t at_ms);

#endif
