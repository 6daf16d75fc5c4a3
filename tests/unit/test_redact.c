#include "receiver/redact.h"

#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "tests/unit/unit.h"

static char *redacted(const char *s)
{
	struct buf out;

	buf_init(&out, 1 << 16);
	redact(s, strlen(s), &out);
	assert_false(out.overflow);
	return buf_take(&out);
}

/*
 * Made up, in the form of the real ones; `SECRET` in a place is replaced by each of them. Those
 * without a digit are the rare ones that mixing letters and digits does not tell.
 */
static const struct {
	const char *why, *text;
} secrets[] = {
	{ "GitHub, personal", "ghp_0123456789abcdefABCDEF0123456789abcd" },
	{ "the same without a digit", "ghp_abcdefghijklmnopABCDEFGHIJKLMNOPqrst" },
	{ "GitHub, OAuth", "gho_abcdefghijklmnopABCDEFGHIJKLMNOPqrst" },
	{ "GitHub, user to server", "ghu_abcdefghijklmnopABCDEFGHIJKLMNOPqrst" },
	{ "GitHub, server to server", "ghs_abcdefghijklmnopABCDEFGHIJKLMNOPqrst" },
	{ "GitHub, refresh", "ghr_abcdefghijklmnopABCDEFGHIJKLMNOPqrst" },
	{ "GitHub, fine-grained", "github_pat_abcdefghijklmnopABCDEF_GHIJKLMNOPqrstuvwxyz" },
	{ "GitLab", "glpat-abcdefghijklmnopqrst" },
	{ "GitLab, deploy", "gldt-abcdefghijklmnopqrst" },
	{ "GitLab, runner", "glrt-abcdefghijklmnopqrst" },
	{ "AWS key id", "AKIAABCDEFGHIJKLMNOP" },
	{ "AWS temporary key id", "ASIAABCDEFGHIJKLMNOP" },
	{ "AWS secret key", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" },
	{ "Slack", "xoxb-abcdefghijklmnopqrstuvwx" },
	{ "npm", "npm_abcdefghijklmnopqrstuvwxyz0123456789" },
	{ "Standard Webhooks", "whsec_abcdefghijklmnopqrstuvwxyzABCDEF" },
	{ "JWT", "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2lnbmF0dXJl" },
	{ "random letters and digits", "Zx81kQp0aLm7Rt5vWn3y" },
};

static const struct {
	const char *why, *before, *after;
} places[] = {
	{ "alone", "", "" },
	{ "in a string", "{\"a\":\"", "\"}" },
	{ "in a sentence", "{\"a\":\"use ", " for it\"}" },
	{ "behind an escaped line end", "{\"a\":\"line\\n", "\\nline\"}" },
	{ "in quotes in a string", "{\"a\":\"say \\\"", "\\\"\"}" },
	{ "as a key", "{\"", "\":1}" },
	{ "in an array", "[\"", "\"]" },
	{ "in a query", "{\"a\":\"https://h/p?x=1&k=", "&y=2\"}" },
	{ "as the password of a URL", "{\"a\":\"https://u:", "@h/p\"}" },
	{ "as the user of a URL", "{\"a\":\"https://", "@h/p\"}" },
	{ "behind Bearer", "Authorization: Bearer ", "\r\n" },
	{ "in brackets", "(", ")" },
	{ "in a string that was cut off", "{\"a\":\"", "" },
	{ "without quotes", "{a:", "}" },
};

static void tokens_never_survive(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
		for (size_t k = 0; k < ARRAY_LEN(places); k++) {
			OWNED(freep)
			char *in = xasprintf("%s%s%s", places[k].before, secrets[i].text,
					     places[k].after);
			OWNED(freep) char *out = redacted(in);

			if (strstr(out, secrets[i].text))
				fail_msg("%s %s: %s", secrets[i].why, places[k].why, out);
			assert_case(strstr(out, "[masked]") != NULL, places[k].why);
		}
	}
}

