#include "dispatcher/literals.h"

#include <assert.h>
#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "core/base.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/rule.h"

enum {
	EXACT_MAX = 300, /* ways to write one piece of a pattern, before it is cut in two */
	CLASS_MAX = 10,  /* bytes of a class that are tried one by one */
	DEPTH_MAX = 32,
	FOREVER = 1 << 20,
	SHORTEST_MAX = 64, /* literals among which those are looked for that contain others */
	/* Longer ones are hardly rarer. */
	ENOUGH = 12,
};

/* What was learned of a piece of the pattern. */
struct piece {
	const struct literals *exact; /* all that it matches; NULL: too many */
	const struct literals *needs; /* one of them is in what it matches; NULL: nothing known */
	marks marks;                  /* that are in all that it matches */
	const struct front *front;    /* when it is asked for */
};

struct reader {
	const char *at;
	struct arena *arena;
	unsigned depth;
	bool lost; /* something that is not understood */
	bool fronts, any_case;
};

static struct piece read_alternatives(struct reader *r, const struct literals *before);

static const struct literal empty;
static const struct literals only_empty = { .n = 1, .at = &empty };

static char lower(char ch)
{
	return ch >= 'A' && ch <= 'Z' ? (char)(ch | 0x20) : ch;
}

static bool same(const struct literal *a, const struct literal *b)
{
	return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static bool contains(const struct literal *all, const struct literal *part)
{
	return memmem(all->text, all->len, part->text, part->len) != NULL;
}

static bool has_empty(const struct literals *set)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->at[i].len == 0)
			return true;
	return false;
}

static size_t add_new(struct literal *to, size_t n, const struct literal *one)
{
	for (size_t i = 0; i < n; i++)
		if (same(&to[i], one))
			return n;
	to[n] = *one;
	return n + 1;
}

static const struct literals *keep(struct reader *r, struct literal *at, size_t n)
{
	struct literals *set = arena_alloc(r->arena, sizeof(*set));

	*set = (struct literals){ .n = n, .at = at };
	return set;
}

/* NULL when there would be too many. */
static const struct literals *either(struct reader *r, const struct literals *a,
				     const struct literals *b, size_t most)
{
	struct literal *at = arena_alloc(r->arena, (a->n + b->n) * sizeof(*at));
	size_t n = 0;

	for (size_t i = 0; i < a->n; i++)
		n = add_new(at, n, &a->at[i]);
	for (size_t i = 0; i < b->n; i++)
		n = add_new(at, n, &b->at[i]);
	return n <= most ? keep(r, at, n) : NULL;
}

/* One after the other, as far as a literal holds them; NULL when there would be too many, or all
 * would be too long. */
static const struct literals *both(struct reader *r, const struct literals *a,
				   const struct literals *b)
{
	struct literal *at;
	size_t n = 0, cut = 0;

	if (a->n * b->n > EXACT_MAX)
		return NULL;
	at = arena_alloc(r->arena, a->n * b->n * sizeof(*at));
	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < b->n; k++) {
			struct literal joined = a->at[i];
			size_t room = LITERAL_BYTES_MAX - joined.len, more = b->at[k].len;

			cut += more > room;
			more = more > room ? room : more;
			memcpy(joined.text + joined.len, b->at[k].text, more);
			joined.len = (uint8_t)(joined.len + more);
			n = add_new(at, n, &joined);
		}
	return cut < a->n * b->n ? keep(r, at, n) : NULL;
}

/* Words of tools that do well, from logs of many: most frequent pieces of rules' literals. */
static const char everyday[] =
	"[info] |[error] |[warning] | https://| http://|remote: |resolving dep|downloading |"
	"extracting |compiling |expression|missing | object|version|server |plugin|default|warning|"
	"snapshot|package|install|error|failures|skipped: |execut|connect|resource|reading |"
	"database|repository|artifact|deprecated|contain|exception|dependenc|location|cannot |"
	"should |source|tests run: |client|compiler|collect|time elapsed: |could not transfer |"
	"[error] failed to execute goal |-maven-plugin";

enum { EVERYDAY_SLOTS = 2048 };
static_assert(sizeof(everyday) < EVERYDAY_SLOTS / 2, "it must stay easy to find");

/* Where its first bytes are, or would be. */
static uint64_t *slot_of(uint64_t slots[static EVERYDAY_SLOTS], uint64_t bytes)
{
	size_t at = bytes * 0x9e3779b97f4a7c15 >> 32;

	while (slots[at % EVERYDAY_SLOTS] && slots[at % EVERYDAY_SLOTS] != bytes)
		at++;
	return &slots[at % EVERYDAY_SLOTS];
}

