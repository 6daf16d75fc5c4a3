#include "dispatcher/scan.h"

#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/mask.h"

struct scan *scan_new(const struct rule_set *rules, const struct matcher *m,
		      const char *failed_step)
{
	struct scan *s = xcalloc(1, sizeof(*s));

	s->rules = rules;
	s->matcher = m;
	s->failed_step = failed_step;
	s->tallies = xcalloc(rules->n, sizeof(*s->tallies));
	return s;
}

void scan_free(struct scan *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->rules->n; i++)
		free(s->tallies[i].hits);
	for (size_t i = 0; i < s->n_tests; i++)
		free(s->tests[i].name);
	free(s->tallies);
	free(s);
}

static void next_part(struct scan *s)
{
	if (s->part + 1 < PARTS_MAX)
		s->part++;
}

/* The lines before index `end`, masked. */
static void take_tail(struct tail *t, const char *text, const struct clean_line *lines, size_t end)
{
	size_t first = end > TAIL_LINES ? end - TAIL_LINES : 0;

	t->n = 0;
	for (size_t i = first; i < end; i++) {
		const char *line = text + lines[i].start;

		(void)mask_text(line, lines[i].len, t->text[t->n], sizeof(t->text[0]));
		t->line[t->n++] = lines[i].number;
	}
}

static void end_part(struct scan *s, enum part_state state)
{
	s->parts[s->part] = (uint8_t)state;
	if (state == PART_FAILED && !s->any_failed)
		take_tail(&s->last_words, s->block, s->lines, s->at);
	s->any_failed |= state == PART_FAILED;
	s->any_passed |= state == PART_PASSED;
	s->log_passed &= state != PART_FAILED;
	next_part(s);
}

/* GitHub names an unnamed step "Run COMMAND"; the log shows the command. */
static bool is_failed_step(const struct scan *s, const char *text, size_t len)
{
	const char *want = s->failed_step;

	if (!want || !len)
		return false;
	if (text_starts(want, "Run "))
		want += 4;
	return strlen(want) == len && memcmp(want, text, len) == 0;
}

static void begin_step(struct scan *s, const char *text, size_t len)
{
	next_part(s);
	s->any_step = true;
	if (is_failed_step(s, text, len)) {
		s->parts[s->part] = PART_FAILED;
		s->any_failed = true;
	}
}

/* A place for a hit in this part; NULL when there are enough. */
static struct hit *slot_for(struct scan *s, struct tally *t)
{
	struct hit *oldest = NULL;
	unsigned here = 0;

	if (!t->hits)
		t->hits = xcalloc(HITS_KEPT, sizeof(*t->hits));
	for (unsigned i = 0; i < t->n_hits; i++) {
		struct hit *h = &t->hits[i];

		here += h->part == s->part;
		if (s->parts[h->part] == PART_PASSED ||
		    (s->parts[h->part] == PART_OPEN && h->part != s->part && i > 0))
			oldest = oldest && oldest->line < h->line ? oldest : h;
	}
	if (here >= HITS_PER_PART)
		return NULL;
	return t->n_hits < HITS_KEPT ? &t->hits[t->n_hits++] : oldest;
}

static void keep_hit(struct scan *s, struct tally *t, const struct clean_line *l, const char *text)
{
	struct hit *h = slot_for(s, t);

	t->count++;
	if (!h)
		return;
	h->line = l->number;
	h->part = s->part;
	h->flags = l->flags;
	(void)mask_text(text, l->len, h->text, sizeof(h->text));
}

static void keep_test(struct scan *s, char *name)
{
	for (size_t i = 0; i < s->n_tests; i++) {
		if (strcmp(s->tests[i].name, name) != 0)
			continue;
		/* The last time it was named counts: a retry may have failed again. */
		s->tests[i].part = s->part;
		free(name);
		return;
	}
	if (s->n_tests == TESTS_KEPT) {
		free(name);
		return;
	}
	s->tests[s->n_tests++] = (struct failed_test){ .part = s->part, .name = name };
}

static void capture_test(struct scan *s, const struct rule *r, const char *line, size_t len)
{
	char masked[FINDING_TEXT_MAX + 1];
	const char *test, *suite;
	size_t n_test, n_suite;

	if (pattern_match(r->capture, s->matcher, line, len) != RULE_HIT ||
	    !pattern_group(r->capture, s->matcher, line, "test", &test, &n_test))
		return;
	if (!pattern_group(r->capture, s->matcher, line, "suite", &suite, &n_suite)) {
		(void)mask_text(test, n_test, masked, sizeof(masked));
		keep_test(s, xstrdup(masked));
		return;
	}
	OWNED(freep) char *full = xasprintf("%.*s.%.*s", (int)n_suite, suite, (int)n_test, test);
	(void)mask_text(full, strlen(full), masked, sizeof(masked));
	keep_test(s, xstrdup(masked));
}

/* Rules that hit the line, in the order of the set; at most max. */
static size_t confirm(struct scan *s, const char *line, size_t len, const struct candidate *c,
		      size_t n, uint32_t *hits, size_t max)
{
	size_t n_hits = 0;

	for (size_t i = 0; i < n && n_hits < max; i++) {
		struct tally *t = &s->tallies[c[i].rule];
		enum rule_result rc;

		if (t->gave_up >= GAVE_UP_MAX)
			continue;
		rc = pattern_match(s->rules->rules[c[i].rule].code, s->matcher, line, len);
		t->gave_up += rc == RULE_GAVE_UP;
		if (rc == RULE_HIT)
			hits[n_hits++] = c[i].rule;
	}
	return n_hits;
}

static void scan_line(struct scan *s, const char *line, const struct clean_line *l,
		      const struct candidate *c, size_t n)
{
	enum { MOST = 32 };
	uint32_t hits[MOST];
	size_t n_hits = confirm(s, line, l->len, c, n, hits, MOST);
	enum part_state end = PART_OPEN;
	bool log_passed = false;

	for (size_t i = 0; i < n_hits; i++)
		if (s->rules->rules[hits[i]].spec->class == RULE_BENIGN)
			return;
	for (size_t i = 0; i < n_hits; i++) {
		const struct rule *r = &s->rules->rules[hits[i]];

		if (r->spec->class == RULE_STEP_FAILED)
			end = PART_FAILED;
		else if (r->spec->class == RULE_STEP_PASSED && end == PART_OPEN)
			end = PART_PASSED;
		log_passed |= r->spec->class == RULE_LOG_PASSED;
		keep_hit(s, &s->tallies[hits[i]], l, line);
		if (r->capture)
			capture_test(s, r, line, l->len);
	}
	/* Last, so that a cause on the same line belongs to the part that it ended. */
	if (end != PART_OPEN)
		end_part(s, end);
	s->log_passed |= log_passed;
}

void scan_block(struct scan *s, const char *text, const struct clean_line *lines, size_t n_lines,
		const struct candidate *c, size_t n_candidates)
{
	size_t at = 0;

	s->block = text;
	s->lines = lines;
	for (size_t i = 0; i < n_lines; i++) {
		const struct clean_line *l = &lines[i];
		const char *line = text + l->start;
		size_t first = at;

		s->at = i;
		while (at < n_candidates && c[at].line == i)
			at++;
		if (l->flags & CLEAN_STEP)
			begin_step(s, line, l->len);
		if (l->flags & CLEAN_COMMAND)
			continue;
		if (at > first)
			scan_line(s, line, l, c + first, at - first);
	}
	take_tail(&s->tail, text, lines, n_lines);
	s->block = NULL;
}
