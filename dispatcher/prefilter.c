#include "dispatcher/prefilter.h"

#include <ctype.h>
#include <malloc.h>
#include <string.h>

#include "core/buf.h"
#include "core/crypto.h"
#include "core/mem.h"
#include "dispatcher/literals.h"
#include "dispatcher/rule_cache.h"
#include "dispatcher/trigger.h"

#if GUARD_HAVE_HYPERSCAN
#include <hs.h>
#endif

struct prefilter {
	const struct rule *rules;
	size_t n_rules, n_parts;
	struct trigger *trigger;
	uint32_t *everywhere; /* parts that are candidates on every line */
	size_t n_everywhere;
	bool one_pass, from_cache;
	struct candidate *found, *sorted;
	size_t n, cap;
	uint32_t ends[CLEAN_LINES_MAX + 1];
#if GUARD_HAVE_HYPERSCAN
	hs_database_t *db;
	hs_scratch_t *scratch;
#endif
	const struct clean_line *lines; /* of the block being scanned */
	size_t n_lines, line;
};

static void add(void *arg, size_t line, uint32_t part)
{
	struct prefilter *p = arg;

	if (p->n == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 256;
		p->found = xrealloc(p->found, p->cap * sizeof(*p->found));
		p->sorted = xrealloc(p->sorted, p->cap * sizeof(*p->sorted));
	}
	p->found[p->n++] = (struct candidate){
		.line = (uint32_t)line,
		.rule = (uint16_t)(part / RULE_PARTS_MAX),
		.part = (uint16_t)(part % RULE_PARTS_MAX),
	};
}

#if GUARD_HAVE_HYPERSCAN

enum {
	/*
	 * Counted repeats make the engine's automata large and slow to build. Above
	 * this they are looked for without the upper bound, which finds more, never less.
	 */
	REPEAT_MAX = 3,
};

/* At "{2,40}": reads the bounds; returns the length, 0 when it is something else. */
static size_t repeat_at(const char *s, unsigned *low, unsigned *high)
{
	size_t i = 1;

	*low = *high = 0;
	while (isdigit((unsigned char)s[i]) && i < 6)
		*low = *low * 10 + (unsigned)(s[i++] - '0');
	if (i == 1 || s[i++] != ',')
		return 0;
	while (isdigit((unsigned char)s[i]) && i < 12)
		*high = *high * 10 + (unsigned)(s[i++] - '0');
	return s[i] == '}' && *high ? i + 1 : 0;
}

/* The pattern with large upper bounds left out. */
static char *relax(const char *regex)
{
	char *out = xmalloc(strlen(regex) + 1);
	size_t n = 0;

	for (size_t i = 0; regex[i];) {
		unsigned low, high;
		size_t len = regex[i] == '{' ? repeat_at(regex + i, &low, &high) : 0;

		if (len && high > REPEAT_MAX) {
			out[n++] = low ? '+' : '*';
			i += len;
			continue;
		}
		/* Escapes and classes are copied whole: no repeat begins in them. */
		len = regex[i] == '[' ? pattern_class_end(regex + i) + 1 : 1;
		len += regex[i] == '\\' && regex[i + 1];
		memcpy(out + n, regex + i, len);
		n += len;
		i += len;
	}
	out[n] = '\0';
	return out;
}

static const unsigned ways[] = {
	HS_FLAG_MULTILINE, HS_FLAG_MULTILINE | HS_FLAG_PREFILTER, /* may match more, never less */
};

/* The flags under which the engine takes the pattern; 0 when it does not. */
static unsigned flags_for(const char *regex)
{
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		hs_expr_info_t *info = NULL;
		hs_compile_error_t *why = NULL;
		hs_error_t rc = hs_expression_info(regex, ways[i], &info, &why);

		free(info);
		(void)hs_free_compile_error(why);
		if (rc == HS_SUCCESS)
			return ways[i];
	}
	return 0;
}

struct patterns {
	char **regex;
	unsigned *flags, *ids;
	unsigned n;
};

static void patterns_done(struct patterns *ps)
{
	for (unsigned i = 0; i < ps->n; i++)
		free(ps->regex[i]);
	free(ps->regex);
	free(ps->flags);
	free(ps->ids);
}

