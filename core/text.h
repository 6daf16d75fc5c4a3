/* Small text helpers: UTF-8, capped copies, numbers. */
#ifndef GUARD_CORE_TEXT_H
#define GUARD_CORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base.h"

/* Bytes of the well-formed UTF-8 sequence at s (RFC 3629; 1..4), 0 when it is none. */
size_t utf8_sequence(const unsigned char *s, size_t n);
bool utf8_valid(const unsigned char *s, size_t n);

/*
 * Copies at most cap-1 bytes, cut at a UTF-8 border, always terminated.
 * Returns false when something was cut off.
 */
bool text_copy(char *dst, size_t cap, const char *src, size_t n);

/* Whole string must be a decimal number in range. */
bool text_to_u64(const char *s, uint64_t *out) MUST_CHECK;
bool text_to_i64(const char *s, int64_t *out) MUST_CHECK;

/* "2026-07-29T10:01:29Z", fractions and +hh:mm offsets allowed -> ms since 1970; -1 when malformed.
 */
int64_t text_iso8601_ms(const char *s);

/* The same, or as Ruby prints times: "2016-08-12 15:23:28 UTC", "2016-08-12 15:23:28 +0200". */
int64_t text_time_ms(const char *s);

/* Writes "2026-07-29T10:01:29.763Z". */
void text_from_ms(char out[static 25], int64_t at_ms);

bool text_starts(const char *s, const char *prefix);
bool text_ends(const char *s, const char *suffix);

#endif
