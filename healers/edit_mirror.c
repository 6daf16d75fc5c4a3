/*
 * use_mirror: a registry that failed is named in the log, and the policy has a mirror of it. Files
 * that name the registry get the mirror; where npm and pip would take their registry without being
 * told, they are told.
 */
#include "healers/edit.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/finding.h"
#include "core/text.h"
#include "healers/propose.h"

static const char *const files[] = {
	".npmrc",
	".yarnrc",
	".yarnrc.yml",
	"requirements.txt",
	"pip.conf",
	"Pipfile",
	"pyproject.toml",
	"Gemfile",
	"composer.json",
	"nuget.config",
	"NuGet.config",
	".cargo/config.toml",
	"pom.xml",
	"build.gradle",
	"build.gradle.kts",
	"settings.gradle",
	"settings.gradle.kts",
};

/* A tool that says so in the log takes its own registry when nobody says anything; a line at the
 * top of the file. */
static const struct {
	const char *says, *file;
	const char *unless;         /* the file says it already */
	const char *before, *after; /* of the URL, in that line */
	bool make;                  /* also where there is no such file */
} silent[] = {
	{ "npm ", ".npmrc", "registry", "registry=", "/\n", true },
	{ "/simple/", "requirements.txt", "index-url", "--index-url ", "/simple\n", false },
};

static bool part_of_host(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '.';
}

/* A name in a text, and not as a part of a longer one. */
static const char *find_host(const char *text, const char *from, const char *host)
{
	size_t n = strlen(host);

	for (const char *at = strstr(from, host); at; at = strstr(at + 1, host)) {
		/* The dot after it may end a sentence. */
		bool more = part_of_host(at[n]) && (at[n] != '.' || part_of_host(at[n + 1]));

		if ((at == text || !part_of_host(at[-1])) && !more)
			return at;
	}
	return NULL;
}

/* The mirror of the first registry that the log names, and the line that does. */
static const char *mirror_of(const struct edit_facts *facts, char host[static MIRROR_HOST_MAX],
			     char url[static MIRROR_URL_MAX])
{
	const struct finding *f = facts->finding;

	for (unsigned i = 0; i < facts->rules->n_mirrors; i++) {
		if (!propose_mirror(facts->rules->mirrors[i], host, url))
			continue;
		for (size_t k = 0; k < f->n_evidence; k++)
			if (find_host(f->evidence[k].text, f->evidence[k].text, host))
				return f->evidence[k].text;
	}
	return NULL;
}

static bool fits(const struct edit_facts *facts)
{
	char host[MIRROR_HOST_MAX], url[MIRROR_URL_MAX];

	return mirror_of(facts, host, url) != NULL;
}

static const char *file(const struct edit_facts *facts, unsigned i,
			char out[static CHANGE_PATH_MAX])
{
	UNUSED(facts);
	if (i == ARRAY_LEN(files))
		return NULL;
	(void)snprintf(out, CHANGE_PATH_MAX, "%s", files[i]);
	return out;
}

/* "https://HOST" at that place: its length with the scheme before it; 0: something else. */
static size_t scheme_before(const char *text, const char *at)
{
	static const char *const schemes[] = { "https://", "http://" };

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t n = strlen(schemes[i]);

		if ((size_t)(at - text) >= n && strncmp(at - n, schemes[i], n) == 0)
			return n;
	}
	return 0;
}

static bool replace(const struct edit_file *f, const char *host, const char *url, struct buf *out)
{
	const char *done = f->text;
	bool any = false;

	for (const char *at = find_host(f->text, f->text, host); at;
	     at = find_host(f->text, at + 1, host)) {
		size_t scheme = scheme_before(f->text, at);

		/* A port of its own is another server. */
		if (!scheme || at[strlen(host)] == ':')
			continue;
		buf_append(out, done, (size_t)(at - scheme - done));
		buf_puts(out, url);
		done = at + strlen(host);
		any = true;
	}
	buf_append(out, done, f->n - (size_t)(done - f->text));
	return any;
}

static bool say(const struct edit_file *f, const char *line, const char *url, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(silent); i++) {
		if (!strstr(line, silent[i].says) || strcmp(silent[i].file, f->path) != 0 ||
		    (f->text ? strstr(f->text, silent[i].unless) != NULL : !silent[i].make))
			continue;
		buf_reset(out);
		buf_puts(out, silent[i].before);
		buf_puts(out, url);
		buf_puts(out, silent[i].after);
		buf_append(out, f->text ? f->text : "", f->n);
		return true;
	}
	return false;
}

static bool apply(const struct edit_facts *facts, const struct edit_file *f,
		  struct edit_result *out)
{
	char host[MIRROR_HOST_MAX], url[MIRROR_URL_MAX];
	const char *line = mirror_of(facts, host, url);

	if (!line)
		return false;
	if (!(f->text && replace(f, host, url, &out->text)) && !say(f, line, url, &out->text))
		return false;
	(void)snprintf(out->what, sizeof(out->what), "Use the mirror of %.100s", host);
	return true;
}

const struct edit edit_use_mirror = {
	.fits = fits,
	.file = file,
	.apply = apply,
	.every_file = true,
	.limits = { .max_files = 8, .max_lines = 80 },
};
