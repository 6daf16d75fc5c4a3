/*
 * How often the detector is right, on labelled logs. Rules are tuned on one
 * part of the projects only; the other shows what they are worth elsewhere.
 *
 *   score [--rules DIR] [--model FILE] [--pcre2] [--list|--list-all] [--tests] [--seed N] DATA_DIR
 *   score --labels DIR [--tuned] [--seed N] DATA_DIR
 *
 * --labels writes the table that `pipeline-guard train` reads into a folder, with the logs of all
 * projects or of the part for tuning. --seed splits the projects otherwise. --tests shows names of
 * failed tests that differ, and how many are right per framework. --list names every log that was
 * not answered as its label says, of the part for tuning; --list-all also of the other part, for
 * reports and not for tuning.
 */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/finding.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/detector.h"
#include "sets.h"

enum { BINS = 10, CATEGORIES_MAX = 20, FIRST_LINES = 5, SETS_MAX = 16 };

struct tally {
	unsigned logs, right, unknown, second; /* second: right in the first two answers */
	unsigned passed, alarms, transient;
	unsigned located, to_locate;
	unsigned tests_hit, tests_wrong, tests_missed;
	struct {
		unsigned n, right;
		double confidence;
	} bins[BINS];
	struct {
		unsigned hit, wrong, missed;
	} of[CATEGORIES_MAX];
};

struct options {
	const char *rules, *data, *model, *labels;
	bool pcre2, list, list_all, tests, tuned;
	uint64_t seed;
};

/* Names of failed tests by whose reporter named them: a row is a framework, a column a split. */
static struct framework {
	char name[32];
	struct {
		unsigned logs, hit, wrong, missed;
	} of[2];
} frameworks[32];

static size_t index_of(const char *category)
{
	size_t i = 0;

	while (finding_categories[i] && strcmp(finding_categories[i], category) != 0)
		i++;
	return i < CATEGORIES_MAX ? i : CATEGORIES_MAX - 1;
}

static bool is_unknown(const struct finding *f)
{
	return strcmp(f->category, "unknown") == 0;
}

static void count_label(struct tally *t, const char *want, const struct finding *f)
{
	bool right = strcmp(want, f->category) == 0;
	size_t bin = (size_t)fmin(f->confidence * BINS, BINS - 1);

	t->logs++;
	t->right += right;
	t->second += right || (f->n_alternatives && strcmp(f->alternatives[0].category, want) == 0);
	if (right) {
		t->of[index_of(want)].hit++;
	} else {
		t->of[index_of(want)].missed++;
		t->of[index_of(f->category)].wrong++;
	}
	if (is_unknown(f)) {
		t->unknown++;
		return;
	}
	t->bins[bin].n++;
	t->bins[bin].right += right;
	t->bins[bin].confidence += f->confidence;
}

/*
 * Tools and people write one test in many ways: a/b_test.py::T::t, t (a.b_test.T), T > t. Brings
 * them into one: a.b_test.T.t
 */
static void plain_name(const char *name, char *out, size_t cap)
{
	const char *paren = strrchr(name, '(');
	size_t len = strlen(name), n = 0;

	if (len && name[len - 1] == ')' && paren &&
	    !memchr(paren, ' ', len - (size_t)(paren - name)))
		n = (size_t)snprintf(out, cap, "%.*s.%.*s", (int)(name + len - paren) - 2,
				     paren + 1, (int)(paren - name), name);
	else
		n = (size_t)snprintf(out, cap, "%s", name);
	len = n < cap ? n : cap - 1;
	n = 0;
	for (size_t i = 0; i < len; i++) {
		char ch = out[i];

		if (strncmp(out + i, ".py", 3) == 0 && !isalnum((unsigned char)out[i + 3])) {
			i += 2;
			continue;
		}
		if (strchr(":/. ", ch))
			ch = '.';
		if (ch != '.' || (n && out[n - 1] != '.'))
			out[n++] = ch;
	}
	while (n && out[n - 1] == '.')
		n--;
	out[n] = '\0';
}

