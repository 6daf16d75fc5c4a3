#include "core/mask.h"

#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "core/base.h"
#include "core/neutralise.h"
#include "core/text.h"

static const char hidden[] = "[masked]";

struct cursor {
	const char *start, *at, *end;
	char *out;
	size_t len, cap;
	mask_found_fn *fn; /* NULL: they are not asked for */
	void *arg;
};

/* A token that gives itself away: prefix, then at least `min` of its alphabet. */
static const struct token {
	const char *prefix;
	size_t min;
} tokens[] = {
	/* GitHub */
	{ "ghp_", 20 },
	{ "gho_", 20 },
	{ "ghu_", 20 },
	{ "ghs_", 20 },
	{ "ghr_", 20 },
	{ "github_pat_", 20 },
	/* GitLab */
	{ "glpat-", 16 },
	{ "gldt-", 16 },
	{ "glrt-", 16 },
	{ "glrtr-", 16 },
	{ "glptt-", 16 },
	{ "glcbt-", 16 },
	{ "glft-", 16 },
	{ "glsoat-", 16 },
	{ "glimt-", 16 },
	{ "glagent-", 16 },
	{ "glffct-", 16 },
	{ "gloas-", 16 },
	{ "glwt-", 16 },
	{ "GR1348941", 16 },
	/* Clouds */
	{ "AKIA", 16 },
	{ "ASIA", 16 },
	{ "ABIA", 16 },
	{ "ACCA", 16 },
	{ "AIza", 30 },
	{ "ya29.", 16 },
	{ "GOCSPX-", 20 },
	{ "dop_v1_", 30 },
	{ "doo_v1_", 30 },
	{ "dor_v1_", 30 },
	{ "dapi", 32 },
	{ "hvs.", 20 },
	{ "hvb.", 20 },
	{ "hvr.", 20 },
	{ "pul-", 40 },
	{ "tskey-", 16 },
	{ "dp.pt.", 30 },
	/* Package registries */
	{ "npm_", 30 },
	{ "pypi-", 30 },
	{ "rubygems_", 30 },
	{ "dckr_pat_", 16 },
	{ "dckr_oat_", 16 },
	{ "oy2", 43 },
	{ "AKCp", 60 },
	{ "cmVmdGtu", 40 },
	{ "hf_", 30 },
	/* People talk */
	{ "xoxb-", 10 },
	{ "xoxp-", 10 },
	{ "xoxa-", 10 },
	{ "xoxr-", 10 },
	{ "xoxs-", 10 },
	{ "xoxe-", 10 },
	{ "xoxe.", 10 },
	{ "xapp-", 10 },
	{ "hooks.slack.com/services/", 10 },
	{ "hooks.slack.com/workflows/", 10 },
	{ "discord.com/api/webhooks/", 10 },
	{ "discordapp.com/api/webhooks/", 10 },
	{ "webhook.office.com/webhookb2/", 10 },
	/* Services */
	{ "sk_live_", 16 },
	{ "sk_test_", 16 },
	{ "rk_live_", 16 },
	{ "rk_test_", 16 },
	{ "sk-proj-", 20 },
	{ "sk-ant-", 20 },
	{ "SG.", 30 },
	{ "sq0csp-", 20 },
	{ "sq0atp-", 20 },
	{ "shpat_", 30 },
	{ "shpss_", 30 },
	{ "ATATT3x", 30 },
	{ "ATCTT3x", 30 },
	{ "ATBB", 24 },
	{ "glsa_", 30 },
	{ "glc_", 30 },
	{ "sntrys_", 30 },
	{ "sntryu_", 30 },
	{ "sqp_", 40 },
	{ "squ_", 40 },
	{ "sqa_", 40 },
	{ "NRAK-", 20 },
	{ "lin_api_", 30 },
	{ "AGE-SECRET-KEY-1", 30 },
	{ "whsec_", 16 },
	/* JSON web tokens */
	{ "eyJ", 30 },
};