/* False for a literal, which every engine has to take. */
static bool leave_out(struct prefilter *p, struct patterns *ps, unsigned i)
{
	if (ps->ids[i] >= part_id(p->n_rules, 0))
		return false;
	p->everywhere[p->n_everywhere++] = ps->ids[i];
	free(ps->regex[i]);
	ps->n--;
	memmove(ps->regex + i, ps->regex + i + 1, (ps->n - i) * sizeof(*ps->regex));
	memmove(ps->flags + i, ps->flags + i + 1, (ps->n - i) * sizeof(*ps->flags));
	memmove(ps->ids + i, ps->ids + i + 1, (ps->n - i) * sizeof(*ps->ids));
	return true;
}

/* Compiles all together; a pattern that the engine refuses after all is left out. */
static bool compile(struct prefilter *p, struct patterns *ps)
{
	while (ps->n) {
		hs_compile_error_t *why = NULL;
		hs_error_t rc = hs_compile_multi((const char *const *)ps->regex, ps->flags, ps->ids,
						 ps->n, HS_MODE_BLOCK, NULL, &p->db, &why);
		int culprit = rc == HS_SUCCESS ? -1 : why->expression;

		(void)hs_free_compile_error(why);
		if (rc == HS_SUCCESS)
			return hs_alloc_scratch(p->db, &p->scratch) == HS_SUCCESS;
		if (culprit < 0 || (unsigned)culprit >= ps->n ||
		    !leave_out(p, ps, (unsigned)culprit))
			return false;
	}
	/* With nothing to compile the trigger finds all. */
	return true;
}

/* Bytes that mean nothing else to the engine, in any case. */
static char *quoted(const struct literal *l)
{
	OWNED(buf_done) struct buf out;

	buf_init(&out, 4 * LITERAL_BYTES_MAX + 8);
	buf_puts(&out, "(?i)");
	for (size_t i = 0; i < l->len; i++)
		buf_printf(&out, "\\x%02x", (unsigned char)l->text[i]);
	return xstrdup(out.data);
}

/*
 * What is left to the engine: parts of which the trigger knows nothing, and its short
 * literals, whose ids come after those of the parts. The flags come later.
 */
static struct patterns patterns_of(const struct prefilter *p, const struct rule_set *set)
{
	size_t n_unknown, n_short = 0;
	const uint32_t *unknown = trigger_unknown(p->trigger, &n_unknown);
	struct patterns ps = { .n = 0 };

	while (trigger_short(p->trigger, n_short))
		n_short++;
	ps.regex = xcalloc(n_unknown + n_short + 1, sizeof(char *));
	ps.flags = xcalloc(n_unknown + n_short + 1, sizeof(unsigned));
	ps.ids = xcalloc(n_unknown + n_short + 1, sizeof(unsigned));
	for (size_t i = 0; i < n_unknown; i++) {
		const struct rule *r = &set->rules[unknown[i] / RULE_PARTS_MAX];

		ps.regex[ps.n] = relax(r->parts.at[unknown[i] % RULE_PARTS_MAX].regex);
		ps.ids[ps.n++] = unknown[i];
	}
	for (size_t i = 0; i < n_short; i++) {
		ps.regex[ps.n] = quoted(trigger_short(p->trigger, i));
		ps.ids[ps.n++] = part_id(set->n, i);
	}
	return ps;
}

static bool compile_all(struct prefilter *p, struct patterns *ps)
{
	for (unsigned i = ps->n; i-- > 0;) {
		ps->flags[i] = flags_for(ps->regex[i]);
		if (!ps->flags[i] && !leave_out(p, ps, i))
			return false;
	}
	p->one_pass = compile(p, ps);
#ifdef __GLIBC__
	/* The compiler needs many times the memory of what it makes. */
	(void)malloc_trim(0);
#endif
	return p->one_pass;
}

/* All that decides what compiling gives: engine, machine, flags, and which pattern is which rule.
 */
