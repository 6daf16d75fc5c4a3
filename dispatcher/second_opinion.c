#include "dispatcher/second_opinion.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "ml/text_features.h"
#include "ml/text_model.h"

_Static_assert((int)TAIL_LINES <= (int)DETECT_WORDS_MAX &&
		       (int)DETECT_WORDS_MAX <= (int)TEXT_LINES_MAX,
	       "a model looks at all lines");

/* A rule that is surer than this is believed, whatever the words. */
static const double rule_is_sure = 0.75;
/* Over a rule that is not, words must be this sure; a rule that only guesses is in nobody's way. */
static const double words_are_sure = 0.8, rule_guesses = 0.5;
/* It has seen few kinds of failures, so it is never surer than a rule that knows the tool. */
static const double surest = 0.9;
/* Less likely than this is not worth naming; not worth a guess. */
static const double worth_naming = 0.15, worth_guessing = 0.4, surest_guess = DETECT_GUESS - 0.01;

size_t second_opinion_words(const struct scan *s, const char *lines[static DETECT_WORDS_MAX])
{
	const struct tail *t = scan_last_words(s);

	for (unsigned i = 0; i < t->n; i++)
		lines[i] = t->text[i];
	return t->n;
}

static bool is_unknown(const struct finding *f)
{
	return strcmp(f->category, "unknown") == 0;
}

/* A category as people say it. */
static void in_words(const char *category, char out[static TEXT_CLASS_NAME_MAX])
{
	(void)text_copy(out, TEXT_CLASS_NAME_MAX, category, strlen(category));
	for (char *p = out; *p; p++)
		if (*p == '_')
			*p = ' ';
}

static double round3(double x)
{
	return round(x * 1000) / 1000;
}

/* What a rule said first stays as the first alternative. */
static void keep_as_alternative(struct finding *f)
{
	size_t n = 0;

	if (is_unknown(f))
		return;
	if (f->n_alternatives < FINDING_ALTERNATIVES_MAX)
		f->n_alternatives++;
	for (n = f->n_alternatives - 1; n > 0; n--)
		f->alternatives[n] = f->alternatives[n - 1];
	f->alternatives[0].category = f->category;
	f->alternatives[0].confidence = f->confidence;
}

static void drop_alternative(struct finding *f, const char *category)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->n_alternatives; i++)
		if (strcmp(f->alternatives[i].category, category) != 0)
			f->alternatives[kept++] = f->alternatives[i];
	f->n_alternatives = kept;
}

static void say(const struct text_opinion *o, const struct scan *s, struct arena *a,
		struct finding *f)
{
	const struct tail *t = scan_last_words(s);
	char words[TEXT_CLASS_NAME_MAX];

	in_words(o->best[0].class, words);
	drop_alternative(f, o->best[0].class);
	keep_as_alternative(f);
	f->category = arena_strdup(a, o->best[0].class);
	f->subcategory = "";
	f->transient = false; /* words alone are no reason to try again */
	f->confidence = round3(fmin(o->best[0].probability, surest));
	f->rule = DETECT_BY_WORDS;
	f->title = arena_printf(a, "No rule is sure; the words say %s", words);
	f->n_suggestions = 0;
	f->suggestions[f->n_suggestions++] = "Read these lines first: their words decided.";
	f->suggestions[f->n_suggestions++] =
		"If it happens again, write a rule for it, and the cause is named.";
	f->n_evidence = 0;
	for (size_t i = 0; i < o->n_reasons; i++) {
		f->evidence[f->n_evidence].line = t->line[o->reasons[i]];
		f->evidence[f->n_evidence++].text = arena_strdup(a, t->text[o->reasons[i]]);
	}
}

/* No more than there is room for, and each once. */
static void add_alternative(struct finding *f, const char *category, double confidence)
{
	for (size_t i = 0; i < f->n_alternatives; i++)
		if (strcmp(f->alternatives[i].category, category) == 0)
			return;
	if (f->n_alternatives == FINDING_ALTERNATIVES_MAX)
		return;
	f->alternatives[f->n_alternatives].category = category;
	f->alternatives[f->n_alternatives++].confidence = confidence;
}

/* Of an unknown finding: what it may be; the words tell more than hits too weak for an answer. */
static void name_likely(const struct text_opinion *o, struct arena *a, struct finding *f)
{
	struct finding weak = *f;

	f->n_alternatives = 0;
	for (size_t i = 0; i < TEXT_ANSWERS && o->best[i].class; i++)
		if (o->best[i].probability >= worth_naming &&
		    strcmp(o->best[i].class, TEXT_PASSED) != 0)
			add_alternative(f, arena_strdup(a, o->best[i].class),
					round3(o->best[i].probability));
	for (size_t i = 0; i < weak.n_alternatives; i++)
		add_alternative(f, weak.alternatives[i].category, weak.alternatives[i].confidence);
}

/*
 * What did not pass is put down to the likeliest all the same, as a guess on which nobody acts; the
 * lines shown stay the last ones.
 */
static void guess(const struct text_opinion *o, struct arena *a, struct finding *f)
{
	char words[TEXT_CLASS_NAME_MAX];

	if (!o->best[0].class || o->best[0].probability < worth_guessing ||
	    strcmp(o->best[0].class, TEXT_PASSED) == 0)
		return;
	in_words(o->best[0].class, words);
	drop_alternative(f, o->best[0].class);
	f->category = arena_strdup(a, o->best[0].class);
	f->subcategory = "";
	f->confidence = round3(fmin(o->best[0].probability / 2, surest_guess));
	f->rule = DETECT_BY_WORDS;
	f->title = arena_printf(a, "No rule is sure; the words may say %s", words);
}

/* A rule that is not sure may be overruled, but not of what the model was never shown. */
static bool may_overrule(const struct text_model *m, const struct finding *f)
{
	return f->confidence < rule_is_sure && !f->transient && text_model_knows(m, f->category);
}

/* Success was the last word, or GitHub, which marks the error that ends a step, marked none. */
static bool looks_passed(const struct scan *s)
{
	return s->log_passed || (s->any_github_step && !s->any_marked && !s->any_failed);
}

void second_opinion(const struct text_model *m, const struct scan *s, struct arena *a,
		    struct finding *f)
{
	const char *lines[DETECT_WORDS_MAX];
	size_t n = second_opinion_words(s, lines);
	bool unknown = is_unknown(f), open = unknown || f->confidence < rule_guesses;
	struct text_opinion o;

	if (n == 0 || looks_passed(s) || (!unknown && !may_overrule(m, f)))
		return;
	text_model_ask(m, lines, n, &o);
	if (o.sure && (open || o.best[0].probability >= words_are_sure)) {
		if (strcmp(o.best[0].class, f->category) != 0)
			say(&o, s, a, f);
	} else if (unknown) {
		name_likely(&o, a, f);
		guess(&o, a, f);
	}
}
