/* One diagnosis rule: what it says about a failure, and the compiled patterns that find it. */
#ifndef GUARD_DISPATCHER_RULE_H
#define GUARD_DISPATCHER_RULE_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "dispatcher/literals.h"

enum rule_class {
	RULE_CAUSE,       /* says itself why the step failed */
	RULE_CONSEQUENCE, /* what tools say after something else failed */
	RULE_HINT,        /* explains a failure, but is also seen in healthy logs */
	RULE_STEP_FAILED, /* a step ended here, badly; says nothing about why */
	RULE_STEP_PASSED, /* what came before ended well */
	RULE_LOG_PASSED,  /* the whole job ended well */
	RULE_BENIGN,      /* other rules must not look at this line */
	RULE_TEST,        /* only names a failed test */
	RULE_RETRIED,     /* what went wrong just before was tried again */
};

enum rule_fact {
	FACT_NO_FAILED_STEP = 1 << 0, /* the API: the job failed, no step did */
	FACT_TIMED_OUT = 1 << 1,
	FACT_CANCELLED = 1 << 2,
	FACT_GITHUB = 1 << 3,
	FACT_GITLAB = 1 << 4,
	FACT_JENKINS = 1 << 5,
};

enum { RULE_ID_MAX = 64, RULE_SAMPLES_MAX = 16 };

/* As written in conf/rules; docs/rules.md says what each key means. */
struct rule_spec {
	char *id, *category, *subcategory, *title, *link;
	enum rule_class class;
	double confidence;
	bool transient;
	uint32_t requires; /* enum rule_fact: all of them */
	char *command;     /* what must have failed, as the log echoed it; NULL: anything */
	char *regex;       /* one cleaned line; NULL: facts and command alone decide */
	char *capture;     /* (?<test>) or (?<begin>), (?<suite>), on a line that regex hit */
	char *follow;      /* what the lines after it add: (?<more>), (?<last>), ... */
	char *separator;   /* between suite and test; NULL: "." */
	char *framework;   /* whose reporter writes such lines; NULL: not said */
	char **positive, **negative, **suggestions;
	unsigned positive_count, negative_count, suggestions_count;
};

/* "cause", "hint", ... */
const char *rule_class_name(enum rule_class);
/* True for the classes that can be the answer: cause, consequence, hint. */
bool rule_class_says_why(enum rule_class);

/*
 * One alternative of a regex, a pattern of its own; see rule_parts.h. What cannot be cut is the
 * only part.
 */
struct rule_part {
	pcre2_code *code; /* NULL: not needed so far */
	marks marks;      /* that a line must have to match, once `marked` */
	bool marked;
	char *regex;
};
enum { RULE_PARTS_MAX = 128 };
struct rule_parts {
	struct rule_part *at;
	size_t n; /* 0 without a regex */
};

struct rule {
	const struct rule_spec *spec;
	const char *file;    /* base name; NULL unless the set was checked */
	unsigned line;       /* of its id; 0 not known */
	pcre2_code *command; /* NULL without one */
	pcre2_code *code;    /* NULL without a regex */
	pcre2_code *capture; /* NULL without one */
	pcre2_code *follow;  /* NULL without one */
	struct rule_parts parts;
};

/* Scratch of matching, with its limits: shared by all rules of a process, never nested. */
struct matcher {
	pcre2_match_context *limits;
	pcre2_match_data *data;
	pcre2_jit_stack *stack;
};

enum rule_result {
	RULE_MISS,
	RULE_HIT,
	RULE_GAVE_UP, /* reached a limit: neither hit nor miss, to be counted */
};

/*
 * Lines are written by strangers: past these limits a match gives up instead of
 * backtracking for seconds on the event loop.
 */
enum { RULE_MATCH_LIMIT = 2000000, RULE_HEAP_LIMIT_KIB = 4096 };

struct matcher *matcher_new(uint32_t match_limit);
void matcher_free(struct matcher *);
DEFINE_OWNED(struct matcher, matcher_free)

/*
 * Compiles and proves a rule: known category, patterns that compile and stay
 * cheap, samples that do what they say. The spec must outlive the rule.
 */
int rule_init(struct rule *, const struct rule_spec *, struct err *) MUST_CHECK;
/* The same without the proof, for a spec that passed it. Counts up when more is asked of rules. */
enum { RULE_PROOF = 1 };
int rule_init_proven(struct rule *, const struct rule_spec *, struct err *) MUST_CHECK;
void rule_done(struct rule *);
/* One of several, compiled when it is first asked for. */
const pcre2_code *rule_part_compile(const struct rule *, size_t part);

/* Found out when it is first asked for: most parts never are. */
static inline marks rule_part_marks(const struct rule *r, size_t part)
{
	struct rule_part *p = &r->parts.at[part];

	if (!p->marked) {
		p->marks = marks_needed(p->regex);
		p->marked = true;
	}
	return p->marks;
}

static inline const pcre2_code *rule_part_code(const struct rule *r, size_t part)
{
	const pcre2_code *code = r->parts.n == 1 ? r->code : r->parts.at[part].code;

	return code ? code : rule_part_compile(r, part);
}

/*
 * False when the pattern takes more than so many steps on lines made to hurt: one byte over and
 * over, and the rule's own samples over and over.
 */
bool pattern_is_cheap(const struct rule_spec *, const pcre2_code *, uint32_t steps);

/* With code NULL it is a miss. */
enum rule_result pattern_match(const pcre2_code *, const struct matcher *, const char *line,
			       size_t len);
/* After a hit: bytes of the named group, false when it is not there or empty. */
bool pattern_group(const pcre2_code *, const struct matcher *, const char *line, const char *name,
		   const char **at, size_t *len);

/* True when the pattern could report a hit at every further byte of a line: `error: .+`. */
bool pattern_has_open_end(const char *regex);
/*
 * Bytes of the longest text that every match contains, as far as it shows in the
 * pattern: 4 for `^tax(es)?: \d`. What a one-pass engine can look for.
 */
size_t pattern_literal_len(const char *regex);
/* The character class at s[0] == '[': index of its closing bracket. */
size_t pattern_class_end(const char *s);

#endif