/* Short, a word of a dictionary: only where it stands tells that it is a secret. */
static void what_stands_in_a_secret_place_never_survives(void **state)
{
	static const struct {
		const char *why, *in, *out;
	} rows[] = {
		{ "member password", "{\"password\":\"hunter\"}", "{\"password\":\"[masked]\"}" },
		{ "member token", "{\"token\": \"hunter\", \"b\": 1}",
		  "{\"token\": \"[masked]\", \"b\": 1}" },
		{ "member secret", "{\"secret\":\"hunter\"}", "{\"secret\":\"[masked]\"}" },
		{ "members with longer names",
		  "{\"client_secret\":\"hunter\",\"accessToken\":\"hunter\",\"API_KEY\":\"hunter\","
		  "\"Authorization\":\"Basic "
		  "hunter\",\"passwd\":\"hunter\",\"credentials\":\"hunter\"}",
		  "{\"client_secret\":\"[masked]\",\"accessToken\":\"[masked]\",\"API_KEY\":\"["
		  "masked]\","
		  "\"Authorization\":\"[masked]\",\"passwd\":\"[masked]\",\"credentials\":\"["
		  "masked]\"}" },
		{ "a number", "{\"password\":12345678,\"b\":1}",
		  "{\"password\":\"[masked]\",\"b\":1}" },
		{ "a negative number", "{\"password\": -1}", "{\"password\": \"[masked]\"}" },
		{ "an array", "{\"tokens\": [\"hunter\", [\"hunter\"]], \"b\": [\"c\"]}",
		  "{\"tokens\": [\"[masked]\", [\"[masked]\"]], \"b\": [\"c\"]}" },
		{ "an array that was cut off", "{\"tokens\": [\"hunter",
		  "{\"tokens\": [\"[masked]\"" },
		{ "with an escaped quote", "{\"secret\":\"hun\\\"ter\",\"b\":1}",
		  "{\"secret\":\"[masked]\",\"b\":1}" },
		{ "with an escaped backslash at the end", "{\"secret\":\"hunter\\\\\",\"b\":\"c\"}",
		  "{\"secret\":\"[masked]\",\"b\":\"c\"}" },
		{ "in an object within", "{\"secret\":{\"password\":\"hunter\",\"b\":\"c\"}}",
		  "{\"secret\":{\"password\":\"[masked]\",\"b\":\"c\"}}" },
		{ "URL", "https://user:hunter@host/p", "https://[masked]@host/p" },
		{ "URL with an at sign in the password", "https://u:hun@ter@host/p",
		  "https://[masked]@host/p" },
		{ "URL in a string", "{\"a\":\"clone https://user:hunter@host/p\"}",
		  "{\"a\":\"clone https://[masked]@host/p\"}" },
		{ "URL with escaped slashes", "{\"a\":\"https:\\/\\/user:hunter@host\\/p\"}",
		  "{\"a\":\"https:\\/\\/[masked]@host\\/p\"}" },
		{ "URL of a database", "redis://:hunter@host:6379/0",
		  "redis://[masked]@host:6379/0" },
		{ "query", "{\"a\":\"/p?access_token=hunter&b=1\"}",
		  "{\"a\":\"/p?access_token=[masked]&b=1\"}" },
		{ "form", "a=1&password=hunter&b=2", "a=1&password=[masked]&b=2" },
		{ "assignment", "export DB_PASSWORD=hunter\nnext",
		  "export DB_PASSWORD=[masked]\nnext" },
		{ "assignment with signs", "PASSWORD=hun$ter!x next", "PASSWORD=[masked] next" },
		{ "colon", "password: hunter\nb: c\n", "password: [masked]\nb: c\n" },
		{ "colon in a string", "{\"a\":\"password: hunter\\nb\"}",
		  "{\"a\":\"password: [masked]\\nb\"}" },
		{ "header", "Authorization: Bearer hunter\r\nHost: h",
		  "Authorization: Bearer [masked]\r\nHost: h" },
		{ "header of GitHub", "Authorization: token hunter\r\n",
		  "Authorization: token [masked]\r\n" },
		{ "header with a name of its own", "PRIVATE-TOKEN: hunter\r\n",
		  "PRIVATE-TOKEN: [masked]\r\n" },
		{ "Basic without its header",
		  "sent Basic dXNlcjpodW50ZXI=", "sent Basic [masked]" },
		{ "Bearer without its header", "sent bearer abcdefgh", "sent bearer [masked]" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(freep) char *out = redacted(rows[i].in);

		if (strcmp(out, rows[i].out) != 0)
			fail_msg("row \"%s\": got %s", rows[i].why, out);
	}
}

/* People find the run again by these. */
static void what_names_the_run_stays(void **state)
{
	static const struct {
		const char *why, *in;
	} rows[] = {
		{ "numbers", "{\"id\":30433642,\"run_id\": 184467440737095516,\"attempt\":1}" },
		{ "a long number in a string", "{\"id\":\"12345678901234567890123\"}" },
		{ "a commit id", "{\"head_sha\":\"0123456789abcdef0123456789abcdef01234567\"}" },
		{ "a SHA-256 commit id",
		  "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"" },
		{ "a time", "{\"created_at\":\"2026-07-29T10:01:29Z\"}" },
		{ "a repository", "{\"full_name\":\"octo/hello-world\"}" },
		{ "a branch of words", "{\"head_branch\":\"feature/extend-the-documentation\"}" },
		{ "a branch of a bot",
		  "{\"head_branch\":\"dependabot/npm_and_yarn/follow-redirects\"}" },
		{ "a URL", "{\"url\":\"https://github.com/octo/hello\"}" },
		{ "a port", "http://host:8080/path" },
		{ "an e-mail address", "{\"email\":\"anna@example.org\"}" },
		{ "an address for git", "git@github.com:octo/hello.git" },
		{ "an at sign in the path", "https://host/@scope/name" },
		{ "an at sign behind the URL", "https://host anna@example.org" },
		{ "names of secrets as values", "{\"a\":\"token\",\"b\":\"password\"}" },
		{ "the words alone", "unexpected token in JSON; no password given" },
		{ "null, true and false", "{\"token\":null,\"secret\":true,\"password\":false}" },
		{ "a basic word", "a basic test" },
		{ "another basic word", "{\"a\":\"basic setup for you\"}" },
		{ "an empty value", "password=&b=1" },
		{ "escapes", "{\"a\":\"x\\\\y\\\"z\\u00e9\"}" },
		{ "no JSON", "hello, (world) <b>" },
		{ "UTF-8", "{\"a\":\"\xc3\xa9\xe2\x82\xac\"}" },
		{ "nothing", "" },
		{ "a quote", "\"" },
		{ "a colon", ":" },
		{ "the start of a URL", "https://" },
		{ "a key at the end", "{\"token\":" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(freep) char *out = redacted(rows[i].in);

		if (strcmp(out, rows[i].in) != 0)
			fail_msg("row \"%s\": got %s", rows[i].why, out);
	}
}

static void json_stays_json(void **state)
{
	static const char in[] =
		"{\"token\":\"a\\\"b\",\"n\":{\"secret\": -12.5e3,\"tokens\":[\"a\",[1,\"b\"]],"
		"\"x_key\":null},\"u\":\"https:\\/\\/u:p@h\\/\",\"t\":\"password=a&b\","
		"\"m\":\"Authorization: Bearer abc\\n\"}";
	OWNED(freep) char *out = redacted(in);
	OWNED(json_putp) struct json_object *o = NULL;
	struct err err = { 0 };

	UNUSED(state);
	if (json_parse(out, strlen(out), &o, &err) < 0)
		fail_msg("%s: %s", err.msg, out);
	assert_string_equal(json_str(o, "n.secret", ""), "[masked]");
	assert_string_equal(json_str(o, "t", ""), "password=[masked]&b");
}

/* Bytes, not text: the body is a stranger's. No byte beyond it is looked at, as ASan sees. */
static void any_bytes_and_any_cut_are_taken(void **state)
{
	static const char in[] =
		"{\"token\":[\"a\\\"\",{\"x\":1}],\"u\":\"https:\\/\\/u:p@h\",\"s\":-1} "
		"Authorization: Bearer x password= token:\0 ghp_\xff\x80";

	UNUSED(state);
	for (size_t n = 0; n < sizeof(in); n++) {
		OWNED(freep) char *cut = xmemdup(in, n);

		for (size_t cap = 0; cap < 40; cap += 13) {
			OWNED(buf_done) struct buf out;

			buf_init(&out, cap);
			redact(cut, n, &out);
			assert_true(out.len <= cap);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens_never_survive),
		cmocka_unit_test(what_stands_in_a_secret_place_never_survives),
		cmocka_unit_test(what_names_the_run_stays),
		cmocka_unit_test(json_stays_json),
		cmocka_unit_test(any_bytes_and_any_cut_are_taken),
	};

	return cmocka_run_group_tests_name("redact", tests, NULL, NULL);
}
