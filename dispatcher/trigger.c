#include "dispatcher/trigger.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"

/*
 * The text is sampled: every STRIDE bytes a few bytes are folded, hashed and looked up in
 * a bitmap of what the literals hold at any offset a sample may fall on. Long literals
 * are looked for with long samples, which hardly ever lie.
 */
enum {
	STRIDE = 4,
	LONG_BYTES = 8,   /* of a sample; literals of 11 bytes and more */
	MIDDLE_BYTES = 4, /* of 7 to 10 */
	SHORT_BYTES = 3,  /* of 3 to 6, at every second byte */
	SHORT_STRIDE = 2,
	LITERAL_MIN = LITERAL_BYTES_MIN,

	LONG_BITS = 18,
	MIDDLE_BITS = 15,
	SHORT_BITS = 15,
	SHARED = 255,
	BUCKET_BITS = 13,
	SLOT_BITS = 10,

	EVERYDAY_COST = 10000, /* of a sample; others cost up to 3 ^ OVERHANG */

	STRETCH = 4096, /* bytes looked at before what was hit is looked into */
	GROUP = 64,     /* bytes looked at before what they hit is looked into */
	OVERHANG = 8,   /* bytes of a load, at most */

	STARTERS_MAX = 128,
	FRONT_MIN = 3, /* bits that a beginning must tell */
};

/* One way to sample: what is looked up, and which literal it may be. */
struct gram {
	uint32_t hash;
	uint16_t literal;
	int8_t offset; /* of the sample in the literal; -1: begins a byte before it */
};

/* A part of a rule that needs a literal. */
struct use {
	uint32_t part;
	uint32_t next; /* of the same literal; 0: none, the first use is never a next one */
};

struct wanted {
	struct literal literal;
	uint32_t first_use;
	uint32_t next; /* of the same slot; 0: none, else one more than its index */
};

struct sieve {
	uint8_t *map;
	struct gram *grams; /* by hash */
	size_t n, cap;
	uint32_t first[(1 << BUCKET_BITS) + 1];
};

enum { LONG, MIDDLE, SHORT, SIEVES };

/* A bit for each part that only lines with certain beginnings may match. */
struct starters {
	uint64_t at[STARTERS_MAX / 64];
};

struct trigger {
	struct wanted *literals;
	size_t n_literals, cap;
	uint32_t slots[1 << SLOT_BITS]; /* while building: literals by hash, as in `next` */
	struct sieve sieves[SIEVES];
	struct use *uses;
	size_t n_uses, uses_cap;
	uint32_t *shorts; /* indexes of literals */
	size_t n_shorts;
	uint32_t *unknown; /* parts */
	size_t n_unknown, unknown_cap;
	uint32_t starters[STARTERS_MAX]; /* parts */
	size_t n_starters;
	/* Those that match as few bytes; and which the byte is possible for at that place. */
	struct starters short_enough[FRONT_BYTES + 1];
	struct starters begin[FRONT_BYTES][UINT8_MAX + 1];
	/* Of the block being scanned. */
	const char *text;
	size_t len;
	const struct clean_line *lines;
	size_t n_lines, line;
	bool without_short;
	trigger_found_fn *found;
	void *arg;
};

static const struct shape {
	unsigned bytes, stride, bits;
} shapes[SIEVES] = {
	[LONG] = { LONG_BYTES, STRIDE, LONG_BITS },
	[MIDDLE] = { MIDDLE_BYTES, STRIDE, MIDDLE_BITS },
	[SHORT] = { SHORT_BYTES, SHORT_STRIDE, SHORT_BITS },
};

/* ---- samples ------------------------------------------------------------------ */

static inline uint64_t load(const char *s)
{
	uint64_t w;

	memcpy(&w, s, sizeof(w));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	w = __builtin_bswap64(w);
#endif
	return w;
}

/* Upper and lower case become one, and so do some other bytes. */
static inline uint64_t fold(uint64_t w)
{
	return w | 0x2020202020202020;
}

static inline uint32_t hash_of(uint64_t w, unsigned bytes)
{
	const uint64_t spread = 0x9e3779b97f4a7c15;

	return (uint32_t)((w & (~(uint64_t)0 >> (64 - 8 * bytes))) * spread >> 32);
}

