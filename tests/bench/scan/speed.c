/*
 * How fast a log is read, in CPU time.
 *
 *   scan_speed FILE RULES_DIR
 *
 * FILE is read as one log: with all rules, with twice as many, without the one-pass
 * engine, and with every rule asked about every line (a piece of it: that is slow).
 * Then its first 5 MB in pieces. A gigabyte of it comes first, for the memory.
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "core/err.h"
#include "core/mem.h"
#include "dispatcher/detector.h"
#include "dispatcher/prefilter.h"
#include "dispatcher/rule_set.h"
#include "dispatcher/scan.h"

enum {
	FILE_MAX = 256 << 20,
	PIECE = 64 << 10, /* as `detect` reads, and the dispatcher feeds */
	SAMPLE = 10 << 20,
	SMALL = 5 << 20,
	ROUNDS = 3,
};

static const double gigabyte = 1e9;

struct text {
	char *at;
	size_t n;
};

static double cpu_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void print(const char *what, size_t n, double seconds)
{
	(void)printf("%-44s %6.0f MB %8.3f s %8.1f MB/s\n", what, (double)n / 1e6, seconds,
		     (double)n / 1e6 / seconds);
	(void)fflush(stdout);
}

static void read_once(const struct detector *d, struct text t, size_t piece, double *longest)
{
	struct detect_input in = { .text = NULL };
	OWNED(detect_scan_freep) struct detect_scan *s = detect_scan_new(d, &in);
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f;

	for (size_t at = 0; at < t.n; at += piece) {
		double began = cpu_s();

		detect_scan_feed(s, t.at + at, t.n - at < piece ? t.n - at : piece);
		if (longest && cpu_s() - began > *longest)
			*longest = cpu_s() - began;
	}
	detect_scan_end(s, a, &f);
}

/* The best of a few: other work on the machine only makes it slower. */
static double best_of(const struct detector *d, struct text t)
{
	double best = 0;

	for (int i = 0; i < ROUNDS; i++) {
		double began = cpu_s(), took;

		read_once(d, t, PIECE, NULL);
		took = cpu_s() - began;
		if (i == 0 || took < best)
			best = took;
	}
	return best;
}

/* ---- twice the rules ---------------------------------------------------------------- */

/* Other words for the same pattern, in the regex as in its samples; lengths stay. */
static char *reworded(const char *s)
{
	static const char from[] = "auo", to[] = "oau";
	char *out = xstrdup(s);

	for (size_t i = 0; out[i]; i++) {
		const char *found = strchr(from, out[i]);
		bool range = out[i + 1] == '-' || (i && out[i - 1] == '-');

		if (found && !range)
			out[i] = to[found - from];
	}
	return out;
}

static char **all_reworded(char **lines, unsigned n)
{
	char **out = xcalloc(n + 1, sizeof(*out));

	for (unsigned i = 0; i < n; i++)
		out[i] = reworded(lines[i]);
	return out;
}

/* A rule that does not load in other words is left out. What is made here is kept to the end. */
static size_t add_variants(struct rule_set *set)
{
	size_t n = set->n;

	for (size_t i = 0; i < n && set->n < RULES_MAX; i++) {
		const struct rule_spec *old = set->rules[i].spec;
		struct rule_spec *spec = xmemdup(old, sizeof(*old));
		struct err err;

		if (!old->regex)
			continue;
		spec->id = xasprintf("%s-2", old->id);
		spec->regex = reworded(old->regex);
		spec->capture = spec->follow = NULL;
		spec->positive = all_reworded(old->positive, old->positive_count);
		spec->negative = all_reworded(old->negative, old->negative_count);
		if (strcmp(spec->regex, old->regex) != 0 &&
		    rule_init(&set->rules[set->n], spec, &err) == 0)
			set->n++;
		else
			rule_done(&set->rules[set->n]);
	}
	return set->n - n;
}

/* ---- without the detector ------------------------------------------------------------ */

typedef size_t block_fn(const struct rule_set *, struct prefilter *, struct matcher *,
			struct scan *, const char *text, size_t len, const struct clean_line *,
			size_t n_lines);

static size_t with_candidates(const struct rule_set *set, struct prefilter *p, struct matcher *m,
			      struct scan *s, const char *text, size_t len,
			      const struct clean_line *lines, size_t n_lines)
{
	size_t n;
	const struct candidate *c = prefilter_scan(p, text, len, lines, n_lines, &n);

	UNUSED(set);
	UNUSED(m);
	scan_block(s, text, lines, n_lines, c, n);
	return n;
}