/* Where a log names a test without its file or suite, that is what can be known. */
static bool same_name(const char *a, const char *b)
{
	char x[1024], y[1024];
	size_t n, m;

	plain_name(a, x, sizeof(x));
	plain_name(b, y, sizeof(y));
	n = strlen(x);
	m = strlen(y);
	if (n < m)
		return n && y[m - n - 1] == '.' && strcmp(y + m - n, x) == 0;
	return strcmp(x + n - m, y) == 0 && (n == m || x[n - m - 1] == '.');
}

static void print_share(unsigned part, unsigned whole)
{
	if (whole)
		(void)printf("%8.1f%%", 100.0 * part / whole);
	else
		(void)printf("%9s", "-");
}

static void count_framework(const char *name, bool held_out, unsigned hit, unsigned wrong,
			    unsigned missed)
{
	struct framework *at = frameworks;

	if (!*name)
		name = "(not named)";
	while (at < frameworks + ARRAY_LEN(frameworks) - 1 && *at->name &&
	       strcmp(at->name, name) != 0)
		at++;
	(void)snprintf(at->name, sizeof(at->name), "%s", name);
	at->of[held_out].logs++;
	at->of[held_out].hit += hit;
	at->of[held_out].wrong += wrong;
	at->of[held_out].missed += missed;
}

static void print_frameworks(void)
{
	(void)printf("\n%-14s %-8s %5s %6s %6s %6s %10s %7s\n", "framework", "split", "logs",
		     "right", "wrong", "missed", "precision", "recall");
	for (const struct framework *f = frameworks; *f->name; f++)
		for (size_t k = 0; k < 2; k++) {
			unsigned hit = f->of[k].hit;

			if (!f->of[k].logs)
				continue;
			(void)printf("%-14s %-8s %5u %6u %6u %6u", f->name,
				     k ? "held out" : "tuned on", f->of[k].logs, hit,
				     f->of[k].wrong, f->of[k].missed);
			print_share(hit, hit + f->of[k].wrong);
			print_share(hit, hit + f->of[k].missed);
			(void)printf("\n");
		}
}

static void count_tests(struct tally *t, const struct sample *s, const struct finding *f)
{
	unsigned hit = 0;
	size_t most = s->n_tests < FINDING_TESTS_MAX ? s->n_tests : FINDING_TESTS_MAX;

	for (size_t i = 0; i < f->n_failed_tests; i++)
		for (size_t k = 0; k < s->n_tests; k++)
			if (same_name(f->failed_tests[i], s->tests[k])) {
				hit++;
				break;
			}
	t->tests_hit += hit;
	t->tests_wrong += (unsigned)f->n_failed_tests - hit;
	t->tests_missed += hit < most ? (unsigned)most - hit : 0;
	if (most || f->n_failed_tests)
		count_framework(f->test_framework, s->held_out, hit,
				(unsigned)f->n_failed_tests - hit,
				hit < most ? (unsigned)most - hit : 0);
}

/* What was named and should not, and the reverse; a few of each. */
static void print_tests(const struct sample *s, const struct finding *f)
{
	unsigned shown = 0;

	for (size_t i = 0; i < f->n_failed_tests; i++) {
		bool known = false;

		for (size_t k = 0; k < s->n_tests; k++)
			known |= same_name(f->failed_tests[i], s->tests[k]);
		if (!known && shown++ < 4)
			(void)printf("    + %s\n", f->failed_tests[i]);
	}
	for (size_t k = shown = 0; k < s->n_tests; k++) {
		bool named = false;

		for (size_t i = 0; i < f->n_failed_tests; i++)
			named |= same_name(f->failed_tests[i], s->tests[k]);
		if (!named && shown++ < 4)
			(void)printf("    - %s\n", s->tests[k]);
	}
}

/*
 * By text: the publisher counts lines from 0 in some logs and from 1 in others, some name only
 * what is in the line, and some join lines and leave out the word in front of each.
 */