static bool key_of(const struct patterns *ps, size_t n_rules,
		   unsigned char key[static SHA256_BYTES])
{
	OWNED(buf_done) struct buf text;
	hs_platform_info_t machine;

	buf_init(&text, RULE_CACHE_BYTES_MAX);
	memset(&machine, 0, sizeof(machine));
	if (hs_populate_platform(&machine) != HS_SUCCESS)
		return false;
	buf_printf(&text, "%s\n%zu %u %u %llx\n", hs_version(), n_rules, HS_MODE_BLOCK,
		   machine.tune, machine.cpu_features);
	buf_append(&text, ways, sizeof(ways));
	for (unsigned i = 0; i < ps->n; i++) {
		buf_printf(&text, "%u ", ps->ids[i]);
		buf_append(&text, ps->regex[i], strlen(ps->regex[i]) + 1);
	}
	sha256(text.data, text.len, key);
	return !text.overflow;
}

static bool take_cached(struct prefilter *p, const char *folder, const unsigned char *key)
{
	OWNED(rule_cache_entry_done) struct rule_cache_entry entry = { .data = NULL };

	if (!rule_cache_read(folder, key, &entry) || entry.n_left_out > p->n_parts)
		return false;
	for (size_t i = 0; i < entry.n_left_out; i++)
		if (entry.left_out[i] >= part_id(p->n_rules, 0))
			return false;
	if (hs_deserialize_database(entry.data, entry.n, &p->db) != HS_SUCCESS)
		return false;
	if (hs_alloc_scratch(p->db, &p->scratch) != HS_SUCCESS) {
		(void)hs_free_database(p->db);
		p->db = NULL;
		return false;
	}
	for (size_t i = 0; i < entry.n_left_out; i++)
		p->everywhere[p->n_everywhere++] = entry.left_out[i];
	return true;
}

static void give_to_cache(const struct prefilter *p, const char *folder, const unsigned char *key)
{
	OWNED(freep) char *data = NULL;
	size_t n;

	if (hs_serialize_database(p->db, &data, &n) == HS_SUCCESS)
		(void)rule_cache_write(folder, key,
				       &(struct rule_cache_entry){
					       .data = data,
					       .n = n,
					       .left_out = p->everywhere,
					       .n_left_out = p->n_everywhere,
				       });
}

/* Without a folder nothing is kept. */
static void build(struct prefilter *p, const struct rule_set *set, const char *folder)
{
	OWNED(patterns_done) struct patterns ps = { .regex = NULL };
	unsigned char key[SHA256_BYTES];

	if (hs_valid_platform() != HS_SUCCESS)
		return;
	ps = patterns_of(p, set);
	if (folder && !key_of(&ps, set->n, key))
		folder = NULL;
	p->from_cache = folder && take_cached(p, folder, key);
	p->one_pass = p->from_cache;
	if (!p->from_cache && compile_all(p, &ps) && p->db && folder)
		give_to_cache(p, folder, key);
}

static void drop(struct prefilter *p)
{
	(void)hs_free_scratch(p->scratch);
	(void)hs_free_database(p->db);
}

/* Index of the line that holds the byte; matches come nearly in order, so start at the last. */
static size_t line_of(struct prefilter *p, uint64_t at)
{
	while (p->line > 0 && p->lines[p->line].start > at)
		p->line--;
	while (p->line + 1 < p->n_lines && p->lines[p->line + 1].start <= at)
		p->line++;
	return p->line;
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
		    void *arg)
{
	struct prefilter *p = arg;
	size_t line;

	UNUSED(from);
	UNUSED(flags);
	line = line_of(p, to ? to - 1 : 0);
	if (id < part_id(p->n_rules, 0))
		add(p, line, id);
	else
		trigger_found(p->trigger, id - part_id(p->n_rules, 0), line, add, p);
	return 0;
}

static void scan_once(struct prefilter *p, const char *text, size_t len)
{
	p->line = 0;
	if (p->db)
		(void)hs_scan(p->db, text, (unsigned)len, 0, p->scratch, on_match, p);
}

#else

static void build(struct prefilter *p, const struct rule_set *set, const char *folder)
{
	UNUSED(p);
	UNUSED(set);
	UNUSED(folder);
}

static void drop(struct prefilter *p)
{
	UNUSED(p);
}

static void scan_once(struct prefilter *p, const char *text, size_t len)
{
	UNUSED(p);
	UNUSED(text);
	UNUSED(len);
}

#endif

