#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/http_client.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "fake_http.h"
#include "healers/github_auth.h"

static EVP_PKEY *key;
static char dir[] = "/tmp/guard-auth-XXXXXX";
static char pkcs8[64], pkcs1[64], encrypted[64], short_key[64], ec_key[64], text_file[64],
	huge_file[64];

struct world {
	struct event_base *base;
	struct http_client *http;
	struct fake_http *server;
	struct conf *conf;
	struct github_auth *auth;
	char url[64];
	/* What the server does. */
	int status;        /* of access_tokens; 0: hang */
	int lookup_status; /* of installation */
	const char *raw;   /* body instead of a token */
	int64_t life_ms;
	/* What it saw. */
	unsigned lookups, grants;
	char last_body[512], last_jwt[2048];
};

struct seen {
	bool done;
	unsigned times;
	char line[128];
	struct api_result refusal;
};

static void on_token(const char *line, const struct api_result *refusal, void *arg)
{
	struct seen *s = arg;

	s->done = true;
	s->times++;
	(void)snprintf(s->line, sizeof(s->line), "%s", line ? line : "");
	if (!line)
		s->refusal = *refusal;
}

static void serve(struct fake_request *r, void *arg)
{
	struct world *w = arg;
	char body[256], expires[25];
	const char *jwt = strstr(r->head, "Authorization: Bearer ");

	assert_non_null(jwt);
	jwt += strlen("Authorization: Bearer ");
	(void)text_copy(w->last_jwt, sizeof(w->last_jwt), jwt, strcspn(jwt, "\r\n"));
	if (text_ends(r->path, "/installation")) {
		assert_string_equal(r->path, "/api/v3/repos/o/r/installation");
		w->lookups++;
		fake_http_reply(r, w->lookup_status, "", "{\"id\": 77, \"app_id\": 1}");
		return;
	}
	assert_string_equal(r->method, "POST");
	assert_true(text_starts(r->path, "/api/v3/app/installations/"));
	w->grants++;
	(void)snprintf(w->last_body, sizeof(w->last_body), "%s", r->body);
	if (!w->status)
		return;
	text_from_ms(expires, clock_wall_ms() + w->life_ms);
	(void)snprintf(body, sizeof(body), "{\"token\":\"ghs_%u\",\"expires_at\":\"%s\"}",
		       w->grants, expires);
	fake_http_reply(r, w->status, "", w->raw ? w->raw : body);
}

static const struct conf_table *const tables[] = { &provider_api_conf };

static struct conf *conf_of(const char *token, const char *app_id, const char *key_file)
{
	struct conf *conf;
	struct err err = { 0 };

	if (token)
		(void)setenv("PIPELINE_GUARD_GITHUB_TOKEN", token, 1);
	if (app_id)
		(void)setenv("PIPELINE_GUARD_GITHUB_APP_ID", app_id, 1);
	if (key_file)
		(void)setenv("PIPELINE_GUARD_GITHUB_APP_KEY_FILE", key_file, 1);
	conf = conf_new(tables, ARRAY_LEN(tables));
	assert_ok(conf_load_env(conf, &err), &err);
	(void)unsetenv("PIPELINE_GUARD_GITHUB_TOKEN");
	(void)unsetenv("PIPELINE_GUARD_GITHUB_APP_ID");
	(void)unsetenv("PIPELINE_GUARD_GITHUB_APP_KEY_FILE");
	return conf;
}

static int open_auth(struct world *w, const char *token, const char *app_id, const char *key_file,
		     struct err *err)
{
	const struct github_auth_target target = { .api_url = w->url,
						   .host = "127.0.0.1",
						   .api_version = "2022-11-28" };

	w->conf = conf_of(token, app_id, key_file);
	return github_auth_new(w->base, w->http, w->conf, &target, &w->auth, err);
}

static int setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->base = event_base_new();
	w->http = http_client_new(w->base, "guard-test/1");
	w->server = fake_http_new(w->base, serve, w);
	(void)snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%d/api/v3",
		       fake_http_port(w->server));
	w->status = 201;
	w->lookup_status = 200;
	w->life_ms = 3600 * 1000;
	*state = w;
	return 0;
}

