#include "dispatcher/scan.h"

#include <string.h>

#include "core/mask.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/literals.h"

struct scan *scan_new(const struct rule_set *rules, const struct matcher *m,
		      const char *failed_step)
{
	struct scan *s = xcalloc(1, sizeof(*s));

	s->rules = rules;
	s->matcher = m;
	s->failed_step = failed_step;
	s->tallies = xcalloc(rules->n, sizeof(*s->tallies));
	s->benign = xcalloc(rules->n, sizeof(*s->benign));
	for (size_t i = 0; i < rules->n; i++)
		if (rules->rules[i].spec->class == RULE_BENIGN)
			s->benign[s->n_benign++] = (uint32_t)i;
	return s;
}

static void forget_unfinished(struct scan *s)
{
	free(s->unfinished.begun);
	s->unfinished = (struct unfinished){ .rule = NULL };
}

void scan_free(struct scan *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->rules->n; i++)
		free(s->tallies[i].hits);
	for (size_t i = 0; i < s->n_tests; i++)
		free(s->tests[i].name);
	forget_unfinished(s);
	free(s->benign);
	free(s->tallies);
	free(s);
}

static void next_part(struct scan *s)
{
	if (s->part + 1 < PARTS_MAX)
		s->part++;
}

static void take_line(struct recent_line *to, const char *text, const struct clean_line *l)
{
	to->number = l->number;
	to->len = l->len;
	memcpy(to->text, text + l->start, l->len);
}

/*
 * The lines before index `end`; where this block has too few, those that were taken before,
 * which ended where this block begins, stay in front of them.
 */
static void take_recent(struct recent *r, const char *text, const struct clean_line *lines,
			size_t end)
{
	size_t n = end < TAIL_LINES ? end : TAIL_LINES;
	size_t kept = r->n < TAIL_LINES - n ? r->n : TAIL_LINES - n;

	memmove(r->lines, r->lines + r->n - kept, kept * sizeof(r->lines[0]));
	r->n = (unsigned)kept;
	for (size_t i = end - n; i < end; i++)
		take_line(&r->lines[r->n++], text, &lines[i]);
}

static void mask_tail(struct tail *t, const struct recent *r)
{
	for (t->n = 0; t->n < r->n; t->n++) {
		const struct recent_line *l = &r->lines[t->n];

		(void)mask_text(l->text, l->len, t->text[t->n], sizeof(t->text[0]));
		t->line[t->n] = l->number;
	}
}

/* What the log said before line `end` of this block. */
static void keep_last_words(struct scan *s, size_t end)
{
	OWNED(freep) struct recent *r = xmemdup(&s->recent, sizeof(*r));

	take_recent(r, s->block, s->lines, end);
	mask_tail(&s->last_words, r);
}

static void end_part(struct scan *s, enum part_state state)
{
	s->parts[s->part] = (uint8_t)state;
	if (state == PART_FAILED && (!s->last_words.n || !s->any_failed))
		keep_last_words(s, s->at);
	s->any_failed |= state == PART_FAILED;
	s->any_passed |= state == PART_PASSED;
	s->log_passed &= state != PART_FAILED;
	next_part(s);
}

/* GitHub names an unnamed step "Run COMMAND", and so does the log; other systems leave "Run" out.
 */
static bool is_failed_step(const struct scan *s, const char *text, size_t len)
{
	static const char run[] = "Run ";
	const char *want = s->failed_step;

	if (!want || !len)
		return false;
	if (text_starts(want, run))
		want += strlen(run);
	if (len > strlen(run) && memcmp(text, run, strlen(run)) == 0) {
		text += strlen(run);
		len -= strlen(run);
	}
	return strlen(want) == len && memcmp(want, text, len) == 0;
}

/* "$ make" and "+ make" of shells, "Run make" of GitHub; not the headings of groups of lines. */
static void keep_command(struct scan *s, const struct clean_line *l, const char *text)
{
	bool echoed = l->len > 2 && text[1] == ' ' && (*text == '$' || *text == '+');

	if (!s->any_failed && (echoed || (l->flags & CLEAN_STEP)))
		take_line(&s->echoed, text - l->start, l);
}

