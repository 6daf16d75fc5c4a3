#include "tests/simulator/access.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"

enum { TOKEN_MAX = 255, JWT_MAX = 4096, JWT_AHEAD_S = 600, JWT_SKEW_S = 60, HOUR_MS = 3600 * 1000 };

const char *const scope_names[N_SCOPES] = { "metadata",      "actions", "checks",   "contents",
					    "pull_requests", "issues",  "workflows" };

struct access {
	struct access_options opt;
	unsigned char allowed[N_SCOPES];
	char token[TOKEN_MAX + 1];
	EVP_PKEY *key;
	struct grant *grants;
	struct meter token_meter, installation_meter, app_meter;
};

/* --- files ---------------------------------------------------------------- */

static int read_token(const char *path, char *out, struct err *err)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return err_set(err, ERR_CONFIG, "cannot read %s: %s", path, strerror(errno));
	n = fread(out, 1, TOKEN_MAX, f);
	(void)fclose(f);
	out[n] = '\0';
	out[strcspn(out, " \t\r\n")] = '\0';
	return *out ? 0 : err_set(err, ERR_CONFIG, "%s is empty", path);
}

static int make_token(const char *path, struct err *err)
{
	char hex[41], text[64];
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int n;
	ssize_t wrote;

	if (fd < 0)
		return errno == EEXIST ? 0
				       : err_set(err, ERR_CONFIG, "cannot create %s: %s", path,
						 strerror(errno));
	random_hex(hex, 20);
	n = snprintf(text, sizeof(text), "ghp_%.36s\n", hex);
	wrote = write(fd, text, (size_t)n);
	if (close(fd) < 0 || wrote != n)
		return err_set(err, ERR_CONFIG, "cannot write %s", path);
	return 0;
}

static int read_key(const char *path, EVP_PKEY **out, struct err *err)
{
	FILE *f = fopen(path, "re");

	if (!f)
		return err_set(err, ERR_CONFIG, "cannot read %s: %s", path, strerror(errno));
	*out = PEM_read_PUBKEY(f, NULL, NULL, NULL);
	(void)fclose(f);
	ERR_clear_error();
	return *out ? 0 : err_set(err, ERR_CONFIG, "%s holds no public key in PEM form", path);
}

/* --- the App's JWT -------------------------------------------------------- */

/* Returns the length; -1 when it is not base64url. */
static int base64url_decode(const char *s, size_t n, unsigned char *out)
{
	char padded[JWT_MAX + 4];
	size_t pad = (4 - n % 4) % 4;
	int len;

	if (!n || n + pad >= sizeof(padded))
		return -1;
	for (size_t i = 0; i < n; i++)
		padded[i] = (char)(s[i] == '-' ? '+' : s[i] == '_' ? '/' : s[i]);
	memset(padded + n, '=', pad);
	len = EVP_DecodeBlock(out, (const unsigned char *)padded, (int)(n + pad));
	return len < 0 ? -1 : len - (int)pad;
}

static struct json_object *part(const char *s, size_t n)
{
	unsigned char plain[JWT_MAX];
	struct json_object *o = NULL;
	struct err err;
	int len = base64url_decode(s, n, plain);

	if (len < 0 || json_parse((const char *)plain, (size_t)len, &o, &err) < 0)
		return NULL;
	return o;
}

static bool signature_ok(EVP_PKEY *key, const char *text, size_t n, const char *sig)
{
	unsigned char raw[JWT_MAX];
	int len = base64url_decode(sig, strlen(sig), raw);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md && len > 0 && EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
		  EVP_DigestVerify(md, raw, (size_t)len, (const unsigned char *)text, n) == 1;

	EVP_MD_CTX_free(md);
	ERR_clear_error();
	return ok;
}

/* NULL when all is well, else GitHub's complaint. */
static const char *check_claims(const struct access *a, struct json_object *head,
				struct json_object *claims)
{
	int64_t now = clock_wall_ms() / 1000;
	int64_t iat = json_i64(claims, "iat", 0), exp = json_i64(claims, "exp", 0);
	struct json_object *iss = json_at(claims, "iss");

	if (strcmp(json_str(head, "alg", ""), "RS256") != 0)
		return "A JSON web token could not be decoded";
	if (!iss || strcmp(json_object_get_string(iss), a->opt.app_id) != 0)
		return "'Issuer' claim ('iss') must be the App's id";
	if (!iat || iat > now + JWT_SKEW_S)
		return "'Issued at' claim ('iat') must be an Integer representing the time that "
		       "the assertion was issued";
	if (exp <= now)
		return "'Expiration time' claim ('exp') must be a numeric value representing the "
		       "future time at which the assertion expires";
	if (exp > now + JWT_AHEAD_S + JWT_SKEW_S || exp - iat > JWT_AHEAD_S + JWT_SKEW_S)
		return "'Expiration time' claim ('exp') is too far in the future";
	return NULL;
}

static const char *check_jwt(const struct access *a, const char *jwt)
{
	const char *dot = strchr(jwt, '.'), *dot2 = dot ? strchr(dot + 1, '.') : NULL;
	OWNED(json_putp) struct json_object *head = NULL;
	OWNED(json_putp) struct json_object *claims = NULL;

	if (!a->key || !dot2 || strlen(jwt) >= JWT_MAX)
		return "A JSON web token could not be decoded";
	head = part(jwt, (size_t)(dot - jwt));
	claims = part(dot + 1, (size_t)(dot2 - dot - 1));
	if (!head || !claims || !signature_ok(a->key, jwt, (size_t)(dot2 - jwt), dot2 + 1))
		return "A JSON web token could not be decoded";
	return check_claims(a, head, claims);
}

