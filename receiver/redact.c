#include "receiver/redact.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "core/base.h"

/* The shortest tokens of the providers (AWS key ids, GitLab's) have 20 characters. */
enum { WORD_MIN = 20 };

static const char masked[] = "[masked]";

static bool is_word_char(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("_-+/=.~", c));
}

static bool looks_secret(const char *s, size_t n)
{
	bool letter = false, digit = false, hex = true;

	for (size_t i = 0; i < n; i++) {
		letter |= isalpha((unsigned char)s[i]) != 0;
		digit |= isdigit((unsigned char)s[i]) != 0;
		hex &= isxdigit((unsigned char)s[i]) != 0;
	}
	/* Commit ids are what people need to find the run again. */
	return n >= WORD_MIN && letter && digit && !(hex && (n == 40 || n == 64));
}

static bool secret_name(const char *s, size_t n)
{
	static const char *const parts[] = { "token",         "secret", "passw", "credential",
					     "authorization", "_key",   "apikey" };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		size_t len = strlen(parts[i]);

		for (size_t at = 0; at + len <= n; at++)
			if (strncasecmp(s + at, parts[i], len) == 0)
				return true;
	}
	return false;
}

/* Bytes up to and including the quote that ends the string at s (its opening quote). */
static size_t string_len(const char *s, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (s[i] == '\\')
			i++;
		else if (s[i] == '"')
			return i + 1;
	}
	return n;
}

static void words(const char *s, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n && !out->overflow;) {
		size_t len = 0;

		while (i + len < n && is_word_char(s[i + len]))
			len++;
		if (looks_secret(s + i, len))
			buf_puts(out, masked);
		else
			buf_append(out, s + i, len);
		i += len;
		if (i < n)
			buf_putc(out, s[i++]);
	}
}

static size_t skip_to_value(const char *s, size_t i, size_t n)
{
	while (i < n && (isspace((unsigned char)s[i]) || s[i] == ':'))
		i++;
	return i;
}

void redact(const char *s, size_t n, struct buf *out)
{
	size_t i = 0;

	while (i < n && !out->overflow) {
		const char *quote = memchr(s + i, '"', n - i);
		size_t plain = quote ? (size_t)(quote - s) - i : n - i, len, value;

		words(s + i, plain, out);
		i += plain;
		if (i >= n)
			return;
		len = string_len(s + i, n - i);
		words(s + i, len, out);
		value = skip_to_value(s, i + len, n);
		if (value < n && value > i + len && s[value] == '"' && secret_name(s + i, len)) {
			buf_append(out, s + i + len, value - i - len);
			buf_printf(out, "\"%s\"", masked);
			len = value - i + string_len(s + value, n - value);
		}
		i += len;
	}
}
