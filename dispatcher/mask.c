#include "dispatcher/mask.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "core/base.h"
#include "core/text.h"

static const char hidden[] = "[masked]";

struct cursor {
	const char *start, *at, *end;
	char *out;
	size_t len, cap;
};

/* A token that gives itself away: prefix, then at least `min` of its alphabet. */
static const struct token {
	const char *prefix;
	size_t min;
} tokens[] = {
	{ "ghp_", 20 },     { "gho_", 20 },        { "ghu_", 20 },    { "ghs_", 20 },
	{ "ghr_", 20 },     { "github_pat_", 20 }, { "glpat-", 16 },  { "gldt-", 16 },
	{ "glrt-", 16 },    { "glptt-", 16 },      { "glcbt-", 16 },  { "GR1348941", 16 },
	{ "AKIA", 16 },     { "ASIA", 16 },        { "xoxb-", 10 },   { "xoxp-", 10 },
	{ "xoxa-", 10 },    { "npm_", 30 },        { "pypi-", 30 },   { "dckr_pat_", 16 },
	{ "sk_live_", 16 }, { "rk_live_", 16 },    { "AIza", 30 },    { "hf_", 30 },
	{ "ya29.", 16 },    { "eyJ", 30 },         { "whsec_", 16 },  { "rubygems_", 30 },
	{ "SG.", 30 },      { "dop_v1_", 30 },     { "sq0csp-", 20 },
};

/* A name that ends so has a secret as its value. */
static const char *const secret_names[] = {
	"password",   "passwd",      "passphrase",  "secret",     "token",
	"api_key",    "apikey",      "api-key",     "access_key", "access-key",
	"secret_key", "secretkey",   "private_key", "auth_key",   "client_secret",
	"credential", "credentials", "_authtoken",  "pwd",        "_auth",
};

static bool is_token_char(char ch)
{
	return isalnum((unsigned char)ch) || (ch && strchr("_-./+=", ch));
}

static bool is_name_char(char ch)
{
	return isalnum((unsigned char)ch) || ch == '_' || ch == '-';
}

static void emit(struct cursor *c, const char *s, size_t n)
{
	size_t room = c->cap - 1 - c->len;

	if (n > room)
		n = room;
	memcpy(c->out + c->len, s, n);
	c->len += n;
}

static bool starts_with(const struct cursor *c, const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return (size_t)(c->end - s) >= n && memcmp(s, prefix, n) == 0;
}

static bool starts_with_nocase(const struct cursor *c, const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return (size_t)(c->end - s) >= n && strncasecmp(s, prefix, n) == 0;
}

static const char *token_end(const struct cursor *c, const char *s)
{
	while (s < c->end && is_token_char(*s))
		s++;
	return s;
}

static bool mask_token(struct cursor *c)
{
	if (c->at > c->start && isalnum((unsigned char)c->at[-1]))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
		const char *end;

		if (!starts_with(c, c->at, tokens[i].prefix))
			continue;
		end = token_end(c, c->at);
		if ((size_t)(end - c->at) < strlen(tokens[i].prefix) + tokens[i].min)
			continue;
		emit(c, hidden, strlen(hidden));
		c->at = end;
		return true;
	}
	return false;
}

/* "://user:password@" */
static bool mask_url_password(struct cursor *c)
{
	const char *s, *colon = NULL;

	if (!starts_with(c, c->at, "://"))
		return false;
	for (s = c->at + 3; s < c->end && *s != '@'; s++) {
		if (isspace((unsigned char)*s) || strchr("/\"'<>", *s))
			return false;
		if (*s == ':' && !colon)
			colon = s;
	}
	if (s == c->end || s == c->at + 3)
		return false;
	emit(c, "://", 3);
	emit(c, hidden, strlen(hidden));
	c->at = s;
	return true;
}

/* "Bearer xyz", "Basic xyz" with something long enough to be a credential. */
static bool mask_scheme(struct cursor *c)
{
	static const char *const schemes[] = { "bearer ", "basic " };

	if (c->at > c->start && isalnum((unsigned char)c->at[-1]))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t n = strlen(schemes[i]);
		const char *end;

		if (!starts_with_nocase(c, c->at, schemes[i]))
			continue;
		end = token_end(c, c->at + n);
		if (end - (c->at + n) < 12)
			return false;
		emit(c, c->at, n);
		emit(c, hidden, strlen(hidden));
		c->at = end;
		return true;
	}
	return false;
}

static bool name_is_secret(const char *name, size_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(secret_names); i++) {
		size_t len = strlen(secret_names[i]);

		if (n >= len && strncasecmp(name + n - len, secret_names[i], len) == 0)
			return true;
	}
	return false;
}

/* Between a secret's name and its value: quotes, spaces, one '=' or ':'. NULL when it is prose. */
static const char *value_after(const struct cursor *c, const char *s, bool option)
{
	bool assigned = false;

	for (; s < c->end; s++) {
		if (*s == '=' || *s == ':') {
			if (assigned && *s != '=')
				return NULL;
			assigned = true;
		} else if (*s != ' ' && *s != '"' && *s != '\'' && *s != '>') {
			return assigned || option ? s : NULL;
		}
	}
	return NULL;
}

/* password=..., "token": "...", --secret-key ... */
static bool mask_assignment(struct cursor *c)
{
	const char *name = c->at, *s = name, *value, *end;
	bool option;

	if (!is_name_char(*name) || (name > c->start && is_name_char(name[-1])))
		return false;
	while (s < c->end && is_name_char(*s))
		s++;
	if (!name_is_secret(name, (size_t)(s - name)))
		return false;
	option = s - name > 2 && name[0] == '-' && name[1] == '-';
	value = value_after(c, s, option);
	if (!value || starts_with_nocase(c, value, "bearer ") ||
	    starts_with_nocase(c, value, "basic "))
		return false;
	for (end = value; end < c->end && !isspace((unsigned char)*end) && !strchr("\"',;&", *end);)
		end++;
	if (end - value < 3)
		return false;
	emit(c, name, (size_t)(value - name));
	emit(c, hidden, strlen(hidden));
	c->at = end;
	return true;
}

/* A line of a PEM body has no other mark than its shape. */
static bool is_key_material(const char *s, size_t n)
{
	if (memmem(s, n, "PRIVATE KEY-----", 16))
		return true;
	while (n && isspace((unsigned char)s[n - 1]))
		n--;
	for (; n && isspace((unsigned char)*s); s++)
		n--;
	if (n != 64 && n != 70 && n != 76)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("+/=", s[i]))
			return false;
	return memchr(s, '/', n) || memchr(s, '+', n);
}

size_t mask_text(const char *s, size_t n, char *out, size_t cap)
{
	struct cursor c = { .start = s, .at = s, .end = s + n, .out = out, .cap = cap };

	if (is_key_material(s, n)) {
		emit(&c, hidden, strlen(hidden));
		c.at = c.end;
	}
	while (c.at < c.end && c.len < cap - 1) {
		if (mask_token(&c) || mask_url_password(&c) || mask_scheme(&c) ||
		    mask_assignment(&c))
			continue;
		emit(&c, c.at++, 1);
	}
	/* Cut at a border: drop a sequence that did not fit whole. */
	while (c.len && !utf8_valid((const unsigned char *)out, c.len) && c.at < c.end)
		c.len--;
	out[c.len] = '\0';
	return c.len;
}
