#include "core/mask.h"

#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "unit.h"

enum { ROOM = 4096 };

/*
 * The secrets are put together here: a scanner of this repository would take whole ones for real,
 * and so would a person.
 */
#define LETTERS  "abcdefghijklmnopqrstuvwxyz0123456789"
#define CAPITALS "ABCDEFGHIJKLMNOP"
#define PASS     "correct-horse"

static void secrets_are_hidden_and_the_rest_stays(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "token ghp_" LETTERS " ok", "token [masked] ok" },
		{ "github_pat_" LETTERS, "[masked]" },
		{ "glpat-" LETTERS ".", "[masked]" },
		{ "key AKIA" CAPITALS ",", "key [masked]," },
		{ "xoxb-" LETTERS, "[masked]" },
		{ "npm_" LETTERS, "[masked]" },
		{ "jwt eyJ" LETTERS "." LETTERS "." LETTERS "!", "jwt [masked]!" },
		{ "https://kim:" PASS "@git.example.org/a", "https://[masked]@git.example.org/a" },
		{ "https://" LETTERS "@git.example.org", "https://[masked]@git.example.org" },
		{ "Authorization: Bearer " LETTERS, "Authorization: Bearer [masked]" },
		{ "authorization: basic " LETTERS "==", "authorization: basic [masked]" },
		{ "password=" PASS, "password=[masked]" },
		{ "DB_PASSWORD: \"" PASS "\"", "DB_PASSWORD: \"[masked]\"" },
		{ "{\"client_secret\":\"" PASS "\",\"n\":1}",
		  "{\"client_secret\":\"[masked]\",\"n\":1}" },
		{ "login --password " PASS " --user kim", "login --password [masked] --user kim" },
		{ "a=1&access_token=" LETTERS "&b=2", "a=1&access_token=[masked]&b=2" },
		{ "//registry.example.org/:_authToken=" LETTERS,
		  "//registry.example.org/:_authToken=[masked]" },
		{ "glrtr-" LETTERS " glft-" LETTERS " gloas-" LETTERS,
		  "[masked] [masked] [masked]" },
		{ "ghs_" LETTERS " gho_" LETTERS " ghu_" LETTERS " ghr_" LETTERS,
		  "[masked] [masked] [masked] [masked]" },
		{ "glrt-" LETTERS " gldt-" LETTERS " glptt-" LETTERS " glcbt-" LETTERS,
		  "[masked] [masked] [masked] [masked]" },
		{ "ASIA" CAPITALS " xapp-" LETTERS " xoxe.xoxp-" LETTERS,
		  "[masked] [masked] [masked]" },
		{ "pypi-" LETTERS " rubygems_" LETTERS " dckr_pat_" LETTERS,
		  "[masked] [masked] [masked]" },
		{ "sk-proj-" LETTERS " hvs." LETTERS " sk_test_" LETTERS,
		  "[masked] [masked] [masked]" },
		{ "AIza" LETTERS " ya29." LETTERS " GOCSPX-" LETTERS,
		  "[masked] [masked] [masked]" },
		{ "POST https://hooks.slack.com/services/T0/B0/" LETTERS " 400",
		  "POST https://[masked] 400" },
		{ "AccountName=shop;AccountKey=" LETTERS "==;EndpointSuffix=core",
		  "AccountName=shop;AccountKey=[masked];EndpointSuffix=core" },
		{ "SharedAccessKey=" LETTERS, "SharedAccessKey=[masked]" },
		{ "https://shop.blob.example/c?sv=2022&sig=" LETTERS "&se=2026",
		  "https://shop.blob.example/c?sv=2022&sig=[masked]&se=2026" },
		{ "X-Amz-Signature=" LETTERS, "X-Amz-Signature=[masked]" },
		{ "\"auths\":{\"r.example.org\":{\"auth\":\"" LETTERS "\"}}",
		  "\"auths\":{\"r.example.org\":{\"auth\":\"[masked]\"}}" },
		{ "    client-key-data: " LETTERS, "    client-key-data: [masked]" },
		{ "  \"private_key_id\": \"" LETTERS "\",", "  \"private_key_id\": \"[masked]\"," },
		{ "+ curl -u kim:" PASS " https://example.org",
		  "+ curl -u kim:[masked] https://example.org" },
		{ "curl -u k\x11m:" PASS, "curl -u k?m:[masked]" },
		{ "curl --user=kim:" PASS, "curl --user=kim:[masked]" },
		{ "Authorization: token " LETTERS, "Authorization: token [masked]" },
		{ "PRIVATE-TOKEN: " LETTERS, "PRIVATE-TOKEN: [masked]" },
		{ "aws_secret_access_key = " LETTERS, "aws_secret_access_key = [masked]" },
		{ "redis://:" PASS "@cache:6379/0", "redis://[masked]@cache:6379/0" },
		{ "gh\xe2\x80\x8bp_x \x1b[31m\tok\xe2\x80\xae", "gh?p_x ?[31m ok?" },
		{ "KEY=\"-----BEGIN RSA PRIVATE KEY-----\\nTUlJ\\n", "[masked]" },
		{ "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdH/+", "[masked]" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char out[ROOM];
		size_t n = mask_text(cases[i].text, strlen(cases[i].text), out, sizeof(out));

		assert_int_equal(n, strlen(out));
		if (strcmp(out, cases[i].want) != 0)
			fail_msg("\"%s\" became \"%s\"", cases[i].text, out);
	}
}

