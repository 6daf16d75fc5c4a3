#include "receiver/auth.h"

#include <stdio.h>

#include "tests/unit/hooks.h"
#include "tests/unit/unit.h"

/* Both documented: "Validating webhook deliveries", and the reference libraries of the standard. */
#define GITHUB_SECRET "It's a Secret to Everybody"
#define GITHUB_BODY   "Hello, World!"
#define GITHUB_MAC    "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
#define WHSEC         "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define WH_ID         "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define WH_TIME       "1614265330"
#define WH_BODY       "{\"test\": 2432232314}"
#define WH_V1         "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
/* Key pair of the private key 00 01 02 .. 1f; the signature was made by another program. */
#define WHPK "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
#define WH_V1A                                                                                   \
	"v1a,yoUrgEkc12aGqm0n4Sydmdz55xJfTz4AsAgieHFjmkR7LJtqVCZOQYzvvHjI5kAey+r4iaBGxTFRrl2iBQ" \
	"xtDQ=="
/* HMAC-SHA256 with the key "key", by another program. */
#define HMAC_HEX    "a777724d943eb48dc69bca8a4a6d57a04db3f9ec7e1de4e581e860265bdf3032"
#define HMAC_BASE64 "p3dyTZQ+tI3Gm8qKSm1XoE2z+ex+HeTlgehgJlvfMDI="
#define HMAC_TIMED  "76b7952cf59e475295337c467d6c1b7ba034824cc8fab2503af37ffc8b28fe90"

static const int64_t wh_now_ms = INT64_C(1614265330) * 1000;

#define MAC_HEADER(value)                    \
	{                                    \
		"X-Hub-Signature-256", value \
	}
#define STANDARD(id, time, s)                                \
	{ "webhook-id", id }, { "webhook-timestamp", time }, \
	{                                                    \
		"webhook-signature", s                       \
	}

struct row {
	const char *why;
	const char *passes; /* the scheme, NULL: refused */
	struct hook_header headers[6];
	const char *body;
	int64_t late_ms;
};

static void set_up(struct auth *a, const char *schemes, const char *const *secrets)
{
	struct err err;

	assert_ok(auth_init(a, schemes, &err), &err);
	a->tolerance_ms = 300000;
	(void)strncpy(a->header, "X-Hub-Signature-256", sizeof(a->header) - 1);
	for (; *secrets; secrets++)
		assert_ok(auth_add_secret(a, *secrets, false, &err), &err);
}

static void check(const struct auth *a, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct webhook hook =
			hook_of(rows[i].headers, rows[i].body, wh_now_ms + rows[i].late_ms);
		const struct auth_scheme *got = auth_verify(a, &hook);

		if ((got ? got->name : NULL) != rows[i].passes &&
		    (!got || !rows[i].passes || strcmp(got->name, rows[i].passes) != 0))
			fail_msg("row \"%s\": passed %s", rows[i].why, got ? got->name : "nothing");
	}
}

static void github_hmac(void **state)
{
	static const char *const secrets[] = { "another secret", GITHUB_SECRET, NULL };
	static const struct row rows[] = {
		{ "the documented vector",
		  "github-hmac",
		  { MAC_HEADER("sha256=" GITHUB_MAC) },
		  GITHUB_BODY,
		  0 },
		{ "no header at all", NULL, { { NULL, NULL } }, GITHUB_BODY, 0 },
		{ "an empty header", NULL, { MAC_HEADER("") }, GITHUB_BODY, 0 },
		{ "SHA-1 is not accepted",
		  NULL,
		  { MAC_HEADER("sha1=757107ea0eb2509fc211221cce984b8a37570b6d") },
		  GITHUB_BODY,
		  0 },
		{ "no digest", NULL, { MAC_HEADER("sha256=") }, GITHUB_BODY, 0 },
		{ "no scheme", NULL, { MAC_HEADER(GITHUB_MAC) }, GITHUB_BODY, 0 },
		{ "one digit too many",
		  NULL,
		  { MAC_HEADER("sha256=" GITHUB_MAC "0") },
		  GITHUB_BODY,
		  0 },
		{ "no hex digit",
		  NULL,
		  { MAC_HEADER("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b0"
			       "43e1g") },
		  GITHUB_BODY,
		  0 },
		{ "the last digit differs",
		  NULL,
		  { MAC_HEADER("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b0"
			       "43e18") },
		  GITHUB_BODY,
		  0 },
		{ "the first digit differs",
		  NULL,
		  { MAC_HEADER("sha256=857107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b0"
			       "43e17") },
		  GITHUB_BODY,
		  0 },
		{ "another body", NULL, { MAC_HEADER("sha256=" GITHUB_MAC) }, "Hello, World?", 0 },
		{ "no body", NULL, { MAC_HEADER("sha256=" GITHUB_MAC) }, NULL, 0 },
		{ "the header twice, the same",
		  NULL,
		  { MAC_HEADER("sha256=" GITHUB_MAC), MAC_HEADER("sha256=" GITHUB_MAC) },
		  GITHUB_BODY,
		  0 },
		{ "the header twice, the second is good",
		  NULL,
		  { MAC_HEADER("sha256=00"), MAC_HEADER("sha256=" GITHUB_MAC) },
		  GITHUB_BODY,
		  0 },
		{ "a bearer token is not asked for",
		  NULL,
		  { { "Authorization", "Bearer " GITHUB_SECRET } },
		  GITHUB_BODY,
		  0 },
	};
	struct auth a;

	UNUSED(state);
	set_up(&a, "github-hmac", secrets);
	check(&a, rows, ARRAY_LEN(rows));
	auth_done(&a);
}

