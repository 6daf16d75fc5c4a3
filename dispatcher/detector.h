/*
 * Log in, finding out. Rules are data (conf/rules); a detector is immutable after
 * detector_new() and does no I/O while scanning.
 */
#ifndef GUARD_DISPATCHER_DETECTOR_H
#define GUARD_DISPATCHER_DETECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/finding.h"

enum { DETECT_WORDS_MAX = 64 };

/* What a finding names as its rule when a text model decided: a hint for people, no reason to act.
 */
#define DETECT_BY_WORDS "text-model"
/* Less sure than this is a guess, for people to look at. */
#define DETECT_GUESS 0.4

struct arena;
struct detector;
struct rule_set;

/*
 * What is known about the log besides its text. All optional; zero it first.
 * Facts from the provider's API outrank guesses from the text.
 */
struct detect_input {
	const char *text; /* not terminated */
	size_t len;
	uint64_t skipped_lines;  /* cut off before `text`; line numbers count on from here */
	const char *provider;    /* "github", "gitlab", "jenkins", "plain"; NULL: guess */
	const char *job;         /* job name */
	const char *failed_step; /* name of the first failed step; NULL unknown */
	const char *conclusion;  /* of the job or run: "failure", "timed_out", ... */
	bool no_failed_step;     /* the API says: job failed, no step did (a lost runner) */
};

/*
 * rules_dir NULL: the built-in place (see detector_rules_dir()). Refuses bad rules with file and
 * id. What takes long is kept in the cache folder, or taken from it. NULL: no folder.
 */
int detector_new(const char *rules_dir, const char *cache_folder, struct detector **out,
		 struct err *) MUST_CHECK;
void detector_free(struct detector *);
DEFINE_OWNED(struct detector, detector_free)

/* Where a folder of data is that came with this release: beside the executable or its sources. */
const char *detector_shipped(const char *name, char *out, size_t cap);
/* Where the rules are when nobody says: next to the executable, else where they were built. */
const char *detector_rules_dir(void);
size_t detector_rule_count(const struct detector *);

/*
 * A text model (ml/text_model.h) for logs of which no rule is sure. Path NULL: the one that came
 * with the release, and none when there is none; "": none.
 */
int detector_load_model(struct detector *, const char *path, struct err *) MUST_CHECK;

/* Strings of *out live in the arena. Always gives a finding; "unknown" when unsure. */
void detector_scan(const struct detector *, const struct detect_input *, struct arena *,
		   struct finding *out);

/*
 * The same in pieces, for logs that do not fit in memory or must not hold up a
 * loop: feed as the bytes come, then ask once. The strings of the input are
 * borrowed until the end; its text and len are not read.
 */
struct detect_scan;
struct detect_scan *detect_scan_new(const struct detector *, const struct detect_input *);
void detect_scan_feed(struct detect_scan *, const char *data, size_t n);
void detect_scan_end(struct detect_scan *, struct arena *, struct finding *out);
void detect_scan_free(struct detect_scan *);
DEFINE_OWNED(struct detect_scan, detect_scan_free)
/* What it took so far, the end not among it. */
double detect_scan_ms(const struct detect_scan *);
/* The lines that a text model is asked about, after the end; borrowed from the scan. */
size_t detect_scan_words(const struct detect_scan *, const char *lines[static DETECT_WORDS_MAX]);

/* The rules, and after detect_scan_end() how many lines of that log rule i of them hit. */
const struct rule_set *detector_rules(const struct detector *);
uint64_t detect_scan_count(const struct detect_scan *, size_t rule);

/* How often a rule gave up on a line since detector_new(); also regex_gave_up_total{rule}. */
uint64_t detector_gave_up(const struct detector *);
/* False: this build or machine matches rule by rule. Same answers, slower. */
bool detector_is_one_pass(const struct detector *);
/* True when the cache folder had what was needed. */
bool detector_is_from_cache(const struct detector *);
/* For tests and benchmarks: without the one-pass engine from now on. */
void detector_use_pcre2_only(struct detector *);

/* The better explanation of the same run out of two jobs' findings: <0 a, >0 b. */
int finding_compare(const struct finding *a, const struct finding *b);

#endif
