#include "dispatcher/front.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <ctype.h>

#include "core/buf.h"
#include "core/mem.h"

static struct front *new_front(struct arena *a, uint32_t lengths)
{
	struct front *f = arena_alloc(a, sizeof(*f));

	*f = (struct front){ .lengths = lengths };
	return f;
}

const struct front *front_empty(struct arena *a)
{
	return new_front(a, 1);
}

const struct front *front_any(struct arena *a)
{
	struct front *f = new_front(a, ((uint32_t)2 << FRONT_BYTES) - 1);

	for (size_t i = 0; i < FRONT_BYTES; i++)
		for (size_t k = 0; k < BYTE_SET_WORDS; k++)
			f->places[i].at[k] = ~(uint64_t)0;
	return f;
}

/* Looks for runs of what matches in a text of all bytes. */
static void find_bytes(const pcre2_code *code, pcre2_match_data *data, struct byte_set *out)
{
	unsigned char all[UINT8_MAX + 1];
	const PCRE2_SIZE *run = pcre2_get_ovector_pointer(data);
	size_t at = 0;

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (unsigned char)i;
	while (at < sizeof(all) && pcre2_match(code, all, sizeof(all), at, 0, data, NULL) > 0) {
		for (at = run[0]; at < run[1]; at++)
			out->at[at / 64] |= (uint64_t)1 << at % 64;
	}
}

const struct front *front_atom(struct arena *a, const char *regex, size_t n, bool any_case)
{
	OWNED(freep) char *runs = xasprintf("%.*s+", (int)n, regex);
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	struct front *f = new_front(a, 1 << 1);
	pcre2_code *code;
	size_t where;
	int why;

	code = pcre2_compile((PCRE2_SPTR)runs, n + 1, any_case ? PCRE2_CASELESS : 0, &why, &where,
			     NULL);
	if (code && data)
		find_bytes(code, data, &f->places[0]);
	pcre2_match_data_free(data);
	pcre2_code_free(code);
	return code && data ? f : front_any(a);
}

static void add(struct byte_set *to, const struct byte_set *s)
{
	for (size_t i = 0; i < BYTE_SET_WORDS; i++)
		to->at[i] |= s->at[i];
}

static void join(struct front *x, const struct front *y)
{
	struct front f = *x;
	uint64_t lengths = 0, longest = (uint64_t)1 << FRONT_BYTES;

	for (size_t n = 0; n <= FRONT_BYTES; n++) {
		if (!(x->lengths >> n & 1))
			continue;
		lengths |= (uint64_t)y->lengths << n;
		for (size_t i = n; i < FRONT_BYTES; i++)
			add(&f.places[i], &y->places[i - n]);
	}
	f.lengths = (uint32_t)((lengths & (longest - 1)) | (lengths >= longest ? longest : 0));
	*x = f;
}

static void join_or(struct front *x, const struct front *y)
{
	x->lengths |= y->lengths;
	for (size_t i = 0; i < FRONT_BYTES; i++)
		add(&x->places[i], &y->places[i]);
}

const struct front *front_joined(struct arena *a, const struct front *x, const struct front *y)
{
	struct front *f = arena_alloc(a, sizeof(*f));

	*f = *x;
	join(f, y);
	return f;
}

const struct front *front_either(struct arena *a, const struct front *x, const struct front *y)
{
	struct front *f = arena_alloc(a, sizeof(*f));

	*f = *x;
	join_or(f, y);
	return f;
}

const struct front *front_repeated(struct arena *a, const struct front *x, unsigned low,
				   unsigned high)
{
	struct front power = { .lengths = 1 }, *all;

	if (low == 1 && high == 1)
		return x;
	all = new_front(a, 0);
	/* More than so many begin alike. */
	low = low < FRONT_BYTES ? low : FRONT_BYTES;
	high = high < FRONT_BYTES ? high : FRONT_BYTES;
	for (unsigned n = 0; n <= high; n++) {
		if (n >= low)
			join_or(all, &power);
		join(&power, x);
	}
	return all;
}

/* How often it is among the first bytes of lines of logs, in thousandths. */
static unsigned share_of(int byte)
{
	if (islower(byte))
		return 17;
	if (isdigit(byte))
		return 12;
	if (byte == ' ')
		return 120;
	return ispunct(byte) ? 6 : isupper(byte) ? 5 : 1;
}

unsigned front_tells(const struct front *f)
{
	unsigned bits = 0;

	for (size_t i = 0; i < FRONT_BYTES; i++) {
		unsigned share = 0;

		for (int byte = 0; byte <= UINT8_MAX; byte++)
			if (byte_set_has(&f->places[i], (unsigned char)byte))
				share += share_of(byte);
		while (share && share <= 500) {
			share *= 2;
			bits++;
		}
	}
	return bits;
}
