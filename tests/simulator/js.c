#include "tests/simulator/js.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"

static void put_key(struct buf *b, const char *key)
{
	if (!key)
		return;
	buf_putc(b, '"');
	buf_puts(b, key);
	buf_puts(b, "\":");
}

void js_open(struct buf *b, const char *key, char bracket)
{
	put_key(b, key);
	buf_putc(b, bracket);
}

static void drop_comma(struct buf *b)
{
	if (b->len && b->data[b->len - 1] == ',')
		b->data[--b->len] = '\0';
}

void js_close(struct buf *b, char bracket)
{
	drop_comma(b);
	buf_putc(b, bracket);
	buf_putc(b, ',');
}

void js_str(struct buf *b, const char *key, const char *value)
{
	put_key(b, key);
	if (value)
		buf_json(b, value, strlen(value));
	else
		buf_puts(b, "null");
	buf_putc(b, ',');
}

void js_url(struct buf *b, const char *key, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	js_str(b, key, text);
}

void js_i64(struct buf *b, const char *key, int64_t value)
{
	put_key(b, key);
	buf_printf(b, "%" PRId64 ",", value);
}

void js_u64(struct buf *b, const char *key, uint64_t value)
{
	put_key(b, key);
	buf_printf(b, "%" PRIu64 ",", value);
}

void js_bool(struct buf *b, const char *key, bool value)
{
	put_key(b, key);
	buf_puts(b, value ? "true," : "false,");
}

void js_null(struct buf *b, const char *key)
{
	js_str(b, key, NULL);
}

void js_time(struct buf *b, const char *key, int64_t at_ms)
{
	char iso[25];

	if (!at_ms) {
		js_null(b, key);
		return;
	}
	text_from_ms(iso, at_ms);
	put_key(b, key);
	buf_printf(b, "\"%.19sZ\",", iso);
}

void js_raw(struct buf *b, const char *key, const char *json)
{
	put_key(b, key);
	buf_puts(b, json);
	buf_putc(b, ',');
}

const char *js_done(struct buf *b)
{
	drop_comma(b);
	return buf_text(b);
}
