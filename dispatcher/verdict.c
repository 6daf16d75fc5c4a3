#include "dispatcher/verdict.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "dispatcher/fingerprint.h"

/*
 * Below this the answer is "unknown": a wrong cause costs more than none. A step that failed
 * without a word that a rule knows is still put down to the best guess there is, as not sure.
 */
static const double sure_enough = 0.40, guess_enough = 0.28;

/* The lines that people see first. */
enum { EVIDENCE = 5 };

/* Tools say within so many lines that they try again, and what that makes of the reason. */
enum { RETRY_LINES = 3 };
static const double retried_weight = 0.8;

/* What a hit is worth by what it says. */
static double class_weight(enum rule_class class)
{
	switch (class) {
	case RULE_CAUSE:
		return 1.0;
	case RULE_CONSEQUENCE:
		return 0.72;
	case RULE_HINT:
		return 0.58;
	case RULE_STEP_FAILED:
	case RULE_STEP_PASSED:
	case RULE_LOG_PASSED:
	case RULE_BENIGN:
	case RULE_TEST:
	case RULE_RETRIED:
		break;
	}
	return 0;
}

/*
 * What a hit is worth by where it is. The first step that failed decides; what
 * comes after it is cleanup or a consequence, and what a tool called a success
 * explains nothing.
 */
static double part_weight(const struct scan *s, uint32_t part, uint32_t first_failed,
			  bool trust_passed)
{
	if (s->log_passed)
		return 0.25;
	if (s->parts[part] == PART_PASSED)
		return trust_passed ? 0.25 : 0.65;
	if (!s->any_failed) {
		/* A CI system that shows its steps would have shown the failed one. */
		if (s->any_github_step && !s->any_marked)
			return 0.42;
		if (s->parts[part] == PART_MARKED)
			return part == first_failed ? 1.0 : 0.9;
		if (s->any_step || s->any_passed)
			return part == s->part ? 0.9 : 0.6;
		return 1.0; /* no word about success or failure: somebody asks why it failed */
	}
	if (part == first_failed)
		return 1.0;
	if (s->parts[part] == PART_FAILED)
		return 0.9;
	return part < first_failed ? 0.65 : 0.5;
}

/*
 * Jenkins tells the exit status at the end of the log, after stages that were skipped: a failed
 * part without a word that a rule knows takes its reason from the one before that has some.
 */
static uint32_t telling_part(const struct scan *s, uint32_t failed)
{
	uint32_t before = 0;
	bool any = false;

	for (size_t i = 0; i < s->rules->n; i++) {
		const struct tally *t = &s->tallies[i];
		bool tells = class_weight(s->rules->rules[i].spec->class) > 0;

		for (unsigned k = 0; tells && k < t->n_hits; k++) {
			uint32_t part = t->hits[k].part;

			if (part == failed)
				return failed;
			if (part > failed || part < before || s->parts[part] == PART_PASSED)
				continue;
			before = part;
			any = true;
		}
	}
	return any ? before : failed;
}

struct score {
	double value;
	const struct hit *hit; /* NULL: the facts alone */
	size_t rule;
};

struct verdict {
	const struct scan *scan;
	uint32_t first_failed;
	bool trust_passed;    /* believe what the log calls a success */
	struct score *scores; /* of the rules that say something, best first */
	size_t n;
};

static uint32_t first_failed_part(const struct scan *s)
{
	enum part_state failed = s->any_failed ? PART_FAILED : PART_MARKED;

	for (uint32_t i = 0; i <= s->part; i++)
		if (s->parts[i] == failed)
			return i;
	return 0;
}

/*
 * Whether the log says on the same line, or soon after it, that this was tried again. Then it is
 * worth less than a reason that was not, and still more than what only sums up.
 */
static bool was_retried(const struct verdict *v, const struct rule_spec *spec, const struct hit *h)
{
	const struct rule_set *rules = v->scan->rules;

	for (size_t i = 0; spec->transient && i < rules->n; i++) {
		const struct tally *t = &v->scan->tallies[i];

		if (rules->rules[i].spec->class != RULE_RETRIED)
			continue;
		for (unsigned k = 0; k < t->n_hits; k++)
			if (h->line <= t->hits[k].line && t->hits[k].line - h->line <= RETRY_LINES)
				return true;
	}
	return false;
}

