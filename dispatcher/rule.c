#include "dispatcher/rule.h"

#include <ctype.h>
#include <string.h>

#include "core/finding.h"
#include "core/mem.h"
#include "dispatcher/rule_parts.h"

enum {
	/*
	 * Proving a pattern cheap: on lines of PROBE_LEN bytes, quadratic work stays
	 * below PROBE_LIMIT steps, cubic and exponential work does not.
	 */
	PROBE_LEN = 256,
	PROBE_LIMIT = 300000,
};

struct matcher *matcher_new(uint32_t match_limit)
{
	struct matcher *m = xcalloc(1, sizeof(*m));

	m->limits = pcre2_match_context_create(NULL);
	m->data = pcre2_match_data_create(24, NULL);
	m->stack = pcre2_jit_stack_create(32 << 10, 1 << 20, NULL);
	if (!m->limits || !m->data || !m->stack)
		abort();
	(void)pcre2_set_match_limit(m->limits, match_limit);
	(void)pcre2_set_depth_limit(m->limits, match_limit);
	(void)pcre2_set_heap_limit(m->limits, RULE_HEAP_LIMIT_KIB);
	pcre2_jit_stack_assign(m->limits, NULL, m->stack);
	return m;
}

void matcher_free(struct matcher *m)
{
	if (!m)
		return;
	pcre2_match_data_free(m->data);
	pcre2_match_context_free(m->limits);
	pcre2_jit_stack_free(m->stack);
	free(m);
}

static enum rule_result run(const pcre2_code *code, const struct matcher *m, const char *line,
			    size_t len, uint32_t options)
{
	int rc = PCRE2_ERROR_JIT_BADOPTION;

	/* Asked directly, it saves what the common entry looks at again for every line. */
	if (!options)
		rc = pcre2_jit_match(code, (PCRE2_SPTR)line, len, 0, 0, m->data, m->limits);
	if (rc == PCRE2_ERROR_JIT_BADOPTION)
		rc = pcre2_match(code, (PCRE2_SPTR)line, len, 0, options, m->data, m->limits);
	if (rc >= 0)
		return RULE_HIT;
	return rc == PCRE2_ERROR_NOMATCH ? RULE_MISS : RULE_GAVE_UP;
}

enum rule_result pattern_match(const pcre2_code *code, const struct matcher *m, const char *line,
			       size_t len)
{
	return code ? run(code, m, line, len, 0) : RULE_MISS;
}

bool pattern_group(const pcre2_code *code, const struct matcher *m, const char *line,
		   const char *name, const char **at, size_t *len)
{
	const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(m->data);
	PCRE2_SPTR first, last;
	int width = pcre2_substring_nametable_scan(code, (PCRE2_SPTR)name, &first, &last);

	/* Alternatives may give a group the same name: the one that took part counts. */
	for (PCRE2_SPTR entry = first; width > 0 && entry <= last; entry += width) {
		unsigned number = (unsigned)entry[0] << 8 | entry[1];
		PCRE2_SIZE from, to;

		if (number >= pcre2_get_ovector_count(m->data))
			continue;
		from = ends[2 * number];
		to = ends[2 * number + 1];
		if (from == PCRE2_UNSET || to <= from)
			continue;
		*at = line + from;
		*len = to - from;
		return true;
	}
	return false;
}

size_t pattern_class_end(const char *s)
{
	size_t i = 1;

	if (s[i] == '^')
		i++;
	if (s[i] == ']')
		i++;
	for (; s[i] && s[i] != ']'; i++) {
		if (s[i] == '\\' && s[i + 1])
			i++;
		else if (s[i] == '[' && s[i + 1] == ':')
			i += strcspn(s + i, "]");
	}
	return s[i] ? i : i - 1;
}

static bool is_open_brace(const char *s, size_t *end)
{
	size_t i = 1;

	while (isdigit((unsigned char)s[i]))
		i++;
	if (i == 1 || s[i] != ',' || s[i + 1] != '}')
		return false;
	*end = i + 1;
	return true;
}

