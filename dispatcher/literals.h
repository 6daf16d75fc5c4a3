/*
 * What a pattern cannot do without: reads PCRE2 syntax and names bytes of which some
 * must be in every line that matches. Knows less than the engine and says so.
 */
#ifndef GUARD_DISPATCHER_LITERALS_H
#define GUARD_DISPATCHER_LITERALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/front.h"

struct arena;

/* Shorter ones are of no use. */
enum { LITERAL_BYTES_MIN = 3, LITERAL_BYTES_MAX = 24, LITERALS_MAX = 400, EVERYDAY = 13 };

/* In lower case. */
struct literal {
	uint8_t len;
	char text[LITERAL_BYTES_MAX];
};

struct literals {
	size_t n;
	const struct literal *at;
	/* Of the commonest of them. Short ones, and words that healthy logs are full of, have
	 * little: below EVERYDAY a line's beginning may tell more. */
	unsigned rarity;
};

/*
 * True for bytes, in lower case, that logs are full of whatever the tool: a piece of "[info] "
 * or " https://", or of a row of dashes.
 */
enum { EVERYDAY_BYTES = 6 };
bool is_everyday(const char s[static EVERYDAY_BYTES]);

/*
 * Which bytes are on a line, and which a match cannot do without: a bit for each punctuation
 * mark, digit, letter and capital letter, and one for any digit. None are needed when the pattern
 * is not understood.
 */
typedef uint64_t marks __attribute__((vector_size(16)));

marks marks_on(const char *line, size_t n);
marks marks_needed(const char *regex);

static inline bool has_marks(marks line, marks needed)
{
	marks missing = needed & ~line;

	return !(missing[0] | missing[1]);
}

/* How a line begins that the regex, which begins with "^", matches. */
const struct front *front_of(const char *regex, struct arena *);

/*
 * At least one of them, in upper or lower case, is in every line that the regex matches;
 * those chosen are the rarest that are to be had. False when it needs none, or is not understood.
 */
bool literals_of(const char *regex, struct arena *, struct literals *out);

#endif