static double hit_score(const struct verdict *v, const struct rule_spec *spec, const struct hit *h)
{
	double value = spec->confidence * class_weight(spec->class) *
		       part_weight(v->scan, h->part, v->first_failed, v->trust_passed);

	if (h->flags & CLEAN_ERROR)
		value *= 1.1;
	if (h->flags & CLEAN_WARNING)
		value *= 0.5;
	if (was_retried(v, spec, h))
		value *= retried_weight;
	return value;
}

static bool applies(const struct verdict *v, const struct rule *r, uint32_t facts)
{
	const char *command = v->scan->command;

	if ((r->spec->requires & facts) != r->spec->requires)
		return false;
	return !r->command ||
	       pattern_match(r->command, v->scan->matcher, command, strlen(command)) == RULE_HIT;
}

static struct score best_score(const struct verdict *v, size_t rule)
{
	const struct tally *t = &v->scan->tallies[rule];
	const struct rule_spec *spec = v->scan->rules->rules[rule].spec;
	struct score best = { .rule = rule };

	if (!spec->regex)
		best.value = spec->confidence;
	for (unsigned i = 0; i < t->n_hits; i++) {
		double value = hit_score(v, spec, &t->hits[i]);

		if (value > best.value) {
			best.value = value;
			best.hit = &t->hits[i];
		}
	}
	return best;
}

/* Better first; the earlier line when they are worth the same. */
static int by_value(const void *a, const void *b)
{
	const struct score *x = a, *y = b;
	uint64_t x_line = x->hit ? x->hit->line : 0, y_line = y->hit ? y->hit->line : 0;

	if (x->value != y->value)
		return x->value > y->value ? -1 : 1;
	if (x_line != y_line)
		return x_line < y_line ? -1 : 1;
	return (x->rule > y->rule) - (x->rule < y->rule);
}

static const struct rule_spec *spec_of(const struct verdict *v, size_t i)
{
	return v->scan->rules->rules[v->scores[i].rule].spec;
}

/*
 * Nothing outdid it, or only packages that were not found, which is what becomes of a server that
 * does not answer.
 */
static bool tried_in_vain(const struct verdict *v, size_t i)
{
	const struct score *x = &v->scores[i], *best = &v->scores[0];
	bool follows = strcmp(spec_of(v, i)->category, "network_failure") == 0 &&
		       strcmp(spec_of(v, 0)->category, "dependency_failure") == 0;

	return x->hit && was_retried(v, spec_of(v, i), x->hit) &&
	       (i == 0 || (follows && x->value / retried_weight >= best->value));
}

/* It is worth again what it would be if it had not been tried again. */
static void believe_tried_in_vain(struct verdict *v)
{
	struct score first;
	size_t i = 0;

	while (i < v->n && !tried_in_vain(v, i))
		i++;
	if (i == v->n)
		return;
	first = v->scores[i];
	first.value /= retried_weight;
	memmove(v->scores + 1, v->scores, i * sizeof(*v->scores));
	v->scores[0] = first;
}

static void score_rules(struct verdict *v, uint32_t facts, struct arena *a)
{
	const struct rule_set *rules = v->scan->rules;

	v->n = 0;
	v->scores = arena_alloc(a, (rules->n + 1) * sizeof(*v->scores));
	for (size_t i = 0; i < rules->n; i++) {
		const struct rule_spec *spec = rules->rules[i].spec;

		if (class_weight(spec->class) == 0 || (spec->regex && !v->scan->tallies[i].n_hits))
			continue;
		if (!applies(v, &rules->rules[i], facts))
			continue;
		v->scores[v->n] = best_score(v, i);
		v->n += v->scores[v->n].value > 0;
	}
	qsort(v->scores, v->n, sizeof(*v->scores), by_value);
	believe_tried_in_vain(v);
}

static double round3(double x)
{
	return round(x * 1000) / 1000;
}

/*
 * From a weight, which is for comparing, to how often such an answer is right.
 * Read off the labelled logs that rules are tuned on (`./dev bench detector`).
 */