static bool points_at(const char *line, const char *evidence)
{
	enum { ENOUGH = 80, WORDS = 2, FEW = 30 };

	for (size_t i = 0; i <= WORDS; i++) {
		size_t n = strlen(evidence);

		if (i > 0 && n < FEW)
			return false;
		if (memmem(line, strlen(line), evidence, n < ENOUGH ? n : ENOUGH) ||
		    (i == 0 && strstr(evidence, line)))
			return true;
		evidence += strcspn(evidence, " ");
		evidence += strspn(evidence, " ");
	}
	return false;
}

static bool is_located(const struct sample *s, const struct finding *f)
{
	for (size_t i = 0; i < f->n_evidence && i < FIRST_LINES; i++)
		for (size_t k = 0; k < s->n_lines; k++)
			if (points_at(s->lines[k], f->evidence[i].text))
				return true;
	return false;
}

static bool count(struct tally *t, const struct sample *s, const struct finding *f)
{
	t->to_locate += s->n_lines > 0;
	t->located += s->n_lines && is_located(s, f);
	if (s->tests_known)
		count_tests(t, s, f);
	if (!s->want)
		return true;
	if (*s->want) {
		count_label(t, s->want, f);
		return strcmp(s->want, f->category) == 0;
	}
	t->passed++;
	t->alarms += !is_unknown(f);
	t->transient += f->transient;
	return is_unknown(f);
}

/* Over the categories that occur among the labels. */
static double macro_f1(const struct tally *t)
{
	double sum = 0;
	unsigned n = 0;

	for (size_t i = 0; i < CATEGORIES_MAX; i++) {
		unsigned hit = t->of[i].hit;

		if (hit + t->of[i].missed == 0)
			continue;
		sum += 2.0 * hit / (2.0 * hit + t->of[i].wrong + t->of[i].missed);
		n++;
	}
	return n ? sum / n : 0;
}

/* How far the confidence is from the share of right answers, where one was given. */
static double calibration_error(const struct tally *t)
{
	unsigned n = t->logs - t->unknown;
	double sum = 0;

	for (size_t i = 0; n && i < BINS; i++)
		sum += fabs(t->bins[i].confidence - t->bins[i].right) / n;
	return sum;
}

/* The reliability curve: of the answers that said "p", which share was right. */
static void print_curve(const char *split, const struct tally *all)
{
	(void)printf("\n%s\n%-20s", split, "confidence");
	for (size_t i = 0; i < BINS; i++)
		if (all->bins[i].n)
			(void)printf("%8.2f", all->bins[i].confidence / all->bins[i].n);
	(void)printf("\n%-20s", "share that is right");
	for (size_t i = 0; i < BINS; i++)
		if (all->bins[i].n)
			(void)printf("%8.2f", (double)all->bins[i].right / all->bins[i].n);
	(void)printf("\n%-20s", "answers");
	for (size_t i = 0; i < BINS; i++)
		if (all->bins[i].n)
			(void)printf("%8u", all->bins[i].n);
	(void)printf("\n");
}

static void add_bins(struct tally *whole, const struct tally *set)
{
	for (size_t i = 0; i < BINS; i++) {
		whole->bins[i].n += set->bins[i].n;
		whole->bins[i].right += set->bins[i].right;
		whole->bins[i].confidence += set->bins[i].confidence;
	}
}

static void print_tally(const char *set, const char *split, const struct tally *t)
{
	unsigned named = 2 * t->tests_hit + t->tests_wrong + t->tests_missed;

	(void)printf("%-24s %-8s %5u", set, split, t->logs);
	print_share(t->right, t->logs);
	print_share(t->second, t->logs);
	if (t->logs)
		(void)printf("%9.3f", macro_f1(t));
	else
		(void)printf("%9s", "-");
	print_share(t->unknown, t->logs);
	if (t->logs > t->unknown)
		(void)printf("%8.3f", calibration_error(t));
	else
		(void)printf("%8s", "-");
	(void)printf("  %3u/%-3u %3u", t->alarms, t->passed, t->transient);
	if (named)
		(void)printf("%9.3f", 2.0 * t->tests_hit / named);
	else
		(void)printf("%9s", "-");
	(void)printf("  %2u/%-2u\n", t->located, t->to_locate);
}