/* A name that ends so, or is that, has a secret as its value. */
static const struct secret_name {
	const char *name;
	bool whole;
	size_t min; /* shorter values are words */
} secret_names[] = {
	{ "password", false, 3 },        { "passwd", false, 3 },
	{ "passphrase", false, 3 },      { "passwort", false, 3 },
	{ "secret", false, 3 },          { "token", false, 3 },
	{ "api_key", false, 3 },         { "apikey", false, 3 },
	{ "api-key", false, 3 },         { "access_key", false, 3 },
	{ "access-key", false, 3 },      { "accesskey", false, 3 },
	{ "accountkey", false, 3 }, /* Azure, in connection strings */
	{ "secret_key", false, 3 },      { "secretkey", false, 3 },
	{ "secret-key", false, 3 },      { "private_key", false, 3 },
	{ "private-key", false, 3 },     { "private_key_id", false, 3 }, /* Google's key files */
	{ "encryption_key", false, 3 },  { "signing_key", false, 3 },
	{ "master_key", false, 3 },      { "auth_key", false, 3 },
	{ "client_secret", false, 3 },   { "client-key-data", false, 3 }, /* kubeconfig */
	{ "credential", false, 3 },      { "credentials", false, 3 },
	{ "_authtoken", false, 3 },      { "pwd", false, 3 },
	{ "_auth", false, 3 },           { "pass", true, 3 },
	{ "pgpass", true, 3 },           { "auth", true, 12 }, /* Docker's config.json */
	{ "identitytoken", true, 3 },    { "sig", true, 16 }, /* Azure's shared access signatures */
	{ "x-amz-signature", true, 16 }, { "x-goog-signature", true, 16 },
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

	if (!c->out)
		return;
	if (n > room)
		n = room;
	memcpy(c->out + c->len, s, n);
	c->len += n;
}

/* From where it begins, instead of it. */
static void hide(struct cursor *c, const char *secret, const char *end, bool sure)
{
	emit(c, hidden, strlen(hidden));
	if (c->fn)
		c->fn(secret, (size_t)(end - secret), sure, c->arg);
	c->at = end;
}

/* The prefix has two bytes or more. */
static bool starts_with(const struct cursor *c, const char *s, const char *prefix)
{
	size_t n;

	/* Asked at every byte, so the first ones have to be enough for most. */
	if (c->end - s < 2 || s[0] != prefix[0] || s[1] != prefix[1])
		return false;
	n = strlen(prefix);
	return (size_t)(c->end - s) >= n && memcmp(s, prefix, n) == 0;
}

static bool starts_with_nocase(const struct cursor *c, const char *s, const char *prefix)
{
	size_t n;

	if (s >= c->end || (*s | 0x20) != (*prefix | 0x20))
		return false;
	n = strlen(prefix);
	return (size_t)(c->end - s) >= n && strncasecmp(s, prefix, n) == 0;
}

static const char *token_end(const struct cursor *c, const char *s)
{
	while (s < c->end && is_token_char(*s))
		s++;
	return s;
}

/* The tokens that begin with a byte, which most words of a log do not: indexes, and one. */
struct by_first {
	uint8_t first[UCHAR_MAX + 1], next[ARRAY_LEN(tokens)];
	bool ready;
};

static const struct by_first *tokens_by_first(void)
{
	static struct by_first by;

	for (size_t i = 0; !by.ready && i < ARRAY_LEN(tokens); i++) {
		uint8_t *first = &by.first[(unsigned char)*tokens[i].prefix];

		by.next[i] = *first;
		*first = (uint8_t)(i + 1);
	}
	by.ready = true;
	return &by;
}

static bool mask_token(struct cursor *c)
{
	const struct by_first *by = tokens_by_first();
	size_t i = by->first[(unsigned char)*c->at];

	if (!i || (c->at > c->start && isalnum((unsigned char)c->at[-1])))
		return false;
	for (; i; i = by->next[i - 1]) {
		const struct token *t = &tokens[i - 1];
		const char *end;

		if (!starts_with(c, c->at, t->prefix))
			continue;
		end = token_end(c, c->at);
		if ((size_t)(end - c->at) < strlen(t->prefix) + t->min)
			continue;
		hide(c, c->at, end, false);
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
	hide(c, c->at + 3, s, colon && colon + 1 < s);
	return true;
}

/* "Bearer xyz", "Basic xyz" with something long enough to be a credential. */
static bool mask_scheme(struct cursor *c)
{
	static const char *const schemes[] = { "bearer ", "basic ", "authorization: token ",
					       "authorization: apikey " };

	if (c->at > c->start && isalnum((unsigned char)c->at[-1]))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		const char *end;
		size_t n;

		if (!starts_with_nocase(c, c->at, schemes[i]))
			continue;
		n = strlen(schemes[i]);
		end = token_end(c, c->at + n);
		if (end - (c->at + n) < 12)
			return false;
		emit(c, c->at, n);
		hide(c, c->at + n, end, false);
		return true;
	}
	return false;
}