static struct prefilter *new_prefilter(const struct rule_set *set, bool hyperscan,
				       const char *folder)
{
	struct prefilter *p = xcalloc(1, sizeof(*p));
	const uint32_t *unknown;

	p->rules = set->rules;
	p->n_rules = set->n;
	p->trigger = trigger_new(set);
	for (size_t i = 0; i < set->n; i++)
		p->n_parts += set->rules[i].parts.n;
	p->everywhere = xcalloc(p->n_parts + 1, sizeof(*p->everywhere));
	if (hyperscan)
		build(p, set, folder);
	if (p->one_pass)
		return p;
	unknown = trigger_unknown(p->trigger, &p->n_everywhere);
	if (p->n_everywhere)
		memcpy(p->everywhere, unknown, p->n_everywhere * sizeof(*unknown));
	return p;
}

struct prefilter *prefilter_new(const struct rule_set *set, bool hyperscan)
{
	return new_prefilter(set, hyperscan, NULL);
}

struct prefilter *prefilter_new_cached(const struct rule_set *set, const char *folder)
{
	return new_prefilter(set, true, folder);
}

void prefilter_free(struct prefilter *p)
{
	if (!p)
		return;
	drop(p);
	trigger_free(p->trigger);
	free(p->everywhere);
	free(p->found);
	free(p->sorted);
	free(p);
}

bool prefilter_is_one_pass(const struct prefilter *p)
{
	return p->one_pass;
}

bool prefilter_is_from_cache(const struct prefilter *p)
{
	return p->from_cache;
}

size_t prefilter_left_out(const struct prefilter *p)
{
	return p->n_everywhere;
}

static uint32_t id_of(const struct candidate *c)
{
	return part_id(c->rule, c->part);
}

/*
 * Of one line: those it has the marks for, by rule and part, without repeats; few at a time,
 * nearly in order.
 */
static size_t sort_line(const struct prefilter *p, const char *line, size_t len,
			struct candidate *at, size_t n)
{
	marks there = marks_on(line, len);
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		struct candidate one = at[i];
		size_t k = kept;

		if (!has_marks(there, rule_part_marks(&p->rules[one.rule], one.part)))
			continue;
		while (k > 0 && id_of(&at[k - 1]) > id_of(&one))
			k--;
		if (k > 0 && id_of(&at[k - 1]) == id_of(&one))
			continue;
		memmove(at + k + 1, at + k, (kept - k) * sizeof(*at));
		at[k] = one;
		kept++;
	}
	return kept;
}

/* From `found` to `sorted`. */
static void sort_and_dedupe(struct prefilter *p, const char *text)
{
	size_t kept = 0;

	memset(p->ends, 0, (p->n_lines + 1) * sizeof(*p->ends));
	for (size_t i = 0; i < p->n; i++)
		p->ends[p->found[i].line + 1]++;
	for (size_t i = 0; i < p->n_lines; i++)
		p->ends[i + 1] += p->ends[i];
	/* Here it is where the lines begin, afterwards where they end. */
	for (size_t i = 0; i < p->n; i++)
		p->sorted[p->ends[p->found[i].line]++] = p->found[i];
	for (size_t i = 0, begin = 0; begin < p->n; begin = p->ends[i++]) {
		const struct clean_line *l = &p->lines[i];
		size_t n = p->ends[i] - begin;

		if (n == 0)
			continue;
		n = sort_line(p, text + l->start, l->len, p->sorted + begin, n);
		memmove(p->sorted + kept, p->sorted + begin, n * sizeof(*p->sorted));
		kept += n;
	}
	p->n = kept;
}

const struct candidate *prefilter_scan(struct prefilter *p, const char *text, size_t len,
				       const struct clean_line *lines, size_t n_lines, size_t *n)
{
	p->lines = lines;
	p->n_lines = n_lines;
	p->n = 0;
	trigger_scan(p->trigger, text, len, lines, n_lines, p->one_pass, add, p);
	if (n_lines && p->one_pass)
		scan_once(p, text, len);
	for (size_t i = 0; p->n_everywhere && i < n_lines; i++)
		for (size_t k = 0; k < p->n_everywhere; k++)
			add(p, i, p->everywhere[k]);
	sort_and_dedupe(p, text);
	*n = p->n;
	return p->sorted;
}
