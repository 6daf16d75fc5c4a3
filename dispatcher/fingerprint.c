#include "dispatcher/fingerprint.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "core/buf.h"
#include "core/crypto.h"

struct out {
	char *text;
	size_t len;
};

static void put(struct out *o, char ch)
{
	/* Runs of the same placeholder, such as N.N.N or N:N, become one. */
	if (ch == 'N' && o->len >= 2 && o->text[o->len - 2] == 'N' &&
	    strchr(".:,-", o->text[o->len - 1])) {
		o->len--;
		return;
	}
	if (ch == ' ' && o->len && o->text[o->len - 1] == ' ')
		return;
	if (o->len < FINGERPRINT_LINE_MAX - 1)
		o->text[o->len++] = ch;
}

static bool is_word(char ch)
{
	return isalnum((unsigned char)ch) || ch == '_';
}

static bool is_path_char(char ch)
{
	return is_word(ch) || (ch && strchr("/\\.-+~@%", ch));
}

/* UUIDs, digests, addresses: a word of hex digits and dashes with digits in it. */
static size_t hex_word_at(const char *s)
{
	size_t n = 0, digits = 0, hex = 0;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		n = 2;
	for (; isxdigit((unsigned char)s[n]) || (s[n] == '-' && isxdigit((unsigned char)s[n + 1]));
	     n++) {
		hex += s[n] != '-';
		digits += isdigit((unsigned char)s[n]) != 0;
	}
	if (is_word(s[n]) || !digits)
		return 0;
	if (n >= 3 && s[1] == 'x')
		return n;
	return hex >= 7 && digits < hex ? n : 0;
}

/* Start of the last part of the path at s; 0 when it is no path. */
static size_t directory_at(const char *s)
{
	size_t last = 0, i;

	if (s[0] == '/' && s[1] == '/')
		return 0;
	if (isalpha((unsigned char)s[0]) && s[1] == ':' && (s[2] == '\\' || s[2] == '/'))
		last = 2;
	for (i = last; is_path_char(s[i]); i++)
		if ((s[i] == '/' || s[i] == '\\') && is_path_char(s[i + 1]))
			last = i + 1;
	return last;
}

static size_t digits_at(const char *s)
{
	size_t n = 0;

	while (isdigit((unsigned char)s[n]))
		n++;
	return n;
}

/* One of the words at s, with no letter behind it. */
static size_t word_at(const char *s, const char *const *words)
{
	for (; *words; words++) {
		size_t n = strlen(*words);

		if (strncasecmp(s, *words, n) == 0 && !isalpha((unsigned char)s[n]) && s[n] != '_')
			return n;
	}
	return 0;
}

/* "1.25 s", "1m 23s", "12 MB": how much and in which unit differs every time. */
static size_t amount_at(const char *s)
{
	static const char *const units[] = {
		"ns",  "us",   "ms",   "s",   "sec",   "secs",   "second",  "seconds", "m",
		"min", "mins", "h",    "hr",  "hrs",   "minute", "minutes", "hour",    "hours",
		"d",   "day",  "days", "b",   "bytes", "kb",     "mb",      "gb",      "tb",
		"kib", "mib",  "gib",  "tib", "k",     "g",      "%",       NULL,
	};
	size_t at = 0, end = 0;

	for (;;) {
		size_t n = digits_at(s + at), unit;

		if (!n)
			return end;
		at += n;
		while (s[at] && strchr(".,:", s[at]) && isdigit((unsigned char)s[at + 1]))
			at += 1 + digits_at(s + at + 1);
		at += s[at] == ' ';
		unit = word_at(s + at, units);
		if (!unit)
			return end;
		end = at + unit;
		at = end + (s[end] == ' ');
	}
}

/* "Mon, 02 Jan" and "Jan 2": names of days and months in front of a number. */
static size_t calendar_at(const char *s)
{
	static const char *const names[] = {
		"mon", "tue", "wed", "thu", "fri", "sat", "sun", "jan", "feb", "mar",
		"apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", NULL,
	};
	size_t at = 0, n;

	while ((n = word_at(s + at, names)) > 0) {
		at += n;
		at += s[at] == ',';
		if (s[at] != ' ')
			return 0;
		at += strspn(s + at, " ");
	}
	return isdigit((unsigned char)s[at]) ? at : 0;
}

/* x2k8p: nobody names a thing so, a machine does. */
static size_t made_up_at(const char *s)
{
	size_t n = 0, changes = 0, letters = 0, longest = 0;

	for (; isalnum((unsigned char)s[n]); n++) {
		bool digit = isdigit((unsigned char)s[n]) != 0;

		changes += n && digit != (isdigit((unsigned char)s[n - 1]) != 0);
		letters = digit ? 0 : letters + 1;
		longest = letters > longest ? letters : longest;
	}
	return !is_word(s[n]) && n >= 5 && changes >= 3 && longest < 4 ? n : 0;
}