bool pattern_has_open_end(const char *regex)
{
	enum { DEPTH = 32 };
	bool open_alternative[DEPTH] = { false }; /* one of the branches so far ends open */
	bool look[DEPTH] = { false }, before[DEPTH] = { false };
	bool tail = false; /* the last thing read is an open quantifier */
	size_t depth = 0;

	for (size_t i = 0; regex[i]; i++) {
		char ch = regex[i];
		size_t end;

		if (ch == '(' && depth + 1 < DEPTH) {
			depth++;
			open_alternative[depth] = false;
			before[depth] = tail;
			look[depth] = strncmp(regex + i, "(?=", 3) == 0 ||
				      strncmp(regex + i, "(?!", 3) == 0 ||
				      strncmp(regex + i, "(?<=", 4) == 0 ||
				      strncmp(regex + i, "(?<!", 4) == 0;
			if (regex[i + 1] == '?')
				i += strcspn(regex + i, ":>!=)") - (regex[i] == ')');
			if (!regex[i])
				break;
			tail = false;
		} else if (ch == '|') {
			open_alternative[depth] |= tail;
			tail = false;
		} else if (ch == ')' && depth > 0) {
			tail = look[depth] ? before[depth] : tail || open_alternative[depth];
			depth--;
		} else if (ch == '*' || ch == '+') {
			tail = true;
		} else if (ch == '?' && tail) {
			continue; /* lazy is open as well */
		} else if (ch == '{' && is_open_brace(regex + i, &end)) {
			tail = true;
			i += end;
		} else {
			tail = false;
			if (ch == '\\' && regex[i + 1])
				i++;
			else if (ch == '[')
				i += pattern_class_end(regex + i);
		}
	}
	return tail || open_alternative[0];
}

/* One alternative after the other at one depth; ends behind the closing bracket. */
static size_t literal_of(const char **regex, unsigned depth)
{
	enum { DEPTH_MAX = 32 };
	const char *s = *regex;
	size_t least = SIZE_MAX, most = 0, run = 0;

	while (*s && *s != ')') {
		size_t n = 0, end = 0; /* what this piece has; does it end a run of characters */
		bool plain = false;

		if (*s == '|') {
			least = most < least ? most : least;
			most = run = 0;
			s++;
			continue;
		}
		if (*s == '(' && depth < DEPTH_MAX) {
			bool ahead = strncmp(s, "(?!", 3) == 0 || strncmp(s, "(?<!", 4) == 0;

			s++;
			if (*s == '?')
				s += strcspn(s, ":>!=)");
			s += *s && strchr(":>!=", *s) && s[-1] != '(';
			n = literal_of(&s, depth + 1);
			n = ahead ? 0 : n;
		} else if (*s == '[') {
			s += pattern_class_end(s);
		} else if (*s == '\\' && s[1]) {
			s++;
			plain = ispunct((unsigned char)*s);
		} else {
			plain = !strchr(".^$", *s);
		}
		s += *s != '\0';
		if (*s == '{')
			end = strcspn(s, "}");
		if (*s == '?' || *s == '*' || (*s == '{' && (s[1] == '0' || s[1] == ','))) {
			/* It may be missing. */
			n = 0;
			plain = false;
		}
		run = plain ? run + 1 : 0;
		most = run > most ? run : most;
		most = n > most ? n : most;
		if (*s && strchr("?*+{", *s)) {
			s += end + 1;
			run = 0;
			s += *s == '?' || *s == '+';
		}
	}
	*regex = s;
	return most < least ? most : least;
}

size_t pattern_literal_len(const char *regex)
{
	return literal_of(&regex, 0);
}