static void print_header(void)
{
	(void)printf("\n%-24s %-8s %5s%9s%9s%9s%9s%8s  %7s %3s%9s  %5s\n", "set", "split", "logs",
		     "top-1", "top-2", "macro-F1", "unknown", "ECE", "alarms", "tr.", "tests-F1",
		     "lines");
}

static void print_miss(const struct sample *s, const struct finding *f)
{
	const char *name = s->path ? strrchr(s->path, '/') + 1 : s->project;

	(void)printf("%s %s want=%s got=%s/%s %.2f %s %s\n", s->set, s->held_out ? "held" : "tune",
		     *s->want ? s->want : "(passed)", f->category, f->subcategory, f->confidence,
		     f->rule, name);
	if (f->n_evidence)
		(void)printf("    %" PRIu64 ": %.160s\n", f->evidence[0].line, f->evidence[0].text);
}

static void print_unlocated(const struct sample *s, const struct finding *f)
{
	(void)printf("%s %s by %s: other lines than people's: %s\n", s->set,
		     s->held_out ? "held" : "tune", f->rule, strrchr(s->path, '/') + 1);
	for (size_t i = 0; i < f->n_evidence && i < FIRST_LINES; i++)
		(void)printf("    %" PRIu64 ": %.160s\n", f->evidence[i].line, f->evidence[i].text);
	for (size_t i = 0; i < s->n_lines; i++)
		(void)printf("    - %.160s\n", s->lines[i]);
}

static double now_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

struct speed {
	double bytes, seconds;
};

static void score_one(const struct detector *d, const struct options *o, struct sample *s,
		      struct tally *t, struct speed *speed)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f;
	double began;

	if (!sample_read(s)) {
		(void)printf("unreadable: %s\n", s->path);
		return;
	}
	struct detect_input in = { .text = s->text, .len = s->len };

	began = now_s();
	detector_scan(d, &in, a, &f);
	speed->seconds += now_s() - began;
	speed->bytes += (double)s->len;
	bool right = count(t, s, &f);
	bool shown = o->list_all || (o->list && !s->held_out);

	if (!right && shown)
		print_miss(s, &f);
	if (s->n_lines && shown && !is_located(s, &f))
		print_unlocated(s, &f);
	if (o->tests && s->tests_known && (o->list_all || !s->held_out)) {
		(void)printf("%s (%s)\n", strrchr(s->path, '/') + 1, f.rule);
		print_tests(s, &f);
	}
	sample_forget(s);
}

/* Rows of one set, in the order of the samples. */
static size_t score_set(const struct detector *d, const struct options *o, struct samples *all,
			size_t from, struct speed *speed, struct tally by_split[static 2])
{
	const char *set = all->at[from].set;
	size_t i = from;

	memset(by_split, 0, 2 * sizeof(*by_split));
	for (; i < all->n && strcmp(all->at[i].set, set) == 0; i++)
		score_one(d, o, &all->at[i], &by_split[all->at[i].held_out], speed);
	return i;
}

static void print_speed(const struct detector *d, struct speed speed)
{
	(void)printf("\n%zu rules, %s: %.0f MB in %.2f s of CPU, %.0f MB/s\n",
		     detector_rule_count(d), detector_is_one_pass(d) ? "one pass" : "rule by rule",
		     speed.bytes / 1e6, speed.seconds, speed.bytes / 1e6 / speed.seconds);
	if (detector_gave_up(d))
		(void)printf("rules gave up on %" PRIu64 " lines\n", detector_gave_up(d));
}