static double calibrated(double weight)
{
	static const struct {
		double weight, right;
	} curve[] = {
		{ 0, 0 },       { 0.40, 0.50 }, { 0.55, 0.75 }, { 0.65, 0.88 },
		{ 0.75, 0.94 }, { 0.90, 0.96 }, { 1, 0.98 },
	};
	size_t i = 1;

	while (i + 1 < ARRAY_LEN(curve) && weight > curve[i].weight)
		i++;
	return curve[i - 1].right + (weight - curve[i - 1].weight) *
					    (curve[i].right - curve[i - 1].right) /
					    (curve[i].weight - curve[i - 1].weight);
}

/*
 * The best score that says something else. What only sums up, such as a target of make, is no rival
 * to a line that says why.
 */
static double best_rival(const struct verdict *v, size_t winner)
{
	const struct rule_spec *won = spec_of(v, winner);
	double best = 0;

	for (size_t i = 0; i < v->n; i++) {
		const struct rule_spec *spec = spec_of(v, i);
		bool rival = won->class == RULE_CONSEQUENCE || spec->class != RULE_CONSEQUENCE;

		if (rival && v->scores[i].value > best &&
		    strcmp(spec->category, won->category) != 0)
			best = v->scores[i].value;
	}
	return best;
}

/*
 * How often such an answer is right. Where the log gives an equal reason for something else, one in
 * five is not, which the weight alone does not tell: it is for deciding.
 */
static double confidence_of(const struct verdict *v, double weight)
{
	double rival = best_rival(v, 0);

	return calibrated(weight) * (1 - 0.15 * pow(fmin(rival / v->scores[0].value, 1), 4));
}

/* A second rule that says the same makes it surer; a near rival less sure. */
static double weight_of(const struct verdict *v, size_t winner)
{
	const char *category = spec_of(v, winner)->category;
	double value = v->scores[winner].value, support = 0, rival = best_rival(v, winner);

	/* Two guesses are no surer than one. */
	if (spec_of(v, winner)->command && !v->scores[winner].hit)
		return value;
	for (size_t i = 0; i < v->n; i++) {
		bool same = strcmp(spec_of(v, i)->category, category) == 0;

		if (same && i != winner && v->scores[i].value > support)
			support = v->scores[i].value;
	}
	if (value > 0.98)
		value = 0.98;
	value += 0.25 * (1 - value) * support;
	if (rival > 0)
		value *= 1 - 0.25 * pow(fmin(rival / v->scores[winner].value, 1), 3);
	return fmin(value, 0.99);
}

static void add_alternative(struct finding *f, const char *category, double confidence,
			    struct arena *a)
{
	if (f->n_alternatives == FINDING_ALTERNATIVES_MAX || strcmp(category, f->category) == 0)
		return;
	for (size_t i = 0; i < f->n_alternatives; i++)
		if (strcmp(f->alternatives[i].category, category) == 0)
			return;
	f->alternatives[f->n_alternatives].category = arena_strdup(a, category);
	f->alternatives[f->n_alternatives++].confidence = round3(confidence);
}

/* What such a failure is when it is not what it looks like, where the log names no rival. */
static const char *neighbour(const char *category)
{
	static const char *const pairs[][2] = {
		{ "build_failure", "dependency_failure" },
		{ "test_failure", "build_failure" },
		{ "lint_failure", "build_failure" },
		{ "dependency_failure", "network_failure" },
		{ "network_failure", "dependency_failure" },
		{ "rate_limit", "network_failure" },
		{ "auth_failure", "config_error" },
		{ "scm_failure", "auth_failure" },
		{ "cache_corruption", "dependency_failure" },
		{ "config_error", "build_failure" },
		{ "deployment_failure", "config_error" },
		{ "infrastructure_failure", "network_failure" },
		{ "resource_exhaustion", "infrastructure_failure" },
		{ "timeout", "infrastructure_failure" },
	};

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		if (strcmp(pairs[i][0], category) == 0)
			return pairs[i][1];
	return "test_failure";
}

/*
 * What else the log gives a reason for; then what only sums up, as nearly every log of a build has
 * "BUILD FAILURE"; without any, what the category is mistaken for.
 */