static bool is_listed(const char s[static EVERYDAY_BYTES])
{
	static uint64_t slots[EVERYDAY_SLOTS];
	static bool ready;
	uint64_t bytes = 0;

	for (size_t i = 0; !ready && i + EVERYDAY_BYTES < sizeof(everyday); i++) {
		memcpy(&bytes, everyday + i, EVERYDAY_BYTES);
		*slot_of(slots, bytes) = bytes;
	}
	ready = true;
	bytes = 0;
	memcpy(&bytes, s, EVERYDAY_BYTES);
	return *slot_of(slots, bytes);
}

bool is_everyday(const char s[static EVERYDAY_BYTES])
{
	bool two_bytes = true;

	for (size_t i = 1, k = 0; i < EVERYDAY_BYTES; i++) {
		k = k || s[i] == s[0] ? k : i;
		two_bytes &= s[i] == s[0] || s[i] == s[k];
	}
	return two_bytes || is_listed(s);
}

/* Bytes of the longest stretch without anything of every day in it; all when it is short. */
static int telling_bytes(const struct literal *l)
{
	int most = 0, run = 0;

	if (l->len < EVERYDAY_BYTES)
		return l->len;
	for (size_t i = 0; i + EVERYDAY_BYTES <= l->len; i++) {
		run = is_everyday(l->text + i) ? 0 : run ? run + 1 : EVERYDAY_BYTES;
		most = run > most ? run : most;
	}
	return most;
}

/* How rare it is in logs, roughly. Words that healthy logs are full of are worth little. */
static int rarity(const struct literal *l)
{
	static const char *const common[] = {
		"http",      "error",     " error",   "errors", "code",    "failed",   " failed",
		"failed ",   "line",      "fail",     "status", "test",    "test ",    "tests ",
		"found ",    "not found", " in ",     "in ",    " errors", "errors: ", "error: ",
		"warning: ", "agent",     " failure", "config", "ata",     " http",    "failures: ",
	};
	int n;

	for (size_t i = 0; i < ARRAY_LEN(common); i++) {
		const char *word = common[i];
		size_t len = strlen(word);

		if (len == l->len && memcmp(word, l->text, len) == 0)
			return isalpha((unsigned char)*word) ? 3 : 3 + l->len / 2;
	}
	n = telling_bytes(l);
	if (n == 0)
		return 4;
	if (n < LITERAL_BYTES_MIN)
		return 0;
	return 2 * (n < ENOUGH ? n : ENOUGH);
}

static int worst(const struct literals *set)
{
	int least = 2 * ENOUGH;

	for (size_t i = 0; i < set->n; i++)
		if (rarity(&set->at[i]) < least)
			least = rarity(&set->at[i]);
	return least;
}

/* Many have to be very rare to be better than few. */
static int worth(const struct literals *set)
{
	int value = 4 * worst(set);

	for (size_t n = set->n; n > 1; n /= 2)
		value -= 5;
	return value;
}

static const struct literals *better(const struct literals *a, const struct literals *b)
{
	if (!a || !b)
		return a ? a : b;
	if (worth(a) != worth(b))
		return worth(a) > worth(b) ? a : b;
	return a->n <= b->n ? a : b;
}

/* Who finds "error" finds "fatal error", too. */
static size_t drop_longer(struct literal *at, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		bool needless = false;

		for (size_t k = 0; k < n && !needless; k++)
			needless = k != i && at[k].len < at[i].len && contains(&at[i], &at[k]);
		if (!needless)
			at[kept++] = at[i];
	}
	return kept;
}

/* As needs, of which there are to be few. */
static const struct literals *shortest(struct reader *r, const struct literals *set)
{
	struct literal *at;

	if (set->n < 2 || set->n > SHORTEST_MAX)
		return set;
	at = arena_alloc(r->arena, set->n * sizeof(*at));
	memcpy(at, set->at, set->n * sizeof(*at));
	return keep(r, at, drop_longer(at, set->n));
}

/* ---- marks -------------------------------------------------------------------- */

enum { LETTERS = 26, ANY_DIGIT = 63 };

static marks mark_of(unsigned char ch)
{
	static const char bytes[] = "!\"#$%&'()*+,-./0123456789:;<=>?@[\\]^_`{|}~";
	const char *at = ch ? strchr(bytes, ch) : NULL;
	marks m = { 0, 0 };

	if (at)
		m[0] = (uint64_t)1 << (at - bytes);
	if (isdigit(ch))
		m[0] |= (uint64_t)1 << ANY_DIGIT;
	if (ch >= 'a' && ch <= 'z')
		m[1] = (uint64_t)1 << (ch - 'a');
	if (ch >= 'A' && ch <= 'Z')
		m[1] = (((uint64_t)1 << LETTERS) + 1) << (ch - 'A');
	return m;
}