/* --- callers -------------------------------------------------------------- */

static const struct grant *find_grant(const struct access *a, const char *token)
{
	int64_t now = clock_wall_ms();

	for (const struct grant *g = a->grants; g; g = g->next)
		if (g->expires_ms > now && strcmp(g->token, token) == 0)
			return g;
	return NULL;
}

static void be(struct caller *out, enum caller_kind kind, struct meter *meter)
{
	out->kind = kind;
	out->meter = meter;
}

int access_identify(struct access *a, const char *authorization, struct caller *out,
		    const char **message)
{
	const char *token = authorization ? strchr(authorization, ' ') : NULL;
	const char *why;

	*out = (struct caller){ .meter = &a->token_meter };
	*message = authorization ? "Bad credentials" : "Requires authentication";
	if (!a->token[0] && !a->key)
		return 0;
	if (!token || (strncasecmp(authorization, "Bearer ", 7) != 0 &&
		       strncasecmp(authorization, "token ", 6) != 0))
		return -1;
	token++;
	if (a->token[0] && strcmp(token, a->token) == 0)
		return 0;
	out->grant = find_grant(a, token);
	if (out->grant) {
		be(out, CALLER_INSTALLATION, &a->installation_meter);
		return 0;
	}
	if (!strchr(token, '.'))
		return -1;
	why = check_jwt(a, token);
	if (why) {
		*message = why;
		return -1;
	}
	be(out, CALLER_APP, &a->app_meter);
	return 0;
}

static void drop_expired(struct access *a)
{
	int64_t now = clock_wall_ms();

	for (struct grant **at = &a->grants; *at;) {
		struct grant *g = *at;

		if (g->expires_ms > now) {
			at = &g->next;
			continue;
		}
		*at = g->next;
		free(g);
	}
}

void access_allow(struct access *a, enum scope scope, enum leave leave)
{
	a->allowed[scope] = (unsigned char)leave;
}

enum leave access_allowed(const struct access *a, enum scope scope)
{
	return (enum leave)a->allowed[scope];
}

const struct grant *access_grant(struct access *a, const unsigned char may[static N_SCOPES],
				 const uint64_t *repos, unsigned n)
{
	struct grant *g = xcalloc(1, sizeof(*g));
	char hex[41];

	drop_expired(a);
	random_hex(hex, 20);
	(void)snprintf(g->token, sizeof(g->token), "ghs_%.36s", hex);
	g->expires_ms = clock_wall_ms() + a->opt.app_token_ms;
	memcpy(g->may, may, sizeof(g->may));
	g->n_repos = n < GRANT_REPOS_MAX ? n : GRANT_REPOS_MAX;
	for (unsigned i = 0; i < g->n_repos; i++)
		g->repos[i] = repos[i];
	g->next = a->grants;
	a->grants = g;
	return g;
}

/* --- limits --------------------------------------------------------------- */

static void meter_turn(struct meter *m, int64_t now_ms)
{
	if (now_ms < m->reset_ms)
		return;
	m->used = 0;
	m->reset_ms = now_ms + HOUR_MS;
}

bool meter_take(struct meter *m, int64_t now_ms)
{
	meter_turn(m, now_ms);
	if (m->used >= m->limit)
		return false;
	m->used++;
	return true;
}

bool meter_take_write(struct meter *m, int64_t now_ms, int64_t writes_max)
{
	if (!writes_max)
		return true;
	if (now_ms - m->minute_ms > 60000) {
		m->minute_ms = now_ms;
		m->writes = 0;
	}
	return m->writes++ < writes_max;
}

void access_set_budget(struct access *a, int64_t limit, int64_t remaining, int64_t reset_ms)
{
	struct meter *const all[] = { &a->token_meter, &a->installation_meter, &a->app_meter };
	int64_t now = clock_wall_ms();

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		*all[i] = (struct meter){ .limit = limit,
					  .used = limit > remaining ? limit - remaining : 0,
					  .reset_ms = now + reset_ms };
}

bool access_has_app(const struct access *a)
{
	return a->key != NULL;
}

int access_new(const struct access_options *opt, struct access **out, struct err *err)
{
	struct access *a = xcalloc(1, sizeof(*a));

	a->opt = *opt;
	memset(a->allowed, MAY_WRITE, sizeof(a->allowed));
	access_set_budget(a, opt->rate_limit, opt->rate_limit, HOUR_MS);
	if ((opt->token_file && (make_token(opt->token_file, err) < 0 ||
				 read_token(opt->token_file, a->token, err) < 0)) ||
	    (opt->app_key_file && read_key(opt->app_key_file, &a->key, err) < 0)) {
		access_free(a);
		return -1;
	}
	*out = a;
	return 0;
}

void access_free(struct access *a)
{
	if (!a)
		return;
	while (a->grants) {
		struct grant *g = a->grants;

		a->grants = g->next;
		free(g);
	}
	EVP_PKEY_free(a->key);
	free(a);
}