static void add_alternatives(const struct verdict *v, struct arena *a, struct finding *f)
{
	static const double rival = 0.3;

	for (size_t i = 0; i < v->n && v->scores[i].value >= rival; i++)
		if (spec_of(v, i)->class != RULE_CONSEQUENCE)
			add_alternative(f, spec_of(v, i)->category,
					fmin(v->scores[i].value, 0.9) * 0.5, a);
	for (size_t i = 0; i < v->n && v->scores[i].value >= 0.1; i++)
		add_alternative(f, spec_of(v, i)->category, fmin(v->scores[i].value, rival) * 0.5,
				a);
	if (f->n_alternatives == 0 && f->confidence > 0)
		add_alternative(f, neighbour(f->category), 0.05, a);
}

static void add_line(struct finding *f, uint64_t line, const char *text, struct arena *a)
{
	for (size_t i = 0; i < f->n_evidence; i++)
		if (f->evidence[i].line == line || strcmp(f->evidence[i].text, text) == 0)
			return;
	if (f->n_evidence == EVIDENCE || !*text)
		return;
	f->evidence[f->n_evidence].line = line;
	f->evidence[f->n_evidence++].text = arena_strdup(a, text);
}

static int by_line(const void *a, const void *b)
{
	const struct finding_line *x = a, *y = b;

	return (x->line > y->line) - (x->line < y->line);
}

static void add_last_words(const struct scan *s, struct arena *a, struct finding *f)
{
	const struct tail *t = scan_last_words(s);

	for (unsigned i = t->n > EVIDENCE ? t->n - EVIDENCE : 0; i < t->n; i++)
		add_line(f, t->line[i], t->text[i], a);
}

/* A line that could be shown. */
struct witness {
	const struct hit *hit;
	double value;
	enum rule_class class;
	bool best; /* of its rule */
};

/* Causes before what follows from them; one of each rule before the second of one. */
static int by_telling(const void *a, const void *b)
{
	const struct witness *x = a, *y = b;
	bool x_cause = x->class != RULE_CONSEQUENCE, y_cause = y->class != RULE_CONSEQUENCE;

	if (x_cause != y_cause)
		return x_cause ? -1 : 1;
	if (x->best != y->best)
		return x->best ? -1 : 1;
	if (x->value != y->value)
		return x->value > y->value ? -1 : 1;
	return (x->hit->line > y->hit->line) - (x->hit->line < y->hit->line);
}

static size_t count_hits(const struct verdict *v)
{
	size_t n = 0;

	for (size_t i = 0; i < v->n; i++)
		n += v->scan->tallies[v->scores[i].rule].n_hits;
	return n;
}

/* All hits of the rules that say the same, the most telling first. */
static struct witness *witnesses(const struct verdict *v, const char *category, struct arena *a,
				 size_t *n)
{
	struct witness *all = arena_alloc(a, (count_hits(v) + 1) * sizeof(*all));

	*n = 0;
	for (size_t i = 0; i < v->n; i++) {
		const struct rule_spec *spec = spec_of(v, i);
		const struct tally *t = &v->scan->tallies[v->scores[i].rule];

		if (strcmp(spec->category, category) != 0)
			continue;
		for (unsigned k = 0; k < t->n_hits; k++) {
			const struct hit *h = &t->hits[k];

			if (v->trust_passed && v->scan->parts[h->part] == PART_PASSED &&
			    h != v->scores[i].hit)
				continue;
			all[(*n)++] = (struct witness){ .hit = h,
							.value = hit_score(v, spec, h),
							.class = spec->class,
							.best = h == v->scores[i].hit };
		}
	}
	qsort(all, *n, sizeof(*all), by_telling);
	return all;
}

/* It says what a line above says, of another place. */
static bool is_repeat(const struct finding *f, const char *text)
{
	char shape[FINGERPRINT_LINE_MAX], known[FINGERPRINT_LINE_MAX];

	(void)fingerprint_normalise(text, shape);
	for (size_t i = 0; i < f->n_evidence; i++) {
		(void)fingerprint_normalise(f->evidence[i].text, known);
		if (strcmp(shape, known) == 0)
			return true;
	}
	return false;
}

