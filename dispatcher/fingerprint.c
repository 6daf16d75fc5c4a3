#include "dispatcher/fingerprint.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

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

static size_t number_at(const char *s)
{
	size_t n = 0;

	while (isdigit((unsigned char)s[n]))
		n++;
	return n;
}

size_t fingerprint_normalise(const char *line, char out[static FINGERPRINT_LINE_MAX])
{
	struct out o = { .text = out };
	bool in_word = false;

	while (*line == ' ' || *line == '\t')
		line++;
	while (*line) {
		size_t n;

		if (!in_word && (n = directory_at(line)) > 0) {
			line += n;
		} else if (!in_word && (n = hex_word_at(line)) > 0) {
			put(&o, 'H');
			line += n;
		} else if ((n = number_at(line)) > 0) {
			put(&o, 'N');
			line += n;
		} else {
			put(&o, *line == '\t' ? ' ' : *line);
			line++;
		}
		in_word = is_word(line[-1]);
	}
	while (o.len && o.text[o.len - 1] == ' ')
		o.len--;
	out[o.len] = '\0';
	return o.len;
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