/* A byte that stands for the hash in its place of the map; 0 is for none. */
static inline uint8_t print_of(unsigned bits, uint32_t hash)
{
	return (uint8_t)(hash >> (24 - bits) | 1);
}

static inline uint32_t is_in(const uint8_t *map, unsigned bits, uint32_t hash)
{
	uint8_t there = map[hash >> (32 - bits)];

	return (uint32_t)(there == print_of(bits, hash)) | (uint32_t)(there == SHARED);
}

static void put_in(uint8_t *map, unsigned bits, uint32_t hash)
{
	uint8_t *there = &map[hash >> (32 - bits)], print = print_of(bits, hash);

	*there = *there && *there != print ? SHARED : print;
}

/* ---- building ----------------------------------------------------------------- */

static void put(struct sieve *s, unsigned bits, const struct gram *g)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 256;
		s->grams = xrealloc(s->grams, s->cap * sizeof(*s->grams));
	}
	s->grams[s->n++] = *g;
	put_in(s->map, bits, g->hash);
}

/* The sample begins with s[0], at `offset` of the literal. */
static void add_gram(struct trigger *t, unsigned shape, const char *s, size_t literal, int offset)
{
	struct gram g = {
		.hash = hash_of(fold(load(s)), shapes[shape].bytes),
		.literal = (uint16_t)literal,
		.offset = (int8_t)offset,
	};

	put(&t->sieves[shape], shapes[shape].bits, &g);
}

/* The shape with the longest samples that cannot miss the literal. */
static unsigned shape_for(size_t len)
{
	unsigned i = LONG;

	while (i < SHORT && len < shapes[i].bytes + shapes[i].stride - 1)
		i++;
	return i;
}

/* So short that a sample may fall beside it: then any byte may stand before it. */
static void add_shortest(struct trigger *t, size_t literal)
{
	const struct literal *l = &t->literals[literal].literal;
	char sample[OVERHANG] = { 0 };

	memcpy(sample, l->text, SHORT_BYTES);
	add_gram(t, SHORT, sample, literal, 0);
	memcpy(sample + 1, l->text, SHORT_BYTES - 1);
	for (unsigned before = 0; before < 256; before++) {
		sample[0] = (char)before;
		if (before & 0x20)
			add_gram(t, SHORT, sample, literal, -1);
	}
}

/* Letters in a row are mostly those of a word, which may be more frequent than one thinks. */
static unsigned commonness(const char *sample, size_t n)
{
	unsigned run = 0, most = 0, cost = 1;
	bool everyday = n >= EVERYDAY_BYTES;

	for (size_t i = 0; i < n; i++) {
		run = isalpha((unsigned char)sample[i]) ? run + 1 : 0;
		most = run > most ? run : most;
		everyday &= i + EVERYDAY_BYTES > n || is_everyday(sample + i);
	}
	while (most--)
		cost *= 3;
	return everyday ? EVERYDAY_COST : cost;
}

/* As many samples as the stride, one of which falls on the literal wherever it is: where from. */
static size_t rarest_stretch(const struct literal *l, unsigned shape)
{
	size_t n = shapes[shape].bytes, stride = shapes[shape].stride, best = 0;
	unsigned least = UINT_MAX;

	for (size_t at = 0; at + n + stride - 1 <= l->len; at++) {
		unsigned cost = 0;

		for (size_t i = 0; i < stride; i++)
			cost += commonness(l->text + at + i, n);
		if (cost < least) {
			least = cost;
			best = at;
		}
	}
	return best;
}

static void add_grams(struct trigger *t, size_t literal)
{
	const struct literal *l = &t->literals[literal].literal;
	unsigned shape = shape_for(l->len);
	size_t at = rarest_stretch(l, shape);

	if (l->len == LITERAL_MIN) {
		add_shortest(t, literal);
		return;
	}
	for (size_t i = at; i < at + shapes[shape].stride; i++) {
		char sample[OVERHANG] = { 0 };

		memcpy(sample, l->text + i, shapes[shape].bytes);
		add_gram(t, shape, sample, literal, (int)i);
	}
}

