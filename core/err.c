#include "core/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Truncation is fine: a message is for people, and half of it still helps. */
PRINTF_LIKE(4, 0)
static size_t append(char *dst, size_t cap, size_t at, const char *fmt, va_list ap)
{
	int n = vsnprintf(dst + at, cap - at, fmt, ap);

	if (n < 0)
		return at;
	return (size_t)n < cap - at ? at + (size_t)n : cap - 1;
}

void err_format(struct err *err, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;

	err->kind = kind;
	va_start(ap, fmt);
	(void)append(err->msg, sizeof(err->msg), 0, fmt, ap);
	va_end(ap);
}

void err_prefix(struct err *err, const char *fmt, ...)
{
	char old[sizeof(err->msg)];
	size_t at, n;
	va_list ap;

	memcpy(old, err->msg, sizeof(old));
	va_start(ap, fmt);
	at = append(err->msg, sizeof(err->msg), 0, fmt, ap);
	va_end(ap);
	if (at + 2 >= sizeof(err->msg))
		return;
	err->msg[at++] = ':';
	err->msg[at++] = ' ';
	n = strnlen(old, sizeof(old) - 1);
	if (n > sizeof(err->msg) - 1 - at)
		n = sizeof(err->msg) - 1 - at;
	memcpy(err->msg + at, old, n);
	err->msg[at + n] = '\0';
}

const char *err_kind_name(enum err_kind kind)
{
	switch (kind) {
	case ERR_NONE:
		return "none";
	case ERR_TRANSIENT:
		return "transient";
	case ERR_INPUT:
		return "input";
	case ERR_CONFIG:
		return "config";
	case ERR_BUG:
		return "bug";
	}
	return "?";
}