/* Lines that only name a failed test say nothing of a category, and much to people. */
static void add_test_lines(const struct verdict *v, struct arena *a, struct finding *f)
{
	for (size_t i = 0; i < v->scan->rules->n; i++) {
		const struct tally *t = &v->scan->tallies[i];

		if (v->scan->rules->rules[i].spec->class != RULE_TEST)
			continue;
		for (unsigned k = 0; k < t->n_hits; k++)
			if (v->scan->parts[t->hits[k].part] != PART_PASSED)
				add_line(f, t->hits[k].line, t->hits[k].text, a);
	}
}

/* What speaks for the categories that come near: people may see that it is one of those. */
static void add_rivals(const struct verdict *v, size_t winner, struct arena *a, struct finding *f)
{
	static const double near = 0.6;
	const char *category = spec_of(v, winner)->category, *said = category;

	for (size_t i = 0; i < v->n && v->scores[i].value >= near * v->scores[winner].value; i++) {
		const struct rule_spec *spec = spec_of(v, i);

		if (!v->scores[i].hit || strcmp(spec->category, category) == 0 ||
		    strcmp(spec->category, said) == 0)
			continue;
		said = spec->category;
		add_line(f, v->scores[i].hit->line, v->scores[i].hit->text, a);
	}
}

/*
 * Lines that say why come first: the winner's, then those that agree and say something else each,
 * then the best of what else it may be, then repetitions. Shown in the order of the log. A guess
 * from the command alone shows the end.
 */
static void add_evidence(const struct verdict *v, size_t winner, struct arena *a, struct finding *f)
{
	const struct hit *best = v->scores[winner].hit;
	struct witness *all = NULL;
	size_t n = 0;

	if (best) {
		add_line(f, best->line, best->text, a);
		all = witnesses(v, spec_of(v, winner)->category, a, &n);
	} else if (spec_of(v, winner)->command) {
		add_last_words(v->scan, a, f);
	}
	for (size_t i = 0; i < n && f->n_evidence < EVIDENCE; i++)
		if (!is_repeat(f, all[i].hit->text))
			add_line(f, all[i].hit->line, all[i].hit->text, a);
	if (strcmp(spec_of(v, winner)->category, "test_failure") == 0)
		add_test_lines(v, a, f);
	if (best)
		add_rivals(v, winner, a, f);
	for (size_t i = 0; i < n; i++)
		add_line(f, all[i].hit->line, all[i].hit->text, a);
	/* What only sums up has its reason above it. */
	if (spec_of(v, winner)->class == RULE_CONSEQUENCE)
		add_last_words(v->scan, a, f);
	qsort(f->evidence, f->n_evidence, sizeof(f->evidence[0]), by_line);
}

static void add_tests(const struct scan *s, struct arena *a, struct finding *f)
{
	for (size_t i = 0; i < s->n_tests && f->n_failed_tests < FINDING_TESTS_MAX; i++)
		if (s->parts[s->tests[i].part] != PART_PASSED) {
			f->failed_tests[f->n_failed_tests++] = arena_strdup(a, s->tests[i].name);
			if (!*f->test_framework && s->tests[i].framework)
				f->test_framework = arena_strdup(a, s->tests[i].framework);
		}
}

static size_t telling_line(const struct finding *f)
{
	const char *lines[FINDING_EVIDENCE_MAX];

	for (size_t i = 0; i < f->n_evidence; i++)
		lines[i] = f->evidence[i].text;
	return fingerprint_telling(lines, f->n_evidence);
}

static void fingerprint(struct finding *f, const struct hit *best)
{
	enum { TESTS = 3 };
	const char *lines[TESTS + 1];
	size_t n = 0;

	if (strcmp(f->category, "test_failure") == 0)
		for (; n < f->n_failed_tests && n < TESTS; n++)
			lines[n] = f->failed_tests[n];
	if (n == 0 && best)
		lines[n++] = best->text;
	else if (n == 0 && f->n_evidence)
		lines[n++] = f->evidence[telling_line(f)].text;
	fingerprint_of(f->category, lines, n, f->fingerprint);
}