marks marks_on(const char *line, size_t n)
{
	static marks of[UCHAR_MAX + 1];
	static bool ready;
	marks all = { 0, 0 };

	for (unsigned i = 0; !ready && i < ARRAY_LEN(of); i++)
		of[i] = mark_of((unsigned char)i);
	ready = true;
	for (size_t i = 0; i < n; i++)
		all |= of[(unsigned char)line[i]];
	return all;
}

/* ---- atoms ----------------------------------------------------------------- */

static struct piece anything(void)
{
	return (struct piece){ .exact = NULL };
}

static struct piece nothing(void)
{
	return (struct piece){ .exact = &only_empty };
}

static struct piece lost(struct reader *r)
{
	r->lost = true;
	return anything();
}

static struct piece one_of(struct reader *r, const char *bytes, size_t n)
{
	struct literal *at = arena_alloc(r->arena, n * sizeof(*at));
	marks common = ~(marks){ 0, 0 };
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		struct literal one = { .len = 1 };

		one.text[0] = lower(bytes[i]);
		kept = add_new(at, kept, &one);
		common &= mark_of((unsigned char)bytes[i]);
	}
	return (struct piece){ .exact = keep(r, at, kept), .marks = common };
}

enum escape { ESCAPE_BYTE, ESCAPE_ANY, ESCAPE_NOTHING, ESCAPE_LOST };

/* The character after a backslash. */
static enum escape escape_of(char ch, char *byte)
{
	*byte = ch;
	if (!isalnum((unsigned char)ch))
		return ESCAPE_BYTE;
	if (ch == 't' || ch == 'n') {
		*byte = ch == 't' ? '\t' : '\n';
		return ESCAPE_BYTE;
	}
	if (strchr("dDwWsShHvVg123456789", ch))
		return ESCAPE_ANY;
	return strchr("bBK", ch) ? ESCAPE_NOTHING : ESCAPE_LOST;
}

static struct piece read_escape(struct reader *r)
{
	char byte;
	enum escape kind;

	if (!*r->at)
		return lost(r);
	kind = escape_of(*r->at++, &byte);
	if (kind == ESCAPE_BYTE)
		return one_of(r, &byte, 1);
	if (kind == ESCAPE_LOST)
		return lost(r);
	/* Of a reference to a group, all digits, or what is in braces. */
	if (isdigit((unsigned char)byte))
		r->at += strspn(r->at, "0123456789");
	if (byte == 'g' && (*r->at != '{' || !strchr(r->at, '}')))
		return lost(r);
	if (byte == 'g')
		r->at = strchr(r->at, '}') + 1;
	if (byte == 'd')
		return (struct piece){ .marks = { (uint64_t)1 << ANY_DIGIT, 0 } };
	return kind == ESCAPE_ANY ? anything() : nothing();
}

static struct piece read_class(struct reader *r)
{
	const char *s = r->at + 1, *end = r->at + pattern_class_end(r->at);
	char bytes[CLASS_MAX];
	size_t n = 0;

	if (*end != ']')
		return lost(r);
	r->at = end + 1;
	if (*s == '^')
		return anything();
	while (s < end) {
		char byte = *s++, last;
		bool odd = byte == '[';

		if (byte == '\\')
			odd = escape_of(*s++, &byte) != ESCAPE_BYTE;
		last = byte;
		if (s < end - 1 && *s == '-') {
			last = s[1];
			odd |= last == '\\' || last == '[' || last < byte;
			s += 2;
		}
		if (odd || n + (size_t)(last - byte) >= CLASS_MAX)
			return anything();
		do
			bytes[n++] = byte;
		while (byte++ != last);
	}
	return one_of(r, bytes, n);
}

/* What follows "(?": past it, and what the group is. */
static enum { GROUP_PLAIN, GROUP_LOOK, GROUP_FLAGS, GROUP_LOST } read_group_kind(struct reader *r)
{
	static const char *const plain[] = { ":", ">", "|" };
	static const char *const look[] = { "=", "!", "<=", "<!" };
	static const char *const named[] = { "<", "P<" };
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(look); i++)
		if (text_starts(r->at, look[i])) {
			r->at += strlen(look[i]);
			return GROUP_LOOK;
		}
	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (text_starts(r->at, plain[i])) {
			r->at += strlen(plain[i]);
			return GROUP_PLAIN;
		}
	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		if (text_starts(r->at, named[i]) && strchr(r->at, '>')) {
			r->at = strchr(r->at, '>') + 1;
			return GROUP_PLAIN;
		}
	n = strspn(r->at, "ims-");
	r->at += n;
	if (n == 0 || (*r->at != ')' && *r->at != ':'))
		return GROUP_LOST;
	return *r->at++ == ')' ? GROUP_FLAGS : GROUP_PLAIN;
}