static void ordinary_text_stays(void **state)
{
	static const char inside_a_word[] = "xghp_" LETTERS;
	static const char *const texts[] = {
		"",
		"error: expected ';' before '}' token",
		"unexpected token: '}'",
		"invalid password for user",
		"'Lexer::token::next()' is private",
		"https://git.example.org:8443/a/b@c",
		"see http://example.org/?q=a@b",
		"mail kim@example.org",
		"ghp_short",
		"the basic idea of a bearer bond",
		"tokens: 42",
		"commit 0123456789abcdef0123456789abcdef01234567",
		inside_a_word,
		"naïve ✗ 🙂",
		"auth: failed for user kim",
		"docker run -u 1000:1000 image",
		"signature sig: bad",
		"hooks.slack.com/services/",
		"bypass: true",
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char out[ROOM];

		(void)mask_text(texts[i], strlen(texts[i]), out, sizeof(out));
		if (strcmp(out, texts[i]) != 0)
			fail_msg("\"%s\" became \"%s\"", texts[i], out);
	}
}

/* However little room there is: terminated, valid UTF-8, never a part of the secret. */
static void no_room_shows_no_secret(void **state)
{
	static const char text[] = "é ghp_" LETTERS " password=" PASS " ✗ end";
	char out[sizeof(text) + 1];

	UNUSED(state);
	for (size_t cap = 1; cap <= sizeof(out); cap++) {
		size_t n;

		memset(out, '#', sizeof(out));
		n = mask_text(text, strlen(text), out, cap);
		assert_true(n < cap);
		assert_int_equal(out[n], '\0');
		assert_true(utf8_valid((const unsigned char *)out, n));
		assert_null(strstr(out, "ghp_"));
		assert_null(strstr(out, "correct"));
		if (cap < sizeof(out))
			assert_int_equal(out[cap], '#');
	}
}

static void a_secret_at_the_end_of_what_is_given_is_hidden(void **state)
{
	static const char text[] = "token=" LETTERS "and this is not ours";
	char out[ROOM];

	UNUSED(state);
	(void)mask_text(text, 20, out, sizeof(out));
	assert_string_equal(out, "token=[masked]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_are_hidden_and_the_rest_stays),
		cmocka_unit_test(ordinary_text_stays),
		cmocka_unit_test(no_room_shows_no_secret),
		cmocka_unit_test(a_secret_at_the_end_of_what_is_given_is_hidden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