static size_t one_by_one(const struct rule_set *set, struct prefilter *p, struct matcher *m,
			 struct scan *s, const char *text, size_t len,
			 const struct clean_line *lines, size_t n_lines)
{
	size_t hits = 0;

	UNUSED(p);
	UNUSED(s);
	UNUSED(len);
	for (size_t i = 0; i < n_lines; i++)
		for (size_t k = 0; k < set->n; k++)
			hits += pattern_match(set->rules[k].code, m, text + lines[i].start,
					      lines[i].len) == RULE_HIT;
	return hits;
}

static double read_with(const struct rule_set *set, struct text t, block_fn *fn)
{
	OWNED(prefilter_freep) struct prefilter *p = prefilter_new(set, true);
	OWNED(matcher_freep) struct matcher *m = matcher_new(RULE_MATCH_LIMIT);
	double best = 0;

	for (int round = 0; round < (fn == one_by_one ? 1 : ROUNDS); round++) {
		OWNED(scan_freep) struct scan *s = scan_new(set, m, NULL);
		struct log_clean *clean = log_clean_new(0);
		double began = cpu_s(), took;

		for (size_t at = 0; at < t.n;) {
			const struct clean_line *lines;
			size_t len, n_lines;
			const char *text;

			at += log_clean_feed(clean, t.at + at, t.n - at);
			text = log_clean_text(clean, &len);
			lines = log_clean_lines(clean, &n_lines);
			(void)fn(set, p, m, s, text, len, lines, n_lines);
			log_clean_reset(clean);
		}
		took = cpu_s() - began;
		log_clean_free(clean);
		if (round == 0 || took < best)
			best = took;
	}
	return best;
}

static int compare_rules(const char *dir, struct text t)
{
	OWNED(rule_set_freep) struct rule_set *set = NULL;
	struct text piece = { t.at, t.n < SAMPLE ? t.n : SAMPLE };
	struct err err;
	double once, twice;
	size_t n, more;

	if (rule_set_load(dir, &set, &err) < 0) {
		(void)fprintf(stderr, "scan_speed: %s\n", err.msg);
		return -1;
	}
	print("PCRE2, each rule on each line", piece.n, read_with(set, piece, one_by_one));
	n = set->n;
	once = read_with(set, t, with_candidates);
	more = add_variants(set);
	twice = read_with(set, t, with_candidates);
	print("the rules", t.n, once);
	print("the rules and others like them", t.n, twice);
	(void)printf("%zu rules, then %zu more: %+.1f %% of time\n", n, more,
		     100 * (twice / once - 1));
	return 0;
}

/* ---- latency and memory --------------------------------------------------------------- */

static void slices(const struct detector *d, struct text t)
{
	struct text small = { t.at, t.n < SMALL ? t.n : SMALL };
	double longest = 0, began = cpu_s();

	read_once(d, small, PIECE, &longest);
	(void)printf("a log of %.1f MB: %.1f ms, longest piece of %d KiB %.2f ms\n",
		     (double)small.n / 1e6, (cpu_s() - began) * 1e3, PIECE >> 10, longest * 1e3);
}

/* The file over and over, from disk: what the process needs besides is all that it needs. */
static void much(const struct detector *d, FILE *f)
{
	struct detect_input in = { .text = NULL };
	OWNED(detect_scan_freep) struct detect_scan *s = detect_scan_new(d, &in);
	OWNED(arena_freep) struct arena *a = arena_new();
	OWNED(freep) char *piece = xmalloc(PIECE);
	struct rusage used;
	struct finding found;
	double n = 0;
	size_t got;

	while (n < gigabyte && (got = fread(piece, 1, PIECE, f)) > 0) {
		detect_scan_feed(s, piece, got);
		n += (double)got;
		if (got < PIECE)
			rewind(f);
	}
	detect_scan_end(s, a, &found);
	(void)getrusage(RUSAGE_SELF, &used);
	(void)printf("a log of %.0f MB: %.1f MB of memory at most, with the rules\n", n / 1e6,
		     (double)used.ru_maxrss / 1024);
	rewind(f);
}

int main(int argc, char **argv)
{
	OWNED(detector_freep) struct detector *d = NULL;
	struct text t = { NULL, 0 };
	FILE *f = argc == 3 ? fopen(argv[1], "re") : NULL;
	struct err err;

	if (!f || detector_new(argv[2], NULL, &d, &err) < 0) {
		(void)fprintf(stderr, "usage: scan_speed FILE RULES_DIR\n");
		return 2;
	}
	much(d, f);
	t.at = xmalloc(FILE_MAX);
	t.n = fread(t.at, 1, FILE_MAX, f);
	(void)fclose(f);
	if (t.n == 0 || compare_rules(argv[2], t) < 0)
		return 2;
	print("all of it", t.n, best_of(d, t));
	slices(d, t);
	detector_use_pcre2_only(d);
	print("all of it, without the one-pass engine", t.n, best_of(d, t));
	free(t.at);
	return 0;
}