static struct piece nothing_of(struct reader *r)
{
	struct piece p = nothing();

	p.front = r->fronts ? front_empty(r->arena) : NULL;
	return p;
}

/* At "(". */
static struct piece read_group(struct reader *r, const struct literals *before)
{
	bool look = false;
	struct piece inside;

	r->at++;
	if (*r->at == '*' || r->depth == DEPTH_MAX)
		return lost(r);
	if (*r->at == '?') {
		r->at++;
		switch (read_group_kind(r)) {
		case GROUP_FLAGS:
			return nothing_of(r);
		case GROUP_LOST:
			return lost(r);
		case GROUP_LOOK:
			look = true;
			break;
		case GROUP_PLAIN:
			break;
		}
	}
	r->depth++;
	inside = read_alternatives(r, look ? &only_empty : before);
	r->depth--;
	if (*r->at != ')')
		return lost(r);
	r->at++;
	return look ? nothing_of(r) : inside;
}

static struct piece read_byte(struct reader *r)
{
	switch (*r->at) {
	case '[':
		return read_class(r);
	case '\\':
		r->at++;
		return read_escape(r);
	case '.':
		r->at++;
		return anything();
	case '^':
	case '$':
		r->at++;
		return nothing();
	case '{':
		/* Later versions of the engine take more for a repeat than earlier ones. */
		if (strchr(", 0123456789", r->at[1]))
			return lost(r);
		return one_of(r, r->at++, 1);
	default:
		return one_of(r, r->at++, 1);
	}
}

static struct piece read_atom(struct reader *r)
{
	const char *begin = r->at;
	struct piece p;

	if (*begin == '(')
		return read_group(r, &only_empty);
	p = read_byte(r);
	if (r->fronts && p.exact == &only_empty)
		p.front = front_empty(r->arena);
	else if (r->fronts)
		p.front = front_atom(r->arena, begin, (size_t)(r->at - begin), r->any_case);
	return p;
}

/* ---- repeats, sequences, alternatives ------------------------------------------ */

struct repeat {
	unsigned low, high;
};

static unsigned read_number(const char **s)
{
	unsigned n = 0;

	while (isdigit((unsigned char)**s) && n < FOREVER)
		n = n * 10 + (unsigned)(*(*s)++ - '0');
	return n;
}

/* "{2}", "{2,}", "{2,5}"; anything else is text, as it is for PCRE2. */
static bool read_braces(struct reader *r, struct repeat *out)
{
	const char *s = r->at + 1;

	if (!isdigit((unsigned char)*s))
		return false;
	out->low = out->high = read_number(&s);
	if (*s == ',') {
		s++;
		out->high = isdigit((unsigned char)*s) ? read_number(&s) : FOREVER;
	}
	if (*s != '}')
		return false;
	r->at = s + 1;
	return true;
}

static struct repeat read_repeat(struct reader *r)
{
	struct repeat n = { 1, 1 };
	bool any = true;

	switch (*r->at) {
	case '?':
		n = (struct repeat){ 0, 1 };
		r->at++;
		break;
	case '*':
		n = (struct repeat){ 0, FOREVER };
		r->at++;
		break;
	case '+':
		n = (struct repeat){ 1, FOREVER };
		r->at++;
		break;
	case '{':
		any = read_braces(r, &n);
		break;
	default:
		any = false;
	}
	/* Lazy and possessive ones need the same. */
	if (any && (*r->at == '?' || *r->at == '+'))
		r->at++;
	return n;
}

struct sequence {
	const struct literals *run; /* what was matched since the last gap */
	const struct literals *best;
	marks marks;
	const struct front *front;
	bool gap;
};

static void need_run(struct reader *r, struct sequence *s)
{
	if (!has_empty(s->run))
		s->best = better(s->best, shortest(r, s->run));
}

static void end_run(struct reader *r, struct sequence *s)
{
	need_run(r, s);
	s->run = &only_empty;
	s->gap = true;
}

static void append(struct reader *r, struct sequence *s, struct piece p)
{
	const struct literals *longer = p.exact ? both(r, s->run, p.exact) : NULL;

	if (p.needs)
		s->best = better(s->best, p.needs);
	if (longer) {
		/* Without what makes them many they may be better. */
		if (longer->n > s->run->n)
			need_run(r, s);
		s->run = longer;
		return;
	}
	end_run(r, s);
	if (p.exact)
		s->run = p.exact;
}

