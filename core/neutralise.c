#include "core/neutralise.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "core/buf.h"
#include "core/text.h"

/* Between two characters it keeps a name from being taken for a reference; nobody sees it. */
static const char gap[] = "\xe2\x80\x8b";

static uint32_t code_point(const unsigned char *s, size_t n)
{
	static const unsigned char first[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t c = s[0] & first[n];

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (s[i] & 0x3f);
	return c;
}

bool neutralise_is_bad(const char *s, size_t left, size_t *len)
{
	/* Joiners (U+200C, U+200D) stay: scripts and emoji need them. */
	static const struct {
		uint32_t first, last;
	} rows[] = {
		{ 0x00, 0x1f },     { 0x7f, 0x9f },     { 0xad, 0xad },     { 0x61c, 0x61c },
		{ 0x180e, 0x180e }, { 0x200b, 0x200b }, { 0x200e, 0x200f }, { 0x2028, 0x202e },
		{ 0x2060, 0x206f }, { 0xfeff, 0xfeff }, { 0xfff9, 0xfffb }, { 0xe0000, 0xe007f },
	};
	const unsigned char *u = (const unsigned char *)s;
	size_t n = utf8_sequence(u, left);
	uint32_t c;

	*len = n ? n : 1;
	if (!n)
		return true;
	c = code_point(u, n);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (c >= rows[i].first && c <= rows[i].last)
			return true;
	return false;
}

void neutralise_text(struct buf *out, const char *text)
{
	size_t left = strlen(text), n;

	for (; left; text += n, left -= n) {
		if (neutralise_is_bad(text, left, &n))
			buf_putc(out, '?');
		else
			buf_append(out, text, n);
	}
}

/*
 * References are looked for in the text as it is shown, so a backslash does not stop them: @name,
 * #1, !1, ~label, [vulnerability:1], GH-1, and addresses, which close issues as well.
 */
static bool begins_reference(const char *text, const char *at)
{
	if (strchr("@#!~%&$^[*", *at))
		return at[1] != '\0' && at[1] != ' ';
	if (*at == ':')
		return at[1] == '/' && at[2] == '/';
	if (*at == '-')
		return at - text >= 2 && strncasecmp(at - 2, "GH", 2) == 0 &&
		       isdigit((unsigned char)at[1]);
	return *at == '.' && at - text >= 3 && strncasecmp(at - 3, "www", 3) == 0;
}

void neutralise_markdown(struct buf *out, const char *text)
{
	const char *at = text;
	size_t left = strlen(text), n;

	for (; left; at += n, left -= n) {
		if (neutralise_is_bad(at, left, &n)) {
			buf_putc(out, strchr("\t\n\r", *at) ? ' ' : '?');
			continue;
		}
		/* Any ASCII punctuation may be escaped; what begins a line in Markdown is among it.
		 */
		if (ispunct((unsigned char)*at))
			buf_putc(out, '\\');
		buf_append(out, at, n);
		if (begins_reference(text, at))
			buf_puts(out, gap);
	}
}

void neutralise_slack(struct buf *out, const char *text)
{
	/* The three that Slack asks to be escaped; a backtick would end the code it stands in. */
	static const char *const instead[128] = {
		['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['`'] = "'",
		['\t'] = " ",    ['\n'] = " ",   ['\r'] = " "
	};
	size_t left = strlen(text), n;

	for (; left; text += n, left -= n) {
		bool bad = neutralise_is_bad(text, left, &n);
		unsigned char c = (unsigned char)*text;

		if (c < 128 && instead[c])
			buf_puts(out, instead[c]);
		else if (bad)
			buf_putc(out, '?');
		else
			buf_append(out, text, n);
		if (c == '@' || c == '#')
			buf_puts(out, gap);
	}
}
