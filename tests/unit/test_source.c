#include "receiver/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/mem.h"
#include "receiver/provider.h"
#include "receiver/receiver.h"
#include "tests/unit/hooks.h"
#include "tests/unit/unit.h"

static const struct conf_table *const tables[] = { &receiver_conf, &sources_conf };

/* A file with that text, read into a configuration. */
static int load(struct conf **conf, const char *yaml, struct err *err)
{
	char path[] = "/tmp/guard-sources-XXXXXX";
	int fd = mkstemp(path), rc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, yaml, strlen(yaml)), strlen(yaml));
	(void)close(fd);
	*conf = conf_new(tables, ARRAY_LEN(tables));
	*err = (struct err){ 0 };
	rc = conf_load_file(*conf, path, err);
	(void)unlink(path);
	return rc;
}

static const char example[] = "github:\n  webhook_secret: one\n"
			      "gitlab:\n  webhook_token: [new, old]\n"
			      "receiver:\n  max_body: 1m\n  trusted_proxies: [10.0.0.0/8]\n"
			      "sources:\n"
			      "  build-farm:\n"
			      "    provider: jenkins\n"
			      "    auth: [basic, secret-path]\n"
			      "    secret: [s1, s2]\n"
			      "    user: ci\n"
			      "    allow: [192.0.2.0/24, '2001:db8::/32']\n"
			      "    max_body: 64k\n"
			      "    rate: 5\n"
			      "    burst: 2\n"
			      "    dedupe_ttl: 1h\n"
			      "  github:\n"
			      "    secret: two\n"
			      "    max_body: 2m\n"
			      "  ghes: {provider: github, secret: three}\n";

static void reads_sources(void **state)
{
	OWNED(conf_freep) struct conf *conf = NULL;
	OWNED(sources_freep) struct sources *ss = NULL;
	const struct source *s;
	const char *secret;
	struct err err;

	UNUSED(state);
	assert_ok(load(&conf, example, &err), &err);
	assert_ok(sources_new(conf, &ss, &err), &err);
	assert_int_equal(sources_trusted(ss)->n, 1);
	s = sources_find(ss, "/webhooks/jenkins/build-farm", &secret);
	assert_non_null(s);
	assert_string_equal(s->name, "build-farm");
	assert_int_equal(s->auth.n_keys, 2);
	assert_int_equal(s->auth.n_schemes, 2);
	assert_string_equal(s->auth.user, "ci");
	assert_int_equal(s->allow.n, 2);
	assert_int_equal(s->max_body, 64 << 10);
	assert_int_equal(s->rate.per_s, 5);
	assert_int_equal(s->rate.burst, 2);
	assert_int_equal(s->dedupe_ttl_ms, 3600000);
	/* A section of a provider's name adds to its default source. */
	s = sources_find(ss, "/webhooks/github", &secret);
	assert_int_equal(s->auth.n_keys, 2);
	assert_int_equal(s->dedupe_ttl_ms, 72 * 3600 * 1000);
	assert_int_equal(s->max_body, 1 << 20); /* never more than the server takes */
	assert_int_equal(sources_find(ss, "/webhooks/gitlab", &secret)->auth.n_keys, 2);
	assert_int_equal(sources_find(ss, "/webhooks/jenkins", &secret)->auth.n_keys, 0);
	assert_int_equal(sources_find(ss, "/webhooks/generic", &secret)->auth.n_keys, 0);
	assert_int_equal(sources_max_body("/webhooks/jenkins/build-farm", ss), 64 << 10);
	assert_int_equal(sources_max_body("/status", ss), SIZE_MAX);
}

