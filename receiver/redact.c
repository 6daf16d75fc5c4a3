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

/* By chance a token has no digit: one AWS key id in 30, one GitHub token in 600. */
static bool known_token(const char *s, size_t n)
{
	static const char *const starts[] = { "ghp_",  "gho_",        "ghu_",   "ghs_",
					      "ghr_",  "github_pat_", "glpat-", "gldt-",
					      "glrt-", "glptt-",      "AKIA",   "ASIA",
					      "xoxb-", "xoxp-",       "whsec_", "eyJ" };

	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		size_t len = strlen(starts[i]);

		if (n >= WORD_MIN && memcmp(s, starts[i], len) == 0)
			return true;
	}
	return false;
}

static bool looks_secret(const char *s, size_t n)
{
	bool letter = false, digit = false, hex = true;

	if (n < WORD_MIN)
		return false;
	/* Also as the last part of a path or an assignment. */
	for (size_t i = 0; i < n; i++)
		if ((i == 0 || !isalnum((unsigned char)s[i - 1])) && known_token(s + i, n - i))
			return true;

	for (size_t i = 0; i < n; i++) {
		letter |= isalpha((unsigned char)s[i]) != 0;
		digit |= isdigit((unsigned char)s[i]) != 0;
		hex &= isxdigit((unsigned char)s[i]) != 0;
	}
	/* Commit ids are what people need to find the run again. */
	return letter && digit && !(hex && (n == 40 || n == 64));
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

/* Bytes up to where a value in plain text ends: "password: VALUE", "token=VALUE&...". */
static size_t value_len(const char *s, size_t n)
{
	size_t len = 0;

	while (len < n && (unsigned char)s[len] > ' ' && !strchr("\"'`,;&<>(){}[]\\", s[len]))
		len++;
	return len;
}

static bool is_scheme(const char *s, size_t n)
{
	return (n == 6 && strncasecmp(s, "bearer", n) == 0) ||
	       (n == 5 && (strncasecmp(s, "basic", n) == 0 || strncasecmp(s, "token", n) == 0));
}

static size_t blanks(const char *s, size_t n)
{
	size_t len = 0;

	while (len < n && (s[len] == ' ' || s[len] == '\t'))
		len++;
	return len;
}

/* At the colon or blank behind a word: what belongs to the value of a secret, 0 for nothing. */
static size_t mask_value(const char *s, size_t n, struct buf *out)
{
	size_t lead = n && *s == ':', len;

	lead += blanks(s + lead, n - lead);
	len = value_len(s + lead, n - lead);
	if (is_scheme(s + lead, len)) {
		lead += len;
		lead += blanks(s + lead, n - lead);
		len = value_len(s + lead, n - lead);
	}
	if (!len)
		return 0;
	buf_append(out, s, lead);
	buf_puts(out, masked);
	return lead + len;
}

/* At the colon of a URL: "://user:password@" or the same with escaped slashes; 0 for nothing. */
static size_t mask_user_info(const char *s, size_t n, struct buf *out)
{
	static const char *const starts[] = { "://", ":\\/\\/" };
	size_t lead = 0, at = 0;

	for (size_t i = 0; i < ARRAY_LEN(starts); i++)
		if (n > strlen(starts[i]) && memcmp(s, starts[i], strlen(starts[i])) == 0)
			lead = strlen(starts[i]);
	for (size_t i = lead; lead && i < n && (unsigned char)s[i] > ' '; i++) {
		if (strchr("/?#\"'<>\\", s[i]))
			break;
		if (s[i] == '@')
			at = i;
	}
	if (!at)
		return 0;
	buf_append(out, s, lead);
	buf_puts(out, masked);
	return at;
}

/* "token=VALUE" is one word; returns how far it got in s. */
static size_t word(const char *s, size_t n, struct buf *out)
{
	const char *eq;
	size_t len = 0;

	while (len < n && is_word_char(s[len]))
		len++;
	eq = len ? memchr(s, '=', len) : NULL;
	if (eq && secret_name(s, (size_t)(eq - s))) {
		size_t name = (size_t)(eq - s) + 1, value = value_len(s + name, n - name);

		buf_append(out, s, name);
		if (value)
			buf_puts(out, masked);
		return name + value;
	}
	if (looks_secret(s, len))
		buf_puts(out, masked);
	else
		buf_append(out, s, len);
	if (len < n && ((s[len] == ':' && secret_name(s, len)) ||
			(s[len] == ' ' && len > 1 && is_scheme(s, len) &&
			 value_len(s + len + 1, n - len - 1) >= 8)))
		len += mask_value(s + len, n - len, out);
	return len;
}

static void words(const char *s, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n && !out->overflow;) {
		size_t len;

		i += word(s + i, n - i, out);
		if (i >= n)
			return;
		len = s[i] == ':' ? mask_user_info(s + i, n - i, out) : 0;
		if (!len) {
			/* The n of "\\n" does not belong to the word behind it. */
			len = s[i] == '\\' && i + 1 < n ? 2 : 1;
			buf_append(out, s + i, len);
		}
		i += len;
	}
}

static size_t skip_to_value(const char *s, size_t i, size_t n)
{
	while (i < n && (isspace((unsigned char)s[i]) || s[i] == ':'))
		i++;
	return i;
}

/* The strings of an array; returns how far it got. */
static size_t mask_list(const char *s, size_t n, struct buf *out)
{
	size_t i = 0, depth = 0;

	while (i < n && !out->overflow) {
		char c = s[i];

		if (c == '"') {
			buf_printf(out, "\"%s\"", masked);
			i += string_len(s + i, n - i);
			continue;
		}
		buf_putc(out, c);
		i++;
		depth += c == '[';
		depth -= c == ']';
		if (!depth)
			break;
	}
	return i;
}

/* The value of a member whose name says secret; returns how far it got. */
static size_t mask_member(const char *s, size_t n, struct buf *out)
{
	if (*s == '[')
		return mask_list(s, n, out);
	if (*s == '"') {
		buf_printf(out, "\"%s\"", masked);
		return string_len(s, n);
	}
	if (*s == '-' || isdigit((unsigned char)*s)) {
		buf_printf(out, "\"%s\"", masked);
		return value_len(s, n);
	}
	return 0;
}

void redact(const char *s, size_t n, struct buf *out)
{
	size_t i = 0;

	while (i < n && !out->overflow) {
		const char *quote = memchr(s + i, '"', n - i);
		size_t plain = quote ? (size_t)(quote - s) - i : n - i, len, value;
		bool secret;

		words(s + i, plain, out);
		i += plain;
		if (i >= n)
			return;
		len = string_len(s + i, n - i);
		words(s + i, len, out);
		secret = secret_name(s + i, len);
		i += len;
		value = skip_to_value(s, i, n);
		if (secret && value < n && value > i) {
			buf_append(out, s + i, value - i);
			i = value + mask_member(s + value, n - value, out);
		}
	}
}