static size_t path_len(const char *s)
{
	size_t n = 0;

	while (is_path_char(s[n]))
		n++;
	return n;
}

/* A folder or file right below a place for temporary ones: its name was drawn. */
static size_t temporary_at(const char *s)
{
	static const char *const places[] = { "/tmp/", "/var/tmp/", "/private/tmp/" };
	size_t n = path_len(s);

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		size_t len = strlen(places[i]);

		if (n > len && strncmp(s, places[i], len) == 0 && !memchr(s + len, '/', n - len))
			return n;
	}
	return 0;
}

static size_t ref_at(const char *s)
{
	return strncmp(s, "refs/", 5) == 0 || strncmp(s, "origin/", 7) == 0 ? path_len(s) : 0;
}

/* What follows the word branch, with its quotes. */
static size_t branch_at(const char *s)
{
	static const char *const words[] = { "branch", NULL };
	size_t n = word_at(s, words), name;

	if (!n || s[n] != ' ')
		return 0;
	n++;
	n += s[n] == '\'' || s[n] == '"' || s[n] == '`';
	name = path_len(s + n);
	return name ? n + name : 0;
}

struct piece {
	size_t (*at)(const char *);
	char placeholder;
};

/* At the beginning of a word, in this order. */
static const struct piece pieces[] = {
	{ temporary_at, 'P' }, { ref_at, 'B' },    { branch_at, 'B' }, { directory_at, 0 },
	{ hex_word_at, 'H' },  { calendar_at, 0 }, { amount_at, 'N' }, { made_up_at, 'H' },
};

/* Bytes that were dealt with. */
static size_t replace(struct out *o, const char *line, bool in_word)
{
	for (size_t i = 0; !in_word && i < ARRAY_LEN(pieces); i++) {
		size_t n = pieces[i].at(line);

		if (n && pieces[i].placeholder)
			put(o, pieces[i].placeholder);
		if (n)
			return n;
	}
	if (isdigit((unsigned char)*line)) {
		put(o, 'N');
		return digits_at(line);
	}
	put(o, *line == '\t' ? ' ' : *line);
	return 1;
}

size_t fingerprint_normalise(const char *line, char out[static FINGERPRINT_LINE_MAX])
{
	struct out o = { .text = out };
	bool in_word = false;

	while (*line == ' ' || *line == '\t')
		line++;
	while (*line) {
		line += replace(&o, line, in_word);
		in_word = is_word(line[-1]);
	}
	while (o.len && o.text[o.len - 1] == ' ')
		o.len--;
	out[o.len] = '\0';
	return o.len;
}

/* At the beginning of a word, and not "0 errors". */
static bool speaks_of(const char *line, const char *word)
{
	static const char *const none[] = { "0 ", "no ", "without " };

	for (const char *at = line; (at = strcasestr(at, word)); at++) {
		bool there = at == line || !is_word(at[-1]);

		for (size_t i = 0; i < ARRAY_LEN(none) && there; i++) {
			size_t n = strlen(none[i]);

			there = (size_t)(at - line) < n || strncasecmp(at - n, none[i], n) != 0 ||
				((size_t)(at - line) > n && is_word(at[-n - 1]));
		}
		if (there)
			return true;
	}
	return false;
}

size_t fingerprint_telling(const char *const *lines, size_t n)
{
	static const char *const trouble[] = {
		"error",   "fail",    "fatal",     "cannot", "could not", "not found", "denied",
		"invalid", "missing", "exception", "unable", "panic",     "refused",
	};
	static const char *const status[] = {
		"exit code", "exit status", "exited with", "returned non-zero", "exit 1",
	};

	for (size_t i = n; i-- > 0;) {
		bool says = false, only_status = false;

		for (size_t k = 0; k < ARRAY_LEN(trouble); k++)
			says |= speaks_of(lines[i], trouble[k]);
		for (size_t k = 0; k < ARRAY_LEN(status); k++)
			only_status |= strcasestr(lines[i], status[k]) != NULL;
		if (says && !only_status)
			return i;
	}
	return n - 1;
}

void fingerprint_of(const char *category, const char *const *lines, size_t n_lines,
		    char out[static FINGERPRINT_HEX + 1])
{
	OWNED(buf_done) struct buf text;
	unsigned char digest[SHA256_BYTES];
	char line[FINGERPRINT_LINE_MAX];

	buf_init(&text, 64 << 10);
	buf_puts(&text, category);
	for (size_t i = 0; i < n_lines; i++) {
		buf_putc(&text, '\n');
		buf_append(&text, line, fingerprint_normalise(lines[i], line));
	}
	sha256(text.data, text.len, digest);
	hex_encode(digest, FINGERPRINT_HEX / 2, out);
}