static void standard_webhooks(void **state)
{
	static const char *const secrets[] = { "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", WHSEC,
					       WHPK, NULL };
	static const char name[] = "standard-webhooks";
	static const struct row rows[] = {
		{ "the published vector", name, { STANDARD(WH_ID, WH_TIME, WH_V1) }, WH_BODY, 0 },
		{ "Ed25519", name, { STANDARD(WH_ID, WH_TIME, WH_V1A) }, WH_BODY, 0 },
		{ "several, the last is good",
		  name,
		  { STANDARD(WH_ID, WH_TIME, "v1,AAAA v9,x v1a,AAAA " WH_V1) },
		  WH_BODY,
		  0 },
		{ "just not too old", name, { STANDARD(WH_ID, WH_TIME, WH_V1) }, WH_BODY, 300000 },
		{ "too old", NULL, { STANDARD(WH_ID, WH_TIME, WH_V1) }, WH_BODY, 300001 },
		{ "just not too new", name, { STANDARD(WH_ID, WH_TIME, WH_V1) }, WH_BODY, -300000 },
		{ "too new", NULL, { STANDARD(WH_ID, WH_TIME, WH_V1) }, WH_BODY, -300001 },
		{ "another id", NULL, { STANDARD("msg_2", WH_TIME, WH_V1) }, WH_BODY, 0 },
		{ "another time", NULL, { STANDARD(WH_ID, "1614265331", WH_V1) }, WH_BODY, 0 },
		{ "another body", NULL, { STANDARD(WH_ID, WH_TIME, WH_V1) }, "{}", 0 },
		{ "another body, Ed25519", NULL, { STANDARD(WH_ID, WH_TIME, WH_V1A) }, "{}", 0 },
		{ "v1 of it called v1a",
		  NULL,
		  { STANDARD(WH_ID, WH_TIME, "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=") },
		  WH_BODY,
		  0 },
		{ "no id",
		  NULL,
		  { { "webhook-timestamp", WH_TIME }, { "webhook-signature", WH_V1 } },
		  WH_BODY,
		  0 },
		{ "no time",
		  NULL,
		  { { "webhook-id", WH_ID }, { "webhook-signature", WH_V1 } },
		  WH_BODY,
		  0 },
		{ "no signature",
		  NULL,
		  { { "webhook-id", WH_ID }, { "webhook-timestamp", WH_TIME } },
		  WH_BODY,
		  0 },
		{ "an empty list", NULL, { STANDARD(WH_ID, WH_TIME, " ") }, WH_BODY, 0 },
		{ "two ids",
		  NULL,
		  { STANDARD(WH_ID, WH_TIME, WH_V1), { "webhook-id", WH_ID } },
		  WH_BODY,
		  0 },
		{ "two signatures as two headers",
		  NULL,
		  { STANDARD(WH_ID, WH_TIME, WH_V1), { "webhook-signature", WH_V1 } },
		  WH_BODY,
		  0 },
		{ "a time that is none",
		  NULL,
		  { STANDARD(WH_ID, "1614265330x", WH_V1) },
		  WH_BODY,
		  0 },
		{ "a huge time",
		  NULL,
		  { STANDARD(WH_ID, "18446744073709551615", WH_V1) },
		  WH_BODY,
		  0 },
		{ "a negative time", NULL, { STANDARD(WH_ID, "-1", WH_V1) }, WH_BODY, 0 },
		{ "eight signatures are looked at",
		  name,
		  { STANDARD(WH_ID, WH_TIME, "v1,A v1,A v1,A v1,A v1,A v1,A v1,A " WH_V1) },
		  WH_BODY,
		  0 },
		{ "nine are too many",
		  NULL,
		  { STANDARD(WH_ID, WH_TIME, WH_V1 " v1,A v1,A v1,A v1,A v1,A v1,A v1,A v1,A") },
		  WH_BODY,
		  0 },
	};
	struct auth a;

	UNUSED(state);
	set_up(&a, "standard-webhooks", secrets);
	check(&a, rows, ARRAY_LEN(rows));
	auth_done(&a);
}

