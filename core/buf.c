#include "core/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"

void buf_init(struct buf *b, size_t max_bytes)
{
	*b = (struct buf){ .max = max_bytes };
}

void buf_done(struct buf *b)
{
	free(b->data);
	b->data = NULL;
	b->len = b->cap = 0;
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->overflow = false;
	if (b->data)
		b->data[0] = '\0';
}

/* Makes room for n more bytes and the NUL; false when that would pass the cap. */
static bool reserve(struct buf *b, size_t n)
{
	size_t want, cap;

	if (b->overflow || n > b->max - b->len) {
		b->overflow = true;
		return false;
	}
	want = b->len + n + 1;
	if (want <= b->cap)
		return true;
	cap = b->cap ? b->cap : 64;
	while (cap < want)
		cap *= 2;
	if (cap > b->max + 1)
		cap = b->max + 1;
	b->data = xrealloc(b->data, cap);
	b->cap = cap;
	return true;
}

void buf_append(struct buf *b, const void *data, size_t n)
{
	if (!reserve(b, n))
		return;
	if (n)
		memcpy(b->data + b->len, data, n);
	b->len += n;
	b->data[b->len] = '\0';
}

void buf_puts(struct buf *b, const char *s)
{
	buf_append(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
	buf_append(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n >= 0 && reserve(b, (size_t)n)) {
		(void)vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

static void json_escape(struct buf *b, unsigned char c)
{
	static const char names[][2] = {
		{ '"', '"' },  { '\\', '\\' }, { '\b', 'b' }, { '\f', 'f' },
		{ '\n', 'n' }, { '\r', 'r' },  { '\t', 't' },
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if ((unsigned char)names[i][0] == c) {
			char out[2] = { '\\', names[i][1] };

			buf_append(b, out, 2);
			return;
		}
	}
	buf_printf(b, "\\u%04x", c);
}

/*
 * C1 controls (U+0080 to U+009F), U+2028 and U+2029: JSON lets them stand, but terminals obey
 * some and what splits a log into lines may do so at others. 0 for everything else.
 */
static unsigned hidden_control(const unsigned char *s, size_t len)
{
	if (len == 2 && s[0] == 0xc2 && s[1] < 0xa0)
		return s[1];
	if (len == 3 && s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9))
		return 0x2000u + (s[2] & 0x3fu);
	return 0;
}

void buf_json(struct buf *b, const char *s, size_t n)
{
	size_t run = 0;

	buf_putc(b, '"');
	for (size_t i = 0; i < n;) {
		const unsigned char *at = (const unsigned char *)s + i;
		size_t len = *at < 0x80 ? 1 : utf8_sequence(at, n - i);
		unsigned hidden = hidden_control(at, len);

		if (*at >= 0x20 && *at != '"' && *at != '\\' && *at != 0x7f && len && !hidden) {
			i += len;
			continue;
		}
		buf_append(b, s + run, i - run);
		if (hidden)
			buf_printf(b, "\\u%04x", hidden);
		else if (len)
			json_escape(b, *at);
		else
			buf_puts(b, "\xef\xbf\xbd");
		i += len ? len : 1;
		run = i;
	}
	buf_append(b, s + run, n - run);
	buf_putc(b, '"');
}

const char *buf_text(const struct buf *b)
{
	return b->data ? b->data : "";
}

char *buf_take(struct buf *b)
{
	char *text = b->data ? b->data : xstrdup("");
	size_t max = b->max;

	buf_init(b, max);
	return text;
}
