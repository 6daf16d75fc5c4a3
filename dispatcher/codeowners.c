#include "dispatcher/codeowners.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "core/text.h"

enum { SECTIONS_MAX = 200 };

struct owned {
	const char *pattern; /* without a leading slash */
	const char *owners;  /* "" : nobody, on purpose */
	unsigned section;
	bool anchored; /* begins at the root */
	bool folder;   /* ended in a slash: everything below */
	bool exempt;   /* GitLab's `!pattern`: nobody of this section */
};

struct codeowners {
	enum codeowners_dialect dialect;
	struct owned *rules;
	size_t n;
	const char *sections[SECTIONS_MAX]; /* [0] is what is before the first */
	const char *defaults[SECTIONS_MAX]; /* owners of rules that name none */
	unsigned n_sections;
};

/* --- patterns ------------------------------------------------------------- */

/* Where the search goes on when what comes later does not fit. */
struct retry {
	const char *pattern, *path;
};

/* Takes a segment's end more into `**`; false when there is none. */
static bool next_segment(struct retry *r)
{
	const char *slash = r->path ? strchr(r->path, '/') : NULL;

	r->path = slash ? slash + 1 : NULL;
	return slash != NULL;
}

bool codeowners_glob(const char *pattern, const char *path)
{
	struct retry star = { NULL, NULL }, any = { NULL, NULL };
	const char *p = pattern, *s = path;

	for (;;) {
		if (strncmp(p, "**/", 3) == 0 && (p == pattern || p[-1] == '/')) {
			p += 3;
			any = (struct retry){ p, s };
			star.path = NULL;
		} else if (strcmp(p, "**") == 0 && (p == pattern || p[-1] == '/')) {
			return *s != '\0';
		} else if (*p == '*') {
			while (*p == '*')
				p++;
			star = (struct retry){ p, s };
		} else if (*s && (*p == *s || (*p == '?' && *s != '/'))) {
			p++;
			s++;
		} else if (!*p && !*s) {
			return true;
		} else if (star.path && *star.path && *star.path != '/') {
			s = ++star.path;
			p = star.pattern;
		} else if (next_segment(&any)) {
			star.path = NULL;
			s = any.path;
			p = any.pattern;
		} else {
			return false;
		}
	}
}

static bool matches_from(const struct codeowners *c, const struct owned *o, const char *path)
{
	char below[CODEOWNERS_PATTERN_MAX + 4];
	size_t n = strlen(o->pattern);

	if (!o->folder && codeowners_glob(o->pattern, path))
		return true;
	/* GitHub: a name is a folder's as well, but `docs/` + `*` are its files alone. */
	if (!o->folder && (c->dialect == CODEOWNERS_GITLAB || (n && o->pattern[n - 1] == '*')))
		return false;
	(void)snprintf(below, sizeof(below), "%s/**", o->pattern);
	return codeowners_glob(below, path);
}

static bool matches(const struct codeowners *c, const struct owned *o, const char *path)
{
	if (!*o->pattern)
		return o->folder; /* "/": all */
	if (o->anchored)
		return matches_from(c, o, path);
	for (; path; path = strchr(path, '/')) {
		path += *path == '/';
		if (matches_from(c, o, path))
			return true;
	}
	return false;
}

/* --- reading -------------------------------------------------------------- */

/* The next word; a backslash keeps a space in it. NULL at the end or at a comment. */
static char *next_word(char **rest)
{
	char *start = *rest + strspn(*rest, " \t\r"), *to = start, *from = start;

	if (!*start || *start == '#')
		return NULL;
	for (; *from && !strchr(" \t\r", *from); from++) {
		if (*from == '\\' && from[1])
			from++;
		*to++ = *from;
	}
	*rest = from + (*from != '\0');
	*to = '\0';
	return start;
}