static uint32_t *slot_of(struct trigger *t, const struct literal *l)
{
	uint32_t hash = l->len;

	for (size_t i = 0; i < l->len; i++)
		hash = hash * 31 + (unsigned char)l->text[i];
	return &t->slots[hash % (1 << SLOT_BITS)];
}

/* Its index; that of the next new one when it is not known. */
static size_t index_of(struct trigger *t, const struct literal *l)
{
	for (uint32_t i = *slot_of(t, l); i; i = t->literals[i - 1].next) {
		const struct literal *known = &t->literals[i - 1].literal;

		if (known->len == l->len && memcmp(known->text, l->text, l->len) == 0)
			return i - 1;
	}
	return t->n_literals;
}

static void add_use(struct trigger *t, size_t literal, uint32_t part)
{
	struct wanted *w = &t->literals[literal];

	if (t->n_uses == t->uses_cap) {
		t->uses_cap = t->uses_cap ? 2 * t->uses_cap : 256;
		t->uses = xrealloc(t->uses, t->uses_cap * sizeof(*t->uses));
	}
	t->uses[t->n_uses] = (struct use){ .part = part, .next = w->first_use };
	w->first_use = (uint32_t)t->n_uses++;
}

static void add_literals(struct trigger *t, const struct literals *needs, uint32_t part)
{
	if (t->n_literals + needs->n > t->cap) {
		t->cap = 2 * (t->n_literals + needs->n);
		t->literals = xrealloc(t->literals, t->cap * sizeof(*t->literals));
		t->shorts = xrealloc(t->shorts, t->cap * sizeof(*t->shorts));
	}
	for (size_t i = 0; i < needs->n; i++) {
		size_t at = index_of(t, &needs->at[i]);

		if (at == t->n_literals) {
			uint32_t *slot = slot_of(t, &needs->at[i]);

			t->literals[at] = (struct wanted){ .literal = needs->at[i], .next = *slot };
			*slot = (uint32_t)at + 1;
			if (shape_for(needs->at[i].len) != LONG)
				t->shorts[t->n_shorts++] = (uint32_t)at;
			add_grams(t, at);
			t->n_literals++;
		}
		add_use(t, at, part);
	}
}

/* False when lines of it may begin in too many ways. */
static bool add_starter(struct trigger *t, const struct rule *r, size_t part, struct arena *a,
			unsigned least)
{
	uint32_t options = 0;
	const struct front *f;
	size_t shortest, word = t->n_starters / 64;
	uint64_t bit = (uint64_t)1 << t->n_starters % 64;

	if (t->n_starters == STARTERS_MAX || !strchr(r->parts.at[part].regex, '^'))
		return false;
	(void)pcre2_pattern_info(rule_part_code(r, part), PCRE2_INFO_ALLOPTIONS, &options);
	if (!(options & PCRE2_ANCHORED))
		return false;
	f = front_of(r->parts.at[part].regex, a);
	shortest = (size_t)__builtin_ctz(f->lengths);
	f = front_joined(a, f, front_any(a));
	if (front_tells(f) < least)
		return false;
	for (size_t n = shortest; n <= FRONT_BYTES; n++)
		t->short_enough[n].at[word] |= bit;
	for (size_t i = 0; i < FRONT_BYTES; i++)
		for (unsigned byte = 0; byte <= UINT8_MAX; byte++)
			if (byte_set_has(&f->places[i], (unsigned char)byte))
				t->begin[i][byte].at[word] |= bit;
	t->n_starters++;
	return true;
}

/* False when every line may be one for it. */
static bool add_part(struct trigger *t, const struct rule *r, size_t part, uint32_t id)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct literals needs;
	bool known = literals_of(r->parts.at[part].regex, a, &needs) &&
		     t->n_literals + needs.n <= UINT16_MAX;

	for (size_t i = 0; known && i < needs.n; i++)
		known = needs.at[i].len >= LITERAL_MIN;
	if ((!known || needs.rarity < EVERYDAY) &&
	    add_starter(t, r, part, a, known ? 2 * needs.rarity : FRONT_MIN)) {
		t->starters[t->n_starters - 1] = id;
		return true;
	}
	if (known)
		add_literals(t, &needs, id);
	return known;
}

