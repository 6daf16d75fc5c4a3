#include "core/text.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool tail(const unsigned char *s, size_t n, unsigned char lo, unsigned char hi)
{
	if (s[1] < lo || s[1] > hi)
		return false;
	for (size_t i = 2; i < n; i++)
		if (s[i] < 0x80 || s[i] > 0xbf)
			return false;
	return true;
}

size_t utf8_sequence(const unsigned char *s, size_t n)
{
	/* The second byte's range is what excludes overlong forms, surrogates and > U+10FFFF. */
	static const struct {
		unsigned char first, last, lo, hi, len;
	} rows[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	if (!n)
		return 0;
	if (s[0] < 0x80)
		return 1;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (s[0] >= rows[i].first && s[0] <= rows[i].last)
			return n >= rows[i].len && tail(s, rows[i].len, rows[i].lo, rows[i].hi)
				       ? rows[i].len
				       : 0;
	return 0;
}

bool utf8_valid(const unsigned char *s, size_t n)
{
	size_t i = 0;

	while (i < n) {
		uint64_t word;
		size_t len;

		if (n - i >= sizeof(word)) {
			memcpy(&word, s + i, sizeof(word));
			if (!(word & 0x8080808080808080ull)) {
				i += sizeof(word);
				continue;
			}
		}
		len = utf8_sequence(s + i, n - i);
		if (!len)
			return false;
		i += len;
	}
	return true;
}

bool text_copy(char *dst, size_t cap, const char *src, size_t n)
{
	size_t keep = n;

	if (keep > cap - 1) {
		keep = cap - 1;
		while (keep && ((unsigned char)src[keep] & 0xc0) == 0x80)
			keep--;
	}
	if (keep)
		memcpy(dst, src, keep);
	dst[keep] = '\0';
	return keep == n;
}

bool text_to_u64(const char *s, uint64_t *out)
{
	char *end;
	unsigned long long v;

	if (!isdigit((unsigned char)s[0]))
		return false;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno || *end)
		return false;
	*out = v;
	return true;
}

bool text_to_i64(const char *s, int64_t *out)
{
	char *end;
	long long v;

	if (!isdigit((unsigned char)s[0]) && !(s[0] == '-' && isdigit((unsigned char)s[1])))
		return false;
	errno = 0;
	v = strtoll(s, &end, 10);
	if (errno || *end)
		return false;
	*out = v;
	return true;
}

/* Reads exactly n digits; -1 when there are none. */
static int digits(const char **s, int n)
{
	int v = 0;

	for (int i = 0; i < n; i++, (*s)++) {
		if (!isdigit((unsigned char)**s))
			return -1;
		v = v * 10 + (**s - '0');
	}
	return v;
}

static bool literal(const char **s, char c)
{
	if (**s != c)
		return false;
	(*s)++;
	return true;
}

static int64_t zone_ms(const char *s)
{
	int sign = *s == '-' ? -1 : 1;
	int h, m;

	if (*s == 'Z' && !s[1])
		return 0;
	if (*s != '+' && *s != '-')
		return INT64_MIN;
	s++;
	h = digits(&s, 2);
	(void)literal(&s, ':');
	m = digits(&s, 2);
	if (h < 0 || h > 23 || m < 0 || m > 59 || *s)
		return INT64_MIN;
	return (int64_t)sign * (h * 60 + m) * 60000;
}

int64_t text_iso8601_ms(const char *s)
{
	struct tm tm = { 0 };
	int64_t ms = 0, zone;
	int scale = 100;

	tm.tm_year = digits(&s, 4) - 1900;
	if (!literal(&s, '-'))
		return -1;
	tm.tm_mon = digits(&s, 2) - 1;
	if (!literal(&s, '-'))
		return -1;
	tm.tm_mday = digits(&s, 2);
	if (!literal(&s, 'T'))
		return -1;
	tm.tm_hour = digits(&s, 2);
	if (!literal(&s, ':'))
		return -1;
	tm.tm_min = digits(&s, 2);
	if (!literal(&s, ':'))
		return -1;
	tm.tm_sec = digits(&s, 2);
	if (tm.tm_year < 70 || tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 ||
	    tm.tm_mday > 31 || tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 ||
	    tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60)
		return -1;
	if (literal(&s, '.')) {
		if (!isdigit((unsigned char)*s))
			return -1;
		for (; isdigit((unsigned char)*s); s++, scale /= 10)
			ms += (int64_t)scale * (*s - '0');
	}
	zone = zone_ms(s);
	if (zone == INT64_MIN)
		return -1;
	ms += (int64_t)timegm(&tm) * 1000 - zone;
	return ms < 0 ? -1 : ms;
}

int64_t text_time_ms(const char *s)
{
	char iso[40];
	size_t zone;

	if (strlen(s) < 20 || s[10] != ' ')
		return text_iso8601_ms(s);
	zone = 19 + strcspn(s + 19, " ");
	if (!text_copy(iso, sizeof(iso) - 8, s, zone) || s[zone] != ' ' || strlen(s + zone) > 7)
		return -1;
	iso[10] = 'T';
	s += zone + 1;
	if (strcmp(s, "UTC") == 0)
		s = "Z";
	(void)text_copy(iso + zone, sizeof(iso) - zone, s, strlen(s));
	return text_iso8601_ms(iso);
}

void text_from_ms(char out[static 25], int64_t at_ms)
{
	time_t sec = (time_t)(at_ms / 1000);
	struct tm tm;
	size_t n;

	if (at_ms < 0 || !gmtime_r(&sec, &tm) ||
	    !(n = strftime(out, 25, "%Y-%m-%dT%H:%M:%S", &tm)) || n > 19) {
		(void)text_copy(out, 25, "-", 1);
		return;
	}
	(void)snprintf(out + n, 25 - n, ".%03dZ", (int)(at_ms % 1000));
}

bool text_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool text_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && strcmp(s + n - m, suffix) == 0;
}