/* It is stored and shown: text, and nothing that moves a cursor. */
static bool is_owner(const char *word)
{
	for (const char *p = word; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return false;
	return utf8_valid((const unsigned char *)word, strlen(word));
}

static const char *read_owners(char *rest, struct arena *a)
{
	const char *all = "", *word;

	while ((word = next_word(&rest)))
		if (is_owner(word) && strlen(all) + strlen(word) + 2 <= CODEOWNERS_OWNER_MAX)
			all = arena_printf(a, "%s%s%s", all, *all ? " " : "", word);
	return all;
}

/* "[Tax team][2] @acme/tax": the section that rules after it belong to; false: it is none. */
static bool read_section(struct codeowners *c, char *line, unsigned *section, struct arena *a)
{
	char *name = line + (*line == '^'), *end = strchr(name, ']');
	const char *owners;

	if (c->dialect != CODEOWNERS_GITLAB || *name != '[' || !end)
		return false;
	*end++ = '\0';
	if (*end == '[')
		end += strcspn(end, "]") + (strchr(end, ']') != NULL);
	owners = read_owners(end, a);
	name++;
	for (*section = 1; *section < c->n_sections; (*section)++)
		if (strcasecmp(c->sections[*section], name) == 0)
			break;
	if (*section == SECTIONS_MAX) {
		*section = 0;
		return true;
	}
	if (*section == c->n_sections) {
		c->sections[c->n_sections] = arena_strdup(a, name);
		c->defaults[c->n_sections++] = "";
	}
	if (*owners)
		c->defaults[*section] = owners;
	return true;
}

static void read_rule(struct codeowners *c, char *line, unsigned section, struct arena *a)
{
	struct owned o = { .section = section };
	char *rest = line, *pattern = next_word(&rest);
	size_t n;

	if (!pattern || c->n == CODEOWNERS_RULES_MAX)
		return;
	if (*pattern == '!') {
		if (c->dialect == CODEOWNERS_GITHUB)
			return; /* it knows no such thing, and ignores the line */
		o.exempt = true;
		pattern++;
	}
	o.anchored = *pattern == '/';
	pattern += o.anchored;
	n = strlen(pattern);
	o.folder = (n && pattern[n - 1] == '/') || (!n && o.anchored);
	if (n && o.folder)
		pattern[--n] = '\0';
	if (n >= CODEOWNERS_PATTERN_MAX || (!n && !o.folder))
		return;
	/* GitHub follows gitignore: a slash within anchors. GitLab looks in every folder. */
	if (c->dialect == CODEOWNERS_GITHUB && strchr(pattern, '/'))
		o.anchored = true;
	o.pattern = arena_strdup(a, pattern);
	o.owners = read_owners(rest, a);
	c->rules[c->n++] = o;
}

struct codeowners *codeowners_parse(const char *text, size_t n, enum codeowners_dialect dialect,
				    struct arena *a)
{
	struct codeowners *c = arena_alloc(a, sizeof(*c));
	size_t most = n < CODEOWNERS_BYTES_MAX ? n : CODEOWNERS_BYTES_MAX;
	char *all = arena_strndup(a, text, most), *line = all;
	unsigned section = 0;

	c->dialect = dialect;
	c->rules = arena_alloc(a, CODEOWNERS_RULES_MAX * sizeof(*c->rules));
	c->sections[0] = c->defaults[0] = "";
	c->n_sections = 1;
	while (line) {
		char *next = strchr(line, '\n');

		if (next)
			*next++ = '\0';
		line += strspn(line, " \t");
		if (*line && *line != '#' && !read_section(c, line, &section, a))
			read_rule(c, line, section, a);
		line = next;
	}
	return c;
}

/* The last rule of a section that matches decides for it. */
static const char *owners_in(const struct codeowners *c, unsigned section, const char *path)
{
	bool exempt = false;
	const char *found = "";

	for (size_t i = 0; i < c->n; i++) {
		const struct owned *o = &c->rules[i];

		if (o->section != section || !matches(c, o, path))
			continue;
		exempt |= o->exempt;
		found = *o->owners ? o->owners : c->defaults[section];
	}
	return exempt ? "" : found;
}

bool codeowners_of(const struct codeowners *c, const char *path,
		   char out[static CODEOWNERS_OWNER_MAX])
{
	*out = '\0';
	for (unsigned i = 0; i < c->n_sections; i++) {
		const char *owners = owners_in(c, i, path);
		size_t n = strlen(out);

		if (*owners && n + strlen(owners) + 2 <= CODEOWNERS_OWNER_MAX)
			(void)snprintf(out + n, CODEOWNERS_OWNER_MAX - n, "%s%s", n ? " " : "",
				       owners);
	}
	return *out != '\0';
}
