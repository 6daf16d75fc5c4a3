/* Seeded random numbers: the same seed gives the same world. Never for secrets. */
#ifndef GUARD_TESTS_RNG_H
#define GUARD_TESTS_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
	uint64_t state;
};

/* Streams with different `stream` numbers are independent of one another. */
void rng_seed(struct rng *, uint64_t seed, uint64_t stream);
uint64_t rng_next(struct rng *);
uint64_t rng_below(struct rng *, uint64_t below); /* below >= 1 */
bool rng_chance(struct rng *, double p);
/* n hex digits, terminated. */
void rng_hex(struct rng *, char *out, size_t n);
uint64_t rng_hash(const char *s);

#endif