static int setup_app(void **state)
{
	struct err err = { 0 };

	(void)setup(state);
	assert_ok(open_auth(*state, NULL, "1234", pkcs8, &err), &err);
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	github_auth_free(w->auth);
	conf_free(w->conf);
	http_client_free(w->http);
	fake_http_free(w->server);
	event_base_free(w->base);
	free(w);
	return 0;
}

static const struct api_run run_known = { .repo = "o/r", .repo_id = 5, .installation = 42 };
static const struct api_run run_other = { .repo = "o/q", .repo_id = 6, .installation = 42 };
static const struct api_run run_unknown = { .repo = "o/r" };

static void get(struct world *w, const struct api_run *run, enum github_grant may, struct seen *s)
{
	*s = (struct seen){ 0 };
	(void)github_auth_get(w->auth, run, may, on_token, s);
	assert_false(s->done);
	assert_true(fake_http_wait(w->base, &s->done));
	assert_int_equal(s->times, 1);
}

/* --- the proof ---------------------------------------------------------- */

static size_t base64url_decode(const char *in, size_t n, unsigned char *out)
{
	char text[2048];
	size_t len = n, pad;
	int got;

	assert_true(n + 4 < sizeof(text));
	for (size_t i = 0; i < n; i++)
		text[i] = in[i] == '-' ? '+' : (char)(in[i] == '_' ? '/' : in[i]);
	while (len % 4)
		text[len++] = '=';
	pad = len - n;
	got = EVP_DecodeBlock(out, (unsigned char *)text, (int)len);
	assert_true(got >= 0);
	return (size_t)got - pad;
}

static bool verifies(const char *jwt)
{
	const char *dot = strrchr(jwt, '.');
	unsigned char sig[1024];
	size_t n = base64url_decode(dot + 1, strlen(dot + 1), sig);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok =
		EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
		EVP_DigestVerify(md, sig, n, (const unsigned char *)jwt, (size_t)(dot - jwt)) == 1;

	EVP_MD_CTX_free(md);
	return ok;
}