static void begin_step(struct scan *s, const char *text, size_t len)
{
	next_part(s);
	s->any_step = true;
	if (is_failed_step(s, text, len)) {
		s->parts[s->part] = PART_FAILED;
		s->any_failed = true;
		s->last_words.n = 0;
	}
}

/*
 * An action of GitHub ends with the error it marks and no exit status. Steps after it still run, so
 * the mark says which part failed, until an exit status says it better.
 */
static void mark_part(struct scan *s)
{
	s->any_marked = true;
	if (!s->any_github_step || s->any_failed || s->parts[s->part] != PART_OPEN)
		return;
	s->parts[s->part] = PART_MARKED;
	if (!s->last_words.n)
		keep_last_words(s, s->at + 1);
}

const struct tail *scan_last_words(const struct scan *s)
{
	return s->last_words.n ? &s->last_words : &s->tail;
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

/*
 * Tools name a test more than once, with and without the suite or file that it
 * is in: "Tax.adds" and "org.acme.Tax.adds" are one.
 */
static inline bool same_test(const char *longer, size_t n, const char *shorter, size_t m)
{
	char before;

	/* Most differ already there: a log may name thousands, one after the other. */
	if (n < m || (n && m && longer[n - 1] != shorter[m - 1] && longer[n - 1] != ']'))
		return false;
	/* A summary may name a test without the parameters that it ran with. */
	if (n && longer[n - 1] == ']' && !strchr(shorter, '['))
		n = strcspn(longer, "[");
	if (n <= m)
		return n == m && memcmp(longer, shorter, n) == 0;
	before = longer[n - m - 1];
	return (before == '.' || before == ':' || before == '/') &&
	       memcmp(longer + n - m, shorter, m) == 0;
}

/* The last time it was named counts: a retry may have failed again. The fuller name wins. */
static bool known_test(struct scan *s, const struct rule *r, const char *name, size_t *at)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < s->n_tests; i++) {
		struct failed_test *t = &s->tests[i];
		bool fuller = same_test(name, len, t->name, t->len);

		if (!fuller && !same_test(t->name, t->len, name, len))
			continue;
		t->part = s->part;
		if (!t->framework)
			t->framework = r->spec->framework;
		if (fuller) {
			free(t->name);
			t->name = xstrdup(name);
			t->len = len;
		}
		*at = i;
		return true;
	}
	return false;
}

/* Index of the test; TESTS_KEPT when there are too many. */
static size_t keep_test(struct scan *s, const struct rule *r, const char *name, size_t len)
{
	char masked[FINDING_TEXT_MAX + 1];
	size_t at;

	(void)mask_text(name, len, masked, sizeof(masked));
	if (known_test(s, r, masked, &at))
		return at;
	if (s->n_tests == TESTS_KEPT)
		return TESTS_KEPT;
	s->tests[s->n_tests] = (struct failed_test){
		.part = s->part,
		.name = xstrdup(masked),
		.len = strlen(masked),
		.framework = r->spec->framework,
	};
	return s->n_tests++;
}

/* A name that is known with its suite already needs nothing more. */
static void begin_following(struct scan *s, const struct rule *r, char **name, bool begun)
{
	size_t at = begun ? TESTS_KEPT : keep_test(s, r, *name, strlen(*name));
	bool complete = !begun && (at == TESTS_KEPT || strcmp(s->tests[at].name, *name) != 0);

	forget_unfinished(s);
	if (complete || !r->follow)
		return;
	s->unfinished = (struct unfinished){
		.rule = r,
		.begun = begun ? TAKE(*name) : NULL,
		.test = at,
		.lines_left = FOLLOW_LINES,
	};
}

