/*
 * Goes through one log and keeps what the rules hit, bounded whatever the log's
 * size. Says nothing about the cause: that is verdict's part.
 */
#ifndef GUARD_DISPATCHER_SCAN_H
#define GUARD_DISPATCHER_SCAN_H

#include "core/finding.h"
#include "dispatcher/prefilter.h"

enum {
	HITS_KEPT = 12,    /* per rule */
	HITS_PER_PART = 6, /* of those, from one part of the log */
	PARTS_MAX = 4096,  /* further parts count as the last one */
	RULES_PER_LINE = 32,
	TESTS_KEPT = 200,
	TAIL_LINES = 18,
	FOLLOW_LINES = 80, /* that are asked what they add to the name of a failed test */
	GAVE_UP_MAX = 16,  /* a rule that gave up so often is left out for the rest of the log */
};

/*
 * A log is cut into parts where a step begins or a tool says that something
 * ended well or badly. Where a hit is counts as much as what it says.
 */
enum part_state {
	PART_OPEN,
	PART_MARKED, /* GitHub marked an error in it, and nothing says how it ended */
	PART_PASSED,
	PART_FAILED,
};

struct hit {
	uint64_t line;
	uint32_t part;
	uint16_t flags;                  /* enum clean_flag */
	char text[FINDING_TEXT_MAX + 1]; /* cleaned, masked */
};

struct tally {
	uint64_t count;
	unsigned gave_up;
	unsigned n_hits;
	struct hit *hits; /* HITS_KEPT of them, once there is one */
};

struct failed_test {
	uint32_t part;
	char *name;
	size_t len;            /* of the name */
	const char *framework; /* of the first rule that named it and says so; NULL: not known */
};

/* A name that the next lines may complete. */
struct unfinished {
	const struct rule *rule; /* NULL: none */
	char *begun;             /* no name yet without its last part */
	size_t test;             /* index of the name that may still get its suite */
	unsigned lines_left;
};

struct tail {
	uint64_t line[TAIL_LINES];
	char text[TAIL_LINES][FINDING_TEXT_MAX + 1];
	unsigned n;
};

/* The same as it was read. */
struct recent {
	struct recent_line {
		uint64_t number;
		uint16_t len;
		char text[CLEAN_LINE_MAX];
	} lines[TAIL_LINES];
	unsigned n;
};

struct scan {
	const struct rule_set *rules;
	const struct matcher *matcher;
	const char *failed_step; /* NULL: not known */
	struct tally *tallies;   /* one per rule */
	uint32_t *benign;        /* the rules that only say what is harmless */
	size_t n_benign;
	uint8_t parts[PARTS_MAX]; /* enum part_state */
	uint32_t part;            /* the current one */
	bool any_step, any_failed, any_passed;
	bool any_github_step, any_marked; /* GitHub and Azure mark the error that ends a step */
	bool log_passed;                  /* the last word of the CI system was success */
	struct failed_test tests[TESTS_KEPT];
	size_t n_tests;
	struct unfinished unfinished;
	struct recent recent;
	struct tail tail; /* after the end: the last lines read */
	struct tail
		last_words; /* the lines before the first failed step ended, or marked an error */
	/* The last command that the log echoed; not any more once a step failed. */
	struct recent_line echoed;
	char command[FINDING_TEXT_MAX + 1]; /* after the end */
	const char *block;                  /* being scanned, for last_words */
	const struct clean_line *lines;
	size_t at;
	uint32_t hit[RULES_PER_LINE]; /* by the line at `at` */
};

/* After the last block, before anything of it is read. */
void scan_end(struct scan *);
/* Where the failure should be told: before the first failed step ended, else where GitHub marked
 * an error, else the log's end. */
const struct tail *scan_last_words(const struct scan *);

struct scan *scan_new(const struct rule_set *, const struct matcher *, const char *failed_step);
void scan_free(struct scan *);
DEFINE_OWNED(struct scan, scan_free)

/* One cleaned block with its candidates. */
void scan_block(struct scan *, const char *text, const struct clean_line *, size_t n_lines,
		const struct candidate *, size_t n_candidates);

#endif
