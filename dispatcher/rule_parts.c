#include "dispatcher/rule_parts.h"

#include <ctype.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/literals.h"

/* What a part of a pattern may look back at, or change for the rest of it. */
static bool is_knotty(const char *s)
{
	static const char *const spare[] = { "(?:", "(?=", "(?!",  "(?<=", "(?<!",
					     "(?>", "(?<", "(?i:", "(?-i:" };

	if (s[0] == '\\')
		return (isdigit((unsigned char)s[1]) && s[1] != '0') || strchr("gkKQEG", s[1]);
	if (s[0] != '(' || (s[1] != '?' && s[1] != '*'))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(spare); i++)
		if (text_starts(s, spare[i]))
			return false;
	return true;
}

/* Bytes up to the next thing that may be a border. */
static size_t step(const char *s)
{
	if (s[0] == '[')
		return pattern_class_end(s) + 1;
	return s[0] == '\\' && s[1] ? 2 : 1;
}

/*
 * Counts the alternatives of s[0..n) and, with `ends`, says where they end. 0: not to be cut.
 * `outside` becomes true when a group is closed that was not opened there.
 */
static size_t alternatives(const char *s, size_t n, size_t ends[static RULE_PARTS_MAX],
			   bool *outside)
{
	size_t found = 0, begin = 0, len;
	unsigned depth = 0;

	*outside = false;
	for (size_t i = 0; i < n; i += len) {
		len = step(s + i);
		if (is_knotty(s + i))
			return 0;
		*outside |= s[i] == ')' && depth == 0;
		depth += (s[i] == '(') - (s[i] == ')' && depth > 0);
		if (s[i] != '|' || depth > 0)
			continue;
		if (i == begin || found + 1 == RULE_PARTS_MAX)
			return 0;
		ends[found++] = i;
		begin = i + 1;
	}
	ends[found++] = n;
	return begin < n ? found : 0;
}

static void add(struct rule_parts *p, const char *flags, const char *s, size_t n)
{
	p->at[p->n++].regex = xasprintf("%s%.*s", flags, (int)n, s);
}

void rule_parts_init(struct rule_parts *p, const char *regex)
{
	static const char caseless[] = "(?i)";
	size_t begin = 0, ends[RULE_PARTS_MAX], n;
	const char *flags = text_starts(regex, caseless) ? caseless : "";
	const char *s = regex + strlen(flags);
	size_t len = strlen(s), inner = text_starts(s, "(?:") ? 3 : 1;
	bool group = *s == '(' && (inner == 3 || (s[1] != '?' && s[1] != '*'));
	bool outside = true;

	if (group && len > inner + 1 && s[len - 1] == ')' && s[len - 2] != '\\') {
		n = alternatives(s + inner, len - inner - 1, ends, &outside);
		s += outside ? 0 : inner;
	}
	if (outside)
		n = alternatives(s, len, ends, &outside);
	p->n = 0;
	p->at = xcalloc(n > 1 ? n : 1, sizeof(*p->at));
	for (size_t i = 0; n > 1 && i < n; i++) {
		add(p, flags, s + begin, ends[i] - begin);
		begin = ends[i] + 1;
	}
	if (n < 2)
		add(p, "", regex, strlen(regex));
}

void rule_parts_done(struct rule_parts *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->at[i].regex);
		pcre2_code_free(p->at[i].code);
	}
	free(p->at);
	*p = (struct rule_parts){ .at = NULL };
}