static void capture_test(struct scan *s, const struct rule *r, const char *line, size_t len)
{
	const char *separator = r->spec->separator ? r->spec->separator : ".";
	OWNED(freep) char *full = NULL;
	const char *test, *suite;
	size_t n_test, n_suite;
	bool begun = false;

	if (pattern_match(r->capture, s->matcher, line, len) != RULE_HIT)
		return;
	if (!pattern_group(r->capture, s->matcher, line, "test", &test, &n_test)) {
		begun = pattern_group(r->capture, s->matcher, line, "begin", &test, &n_test);
		if (!begun && !pattern_group(r->capture, s->matcher, line, "open", &test, &n_test))
			return;
		n_test = begun ? n_test : 0;
		begun = true;
	}
	if (pattern_group(r->capture, s->matcher, line, "suite", &suite, &n_suite))
		full = xasprintf("%.*s%s%.*s", (int)n_suite, suite, separator, (int)n_test, test);
	else
		full = xstrndup(test, n_test);
	begin_following(s, r, &full, begun);
}

/* "Cart" and "adds tax" make "Cart adds tax". */
static void add_piece(struct unfinished *u, const char *piece, size_t n)
{
	OWNED(freep)
	char *longer = xasprintf("%s%s%.*s", u->begun, *u->begun ? " " : "", (int)n, piece);

	free(u->begun);
	u->begun = TAKE(longer);
}

/* A line that follow matches without one of its groups stands between pieces. */
static void continue_begun(struct scan *s, const char *line)
{
	struct unfinished *u = &s->unfinished;
	const pcre2_code *follow = u->rule->follow;
	const char *piece;
	size_t n;
	bool complete = false;

	if (pattern_group(follow, s->matcher, line, "last", &piece, &n)) {
		add_piece(u, piece, n);
		complete = true;
	} else if (pattern_group(follow, s->matcher, line, "more", &piece, &n)) {
		add_piece(u, piece, n);
		complete = strlen(u->begun) > FINDING_TEXT_MAX;
	} else {
		complete = pattern_group(follow, s->matcher, line, "failed", &piece, &n);
	}
	if (complete && *u->begun)
		(void)keep_test(s, u->rule, u->begun, strlen(u->begun));
	if (complete || --u->lines_left == 0)
		forget_unfinished(s);
}

static void put_suite_before(struct scan *s, const char *line)
{
	const struct unfinished *u = &s->unfinished;
	const char *separator = u->rule->spec->separator ? u->rule->spec->separator : ".";
	OWNED(freep) char *full = NULL;
	const char *suite;
	size_t n, at = u->test;

	if (at < s->n_tests &&
	    pattern_group(u->rule->follow, s->matcher, line, "suite", &suite, &n)) {
		full = xasprintf("%.*s%s%s", (int)n, suite, separator, s->tests[at].name);
		(void)keep_test(s, u->rule, full, strlen(full));
	}
	forget_unfinished(s);
}

/* What this line adds to the name that an earlier one began; the rule that wants more lines. */
static const struct rule *follow_test(struct scan *s, const char *line, size_t len)
{
	struct unfinished *u = &s->unfinished;
	bool hit = pattern_match(u->rule->follow, s->matcher, line, len) == RULE_HIT;

	if (u->begun && hit)
		continue_begun(s, line);
	else if (hit)
		put_suite_before(s, line);
	else if (u->begun || --u->lines_left == 0)
		forget_unfinished(s);
	return u->begun ? u->rule : NULL;
}

static bool hits(struct scan *s, uint32_t rule, const pcre2_code *code, const char *line,
		 size_t len)
{
	struct tally *t = &s->tallies[rule];
	enum rule_result rc;

	if (t->gave_up >= GAVE_UP_MAX)
		return false;
	rc = pattern_match(code, s->matcher, line, len);
	t->gave_up += rc == RULE_GAVE_UP;
	return rc == RULE_HIT;
}

static bool any_part_hits(struct scan *s, uint32_t rule, marks there, const char *line, size_t len)
{
	const struct rule *r = &s->rules->rules[rule];

	for (size_t i = 0; i < r->parts.n; i++)
		if (has_marks(there, rule_part_marks(r, i)) &&
		    hits(s, rule, rule_part_code(r, i), line, len))
			return true;
	return false;
}