/* NULL when it says nothing of a secret. */
static const struct secret_name *secret_name(const char *name, size_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(secret_names); i++) {
		const struct secret_name *s = &secret_names[i];
		size_t len = strlen(s->name);

		if ((s->whole ? n == len : n >= len) &&
		    strncasecmp(name + n - len, s->name, len) == 0)
			return s;
	}
	return NULL;
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
	const struct secret_name *secret;
	bool option;

	if (!is_name_char(*name) || (name > c->start && is_name_char(name[-1])))
		return false;
	while (s < c->end && is_name_char(*s))
		s++;
	option = s - name > 2 && name[0] == '-' && name[1] == '-';
	value = value_after(c, s, option);
	if (!value || starts_with_nocase(c, value, "bearer ") ||
	    starts_with_nocase(c, value, "basic "))
		return false;
	secret = secret_name(name, (size_t)(s - name));
	if (!secret)
		return false;
	for (end = value; end < c->end && !isspace((unsigned char)*end) && !strchr("\"',;&", *end);)
		end++;
	if ((size_t)(end - value) < secret->min)
		return false;
	emit(c, name, (size_t)(value - name));
	hide(c, value, end, false);
	return true;
}

/* One character: as it is, or harmless. */
static void copy_char(struct cursor *c)
{
	size_t n;
	bool bad;

	if (*c->at >= ' ' && *c->at <= '~') {
		emit(c, c->at++, 1);
		return;
	}
	bad = neutralise_is_bad(c->at, (size_t)(c->end - c->at), &n);
	if (!bad)
		emit(c, c->at, n);
	else
		emit(c, *c->at == '\t' ? " " : "?", 1);
	c->at += n;
}

/* curl -u name:password; but `-u 1000:1000` is a user and a group. */
static bool mask_user_option(struct cursor *c)
{
	static const char *const options[] = { "-u ", "--user ", "--user=" };
	const char *value, *colon, *end;
	size_t n = 0;

	if (*c->at != '-' || (c->at > c->start && !isspace((unsigned char)c->at[-1])))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(options) && !n; i++)
		n = starts_with(c, c->at, options[i]) ? strlen(options[i]) : 0;
	if (!n)
		return false;
	value = c->at + n;
	for (end = value; end < c->end && !isspace((unsigned char)*end);)
		end++;
	colon = memchr(value, ':', (size_t)(end - value));
	if (!colon || end - colon < 4)
		return false;
	while (value < colon && isdigit((unsigned char)*value))
		value++;
	if (value == colon)
		return false;
	while (c->at <= colon)
		copy_char(c);
	hide(c, c->at, end, false);
	return true;
}

/* Within a word nothing of all that begins. */
static void copy_rest_of_word(struct cursor *c)
{
	const char *s = c->at;

	if (s == c->start || !isalnum((unsigned char)s[-1]))
		return;
	while (s < c->end && isalnum((unsigned char)*s))
		s++;
	emit(c, c->at, (size_t)(s - c->at));
	c->at = s;
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

static void mask_line(struct cursor *c)
{
	if (is_key_material(c->at, (size_t)(c->end - c->at)))
		hide(c, c->at, c->end,
		     memmem(c->at, (size_t)(c->end - c->at), "PRIVATE KEY", 11) != NULL);
	while (c->at < c->end && c->len < c->cap - 1) {
		if (mask_token(c) || mask_url_password(c) || mask_scheme(c) || mask_assignment(c) ||
		    mask_user_option(c))
			continue;
		copy_char(c);
		copy_rest_of_word(c);
	}
}

size_t mask_text(const char *s, size_t n, char *out, size_t cap)
{
	struct cursor c = { .start = s, .at = s, .end = s + n, .out = out, .cap = cap };

	mask_line(&c);
	/* Cut at a border: drop a sequence that did not fit whole. */
	while (c.len && !utf8_valid((const unsigned char *)out, c.len))
		c.len--;
	out[c.len] = '\0';
	return c.len;
}

void mask_each(const char *s, size_t n, mask_found_fn *fn, void *arg)
{
	struct cursor c = { .start = s, .at = s, .end = s + n, .cap = 2, .fn = fn, .arg = arg };

	mask_line(&c);
}
