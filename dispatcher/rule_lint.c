#include "dispatcher/rule_lint.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "dispatcher/detector.h"
#include "dispatcher/rule_set.h"

enum {
	/*
	 * Steps on a line of 256 bytes that was made to hurt. A rule is refused at 300,000;
	 * one that needs more than this is felt on a log with long lines.
	 */
	SLOW_STEPS = 5000,
	/* Shorter texts are in so many lines that looking for them first saves nothing. */
	LITERAL_MIN = 3,
	WHAT_MAX = 240,
};

struct lint {
	const struct rule_set *set;
	const struct detector *detector;
	lint_fn *tell;
	void *arg;
};

static void say(const struct lint *l, enum lint_level level, const char *check,
		const struct rule *r, const char *what)
{
	l->tell(level, check, r, what, l->arg);
}

static void check_cost(const struct lint *l, const struct rule *r)
{
	const struct {
		const char *name;
		const pcre2_code *code;
	} patterns[] = {
		{ "command", r->command },
		{ "regex", r->code },
		{ "capture", r->capture },
		{ "follow", r->follow },
	};
	char what[WHAT_MAX];

	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		if (!patterns[i].code || pattern_is_cheap(r->spec, patterns[i].code, SLOW_STEPS))
			continue;
		(void)snprintf(what, sizeof(what),
			       "%s takes more than %d steps on some lines of 256 bytes: bound its "
			       "quantifiers, or begin it with ^",
			       patterns[i].name, SLOW_STEPS);
		say(l, LINT_PROBLEM, "slow", r, what);
	}
	if (r->spec->regex && pattern_literal_len(r->spec->regex) < LITERAL_MIN)
		say(l, LINT_NOTE, "literal", r,
		    "no text of three bytes is in every match, so the one-pass engine has nothing "
		    "to look for");
}

static void check_texts(const struct lint *l, const struct rule *r)
{
	const struct rule_spec *s = r->spec;

	if (!rule_class_says_why(s->class))
		return;
	if (s->suggestions_count == 0)
		say(l, LINT_NOTE, "suggestions", r,
		    "says not what to do; the texts of its category are shown");
	if (!s->link)
		say(l, LINT_NOTE, "link", r, "has no link; that of its category is shown");
}

static void check_duplicates(const struct lint *l, size_t at)
{
	const struct rule *r = &l->set->rules[at];
	char what[WHAT_MAX];

	for (size_t i = 0; r->spec->regex && i < at; i++) {
		const struct rule_spec *other = l->set->rules[i].spec;

		if (!other->regex || other->requires != r->spec->requires ||
		    strcmp(other->regex, r->spec->regex) != 0)
			continue;
		(void)snprintf(what, sizeof(what), "has the regex of rule %s", other->id);
		say(l, LINT_PROBLEM, "duplicate", r, what);
	}
}

/* The first rule of those classes that hits the line, other than r itself. */
static const struct rule *other_hit(const struct lint *l, const struct rule *r,
				    const struct matcher *m, const char *line, bool benign)
{
	for (size_t i = 0; i < l->set->n; i++) {
		const struct rule *o = &l->set->rules[i];

		if (o == r || o->spec->requires || (o->spec->class == RULE_BENIGN) != benign)
			continue;
		if (pattern_match(o->code, m, line, strlen(line)) == RULE_HIT)
			return o;
	}
	return NULL;
}

/* What a log of this one line is called. */
static void check_sample(const struct lint *l, const struct rule *r, unsigned sample)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	const char *line = r->spec->positive[sample];
	const struct detect_input in = { .text = line, .len = strlen(line) };
	char what[WHAT_MAX];
	struct finding f;

	detector_scan(l->detector, &in, a, &f);
	if (!*f.rule || strcmp(f.rule, r->spec->id) == 0 ||
	    strcmp(f.category, r->spec->category) == 0)
		return;
	(void)snprintf(what, sizeof(what), "rule %s calls positive sample %u %s", f.rule,
		       sample + 1, f.category);
	say(l, r->spec->class == RULE_CAUSE ? LINT_PROBLEM : LINT_NOTE, "overlap", r, what);
}

static void check_samples(const struct lint *l, const struct rule *r, const struct matcher *m)
{
	unsigned shadowed = 0;
	const struct rule *by = NULL;
	char what[WHAT_MAX];

	if (!rule_class_says_why(r->spec->class) || !r->code)
		return;
	for (unsigned i = 0; i < r->spec->positive_count; i++) {
		const struct rule *benign = other_hit(l, r, m, r->spec->positive[i], true);

		if (benign) {
			by = benign;
			shadowed++;
		} else if (!r->spec->requires) {
			check_sample(l, r, i);
		}
	}
	if (!by)
		return;
	(void)snprintf(what, sizeof(what),
		       shadowed == r->spec->positive_count
			       ? "can never hit: the benign rule %s takes all of its samples (%u)"
			       : "the benign rule %s takes %u of its samples",
		       by->spec->id, shadowed);
	say(l, shadowed == r->spec->positive_count ? LINT_PROBLEM : LINT_NOTE, "shadowed", r, what);
}

void rule_lint(const struct rule_set *set, const struct detector *d, lint_fn *tell, void *arg)
{
	OWNED(matcher_freep) struct matcher *m = matcher_new(RULE_MATCH_LIMIT);
	const struct lint l = { set, d, tell, arg };

	for (size_t i = 0; i < set->n; i++) {
		check_cost(&l, &set->rules[i]);
		check_duplicates(&l, i);
		check_samples(&l, &set->rules[i], m);
		check_texts(&l, &set->rules[i]);
	}
}