static void finds_a_source_by_its_path(void **state)
{
	static const struct {
		const char *path, *name, *secret;
	} rows[] = {
		{ "/webhooks/github", "github", NULL },
		{ "/webhooks/github/github", "github", NULL },
		{ "/webhooks/github/ghes", "ghes", NULL },
		{ "/webhooks/jenkins/build-farm/s1", "build-farm", "s1" },
		{ "/webhooks/jenkins/build-farm/a/b", "build-farm", "a/b" },
		{ "/webhooks/jenkins/build-farm/", "build-farm", "" },
		{ "/webhooks/github/build-farm", NULL, NULL }, /* another provider's */
		{ "/webhooks/ghes", NULL, NULL },
		{ "/webhooks/github/", NULL, NULL },
		{ "/webhooks/github/ghes/x", NULL, NULL }, /* not its way to authenticate */
		{ "/webhooks/github/ghe", NULL, NULL },
		{ "/webhooks/github/ghes2", NULL, NULL },
		{ "/webhooks/", NULL, NULL },
		{ "/webhooks/gitea", NULL, NULL },
		{ "/webhooks", NULL, NULL },
		{ "/", NULL, NULL },
	};
	OWNED(conf_freep) struct conf *conf = NULL;
	OWNED(sources_freep) struct sources *ss = NULL;
	struct err err;

	UNUSED(state);
	assert_ok(load(&conf, example, &err), &err);
	assert_ok(sources_new(conf, &ss, &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *secret;
		const struct source *s = sources_find(ss, rows[i].path, &secret);

		assert_case((s != NULL) == (rows[i].name != NULL), rows[i].path);
		if (!s)
			continue;
		assert_case(strcmp(s->name, rows[i].name) == 0, rows[i].path);
		assert_case((secret != NULL) == (rows[i].secret != NULL), rows[i].path);
		if (secret && rows[i].secret)
			assert_case(strcmp(secret, rows[i].secret) == 0, rows[i].path);
	}
}

static void says_where_a_mistake_is(void **state)
{
	static const struct {
		const char *yaml, *says;
	} rows[] = {
		{ "sources:\n  x:\n    provider: gitea\n", ":3:15: sources.x.provider: \"gitea\"" },
		{ "sources:\n  x:\n    auth: [basic, digest]\n",
		  ":3:11: sources.x.auth: \"digest\"" },
		{ "sources:\n  x:\n    secret: [a, whsec_short]\n",
		  ":3:13: sources.x.secret: a secret starts like" },
		{ "sources:\n  x:\n    allow: [10.0.0.1/8]\n",
		  ":3:12: sources.x.allow: \"10.0.0.1/8\"" },
		{ "sources:\n  x:\n    header: 'X Y'\n", ":3:13: sources.x.header" },
		{ "sources:\n  x:\n    max_body: 1\n", "sources.x.max_body: 1 is outside" },
		{ "sources:\n  x:\n    secrets: a\n", "did you mean \"sources.x.secret\"" },
		{ "sources:\n  X:\n    secret: a\n", "sources.X: a name has 1 to 31 lower-case" },
		{ "sources:\n  a_b:\n    secret: a\n", "sources.a_b: a name has" },
		{ "sources:\n  -a:\n    secret: a\n", "sources.-a: a name has" },
		{ "sources:\n  a12345678901234567890123456789012:\n    secret: a\n", "a name has" },
		{ "sources: 5\n", "unknown option \"sources\"" },
		{ "sources:\n  x: 5\n", "unknown option \"sources.x\"" },
		{ "sources:\n  x:\n    secret: a\n    secret: b\n", "given before, in line 3" },
		{ "gitlab:\n  signing_token: whsec_x\n", ":2:18: gitlab.signing_token: a secret" },
		{ "receiver:\n  trusted_proxies: [proxy]\n",
		  ":2:20: receiver.trusted_proxies: \"proxy\"" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(conf_freep) struct conf *conf = NULL;
		struct err err;

		assert_case(load(&conf, rows[i].yaml, &err) < 0, rows[i].yaml);
		if (err.kind != ERR_CONFIG || !strstr(err.msg, rows[i].says))
			fail_msg("row \"%s\": said \"%s\"", rows[i].yaml, err.msg);
	}
}

static void refuses_sources_that_make_no_sense(void **state)
{
	static const struct {
		const char *yaml, *says;
	} rows[] = {
		{ "sources:\n  x:\n    secret: a\n", "sources.x.provider is not set" },
		{ "sources:\n  x:\n", "sources.x.provider is not set" },
		{ "sources:\n  github:\n    provider: gitlab\n",
		  "github is the name of the github" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(conf_freep) struct conf *conf = NULL;
		OWNED(sources_freep) struct sources *ss = NULL;
		struct err err;

		assert_ok(load(&conf, rows[i].yaml, &err), &err);
		assert_case(sources_new(conf, &ss, &err) < 0, rows[i].yaml);
		if (err.kind != ERR_CONFIG || !strstr(err.msg, rows[i].says))
			fail_msg("row \"%s\": said \"%s\"", rows[i].yaml, err.msg);
	}
}

static void limits_how_many_there_are(void **state)
{
	OWNED(conf_freep) struct conf *conf = conf_new(tables, ARRAY_LEN(tables));
	OWNED(sources_freep) struct sources *ss = NULL;
	struct err err;
	char set[64];

	UNUSED(state);
	for (int i = 0; i < 28; i++) {
		(void)snprintf(set, sizeof(set), "sources.s%d.provider=github", i);
		assert_ok(conf_set(conf, set, &err), &err);
	}
	assert_ok(sources_new(conf, &ss, &err), &err);
	sources_free(TAKE(ss));
	assert_ok(conf_set(conf, "sources.more.provider=github", &err), &err);
	assert_int_equal(sources_new(conf, &ss, &err), -1);
	assert_non_null(strstr(err.msg, "more than 32 sources"));
}

static void reads_sources_from_variables(void **state)
{
	OWNED(conf_freep) struct conf *conf = conf_new(tables, ARRAY_LEN(tables));
	OWNED(sources_freep) struct sources *ss = NULL;
	const struct source *s;
	const char *secret;
	struct err err;
	char path[] = "/tmp/guard-secret-XXXXXX";
	int fd = mkstemp(path);

	UNUSED(state);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "from a file\n", 12), 12);
	(void)close(fd);
	(void)setenv("PIPELINE_GUARD_SOURCES_BUILD_FARM_PROVIDER", "jenkins", 1);
	(void)setenv("PIPELINE_GUARD_SOURCES_BUILD_FARM_SECRET_FILE", path, 1);
	(void)setenv("PIPELINE_GUARD_SOURCES_BUILD_FARM_MAX_BODY", "64k", 1);
	(void)setenv("PIPELINE_GUARD_SOURCES_EMPTY_SECRET", "", 1);  /* not set */
	(void)setenv("PIPELINE_GUARD_SOURCES_SECRET", "no name", 1); /* a warning */
	assert_ok(conf_load_env(conf, &err), &err);
	(void)unlink(path);
	assert_string_equal(conf_section_name(conf, "sources", 0), "build-farm");
	assert_null(conf_section_name(conf, "sources", 1));
	assert_ok(sources_new(conf, &ss, &err), &err);
	s = sources_find(ss, "/webhooks/jenkins/build-farm", &secret);
	assert_non_null(s);
	assert_int_equal(s->auth.n_keys, 1);
	assert_string_equal((const char *)s->auth.keys[0].bytes, "from a file");
	assert_int_equal(s->max_body, 64 << 10);
	(void)unsetenv("PIPELINE_GUARD_SOURCES_BUILD_FARM_PROVIDER");
	(void)unsetenv("PIPELINE_GUARD_SOURCES_BUILD_FARM_SECRET_FILE");
	(void)unsetenv("PIPELINE_GUARD_SOURCES_BUILD_FARM_MAX_BODY");
	(void)setenv("PIPELINE_GUARD_SOURCES__SECRET", "an empty name", 1);
	(void)setenv("PIPELINE_GUARD_SOURCES_A__RATE", "1", 1);
	assert_int_equal(conf_load_env(conf, &err), -1);
	assert_non_null(strstr(err.msg, "PIPELINE_GUARD_SOURCES_A__RATE: sources.a-: a name has"));
	(void)unsetenv("PIPELINE_GUARD_SOURCES_A__RATE");
}

static void takes_new_secrets_over(void **state)
{
	OWNED(conf_freep) struct conf *conf = conf_new(tables, ARRAY_LEN(tables));
	OWNED(sources_freep) struct sources *ss = NULL;
	char path[] = "/tmp/guard-secret-XXXXXX", set[96];
	const struct source *s;
	const char *secret;
	struct err err;
	int fd = mkstemp(path);

	UNUSED(state);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "old", 3), 3);
	(void)snprintf(set, sizeof(set), "sources.x.secret_file=%s", path);
	assert_ok(conf_set(conf, set, &err), &err);
	assert_ok(conf_set(conf, "sources.x.provider=gitlab", &err), &err);
	assert_ok(conf_set(conf, "sources.x.tolerance=1m", &err), &err);
	(void)snprintf(set, sizeof(set), "jenkins.webhook_token_file=%s", path);
	assert_ok(conf_set(conf, set, &err), &err);
	assert_ok(sources_new(conf, &ss, &err), &err);
	s = sources_find(ss, "/webhooks/gitlab/x", &secret);
	assert_string_equal((const char *)s->auth.keys[0].bytes, "old");
	assert_int_equal(pwrite(fd, "new,newer", 9, 0), 9);
	assert_ok(conf_reload_secrets(conf, &err), &err);
	assert_ok(sources_reload_secrets(ss, conf, &err), &err);
	assert_int_equal(s->auth.n_keys, 2);
	assert_string_equal((const char *)s->auth.keys[0].bytes, "new");
	assert_int_equal(s->auth.tolerance_ms, 60000);
	assert_int_equal(sources_find(ss, "/webhooks/jenkins", &secret)->auth.n_keys, 2);
	/* A bad file changes nothing. */
	assert_int_equal(pwrite(fd, "whsec_bad", 9, 0), 9);
	assert_int_equal(conf_reload_secrets(conf, &err), -1);
	assert_non_null(strstr(err.msg, "sources.x.secret: a secret starts like"));
	assert_string_equal(conf_secret(conf, "sources.x.secret", 0), "new");
	(void)close(fd);
	(void)unlink(path);
}