const char *rule_class_name(enum rule_class class)
{
	static const char *const names[] = {
		[RULE_CAUSE] = "cause",
		[RULE_CONSEQUENCE] = "consequence",
		[RULE_HINT] = "hint",
		[RULE_STEP_FAILED] = "step_failed",
		[RULE_STEP_PASSED] = "step_passed",
		[RULE_LOG_PASSED] = "log_passed",
		[RULE_BENIGN] = "benign",
		[RULE_TEST] = "test",
		[RULE_RETRIED] = "retried",
	};

	return names[class];
}

bool rule_class_says_why(enum rule_class class)
{
	return class == RULE_CAUSE || class == RULE_CONSEQUENCE || class == RULE_HINT;
}

static int compile(const struct rule_spec *spec, const char *regex, pcre2_code **out,
		   struct err *err)
{
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	PCRE2_UCHAR why[120];
	PCRE2_SIZE at;
	int code;

	if (!context)
		abort();
	(void)pcre2_set_newline(context, PCRE2_NEWLINE_LF);
	*out = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED,
			     PCRE2_NEVER_BACKSLASH_C | PCRE2_DUPNAMES, &code, &at, context);
	pcre2_compile_context_free(context);
	if (!*out) {
		(void)pcre2_get_error_message(code, why, sizeof(why));
		return err_set(err, ERR_CONFIG, "rule %s: %s at offset %zu", spec->id,
			       (const char *)why, at);
	}
	/* Without a JIT for this machine matching is slower, not different. */
	(void)pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE);
	return 0;
}

bool pattern_is_cheap(const struct rule_spec *spec, const pcre2_code *code, uint32_t steps)
{
	static const char fills[] = "a0 Z_-./:=\"'([{<*#e";
	OWNED(matcher_freep) struct matcher *m = matcher_new(steps);
	char line[PROBE_LEN];

	for (size_t i = 0; fills[i]; i++) {
		memset(line, fills[i], sizeof(line));
		line[sizeof(line) - 1] = '\x01';
		if (run(code, m, line, sizeof(line), PCRE2_NO_JIT) == RULE_GAVE_UP)
			return false;
	}
	for (unsigned k = 0; k < spec->positive_count; k++) {
		size_t n = strlen(spec->positive[k]);

		if (n < 2)
			continue;
		for (size_t i = 0; i < sizeof(line); i++)
			line[i] = spec->positive[k][i % (n - 1)];
		line[sizeof(line) - 1] = '\x01';
		if (run(code, m, line, sizeof(line), PCRE2_NO_JIT) == RULE_GAVE_UP)
			return false;
	}
	return true;
}

static int prove_cheap(const struct rule_spec *spec, const pcre2_code *code, struct err *err)
{
	if (pattern_is_cheap(spec, code, PROBE_LIMIT))
		return 0;
	return err_set(err, ERR_CONFIG, "rule %s: the pattern backtracks without bound", spec->id);
}

/* Samples are lines; of a rule without a regex, commands. */
static int prove_samples(const struct rule *r, struct err *err)
{
	OWNED(matcher_freep) struct matcher *m = matcher_new(RULE_MATCH_LIMIT);
	const struct rule_spec *spec = r->spec;
	const pcre2_code *code = r->code ? r->code : r->command;

	for (unsigned i = 0; i < spec->positive_count; i++) {
		const char *line = spec->positive[i];

		if (pattern_match(code, m, line, strlen(line)) != RULE_HIT)
			return err_set(err, ERR_CONFIG, "rule %s: misses its positive sample %u",
				       spec->id, i + 1);
		if (r->capture && pattern_match(r->capture, m, line, strlen(line)) != RULE_HIT)
			return err_set(err, ERR_CONFIG,
				       "rule %s: captures nothing from positive sample %u",
				       spec->id, i + 1);
	}
	for (unsigned i = 0; i < spec->negative_count; i++)
		if (pattern_match(code, m, spec->negative[i], strlen(spec->negative[i])) !=
		    RULE_MISS)
			return err_set(err, ERR_CONFIG, "rule %s: hits its negative sample %u",
				       spec->id, i + 1);
	return 0;
}