static void a_signing_key_may_lack_its_prefix(void **state)
{
	static const struct {
		const char *why, *secret, *signature;
	} rows[] = {
		{ "base64, as the reference libraries take it", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		  WH_V1 },
		{ "plain text, by another program", "plain text key 1",
		  "v1,yC7kdYhGQQKPIxG/8unXp4n4Yv0SPXlRt2d8/HzcHVM=" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *const secrets[] = { rows[i].secret, NULL };
		struct hook_header headers[] = { STANDARD(WH_ID, WH_TIME, rows[i].signature),
						 { NULL, NULL } };
		struct webhook hook = hook_of(headers, WH_BODY, wh_now_ms);
		struct auth a;

		set_up(&a, "standard-webhooks", secrets);
		assert_case(auth_verify(&a, &hook), rows[i].why);
		auth_done(&a);
	}
}

/* Both during rotation; where there is a signature, nothing else counts. */
static void gitlab_prefers_the_signature(void **state)
{
	static const char *const both[] = { "old token", "new token", WHSEC, NULL };
	static const char *const token_only[] = { "new token", NULL };
	static const struct row rows[] = {
		{ "signed", "standard-webhooks", { STANDARD(WH_ID, WH_TIME, WH_V1) }, WH_BODY, 0 },
		{ "the first token",
		  "gitlab-token",
		  { { "X-Gitlab-Token", "old token" } },
		  "{}",
		  0 },
		{ "the second token",
		  "gitlab-token",
		  { { "x-gitlab-token", "new token" } },
		  "{}",
		  0 },
		{ "part of a token", NULL, { { "X-Gitlab-Token", "new toke" } }, "{}", 0 },
		{ "more than a token", NULL, { { "X-Gitlab-Token", "new token2" } }, "{}", 0 },
		{ "an empty token", NULL, { { "X-Gitlab-Token", "" } }, "{}", 0 },
		{ "two tokens",
		  NULL,
		  { { "X-Gitlab-Token", "new token" }, { "X-Gitlab-Token", "new token" } },
		  "{}",
		  0 },
		{ "signed, and a token that is none of ours",
		  "standard-webhooks",
		  { STANDARD(WH_ID, WH_TIME, WH_V1), { "X-Gitlab-Token", "stale" } },
		  WH_BODY,
		  0 },
		{ "badly signed, and a good token",
		  NULL,
		  { STANDARD(WH_ID, WH_TIME, "v1,AAAA"), { "X-Gitlab-Token", "new token" } },
		  WH_BODY,
		  0 },
		{ "the signing key as a token", NULL, { { "X-Gitlab-Token", WHSEC } }, "{}", 0 },
	};
	static const struct row without_key[] = {
		{ "a signature that nobody here can check, and a good token",
		  "gitlab-token",
		  { STANDARD(WH_ID, WH_TIME, WH_V1), { "X-Gitlab-Token", "new token" } },
		  WH_BODY,
		  0 },
		{ "a signature that nobody here can check",
		  NULL,
		  { STANDARD(WH_ID, WH_TIME, WH_V1) },
		  WH_BODY,
		  0 },
	};
	struct auth a;

	UNUSED(state);
	set_up(&a, "standard-webhooks, gitlab-token", both);
	check(&a, rows, ARRAY_LEN(rows));
	auth_done(&a);
	set_up(&a, "standard-webhooks, gitlab-token", token_only);
	check(&a, without_key, ARRAY_LEN(without_key));
	auth_done(&a);
}

static void jenkins_may_choose(void **state)
{
	static const char *const secrets[] = { "key", NULL };
	static const struct row rows[] = {
		{ "HMAC, hex", "hmac", { MAC_HEADER("sha256=" HMAC_HEX) }, "{}", 0 },
		{ "HMAC, hex, no prefix", "hmac", { MAC_HEADER(HMAC_HEX) }, "{}", 0 },
		{ "HMAC, base64", "hmac", { MAC_HEADER(HMAC_BASE64) }, "{}", 0 },
		{ "HMAC, another prefix", NULL, { MAC_HEADER("sha1=" HMAC_HEX) }, "{}", 0 },
		{ "HMAC, cut", NULL, { MAC_HEADER("sha256=a777724d") }, "{}", 0 },
		{ "HMAC of another body", NULL, { MAC_HEADER(HMAC_HEX) }, "{ }", 0 },
		{ "bearer", "bearer", { { "Authorization", "Bearer key" } }, "{}", 0 },
		{ "bearer, as it may be written",
		  "bearer",
		  { { "authorization", "bearer  key" } },
		  "{}",
		  0 },
		{ "bearer, wrong", NULL, { { "Authorization", "Bearer kez" } }, "{}", 0 },
		{ "bearer, empty", NULL, { { "Authorization", "Bearer " } }, "{}", 0 },
		{ "bearer without a space", NULL, { { "Authorization", "Bearerkey" } }, "{}", 0 },
		{ "basic, any user",
		  "basic",
		  { { "Authorization", "Basic amVua2luczprZXk=" } },
		  "{}",
		  0 }, /* jenkins:key */
		{ "basic, no user", "basic", { { "Authorization", "Basic OmtleQ==" } }, "{}", 0 },
		{ "basic, wrong",
		  NULL,
		  { { "Authorization", "Basic amVua2luczprZXo=" } },
		  "{}",
		  0 },
		{ "basic, no colon", NULL, { { "Authorization", "Basic a2V5" } }, "{}", 0 },
		{ "basic, a NUL behind the key",
		  NULL,
		  { { "Authorization", "Basic OmtleQAx" } },
		  "{}",
		  0 },
		{ "basic, not base64", NULL, { { "Authorization", "Basic :key" } }, "{}", 0 },
		{ "another scheme", NULL, { { "Authorization", "Digest key" } }, "{}", 0 },
		{ "two of them",
		  NULL,
		  { { "Authorization", "Bearer key" }, { "Authorization", "Bearer key" } },
		  "{}",
		  0 },
		{ "what is signed badly is not saved by a token",
		  NULL,
		  { MAC_HEADER("sha256=00"), { "Authorization", "Bearer key" } },
		  "{}",
		  0 },
		{ "nothing", NULL, { { NULL, NULL } }, "{}", 0 },
	};
	static const struct row with_user[] = {
		{ "the user", "basic", { { "Authorization", "Basic amVua2luczprZXk=" } }, "{}", 0 },
		{ "another user", NULL, { { "Authorization", "Basic OmtleQ==" } }, "{}", 0 },
	};
	struct auth a;

	UNUSED(state);
	set_up(&a, "hmac, bearer, basic", secrets);
	check(&a, rows, ARRAY_LEN(rows));
	(void)strncpy(a.user, "jenkins", sizeof(a.user) - 1);
	check(&a, with_user, ARRAY_LEN(with_user));
	auth_done(&a);
}

static void hmac_can_be_told_more(void **state)
{
	static const char *const secrets[] = { "key", NULL };
	static const struct row rows[] = {
		{ "good",
		  "hmac",
		  { { "X-Sig", "v0=" HMAC_TIMED }, { "X-Time", WH_TIME } },
		  "{}",
		  0 },
		{ "no prefix", NULL, { { "X-Sig", HMAC_TIMED }, { "X-Time", WH_TIME } }, "{}", 0 },
		{ "no time", NULL, { { "X-Sig", "v0=" HMAC_TIMED } }, "{}", 0 },
		{ "too old",
		  NULL,
		  { { "X-Sig", "v0=" HMAC_TIMED }, { "X-Time", WH_TIME } },
		  "{}",
		  300001 },
		{ "the body alone is signed",
		  NULL,
		  { { "X-Sig", "v0=" HMAC_HEX }, { "X-Time", WH_TIME } },
		  "{}",
		  0 },
		{ "another time",
		  NULL,
		  { { "X-Sig", "v0=" HMAC_TIMED }, { "X-Time", "1614265331" } },
		  "{}",
		  0 },
	};
	struct auth a;

	UNUSED(state);
	set_up(&a, "hmac", secrets);
	(void)strncpy(a.header, "X-Sig", sizeof(a.header));
	(void)strncpy(a.prefix, "v0=", sizeof(a.prefix));
	(void)strncpy(a.timestamp, "X-Time", sizeof(a.timestamp));
	check(&a, rows, ARRAY_LEN(rows));
	auth_done(&a);
}

static void the_path_may_be_the_secret(void **state)
{
	static const char *const secrets[] = { "one", "two", NULL };
	static const struct hook_header none[] = { { NULL, NULL } };
	static const struct {
		const char *secret;
		bool good;
	} rows[] = {
		{ "one", true }, { "two", true }, { "tw", false }, { "", false }, { NULL, false }
	};
	struct auth a;

	UNUSED(state);
	set_up(&a, "secret-path", secrets);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct webhook hook = hook_of(none, "{}", 0);

		hook.path_secret = rows[i].secret;
		assert_case((auth_verify(&a, &hook) != NULL) == rows[i].good,
			    rows[i].secret ? rows[i].secret : "none");
	}
	auth_done(&a);
}