static void append_repeated(struct reader *r, struct sequence *s, struct piece p, struct repeat n)
{
	if (n.low > 0)
		s->marks |= p.marks;
	if (n.low == 0) {
		p.needs = NULL;
		if (p.exact)
			p.exact = n.high == 1 ? either(r, p.exact, &only_empty, EXACT_MAX) : NULL;
	}
	append(r, s, p);
	if (n.high > 1)
		end_run(r, s);
	if (r->fronts && !r->lost)
		s->front = front_joined(r->arena, s->front,
					front_repeated(r->arena, p.front, n.low, n.high));
}

/*
 * In "no (tax|\d+ rates)" the second branch is only known to begin so. What stands before
 * the group is worth more when it is read as the beginning of each branch.
 */
static void read_again_with_run(struct reader *r, struct sequence *s, const char *group)
{
	const char *after = r->at;
	struct piece p;

	r->at = group;
	p = read_group(r, s->run);
	r->at = after;
	s->best = better(s->best, p.needs);
}

static struct piece read_sequence(struct reader *r, const struct literals *before)
{
	enum { NESTED_MAX = 5 };
	struct sequence s = { .run = before };

	s.front = r->fronts ? front_empty(r->arena) : NULL;

	while (*r->at && *r->at != '|' && *r->at != ')' && !r->lost) {
		const char *at = r->at;
		struct piece p = read_atom(r);
		struct repeat n = read_repeat(r);

		if (*at == '(' && !p.exact && n.low == 1 && n.high == 1 && r->depth < NESTED_MAX)
			read_again_with_run(r, &s, at);
		append_repeated(r, &s, p, n);
	}
	if (!s.gap)
		return (struct piece){ .exact = s.run, .marks = s.marks, .front = s.front };
	end_run(r, &s);
	return (struct piece){ .needs = s.best, .marks = s.marks, .front = s.front };
}

/* What a branch needs, be it known exactly or not. */
static const struct literals *needs_of(struct piece p)
{
	if (p.needs || !p.exact)
		return p.needs;
	return has_empty(p.exact) ? NULL : p.exact;
}

static struct piece read_alternatives(struct reader *r, const struct literals *before)
{
	struct piece all = read_sequence(r, before);

	while (*r->at == '|' && !r->lost) {
		struct piece next, joined = { .exact = NULL };
		const struct literals *a, *b;

		r->at++;
		next = read_sequence(r, before);
		if (all.exact && next.exact)
			joined.exact = either(r, all.exact, next.exact, EXACT_MAX);
		joined.marks = all.marks & next.marks;
		if (r->fronts)
			joined.front = front_either(r->arena, all.front, next.front);
		a = needs_of(all);
		b = needs_of(next);
		if (!joined.exact && a && b)
			joined.needs = either(r, a, b, LITERALS_MAX);
		/* Once a branch needs nothing, all together do not. */
		all = joined;
	}
	if (all.needs)
		all.needs = shortest(r, all.needs);
	return all;
}

/* "(?i)", or "(?i:", or among others, wherever. */
static bool ignores_case(const char *regex)
{
	while ((regex = strstr(regex, "(?"))) {
		regex += 2;
		if (memchr(regex, 'i', strspn(regex, "ims-")))
			return true;
	}
	return false;
}

marks marks_needed(const char *regex)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct reader r = { .at = regex, .arena = a };
	struct piece p = read_alternatives(&r, &only_empty);

	if (r.lost || *r.at)
		return (marks){ 0, 0 };
	if (ignores_case(regex))
		p.marks[1] &= ((uint64_t)1 << LETTERS) - 1;
	return p.marks;
}

const struct front *front_of(const char *regex, struct arena *a)
{
	struct reader r = {
		.at = regex, .arena = a, .fronts = true, .any_case = ignores_case(regex)
	};
	struct piece p = read_alternatives(&r, &only_empty);

	return r.lost || *r.at ? front_any(a) : p.front;
}

bool literals_of(const char *regex, struct arena *a, struct literals *out)
{
	struct reader r = { .at = regex, .arena = a };
	struct piece p = read_alternatives(&r, &only_empty);
	const struct literals *needs = needs_of(p);
	struct literal *at;

	if (r.lost || *r.at || !needs)
		return false;
	at = arena_alloc(a, needs->n * sizeof(*at));
	memcpy(at, needs->at, needs->n * sizeof(*at));
	out->n = drop_longer(at, needs->n);
	out->at = at;
	out->rarity = (unsigned)worst(out);
	return true;
}
