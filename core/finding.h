/* finding: "we think this is why". What the detector produces and everybody else reads. */
#ifndef GUARD_CORE_FINDING_H
#define GUARD_CORE_FINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct arena;
struct json_object;

enum {
	FINDING_EVIDENCE_MAX = 8,
	FINDING_TESTS_MAX = 200,
	FINDING_ALTERNATIVES_MAX = 3,
	FINDING_SUGGESTIONS_MAX = 4,
	FINDING_TEXT_MAX = 300, /* bytes kept of one evidence line */
};

struct finding_line {
	uint64_t line;    /* 1-based in the log as given */
	const char *text; /* cleaned and masked */
};

/* All strings belong to the arena that the finding was made in; missing ones are "". */
struct finding {
	const char *category;    /* "network_failure"; contract list in finding.c */
	const char *subcategory; /* "dns" */
	double confidence;       /* 0..1 */
	bool transient;          /* trying again can help */
	const char *rule;        /* id of the winning rule, "" for unknown */
	const char *title;       /* plain language */
	const char *
		category_title; /* the same of category and subcategory, in the reader's language */
	const char *link;       /* where to read more */
	const char *job;        /* name of the job whose log said it, when known */
	struct finding_line evidence[FINDING_EVIDENCE_MAX];
	size_t n_evidence;
	const char *failed_tests[FINDING_TESTS_MAX];
	size_t n_failed_tests;
	const char *test_framework; /* "pytest": whose reporter named the first of them */
	struct {
		const char *category;
		double confidence;
	} alternatives[FINDING_ALTERNATIVES_MAX];
	size_t n_alternatives;
	const char *suggestions[FINDING_SUGGESTIONS_MAX];
	size_t n_suggestions;
	char fingerprint[17]; /* 16 hex digits; same failure, same fingerprint */
	double scan_ms;
};

/* Everything empty, category "unknown". */
void finding_init(struct finding *);

bool finding_category_known(const char *category);
/* The contract list of categories, NULL-terminated. */
extern const char *const finding_categories[];

/* The JSON of `detect --json`, without "file". New reference. */
struct json_object *finding_to_json(const struct finding *);
int finding_from_json(struct json_object *, struct arena *, struct finding *out,
		      struct err *) MUST_CHECK;

#endif