static void without_secrets_nobody_gets_in(void **state)
{
	static const char *const none[] = { NULL };
	/* The right digest for an empty key. */
	static const struct row rows[] = {
		{ "HMAC with an empty key",
		  NULL,
		  { MAC_HEADER(
			  "sha256="
			  "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad") },
		  "",
		  0 },
		{ "an empty bearer", NULL, { { "Authorization", "Bearer " } }, "", 0 },
		{ "an empty password", NULL, { { "Authorization", "Basic Og==" } }, "", 0 },
		{ "an empty token", NULL, { { "X-Gitlab-Token", "" } }, "", 0 },
		{ "nothing", NULL, { { NULL, NULL } }, "", 0 },
	};
	struct auth a;

	UNUSED(state);
	set_up(&a, "github-hmac, standard-webhooks, gitlab-token, hmac, bearer, basic, secret-path",
	       none);
	check(&a, rows, ARRAY_LEN(rows));
	auth_done(&a);
}

static void refuses_a_configuration_that_cannot_be_meant(void **state)
{
	static const struct {
		const char *schemes, *secret, *says;
	} rows[] = {
		{ "hmac, digest", NULL, "\"digest\" is none of" },
		{ "hmac hmac", NULL, "given twice" },
		{ " , ", NULL, "no way" },
		{ "standard-webhooks", "whsec_not base64!", "copy it again" },
		{ "standard-webhooks", "whsec_AAAA", "copy it again" },
		{ "standard-webhooks", "whpk_AAAAAAAAAAAAAAAAAAAAAAAA", "copy it again" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct auth a;
		struct err err = { 0 };
		int rc = auth_init(&a, rows[i].schemes, &err);

		if (rows[i].secret) {
			assert_ok(rc, &err);
			rc = auth_add_secret(&a, rows[i].secret, false, &err);
			assert_null(strstr(err.msg, rows[i].secret + 6));
		}
		assert_case(rc < 0 && err.kind == ERR_CONFIG, rows[i].says);
		if (!strstr(err.msg, rows[i].says))
			fail_msg("said \"%s\"", err.msg);
		auth_done(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(github_hmac),
		cmocka_unit_test(standard_webhooks),
		cmocka_unit_test(a_signing_key_may_lack_its_prefix),
		cmocka_unit_test(gitlab_prefers_the_signature),
		cmocka_unit_test(jenkins_may_choose),
		cmocka_unit_test(hmac_can_be_told_more),
		cmocka_unit_test(the_path_may_be_the_secret),
		cmocka_unit_test(without_secrets_nobody_gets_in),
		cmocka_unit_test(refuses_a_configuration_that_cannot_be_meant),
	};

	return cmocka_run_group_tests_name("auth", tests, NULL, NULL);
}
