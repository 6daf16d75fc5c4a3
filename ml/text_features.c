#include "ml/text_features.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_MAX = 32 };

/* Part of the hash, so that a word and the second of a pair differ. */
enum kind { KIND_WORD = 1, KIND_PAIR };

struct words {
	struct text_feature *out;
	size_t n;
	uint32_t line;
	uint64_t before; /* hash of the word before on this line; 0: none */
};

static uint64_t hash(uint64_t seed, const char *s, size_t n)
{
	uint64_t h = 14695981039346656037ULL ^ seed;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)s[i]) * 1099511628211ULL;
	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9ULL;
	return h ^ h >> 32;
}

static void add(struct words *w, uint64_t h)
{
	if (w->n == TEXT_FEATURES_MAX)
		return;
	w->out[w->n++] = (struct text_feature){
		.bucket = (uint32_t)(h >> (64 - TEXT_BUCKET_BITS)),
		.line = w->line,
	};
}

static void add_word(struct words *w, const char *word, size_t n)
{
	uint64_t h = hash(KIND_WORD, word, n);

	add(w, h);
	if (w->before)
		add(w, hash(KIND_PAIR ^ w->before, word, n));
	w->before = h;
}

static bool is_letter(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

/* A number says only that there is one; letters with several digits among them are an id. */
static void end_word(struct words *w, char *word, size_t n, unsigned letters, unsigned digits)
{
	if (n == 0)
		return;
	if (n == WORD_MAX || (letters && digits > 3))
		w->before = 0;
	else if (letters == 0)
		add_word(w, "0", 1);
	else
		add_word(w, word, n);
}

static void add_line(struct words *w, const char *s)
{
	char word[WORD_MAX];
	size_t n = 0;
	unsigned letters = 0, digits = 0;

	w->before = 0;
	for (size_t i = 0; i < TEXT_LINE_BYTES_MAX && s[i]; i++) {
		unsigned char c = (unsigned char)s[i];

		if (is_letter(c) || is_digit(c)) {
			letters += is_letter(c);
			digits += is_digit(c);
			if (n < WORD_MAX)
				word[n++] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
			continue;
		}
		end_word(w, word, n, letters, digits);
		n = letters = digits = 0;
	}
	end_word(w, word, n, letters, digits);
}

static int by_bucket(const void *a, const void *b)
{
	const struct text_feature *x = a, *y = b;

	if (x->bucket != y->bucket)
		return x->bucket < y->bucket ? -1 : 1;
	return (x->line > y->line) - (x->line < y->line);
}

size_t text_features(const char *const *lines, size_t n,
		     struct text_feature out[static TEXT_FEATURES_MAX])
{
	struct words w = { .out = out };
	size_t kept = 0;

	for (size_t i = 0; i < n && i < TEXT_LINES_MAX; i++) {
		w.line = (uint32_t)i;
		add_line(&w, lines[i]);
	}
	qsort(out, w.n, sizeof(*out), by_bucket);
	for (size_t i = 0; i < w.n; i++)
		if (kept == 0 || by_bucket(&out[kept - 1], &out[i]) != 0)
			out[kept++] = out[i];
	return kept;
}