/* Asked last, because few lines are hit at all. */
static bool is_benign(struct scan *s, const char *line, size_t len)
{
	marks there = marks_on(line, len);

	for (size_t i = 0; i < s->n_benign; i++)
		if (any_part_hits(s, s->benign[i], there, line, len))
			return true;
	return false;
}

/* How many rules hit the line: those in s->hit, in the order of the set. */
static size_t confirm(struct scan *s, const char *line, size_t len, const struct candidate *c,
		      size_t n)
{
	uint32_t *hit = s->hit;
	size_t n_hits = 0;

	for (size_t i = 0; i < n && n_hits < ARRAY_LEN(s->hit); i++) {
		const struct rule *r = &s->rules->rules[c[i].rule];

		if (n_hits && hit[n_hits - 1] == c[i].rule)
			continue;
		if (hits(s, c[i].rule, rule_part_code(r, c[i].part), line, len))
			hit[n_hits++] = c[i].rule;
	}
	return n_hits;
}

/* `busy` has taken this line as a piece of a name: it begins none here. */
static void scan_line(struct scan *s, const char *line, const struct clean_line *l,
		      const struct candidate *c, size_t n, const struct rule *busy)
{
	size_t n_hits = confirm(s, line, l->len, c, n);
	enum part_state end = PART_OPEN;
	bool log_passed = false;

	if (n_hits == 0 || is_benign(s, line, l->len))
		return;
	for (size_t i = 0; i < n_hits; i++) {
		const struct rule *r = &s->rules->rules[s->hit[i]];

		if (r->spec->class == RULE_STEP_FAILED)
			end = PART_FAILED;
		else if (r->spec->class == RULE_STEP_PASSED && end == PART_OPEN)
			end = PART_PASSED;
		log_passed |= r->spec->class == RULE_LOG_PASSED;
		keep_hit(s, &s->tallies[s->hit[i]], l, line);
		if (r->capture && r != busy)
			capture_test(s, r, line, l->len);
	}
	/* Last, so that a cause on the same line belongs to the part that it ended. */
	if (end != PART_OPEN)
		end_part(s, end);
	s->log_passed |= log_passed;
}

/* The next line that there is something to do about: that of the candidate, or one before it. */
static size_t next_line(const struct scan *s, size_t at, size_t candidate)
{
	const unsigned telling = CLEAN_ERROR | CLEAN_COMMAND | CLEAN_STEP;

	if (s->unfinished.rule)
		return at;
	while (at < candidate && !(s->lines[at].flags & telling))
		at++;
	return at;
}

void scan_block(struct scan *s, const char *text, const struct clean_line *lines, size_t n_lines,
		const struct candidate *c, size_t n_candidates)
{
	size_t at = 0;

	s->block = text;
	s->lines = lines;
	for (size_t i = 0;; i++) {
		const struct clean_line *l;
		const char *line;
		const struct rule *busy;
		size_t first = at;

		i = next_line(s, i, at < n_candidates ? c[at].line : n_lines);
		if (i >= n_lines)
			break;
		l = &lines[i];
		line = text + l->start;
		s->at = i;
		while (at < n_candidates && c[at].line == i)
			at++;
		if (l->flags & CLEAN_ERROR)
			mark_part(s);
		s->any_github_step |= (l->flags & CLEAN_STEP) && (l->flags & CLEAN_COMMAND);
		if (l->flags & CLEAN_COMMAND)
			keep_command(s, l, line);
		if (l->flags & CLEAN_STEP)
			begin_step(s, line, l->len);
		if (l->flags & CLEAN_COMMAND)
			continue;
		busy = s->unfinished.rule ? follow_test(s, line, l->len) : NULL;
		if (at > first)
			scan_line(s, line, l, c + first, at - first, busy);
	}
	take_recent(&s->recent, text, lines, n_lines);
	s->block = NULL;
}

void scan_end(struct scan *s)
{
	mask_tail(&s->tail, &s->recent);
	(void)mask_text(s->echoed.text, s->echoed.len, s->command, sizeof(s->command));
}