static void add_rule(struct trigger *t, const struct rule *r, size_t rule)
{
	for (size_t i = 0; i < r->parts.n; i++) {
		if (add_part(t, r, i, part_id(rule, i)))
			continue;
		if (t->n_unknown == t->unknown_cap) {
			t->unknown_cap = t->unknown_cap ? 2 * t->unknown_cap : 64;
			t->unknown = xrealloc(t->unknown, t->unknown_cap * sizeof(*t->unknown));
		}
		t->unknown[t->n_unknown++] = part_id(rule, i);
	}
}

static int by_hash(const void *a, const void *b)
{
	const struct gram *x = a, *y = b;

	return (x->hash > y->hash) - (x->hash < y->hash);
}

static void make_index(struct sieve *s)
{
	size_t at = 0;

	if (s->n)
		qsort(s->grams, s->n, sizeof(*s->grams), by_hash);
	for (uint32_t bucket = 0; bucket <= 1 << BUCKET_BITS; bucket++) {
		while (at < s->n && s->grams[at].hash >> (32 - BUCKET_BITS) < bucket)
			at++;
		s->first[bucket] = (uint32_t)at;
	}
}

struct trigger *trigger_new(const struct rule_set *set)
{
	struct trigger *t = xcalloc(1, sizeof(*t));

	for (unsigned i = 0; i < SIEVES; i++)
		t->sieves[i].map = xcalloc((size_t)1 << shapes[i].bits, 1);
	t->uses = xcalloc(1, sizeof(*t->uses));
	t->n_uses = t->uses_cap = 1;
	for (size_t i = 0; i < set->n; i++) {
		const struct rule *r = &set->rules[i];

		if (r->spec->class != RULE_BENIGN)
			add_rule(t, r, i);
	}
	for (unsigned i = 0; i < SIEVES; i++)
		make_index(&t->sieves[i]);
	return t;
}

void trigger_free(struct trigger *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < SIEVES; i++) {
		free(t->sieves[i].map);
		free(t->sieves[i].grams);
	}
	free(t->literals);
	free(t->uses);
	free(t->shorts);
	free(t->unknown);
	free(t);
}

const uint32_t *trigger_unknown(const struct trigger *t, size_t *n)
{
	*n = t->n_unknown;
	return t->unknown;
}

const struct literal *trigger_short(const struct trigger *t, size_t i)
{
	return i < t->n_shorts ? &t->literals[t->shorts[i]].literal : NULL;
}

/* ---- scanning ------------------------------------------------------------------ */

static void found(const struct trigger *t, size_t literal, size_t line, trigger_found_fn *fn,
		  void *arg)
{
	for (uint32_t i = t->literals[literal].first_use; i; i = t->uses[i].next)
		fn(arg, line, t->uses[i].part);
}

void trigger_found(const struct trigger *t, size_t i, size_t line, trigger_found_fn *fn, void *arg)
{
	found(t, t->shorts[i], line, fn, arg);
}

/* The line that holds the byte; bytes come nearly in order. */
static size_t line_at(struct trigger *t, size_t at)
{
	while (t->line && t->lines[t->line].start > at)
		t->line--;
	while (t->line + 1 < t->n_lines && t->lines[t->line + 1].start <= at)
		t->line++;
	return t->line;
}

static bool is_literal_at(const struct trigger *t, const struct literal *l, size_t at)
{
	size_t i = 0;

	if (at + l->len > t->len)
		return false;
	for (; i + OVERHANG <= l->len; i += OVERHANG)
		if (fold(load(t->text + at + i)) != fold(load(l->text + i)))
			return false;
	while (i < l->len && (t->text[at + i] | 0x20) == (l->text[i] | 0x20))
		i++;
	return i == l->len;
}

/* A sample was found in the map: is it of one of the literals? */
static void look_into(struct trigger *t, unsigned shape, uint64_t sample, size_t at)
{
	const struct sieve *s = &t->sieves[shape];
	uint32_t hash = hash_of(sample, shapes[shape].bytes);
	uint32_t bucket = hash >> (32 - BUCKET_BITS);

	for (uint32_t i = s->first[bucket]; i < s->first[bucket + 1]; i++) {
		const struct gram *g = &s->grams[i];
		size_t begin = (size_t)((ptrdiff_t)at - g->offset);

		if (g->hash == hash && (ptrdiff_t)at >= g->offset &&
		    is_literal_at(t, &t->literals[g->literal].literal, begin))
			found(t, g->literal, line_at(t, begin), t->found, t->arg);
	}
}