/* With names in variables, a key that ends like another would give one variable two meanings. */
static void every_variable_has_one_meaning(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < sources_conf.n; i++) {
		for (size_t j = 0; j < sources_conf.n; j++) {
			const char *a = sources_conf.options[i].key,
				   *b = sources_conf.options[j].key;
			size_t n = strlen(a), m = strlen(b);

			if (n > m && strcmp(a + n - m, b) == 0 && a[n - m - 1] == '_')
				fail_msg("%s ends in _%s", a, b);
		}
		assert_case(strcmp(sources_conf.options[i].key, "file") != 0, "KEY_FILE");
	}
}

static void secrets_are_not_taken_from_argv(void **state)
{
	OWNED(conf_freep) struct conf *conf = conf_new(tables, ARRAY_LEN(tables));
	struct err err;

	UNUSED(state);
	assert_int_equal(conf_set(conf, "sources.x.secret=hunter2", &err), -1);
	assert_non_null(strstr(err.msg, "argv is public"));
}

static void limits_the_rate(void **state)
{
	struct bucket b = { .per_s = 4, .burst = 2 }, off = { .burst = 1 };
	static const struct {
		int64_t now_ms, wait_ms;
	} rows[] = {
		{ 1000, 0 },  { 1000, 0 },   { 1000, 250 },  { 1100, 150 }, { 1249, 1 },
		{ 1250, 0 },  { 1250, 250 }, { 90000, 0 },   { 90000, 0 },  { 90000, 250 },
		{ 91600, 0 }, { 91600, 0 },  { 91600, 250 }, /* no more than the burst, however long
								it was quiet */
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(bucket_take(&b, rows[i].now_ms), rows[i].wait_ms);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(bucket_take(&off, 1000), 0);
}

static void describe(const struct conf_table *table, const struct conf_option *option,
		     const char *value, const char *origin, void *arg)
{
	UNUSED(table);
	UNUSED(value);
	UNUSED(origin);
	*(int *)arg += strcmp(option->key, "sources.NAME.secret") == 0;
	*(int *)arg += 100 * (strncmp(option->key, "sources.x.", 10) == 0);
}

static void the_manual_shows_the_options_once(void **state)
{
	OWNED(conf_freep) struct conf *conf = conf_new(tables, ARRAY_LEN(tables));
	struct err err;
	int n = 0;

	UNUSED(state);
	assert_ok(conf_set(conf, "sources.x.provider=github", &err), &err);
	conf_describe(conf, describe, &n);
	assert_int_equal(n, 1);
	n = 0;
	conf_each(conf, describe, &n);
	assert_int_equal(n, 100 * (int)sources_conf.n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_sources),
		cmocka_unit_test(finds_a_source_by_its_path),
		cmocka_unit_test(says_where_a_mistake_is),
		cmocka_unit_test(refuses_sources_that_make_no_sense),
		cmocka_unit_test(limits_how_many_there_are),
		cmocka_unit_test(reads_sources_from_variables),
		cmocka_unit_test(takes_new_secrets_over),
		cmocka_unit_test(every_variable_has_one_meaning),
		cmocka_unit_test(secrets_are_not_taken_from_argv),
		cmocka_unit_test(limits_the_rate),
		cmocka_unit_test(the_manual_shows_the_options_once),
	};

	return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
