/*
 * How a match may begin: which bytes are possible at each of its first places. Places are kept
 * apart from each other, so that more seems possible than is, never less.
 */
#ifndef GUARD_DISPATCHER_FRONT_H
#define GUARD_DISPATCHER_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

enum { FRONT_BYTES = 16, BYTE_SET_WORDS = 4 };

struct byte_set {
	uint64_t at[BYTE_SET_WORDS];
};

struct front {
	uint32_t
		lengths; /* bit i: what is described may be i bytes long; the last one: or longer */
	struct byte_set places[FRONT_BYTES];
};

/* Of nothing, and of anything. */
const struct front *front_empty(struct arena *);
const struct front *front_any(struct arena *);
/* Of one byte, by what PCRE2 says to "a", "\d" or "[^x]". */
const struct front *front_atom(struct arena *, const char *regex, size_t n, bool any_case);

const struct front *front_joined(struct arena *, const struct front *, const struct front *);
const struct front *front_either(struct arena *, const struct front *, const struct front *);
const struct front *front_repeated(struct arena *, const struct front *, unsigned low,
				   unsigned high);

static inline bool byte_set_has(const struct byte_set *s, unsigned char byte)
{
	return s->at[byte / 64] >> byte % 64 & 1;
}

/* How much it tells of a line of a log, in bits. */
unsigned front_tells(const struct front *);

#endif