/* Written out, the loop takes half the time; clang does so by itself, and not optimising nobody
 * does. */
#if defined(__OPTIMIZE__) && !defined(__clang__)
#define UNROLL _Pragma("GCC unroll 32")
#else
#define UNROLL
#endif

/* Where in s[0..n), whole groups with an overhang, a sample of that shape is in the map. */
static inline __attribute__((always_inline)) size_t collect(const struct trigger *t, unsigned shape,
							    const char *s, size_t n, uint16_t *hits)
{
	const uint8_t *map = t->sieves[shape].map;
	size_t stride = shapes[shape].stride, n_hits = 0;

	for (size_t at = 0; at < n; at += GROUP) {
		uint32_t any = 0;

		UNROLL
		for (unsigned i = 0; i < GROUP / stride; i++) {
			uint64_t w = fold(load(s + at + i * stride));

			any |= is_in(map, shapes[shape].bits, hash_of(w, shapes[shape].bytes)) << i;
		}
		for (; any; any &= any - 1)
			hits[n_hits++] = (uint16_t)(at + (size_t)__builtin_ctz(any) * stride);
	}
	return n_hits;
}

/* `s` are the bytes at `at`, which may be a copy. */
static void sift(struct trigger *t, const char *s, size_t at, size_t n)
{
	uint16_t hits[STRETCH / SHORT_STRIDE];

	for (unsigned shape = LONG; shape < (t->without_short ? MIDDLE : SIEVES); shape++) {
		size_t n_hits = shape == LONG    ? collect(t, LONG, s, n, hits)
				: shape == SHORT ? collect(t, SHORT, s, n, hits)
						 : collect(t, MIDDLE, s, n, hits);

		for (size_t i = 0; i < n_hits; i++)
			look_into(t, shape, fold(load(s + hits[i])), at + hits[i]);
	}
}

static void sift_all(struct trigger *t)
{
	char rest[GROUP + OVERHANG];
	size_t at = 0;

	while (at + GROUP + OVERHANG <= t->len) {
		size_t n = (t->len - OVERHANG - at) / GROUP * GROUP;

		n = n < STRETCH ? n : STRETCH;
		sift(t, t->text + at, at, n);
		at += n;
	}
	for (; at < t->len; at += GROUP) {
		size_t n = t->len - at;

		memset(rest, 0, sizeof(rest));
		memcpy(rest, t->text + at, n < sizeof(rest) ? n : sizeof(rest));
		sift(t, rest, at, GROUP);
	}
}

static void look_at_starts(const struct trigger *t)
{
	for (size_t i = 0; i < t->n_lines; i++) {
		const char *s = t->text + t->lines[i].start;
		size_t n = t->lines[i].len < FRONT_BYTES ? t->lines[i].len : FRONT_BYTES;
		struct starters left = t->short_enough[n];

		for (size_t k = 0; k < n && (left.at[0] | left.at[1]); k++) {
			left.at[0] &= t->begin[k][(unsigned char)s[k]].at[0];
			left.at[1] &= t->begin[k][(unsigned char)s[k]].at[1];
		}
		for (size_t w = 0; w < ARRAY_LEN(left.at); w++)
			for (; left.at[w]; left.at[w] &= left.at[w] - 1)
				t->found(t->arg, i,
					 t->starters[64 * w + (size_t)__builtin_ctzll(left.at[w])]);
	}
}

void trigger_scan(struct trigger *t, const char *text, size_t len, const struct clean_line *lines,
		  size_t n_lines, bool without_short, trigger_found_fn *fn, void *arg)
{
	if (n_lines == 0)
		return;
	t->text = text;
	t->len = len;
	t->lines = lines;
	t->n_lines = n_lines;
	t->line = 0;
	t->without_short = without_short;
	t->found = fn;
	t->arg = arg;
	if (t->n_starters)
		look_at_starts(t);
	sift_all(t);
}