/* What must be true before anything is compiled. */
static int check_spec(const struct rule_spec *s, struct err *err)
{
	bool says_why = rule_class_says_why(s->class);

	if (says_why && (!s->category || !finding_category_known(s->category)))
		return err_set(err, ERR_CONFIG, "rule %s: category \"%s\" is not known", s->id,
			       s->category ? s->category : "");
	if (says_why && (!s->title || !(s->confidence > 0 && s->confidence <= 1)))
		return err_set(err, ERR_CONFIG,
			       "rule %s: needs a title and a confidence above 0, at most 1", s->id);
	if (!s->regex && !s->command)
	return s->requires ? 0
			   : err_set(err, ERR_CONFIG,
				     "rule %s: needs a regex, a command or required facts", s->id);
	if (s->follow && !s->capture)
		return err_set(err, ERR_CONFIG, "rule %s: follow goes with a capture", s->id);
	if (!s->positive_count || !s->negative_count)
		return err_set(err, ERR_CONFIG, "rule %s: needs a positive and a negative sample",
			       s->id);
	if (!s->regex)
		return 0;
	if (strstr(s->regex, "\\A") || strstr(s->regex, "\\z") || strstr(s->regex, "\\Z"))
		return err_set(err, ERR_CONFIG, "rule %s: a line begins at ^ and ends at $", s->id);
	if (pattern_has_open_end(s->regex))
		return err_set(err, ERR_CONFIG,
			       "rule %s: the regex ends in an open quantifier; use `capture`",
			       s->id);
	return 0;
}

int rule_init_proven(struct rule *r, const struct rule_spec *spec, struct err *err)
{
	*r = (struct rule){ .spec = spec };
	if (check_spec(spec, err) < 0)
		return -1;
	if (spec->command && compile(spec, spec->command, &r->command, err) < 0)
		return -1;
	if (spec->regex && compile(spec, spec->regex, &r->code, err) < 0)
		return -1;
	if (spec->capture && compile(spec, spec->capture, &r->capture, err) < 0)
		return -1;
	if (spec->follow && compile(spec, spec->follow, &r->follow, err) < 0)
		return -1;
	if (spec->regex)
		rule_parts_init(&r->parts, spec->regex);
	return 0;
}

int rule_init(struct rule *r, const struct rule_spec *spec, struct err *err)
{
	OWNED(matcher_freep) struct matcher *m = matcher_new(RULE_MATCH_LIMIT);

	if (rule_init_proven(r, spec, err) < 0)
		return -1;
	if (!r->code && !r->command)
		return 0;
	if (pattern_match(r->code, m, "", 0) == RULE_HIT ||
	    pattern_match(r->command, m, "", 0) == RULE_HIT)
		return err_set(err, ERR_CONFIG, "rule %s: it matches an empty line", spec->id);
	if ((r->command && prove_cheap(spec, r->command, err) < 0) ||
	    (r->code && prove_cheap(spec, r->code, err) < 0) ||
	    (r->capture && prove_cheap(spec, r->capture, err) < 0) ||
	    (r->follow && prove_cheap(spec, r->follow, err) < 0))
		return -1;
	return prove_samples(r, err);
}

const pcre2_code *rule_part_compile(const struct rule *r, size_t part)
{
	struct rule_part *p = &r->parts.at[part];
	struct err err;

	/* It is a part of what was compiled before. */
	if (compile(r->spec, p->regex, &p->code, &err) < 0)
		abort();
	return p->code;
}

void rule_done(struct rule *r)
{
	pcre2_code_free(r->command);
	pcre2_code_free(r->code);
	pcre2_code_free(r->capture);
	pcre2_code_free(r->follow);
	rule_parts_done(&r->parts);
	*r = (struct rule){ .spec = NULL };
}