uint32_t verdict_facts(const struct detect_input *in)
{
	const char *provider = in->provider ? in->provider : "";
	const char *conclusion = in->conclusion ? in->conclusion : "";
	uint32_t facts = 0;

	if (strcmp(conclusion, "timed_out") == 0)
		facts |= FACT_TIMED_OUT;
	if (strcmp(conclusion, "cancelled") == 0)
		facts |= FACT_CANCELLED;
	else if (in->no_failed_step) /* of a cancelled job no step is expected to have failed */
		facts |= FACT_NO_FAILED_STEP;
	if (strcmp(provider, "github") == 0)
		facts |= FACT_GITHUB;
	if (strcmp(provider, "gitlab") == 0)
		facts |= FACT_GITLAB;
	if (strcmp(provider, "jenkins") == 0)
		facts |= FACT_JENKINS;
	return facts;
}

/* A rule without a subcategory leaves it to the next one that agrees. */
static const char *subcategory_of(const struct verdict *v)
{
	const char *category = spec_of(v, 0)->category;

	for (size_t i = 0; i < v->n; i++) {
		const struct rule_spec *spec = spec_of(v, i);

		if (spec->subcategory && strcmp(spec->category, category) == 0 && !spec->command)
			return spec->subcategory;
	}
	return NULL;
}

static void say(const struct verdict *v, struct arena *a, struct finding *f)
{
	const struct rule_spec *spec = spec_of(v, 0);
	const char *subcategory = spec->subcategory ? spec->subcategory : subcategory_of(v);

	f->category = arena_strdup(a, spec->category);
	f->subcategory = arena_strdup(a, subcategory ? subcategory : "");
	f->transient = spec->transient;
	f->rule = arena_strdup(a, spec->id);
	f->title = arena_strdup(a, spec->title);
	if (spec->link)
		f->link = arena_strdup(a, spec->link);
	for (unsigned i = 0; i < spec->suggestions_count; i++)
		f->suggestions[f->n_suggestions++] = arena_strdup(a, spec->suggestions[i]);
	add_evidence(v, 0, a, f);
}

static void say_unknown(const struct scan *s, struct arena *a, struct finding *f)
{
	f->title = "The cause is not known";
	add_last_words(s, a, f);
	f->n_failed_tests = 0;
	f->test_framework = "";
}

/* How sure the best score is; 0 without one. */
static double weigh(struct verdict *v, bool trust_passed, uint32_t facts, struct arena *a)
{
	v->trust_passed = trust_passed;
	score_rules(v, facts, a);
	return v->n ? weight_of(v, 0) : 0;
}

void verdict_reach(const struct scan *s, const struct detect_input *in, struct arena *a,
		   struct finding *out)
{
	struct verdict v = { .scan = s, .first_failed = telling_part(s, first_failed_part(s)) };
	uint32_t facts = verdict_facts(in);
	struct finding f;
	double sure;

	finding_init(&f);
	if (in->job)
		f.job = arena_strdup(a, in->job);
	add_tests(s, a, &f);
	sure = weigh(&v, true, facts, a);
	/* Only parts called successful can say why: a script that lost a status. */
	if (sure < sure_enough && !s->log_passed)
		sure = weigh(&v, false, facts, a);
	if (sure < sure_enough && s->any_failed)
		sure = weigh(&v, true, facts, a);
	if (sure >= sure_enough)
		f.confidence = round3(confidence_of(&v, sure));
	else if (s->any_failed && sure >= guess_enough)
		f.confidence = round3(sure);
	else
		say_unknown(s, a, &f);
	if (f.confidence > 0)
		say(&v, a, &f);
	add_alternatives(&v, a, &f);
	fingerprint(&f, f.confidence > 0 ? v.scores[0].hit : NULL);
	*out = f;
}

/* A rule that knows one job's cause explains a run better than words of another's. */
static bool by_words(const struct finding *f)
{
	return strcmp(f->rule, DETECT_BY_WORDS) == 0;
}

int finding_compare(const struct finding *a, const struct finding *b)
{
	bool a_known = strcmp(a->category, "unknown") != 0;
	bool b_known = strcmp(b->category, "unknown") != 0;

	if (a_known != b_known)
		return a_known ? -1 : 1;
	if (by_words(a) != by_words(b))
		return by_words(a) ? 1 : -1;
	if (a->confidence != b->confidence)
		return a->confidence > b->confidence ? -1 : 1;
	return 0;
}