static int score(const struct options *o)
{
	OWNED(detector_freep) struct detector *d = NULL;
	struct samples all = { .n = 0 };
	struct tally kept[SETS_MAX][2];
	const char *names[SETS_MAX];
	struct speed speed = { .bytes = 0 };
	struct err err = { .kind = ERR_NONE };
	size_t n = 0;

	if (detector_new(o->rules, NULL, &d, &err) < 0) {
		(void)fprintf(stderr, "score: %s\n", err.msg);
		return 2;
	}
	if (detector_load_model(d, o->model, &err) < 0) {
		(void)fprintf(stderr, "score: %s\n", err.msg);
		return 2;
	}
	if (o->pcre2)
		detector_use_pcre2_only(d);
	sets_load(o->data, o->seed, &all);
	for (size_t i = 0; i < all.n && n < ARRAY_LEN(names); n++) {
		names[n] = all.at[i].set;
		i = score_set(d, o, &all, i, &speed, kept[n]);
	}
	samples_done(&all);
	if (n == 0)
		return 77;
	print_header();
	for (size_t i = 0; i < n; i++) {
		print_tally(names[i], "tuned on", &kept[i][0]);
		print_tally("", "held out", &kept[i][1]);
	}
	for (size_t k = 0; k < 2; k++) {
		struct tally whole = { .logs = 0 };

		for (size_t i = 0; i < n; i++)
			add_bins(&whole, &kept[i][k]);
		print_curve(k ? "held out" : "tuned on", &whole);
	}
	if (o->tests)
		print_frameworks();
	print_speed(d, speed);
	return 0;
}

static void fclosep(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

/* Where a log can be read as it is: snippets and compressed ones are written beside the table. */
static char *plain_log(const char *folder, size_t i, struct sample *s)
{
	OWNED(freep) char *path = xasprintf("%s/%zu.log", folder, i);
	OWNED(fclosep) FILE *f = NULL;
	bool written;

	if (s->path && !text_ends(s->path, ".gz"))
		return xstrdup(s->path);
	f = fopen(path, "we");
	written = f && sample_read(s) && fwrite(s->text, 1, s->len, f) == s->len;
	sample_forget(s);
	return written ? TAKE(path) : NULL;
}

/* The table that `pipeline-guard train` reads. Of a set of snippets all are of one project. */
static int write_labels(const struct options *o)
{
	OWNED(freep) char *name = xasprintf("%s/labels.csv", o->labels);
	OWNED(fclosep) FILE *table = fopen(name, "we");
	struct samples all = { .n = 0 };

	if (!table)
		return 2;
	sets_load(o->data, o->seed, &all);
	(void)fprintf(table, "path,category,project\n");
	for (size_t i = 0; i < all.n; i++) {
		struct sample *s = &all.at[i];
		const char *project = s->path ? s->project : s->set;
		OWNED(freep) char *path = NULL;

		if (s->held_out && o->tuned)
			continue;
		path = plain_log(o->labels, i, s);
		if (path)
			(void)fprintf(table, "\"%s\",%s,\"%s\"\n", path,
				      s->want && !*s->want ? "passed"
				      : s->want            ? s->want
							   : "",
				      project);
	}
	samples_done(&all);
	return all.n ? 0 : 77;
}

int main(int argc, char **argv)
{
	struct options o = { .model = "" };

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--rules") == 0 && i + 1 < argc)
			o.rules = argv[++i];
		else if (strcmp(argv[i], "--model") == 0 && i + 1 < argc)
			o.model = argv[++i];
		else if (strcmp(argv[i], "--labels") == 0 && i + 1 < argc)
			o.labels = argv[++i];
		else if (strcmp(argv[i], "--tuned") == 0)
			o.tuned = true;
		else if (strcmp(argv[i], "--pcre2") == 0)
			o.pcre2 = true;
		else if (strcmp(argv[i], "--list") == 0)
			o.list = true;
		else if (strcmp(argv[i], "--list-all") == 0)
			o.list = o.list_all = true;
		else if (strcmp(argv[i], "--tests") == 0)
			o.tests = true;
		else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
			o.seed = strtoull(argv[++i], NULL, 10);
		else
			o.data = argv[i];
	}
	if (!o.data) {
		(void)fprintf(stderr, "usage: score [--rules DIR] [--model FILE] [--pcre2] "
				      "[--list|--list-all] [--tests] [--seed N] DATA_DIR\n"
				      "       score --labels DIR [--tuned] [--seed N] DATA_DIR\n");
		return 2;
	}
	return o.labels ? write_labels(&o) : score(&o);
}