static void signs_a_proof_that_the_public_key_verifies(void **state)
{
	static const struct {
		const char *id, *file, *head, *claims, *why;
	} rows[] = {
		{ "1234", pkcs8, "{\"alg\":\"RS256\",\"typ\":\"JWT\"}",
		  "{\"iat\":1699999940,\"exp\":1700000540,\"iss\":1234}", "number, PKCS#8" },
		{ "Iv1.abc", pkcs1, "{\"alg\":\"RS256\",\"typ\":\"JWT\"}",
		  "{\"iat\":1699999940,\"exp\":1700000540,\"iss\":\"Iv1.abc\"}",
		  "client id, PKCS#1" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(freep) char *jwt = NULL;
		unsigned char part[1024] = { 0 };
		struct err err = { 0 };
		const char *dot;

		assert_ok(open_auth(w, NULL, rows[i].id, rows[i].file, &err), &err);
		jwt = github_auth_jwt(w->auth, INT64_C(1700000000999));
		dot = strchr(jwt, '.');
		part[base64url_decode(jwt, (size_t)(dot - jwt), part)] = '\0';
		assert_string_equal((char *)part, rows[i].head);
		part[base64url_decode(dot + 1, (size_t)(strrchr(jwt, '.') - dot - 1), part)] = '\0';
		assert_string_equal((char *)part, rows[i].claims);
		assert_case(verifies(jwt), rows[i].why);
		dot = strchr(jwt, '.');
		jwt[dot - jwt + 5] = dot[5] == 'A' ? 'B' : 'A';
		assert_case(!verifies(jwt), rows[i].why);
		github_auth_free(w->auth);
		w->auth = NULL;
		conf_free(w->conf);
		w->conf = NULL;
	}
}

static void says_what_is_wrong_with_the_configuration(void **state)
{
	static const struct {
		const char *token, *id, *file, *has, *why;
	} rows[] = {
		{ NULL, NULL, NULL, "set github.token", "nothing" },
		{ "t", "1", pkcs8, "choose one", "both" },
		{ NULL, "1", NULL, "app_key_file is not", "no key" },
		{ NULL, "a b", pkcs8, "github.app_id", "an id with a space" },
		{ NULL, "1\",\"x", pkcs8, "github.app_id", "an id that would break the claims" },
		{ NULL, "1", "/nonexistent/key", "cannot read", "no file" },
		{ NULL, "1", "/tmp", "cannot read", "a directory" },
		{ NULL, "1", text_file, "no private key in PEM", "a text file" },
		{ NULL, "1", huge_file, "too large", "a huge file" },
		{ NULL, "1", encrypted, "passphrase", "an encrypted key" },
		{ NULL, "1", short_key, "2048", "a short key" },
		{ NULL, "1", ec_key, "RSA", "another kind of key" },
		{ "two words", NULL, NULL, "space", "a token with a space" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };

		assert_case(open_auth(w, rows[i].token, rows[i].id, rows[i].file, &err) == -1,
			    rows[i].why);
		if (err.kind != ERR_CONFIG || !strstr(err.msg, rows[i].has))
			fail_msg("%s: %s", rows[i].why, err.msg);
		assert_case(!strstr(err.msg, "two words"), rows[i].why);
		conf_free(w->conf);
		w->conf = NULL;
	}
}

/* --- App tokens --------------------------------------------------------- */

static void a_token_is_narrowed_and_kept(void **state)
{
	struct world *w = *state;
	struct seen s;

	get(w, &run_known, GRANT_ACT, &s);
	assert_string_equal(s.line, "Authorization: Bearer ghs_1");
	assert_string_equal(w->last_body,
			    "{\"permissions\":{\"actions\":\"write\"},\"repository_ids\":[5]}");
	assert_true(verifies(w->last_jwt));
	assert_int_equal(w->lookups, 0);
	get(w, &run_known, GRANT_ACT, &s);
	assert_string_equal(s.line, "Authorization: Bearer ghs_1");
	assert_int_equal(w->grants, 1);

	get(w, &run_known, GRANT_READ, &s);
	assert_string_equal(s.line, "Authorization: Bearer ghs_2");
	assert_string_equal(w->last_body,
			    "{\"permissions\":{\"actions\":\"read\"},\"repository_ids\":[5]}");
	get(w, &run_other, GRANT_ACT, &s);
	assert_string_equal(s.line, "Authorization: Bearer ghs_3");
	get(w, &run_known, GRANT_CHANGE, &s);
	assert_string_equal(w->last_body,
			    "{\"permissions\":{\"contents\":\"write\",\"pull_requests\":"
			    "\"write\"},\"repository_ids\":[5]}");
	get(w, &run_known, GRANT_CHANGE_CI, &s);
	assert_string_equal(w->last_body,
			    "{\"permissions\":{\"contents\":\"write\",\"pull_requests\":"
			    "\"write\",\"workflows\":\"write\"},\"repository_ids\":[5]}");
	get(w, &run_known, GRANT_SHOW, &s);
	assert_string_equal(w->last_body,
			    "{\"permissions\":{\"checks\":\"write\"},\"repository_ids\":[5]}");
}

static void an_unknown_installation_is_looked_up_once(void **state)
{
	struct world *w = *state;
	struct seen s;

	w->life_ms = 0; /* every get renews */
	get(w, &run_unknown, GRANT_READ, &s);
	assert_string_equal(w->last_body,
			    "{\"permissions\":{\"actions\":\"read\"},\"repositories\":[\"r\"]}");
	get(w, &run_unknown, GRANT_READ, &s);
	assert_string_equal(s.line, "Authorization: Bearer ghs_2");
	assert_int_equal(w->lookups, 1);
}

static void renews_five_minutes_before_the_end(void **state)
{
	static const struct {
		int64_t life_ms;
		unsigned grants;
		const char *why;
	} rows[] = {
		{ 5 * 60 * 1000 + 20000, 1, "well above five minutes" },
		{ 5 * 60 * 1000 - 1, 2, "below five minutes" },
		{ -1000, 2, "already over" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct api_run run = { .repo = "o/r", .repo_id = 100 + i, .installation = 1 };
		struct seen s;

		w->grants = 0;
		w->life_ms = rows[i].life_ms;
		get(w, &run, GRANT_READ, &s);
		get(w, &run, GRANT_READ, &s);
		assert_case(w->grants == rows[i].grants, rows[i].why);
	}
}

static void many_callers_share_one_request(void **state)
{
	struct world *w = *state;
	struct seen s[5] = { 0 };
	struct github_wait *gone = NULL;

	for (size_t i = 0; i < ARRAY_LEN(s); i++) {
		struct github_wait *wait =
			github_auth_get(w->auth, &run_known, GRANT_ACT, on_token, &s[i]);

		if (i == 2)
			gone = wait;
	}
	github_auth_cancel(gone);
	assert_true(fake_http_wait(w->base, &s[0].done));
	fake_http_settle(w->base, 20);
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		assert_int_equal(s[i].times, i == 2 ? 0 : 1);
	assert_int_equal(w->grants, 1);
}

static void a_refused_token_is_forgotten(void **state)
{
	struct world *w = *state;
	struct seen s;

	get(w, &run_known, GRANT_ACT, &s);
	assert_true(github_auth_reject(w->auth, "Authorization: Bearer ghs_0"));
	get(w, &run_known, GRANT_ACT, &s);
	assert_string_equal(s.line, "Authorization: Bearer ghs_1");
	assert_true(github_auth_reject(w->auth, s.line));
	get(w, &run_known, GRANT_ACT, &s);
	assert_string_equal(s.line, "Authorization: Bearer ghs_2");
}

static void a_living_token_outlives_trouble_with_the_next(void **state)
{
	struct world *w = *state;
	struct seen s;

	w->life_ms = 60000;
	get(w, &run_known, GRANT_ACT, &s);
	w->status = 500;
	get(w, &run_known, GRANT_ACT, &s);
	assert_string_equal(s.line, "Authorization: Bearer ghs_1");
	w->status = 422;
	get(w, &run_known, GRANT_ACT, &s);
	assert_string_equal(s.line, "");
}

static void refusals_say_what_to_do(void **state)
{
	static const struct {
		int lookup, status;
		const char *raw;
		enum api_fate fate;
		const char *has, *why;
	} rows[] = {
		{ 404, 201, NULL, API_REFUSED, "not installed on o/r", "App not there" },
		{ 401, 201, NULL, API_REFUSED, "clock", "the proof is refused" },
		{ 500, 201, NULL, API_RETRY, "trouble", "GitHub is down" },
		{ 200, 422, NULL, API_REFUSED, "does not grant actions: write", "no permission" },
		{ 200, 403, NULL, API_REFUSED, "403", "suspended" },
		{ 200, 502, NULL, API_RETRY, "trouble", "GitHub is down a little later" },
		{ 200, 201, "{", API_REFUSED, "cannot read", "garbage" },
		{ 200, 201, "{}", API_REFUSED, "cannot read", "no token" },
		{ 200, 201, "{\"token\":\"a\\r\\nX: y\",\"expires_at\":\"2099-01-01T00:00:00Z\"}",
		  API_REFUSED, "cannot read", "a token that would be a header" },
		{ 200, 201, "{\"token\":\"secret-tok\",\"expires_at\":\"soon\"}", API_REFUSED,
		  "cannot read", "no date" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		struct seen s;

		w->lookup_status = rows[i].lookup;
		w->status = rows[i].status;
		w->raw = rows[i].raw;
		/* A fresh entry each time, so that nothing is remembered. */
		github_auth_free(w->auth);
		w->auth = NULL;
		conf_free(w->conf);
		assert_ok(open_auth(w, NULL, "1234", pkcs1, &err), &err);
		get(w, &run_unknown, GRANT_ACT, &s);
		if (s.line[0] || s.refusal.fate != rows[i].fate ||
		    !strstr(s.refusal.why, rows[i].has))
			fail_msg("%s: \"%s\" %d %s", rows[i].why, s.line, s.refusal.fate,
				 s.refusal.why);
		assert_case(!strstr(s.refusal.why, "secret-tok"), rows[i].why);
	}
}

static void a_client_freed_while_waiting_is_quiet(void **state)
{
	struct world *w = *state;
	struct seen s = { 0 };

	w->status = 0;
	(void)github_auth_get(w->auth, &run_known, GRANT_ACT, on_token, &s);
	fake_http_settle(w->base, 50);
	assert_int_equal(w->grants, 1);
	github_auth_free(w->auth);
	w->auth = NULL;
	fake_http_settle(w->base, 20);
	assert_int_equal(s.times, 0);
}

/* --- plain tokens ------------------------------------------------------- */

static void the_next_token_of_the_list_takes_over(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	struct seen s;

	assert_ok(open_auth(w, "old,new", NULL, NULL, &err), &err);
	get(w, &run_known, GRANT_ACT, &s);
	assert_string_equal(s.line, "Authorization: Bearer old");
	assert_true(github_auth_reject(w->auth, s.line));
	/* A second call that failed on the same one must not skip another. */
	assert_true(github_auth_reject(w->auth, s.line));
	get(w, &run_known, GRANT_READ, &s);
	assert_string_equal(s.line, "Authorization: Bearer new");
	assert_false(github_auth_reject(w->auth, s.line));
	assert_int_equal(fake_http_requests(w->server), 0);
}

/* --- keys made for this run --------------------------------------------- */

static void save(const char *path, EVP_PKEY *k, const char *form)
{
	BIO *f = BIO_new_file(path, "w");
	char pass[] = "pass";
	int ok;

	assert_non_null(f);
	if (strcmp(form, "pkcs8") == 0)
		ok = PEM_write_bio_PrivateKey(f, k, NULL, NULL, 0, NULL, NULL);
	else if (strcmp(form, "pkcs1") == 0)
		ok = PEM_write_bio_PrivateKey_traditional(f, k, NULL, NULL, 0, NULL, NULL);
	else
		ok = PEM_write_bio_PrivateKey(f, k, EVP_aes_128_cbc(), NULL, 0, NULL, pass);
	assert_int_equal(ok, 1);
	(void)BIO_free(f);
}

static void name(char out[64], const char *base)
{
	(void)snprintf(out, 64, "%s/%s", dir, base);
}

static int make_keys(void **state)
{
	EVP_PKEY *small, *ec;
	FILE *f;

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	name(pkcs8, "pkcs8.pem");
	name(pkcs1, "pkcs1.pem");
	name(encrypted, "encrypted.pem");
	name(short_key, "short.pem");
	name(ec_key, "ec.pem");
	name(text_file, "text.pem");
	name(huge_file, "huge.pem");
	key = EVP_RSA_gen(2048);
	small = EVP_RSA_gen(1024);
	ec = EVP_EC_gen("P-256");
	save(pkcs8, key, "pkcs8");
	save(pkcs1, key, "pkcs1");
	save(encrypted, key, "encrypted");
	save(short_key, small, "pkcs8");
	save(ec_key, ec, "pkcs8");
	EVP_PKEY_free(small);
	EVP_PKEY_free(ec);
	f = fopen(text_file, "w");
	(void)fputs("this is no key\n", f);
	(void)fclose(f);
	f = fopen(huge_file, "w");
	for (int i = 0; i < 70000; i++)
		(void)fputc('x', f);
	return fclose(f);
}

static int drop_keys(void **state)
{
	const char *const files[] = { pkcs8,  pkcs1,     encrypted, short_key,
				      ec_key, text_file, huge_file };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		(void)unlink(files[i]);
	EVP_PKEY_free(key);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define A(f) cmocka_unit_test_setup_teardown(f, setup_app, teardown)
		T(signs_a_proof_that_the_public_key_verifies),
		T(says_what_is_wrong_with_the_configuration),
		A(a_token_is_narrowed_and_kept),
		A(an_unknown_installation_is_looked_up_once),
		A(renews_five_minutes_before_the_end),
		A(many_callers_share_one_request),
		A(a_refused_token_is_forgotten),
		A(a_living_token_outlives_trouble_with_the_next),
		A(refusals_say_what_to_do),
		A(a_client_freed_while_waiting_is_quiet),
		T(the_next_token_of_the_list_takes_over),
#undef T
#undef A
	};

	return cmocka_run_group_tests_name("github_auth", tests, make_keys, drop_keys);
}
