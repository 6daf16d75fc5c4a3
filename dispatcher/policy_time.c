#include "dispatcher/policy_time.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "core/base.h"

enum { DAY_MINUTES = 24 * 60 };

static const char *const day_names[] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat" };

/* A day's name at s, which moves behind it; -1: none. */
static int day_at(const char **s)
{
	for (size_t i = 0; i < ARRAY_LEN(day_names); i++) {
		if (strncasecmp(*s, day_names[i], 3) == 0) {
			*s += 3;
			return (int)i;
		}
	}
	return -1;
}

static bool days_at(const char **s, uint8_t *days)
{
	do {
		int from, to;

		*s += **s == ',';
		from = to = day_at(s);
		if (from < 0)
			return false;
		if (**s == '-') {
			(*s)++;
			to = day_at(s);
			if (to < 0)
				return false;
		}
		for (int d = from;; d = (d + 1) % 7) {
			*days |= (uint8_t)(1U << d);
			if (d == to)
				break;
		}
	} while (**s == ',');
	return true;
}

static bool clock_at(const char **s, uint16_t *out)
{
	const char *p = *s;
	unsigned hour, minute;

	for (int i = 0; i < 5; i++)
		if (i == 2 ? p[i] != ':' : p[i] < '0' || p[i] > '9')
			return false;
	hour = (unsigned)(p[0] - '0') * 10 + (unsigned)(p[1] - '0');
	minute = (unsigned)(p[3] - '0') * 10 + (unsigned)(p[4] - '0');
	if (minute > 59 || hour * 60 + minute > DAY_MINUTES)
		return false;
	*out = (uint16_t)(hour * 60 + minute);
	*s += 5;
	return true;
}

bool week_time_parse(const char *s, struct week_time *out)
{
	*out = (struct week_time){ .to = DAY_MINUTES };
	if (*s < '0' || *s > '9') {
		if (!days_at(&s, &out->days))
			return false;
		if (*s == '\0')
			return true;
		if (*s++ != ' ')
			return false;
	} else {
		out->days = 0x7f;
	}
	return clock_at(&s, &out->from) && *s++ == '-' && clock_at(&s, &out->to) && *s == '\0' &&
	       out->from != out->to && out->from < DAY_MINUTES;
}

bool week_time_has(const struct week_time *t, unsigned minute)
{
	unsigned length = t->to > t->from ? t->to - t->from : DAY_MINUTES - t->from + t->to;

	for (unsigned d = 0; d < 7; d++) {
		unsigned begin = d * DAY_MINUTES + t->from;

		if ((t->days >> d & 1) && (minute + WEEK_MINUTES - begin) % WEEK_MINUTES < length)
			return true;
	}
	return false;
}

unsigned week_minute(int64_t at_ms)
{
	time_t at = (time_t)(at_ms / 1000);
	struct tm tm;

	(void)localtime_r(&at, &tm);
	return (unsigned)(tm.tm_wday * DAY_MINUTES + tm.tm_hour * 60 + tm.tm_min);
}
