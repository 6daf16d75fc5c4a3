#include "core/conf.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/settings.h"
#include "core/text.h"
#include "tests/unit/unit.h"

static const struct conf_option common[] = {
	{ "name", CONF_STR, "anna", NULL, NULL, "A text." },
	{ "unset", CONF_STR, NULL, NULL, NULL, "A text without a default." },
	{ "count", CONF_INT, "3", "1", "32", "A number." },
	{ "any", CONF_INT, NULL, NULL, NULL, "A number without limits." },
	{ "flag", CONF_BOOL, "false", NULL, NULL, "A flag." },
	{ "wait", CONF_DURATION, "3s", "50ms", "60s", "A duration." },
	{ "room", CONF_SIZE, "1m", "1k", "1g", "A size." },
};
static const struct conf_option deeper[] = {
	{ "part.token", CONF_SECRET, NULL, NULL, NULL, "A secret." },
	{ "part.key_file", CONF_STR, NULL, NULL, NULL, "A path, no secret." },
	{ "part.inner.depth", CONF_INT, "1", "0", NULL, "Two levels down." },
};
static const struct conf_table table_a = { .title = "Common",
					   .options = common,
					   .n = ARRAY_LEN(common) };
static const struct conf_table table_b = { .title = "Part",
					   .options = deeper,
					   .n = ARRAY_LEN(deeper) };
static const struct conf_table *const tables[] = { &table_a, &table_b };

/* A conf, files that it reads, and what it says. */
struct fixture {
	struct conf *conf;
	char dir[32];
	struct err err;
};

static struct conf *fresh(struct fixture *f)
{
	conf_free(f->conf);
	f->conf = conf_new(tables, ARRAY_LEN(tables));
	f->err = (struct err){ 0 };
	return f->conf;
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	for (char **e = environ; *e;) {
		OWNED(freep) char *name = xstrndup(*e, strcspn(*e, "="));

		if (!text_starts(name, "PIPELINE_GUARD_"))
			e++;
		else
			(void)unsetenv(name);
	}
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/guard-conf-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	(void)fresh(f);
	*state = f;
	return 0;
}

static const char *path_of(struct fixture *f, const char *name)
{
	static char path[64];

	(void)snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	return path;
}

static int teardown(void **state)
{
	static const char *const names[] = { "conf.yaml", "secret", "other" };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unlink(path_of(f, names[i]));
	(void)rmdir(f->dir);
	conf_free(f->conf);
	free(f);
	return 0;
}

static void write_file(const char *path, const char *text, size_t n)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(fwrite(text, 1, n, file), n);
	assert_int_equal(fclose(file), 0);
}

static int load(struct fixture *f, const char *text)
{
	OWNED(freep) char *path = xstrdup(path_of(f, "conf.yaml"));

	write_file(path, text, strlen(text));
	return conf_load_file(f->conf, path, &f->err);
}

/* Standard error as text, while fn runs. */
static char *said(void (*fn)(struct fixture *), struct fixture *f)
{
	FILE *file = tmpfile();
	int old = dup(STDERR_FILENO);
	char *text;
	long n;

	assert_true(file && old >= 0);
	assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
	fn(f);
	assert_true(dup2(old, STDERR_FILENO) >= 0);
	(void)close(old);
	(void)fseek(file, 0, SEEK_END);
	n = ftell(file);
	rewind(file);
	text = xcalloc(1, (size_t)n + 1);
	assert_int_equal(fread(text, 1, (size_t)n, file), n);
	(void)fclose(file);
	return text;
}

static void starts_with_its_defaults(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(conf_str(f->conf, "name"), "anna");
	assert_null(conf_str(f->conf, "unset"));
	assert_int_equal(conf_int(f->conf, "count"), 3);
	assert_false(conf_bool(f->conf, "flag"));
	assert_int_equal(conf_int(f->conf, "wait"), 3000);
	assert_int_equal(conf_int(f->conf, "room"), 1 << 20);
	assert_null(conf_secret(f->conf, "part.token", 0));
	assert_false(conf_is_set(f->conf, "name"));
}

static void every_type_has_its_spelling_and_limits(void **state)
{
	static const struct {
		const char *why, *assignment, *says; /* NULL: fine */
		int64_t number;
	} rows[] = {
		{ "lowest", "count=1", NULL, 1 },
		{ "highest", "count=32", NULL, 32 },
		{ "below", "count=0", "count: 0 is outside 1 .. 32", 0 },
		{ "above", "count=33", "outside", 0 },
		{ "negative where there is no limit", "any=-5", NULL, -5 },
		{ "largest", "any=9223372036854775807", NULL, INT64_MAX },
		{ "beyond 63 bits", "any=9223372036854775808", "not a whole number", 0 },
		{ "a word", "count=three", "\"three\" is not a whole number", 0 },
		{ "a fraction", "count=1.5", "not a whole number", 0 },
		{ "a blank", "count= 1", "not a whole number", 0 },
		{ "nothing", "count=", "not a whole number", 0 },

		{ "true", "flag=true", NULL, 1 },
		{ "Yes", "flag=Yes", NULL, 1 },
		{ "ON", "flag=ON", NULL, 1 },
		{ "1", "flag=1", NULL, 1 },
		{ "false", "flag=false", NULL, 0 },
		{ "no", "flag=no", NULL, 0 },
		{ "off", "flag=off", NULL, 0 },
		{ "0", "flag=0", NULL, 0 },
		{ "2", "flag=2", "true or false", 0 },
		{ "half a word", "flag=tru", "true or false", 0 },
		{ "no flag", "flag=", "true or false", 0 },

		{ "milliseconds", "wait=250ms", NULL, 250 },
		{ "the shortest", "wait=50ms", NULL, 50 },
		{ "shorter", "wait=49ms", "wait: 49ms is outside 50ms .. 60s", 0 },
		{ "the longest, in another unit", "wait=1m", NULL, 60000 },
		{ "longer", "wait=60001ms", "outside", 0 },
		{ "hours", "wait=1h", "outside", 0 },
		{ "days", "wait=1d", "outside", 0 },
		{ "upper case", "wait=30S", NULL, 30000 },
		{ "no unit", "wait=30", "not a duration", 0 },
		{ "zero needs no unit, but is too short", "wait=0", "outside", 0 },
		{ "negative", "wait=-1s", "not a duration", 0 },
		{ "a fraction of one", "wait=1.5s", "not a duration", 0 },
		{ "another unit", "wait=1w", "not a duration", 0 },
		{ "two units", "wait=1m30s", "not a duration", 0 },
		{ "a unit alone", "wait=s", "not a duration", 0 },
		{ "more than 63 bits", "wait=9223372036854775807d", "not a duration", 0 },
		{ "digits beyond 64 bits", "wait=99999999999999999999s", "not a duration", 0 },

		{ "bytes", "room=1024", NULL, 1024 },
		{ "fewer", "room=1023", "outside", 0 },
		{ "kibi", "room=64k", NULL, 65536 },
		{ "upper case mebi", "room=25M", NULL, 25 << 20 },
		{ "the largest", "room=1g", NULL, 1 << 30 },
		{ "one byte more", "room=1073741825", "outside", 0 },
		{ "two letters", "room=1kb", "not a size", 0 },
		{ "a size that overflows", "room=9223372036854775807g", "not a size", 0 },
		{ "no size", "room=", "not a size", 0 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(freep)
		char *key = xstrndup(rows[i].assignment, strcspn(rows[i].assignment, "="));
		int64_t before = conf_int(fresh(f), key);
		int rc = conf_set(f->conf, rows[i].assignment, &f->err);

		assert_case(rc == (rows[i].says ? -1 : 0), rows[i].why);
		if (rows[i].says) {
			assert_case(f->err.kind == ERR_CONFIG, rows[i].why);
			assert_case(strstr(f->err.msg, rows[i].says) != NULL, f->err.msg);
			/* What was refused changed nothing. */
			assert_case(conf_int(f->conf, key) == before, rows[i].why);
			assert_case(!conf_is_set(f->conf, key), rows[i].why);
		} else {
			assert_case(conf_int(f->conf, key) == rows[i].number, rows[i].why);
			assert_case(conf_is_set(f->conf, key), rows[i].why);
		}
	}
}

static void later_wins(void **state)
{
	struct fixture *f = *state;

	assert_ok(load(f, "name: file\ncount: 4\nwait: 4s\n"), &f->err);
	(void)setenv("PIPELINE_GUARD_COUNT", "5", 1);
	(void)setenv("PIPELINE_GUARD_WAIT", "5s", 1);
	assert_ok(conf_load_env(f->conf, &f->err), &f->err);
	assert_ok(conf_set(f->conf, "wait=6s", &f->err), &f->err);
	assert_string_equal(conf_str(f->conf, "name"), "file");
	assert_int_equal(conf_int(f->conf, "count"), 5);
	assert_int_equal(conf_int(f->conf, "wait"), 6000);
	assert_int_equal(conf_int(f->conf, "room"), 1 << 20);
}

static void put_origin(const struct conf_table *t, const struct conf_option *o, const char *value,
		       const char *origin, void *arg)
{
	buf_printf(arg, "%s %s=%s (%s)\n", t->title, o->key, value ? value : "", origin);
}

static void says_where_each_value_comes_from(void **state)
{
	struct fixture *f = *state;
	OWNED(buf_done) struct buf out;
	char expected[600];

	assert_ok(load(f, "# a comment\nname: file\npart:\n  token: s3cret\n"), &f->err);
	(void)setenv("PIPELINE_GUARD_COUNT", "5", 1);
	assert_ok(conf_load_env(f->conf, &f->err), &f->err);
	assert_ok(conf_set(f->conf, "part.inner.depth=7", &f->err), &f->err);
	buf_init(&out, 4096);
	conf_each(f->conf, put_origin, &out);
	(void)snprintf(expected, sizeof(expected),
		       "Common name=file (%s/conf.yaml:2)\n"
		       "Common unset= (unset)\n"
		       "Common count=5 (PIPELINE_GUARD_COUNT)\n"
		       "Common any= (unset)\n"
		       "Common flag=false (default)\n"
		       "Common wait=3s (default)\n"
		       "Common room=1m (default)\n"
		       "Part part.token=(set) (%s/conf.yaml:4)\n"
		       "Part part.key_file= (unset)\n"
		       "Part part.inner.depth=7 (--set)\n",
		       f->dir, f->dir);
	assert_string_equal(buf_text(&out), expected);
}

static void reads_files(void **state)
{
	static const struct {
		const char *why, *text, *key, *value;
	} rows[] = {
		{ "nothing at all", "", "name", "anna" },
		{ "comments only", "# name: x\n", "name", "anna" },
		{ "an empty document", "---\n", "name", "anna" },
		{ "an end mark", "name: x\n...\n", "name", "x" },
		{ "a plain value", "name: x y\n", "name", "x y" },
		{ "a quoted value", "name: \"x: y\\n\"\n", "name", "x: y\n" },
		{ "a dotted key is the nested one", "part.inner.depth: 5\n", "part.inner.depth",
		  "5" },
		{ "nested", "part:\n  inner:\n    depth: 5\n", "part.inner.depth", "5" },
		{ "in braces", "part: {inner: {depth: 5}}\n", "part.inner.depth", "5" },
		{ "an empty value is not given", "name:\n", "name", "anna" },
		{ "nor is a tilde", "name: ~\n", "name", "anna" },
		{ "nor null", "name: null\n", "name", "anna" },
		{ "a quoted null is a text", "name: \"null\"\n", "name", "null" },
		{ "a quoted nothing is given", "name: \"\"\n", "name", "" },
		{ "an empty section is one", "part:\n", "name", "anna" },
		{ "CRLF", "name: x\r\ncount: 4\r\n", "name", "x" },
		{ "a byte order mark", "\xef\xbb\xbfname: x\n", "name", "x" },
		{ "a list becomes one text", "name: [a, b]\n", "name", "a,b" },
		{ "JSON is YAML", "{\"name\": \"x\"}", "name", "x" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		(void)fresh(f);
		if (load(f, rows[i].text) < 0)
			fail_msg("row \"%s\": %s", rows[i].why, f->err.msg);
		assert_case(strcmp(conf_str(f->conf, rows[i].key), rows[i].value) == 0,
			    rows[i].why);
	}
}

static void refuses_files_and_says_where(void **state)
{
	static const struct {
		const char *why, *text, *says;
	} rows[] = {
		{ "unknown key", "name: x\ncolour: red\n", ":2:9: unknown option \"colour\"" },
		{ "a typing mistake", "coutn: 1\n", "did you mean \"count\"?" },
		{ "unknown key in a section", "part:\n  tokne: x\n",
		  ":2:10: unknown option \"part.tokne\"; did you mean \"part.token\"?" },
		{ "unknown empty key", "colour:\n", "unknown option" },
		{ "unknown list", "colour: [a]\n", "unknown option" },
		{ "unknown section", "colours:\n  red: 1\n", "unknown option \"colours.red\"" },
		{ "a section is no option", "part: x\n", "unknown option \"part\"" },
		{ "an option is no section", "name:\n  x: 1\n", "unknown option \"name.x\"" },
		{ "a value outside its limits", "name: x\n\ncount: 99\n",
		  ":3:8: count: 99 is outside 1 .. 32" },
		{ "a value of another type", "flag: maybe\n", "true or false" },
		{ "given twice", "count: 1\nname: x\ncount: 2\n",
		  ":3:8: count: given before, in line 1" },
		{ "given twice, dotted and nested",
		  "part.inner.depth: 1\npart:\n  inner:\n    depth: 2\n",
		  "given before, in line 1" },
		{ "secret and its file", "part:\n  token: x\n  token_file: /dev/null\n",
		  "given before, in line 2" },
		{ "an alias", "name: &a x\nunset: *a\n", ":2:8: aliases are not allowed" },
		{ "a merge", "a: &a {name: x}\n<<: *a\n", "aliases are not allowed" },
		{ "a merge without an alias", "<<: {name: x}\n", "unknown option \"<<.name\"" },
		{ "an alias to itself", "&a [*a]\n", "aliases are not allowed" },
		{ "a second document", "name: x\n---\nunset: y\n",
		  ":2:1: only one document is allowed" },
		{ "a list of everything", "- name: x\n", "options were expected here" },
		{ "a text", "hello\n", "options were expected here" },
		{ "a list of lists", "name: [[a]]\n", "a list of plain values" },
		{ "a list of sections", "name: [{a: b}]\n", "a list of plain values" },
		{ "a key that is a list", "[a]: b\n", "a key must be a plain word" },
		{ "NUL in a value", "name: \"a\\0b\"\n", "name: not text" },
		{ "NUL in a list", "name: [\"a\\0b\"]\n", "name: not text" },
		{ "NUL in a key", "\"name\\0x\": b\n", "a key must be a plain word" },
		{ "a tab for indentation", "part:\n\tinner: 1\n", ":2:1: " },
		{ "an open quote", "name: \"x\n", ":2:1: " },
		{ "an open brace", "part: {a: b\n", ":2:1: " },
		{ "not UTF-8", "name: \xff\n", "YAML" },
		{ "control characters", "name: \x01\n", "control characters" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		(void)fresh(f);
		assert_case(load(f, rows[i].text) == -1, rows[i].why);
		assert_case(f->err.kind == ERR_CONFIG, rows[i].why);
		if (strcmp(rows[i].says, "YAML") != 0 && !strstr(f->err.msg, rows[i].says))
			fail_msg("row \"%s\": %s", rows[i].why, f->err.msg);
		assert_case(strstr(f->err.msg, "conf.yaml:") != NULL, f->err.msg);
	}
}

static void nesting_and_key_length_are_limited(void **state)
{
	struct fixture *f = *state;

	for (size_t depth = 8; depth <= 10; depth++) {
		OWNED(buf_done) struct buf b;

		(void)fresh(f);
		buf_init(&b, 4096);
		for (size_t i = 0; i < depth; i++)
			buf_puts(&b, "{a: ");
		buf_puts(&b, "1");
		for (size_t i = 0; i < depth; i++)
			buf_puts(&b, "}");
		assert_int_equal(load(f, buf_text(&b)), -1);
		/* Nine levels of keys are as deep as it looks. */
		assert_int_equal(strstr(f->err.msg, "nested too deeply") != NULL, depth > 9);
	}
	for (size_t len = 95; len <= 96; len++) {
		char text[128];

		(void)fresh(f);
		memset(text, 'k', sizeof(text));
		memcpy(text + len, ": 1\n", 5);
		assert_int_equal(load(f, text), -1);
		assert_int_equal(strstr(f->err.msg, "the key is too long") != NULL, len == 96);
	}
}

static void a_file_has_a_cap(void **state)
{
	enum { CAP = 1 << 20 };
	OWNED(freep) char *text = xmalloc(CAP + 2);
	struct fixture *f = *state;

	memset(text, '#', CAP + 2);
	memcpy(text, "name: x\n", 8);
	text[CAP] = '\0';
	assert_ok(load(f, text), &f->err);
	assert_string_equal(conf_str(f->conf, "name"), "x");
	(void)fresh(f);
	text[CAP] = '#';
	text[CAP + 1] = '\0';
	assert_int_equal(load(f, text), -1);
	assert_non_null(strstr(f->err.msg, "is larger than 1024 KiB"));
	/* It never ends. */
	assert_int_equal(conf_load_file(f->conf, "/dev/zero", &f->err), -1);
	assert_non_null(strstr(f->err.msg, "/dev/zero is larger than 1024 KiB"));
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(conf_load_file(f->conf, path_of(f, "missing"), &f->err), -1);
	assert_int_equal(f->err.kind, ERR_CONFIG);
	assert_non_null(strstr(f->err.msg, "missing: No such file"));
	assert_int_equal(conf_load_file(f->conf, f->dir, &f->err), -1);
	assert_non_null(strstr(f->err.msg, "is not a file"));
}

static void variables_are_the_keys_in_capitals(void **state)
{
	struct fixture *f = *state;

	(void)setenv("PIPELINE_GUARD_PART_INNER_DEPTH", "9", 1);
	(void)setenv("PIPELINE_GUARD_PART_KEY_FILE", "/a/path", 1);
	(void)setenv("PIPELINE_GUARD_PART_TOKEN", "one, two", 1);
	/* Charts pass empty ones for what is not set. */
	(void)setenv("PIPELINE_GUARD_COUNT", "", 1);
	assert_ok(conf_load_env(f->conf, &f->err), &f->err);
	assert_int_equal(conf_int(f->conf, "part.inner.depth"), 9);
	assert_string_equal(conf_str(f->conf, "part.key_file"), "/a/path");
	assert_string_equal(conf_secret(f->conf, "part.token", 1), "two");
	assert_int_equal(conf_int(f->conf, "count"), 3);
	(void)setenv("PIPELINE_GUARD_COUNT", "many", 1);
	assert_int_equal(conf_load_env(f->conf, &f->err), -1);
	assert_string_equal(f->err.msg,
			    "PIPELINE_GUARD_COUNT: count: \"many\" is not a whole number");
}

static void load_environment(struct fixture *f)
{
	assert_ok(conf_load_env(f->conf, &f->err), &f->err);
}

static void unknown_variables_are_one_warning(void **state)
{
	struct fixture *f = *state;
	OWNED(freep) char *quiet = NULL, *text = NULL;

	(void)setenv("PIPELINE_GUARD_COUNT", "4", 1);
	(void)setenv("PIPELINE_GUARD_PART_TOKEN_FILE", "", 1);
	(void)setenv("PIPELINE_GUARD_CONFIG", "/x", 1);
	(void)setenv("PIPELINE_GUARD_TEST_CRASH", "here", 1);
	(void)setenv("PIPELINE_GUARD_METRICS_FD", "3", 1);
	(void)setenv("PIPELINE_GUARDIAN", "somebody else's", 1);
	quiet = said(load_environment, f);
	assert_string_equal(quiet, "");
	(void)setenv("PIPELINE_GUARD_COUNTS", "secret-value", 1);
	(void)setenv("PIPELINE_GUARD_NAME_FILE", "x", 1);
	(void)setenv("PIPELINE_GUARD_CONFIGS", "x", 1);
	text = said(load_environment, f);
	assert_non_null(strstr(text, "PIPELINE_GUARD_COUNTS"));
	assert_non_null(strstr(text, "PIPELINE_GUARD_NAME_FILE"));
	assert_non_null(strstr(text, "PIPELINE_GUARD_CONFIGS"));
	assert_null(strstr(text, "PIPELINE_GUARD_COUNT "));
	assert_null(strstr(text, "secret-value"));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void set_needs_a_key_and_a_value(void **state)
{
	static const struct {
		const char *why, *in, *says;
	} rows[] = {
		{ "no equals sign", "count", "--set expects key=value" },
		{ "no key", "=3", "--set expects key=value" },
		{ "nothing", "", "--set expects key=value" },
		{ "a key that is too long",
		  "0123456789012345678901234567890123456789012345678901234567890123456789"
		  "01234567890123456789012345=1",
		  "--set expects key=value" },
		{ "unknown", "background=red",
		  "unknown option \"background\"; `pipeline-guard config`" },
		{ "nearly known", "cout=1", "did you mean \"count\"" },
		{ "a secret", "part.token=hunter2",
		  "part.token is a secret and argv is public: use --set part.token_file=PATH" },
		{ "a file of what is no secret", "name_file=/x", "unknown option" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		(void)fresh(f);
		assert_case(conf_set(f->conf, rows[i].in, &f->err) == -1, rows[i].why);
		assert_case(f->err.kind == ERR_CONFIG, rows[i].why);
		assert_case(strstr(f->err.msg, rows[i].says) != NULL, f->err.msg);
		assert_case(!strstr(f->err.msg, "hunter2"), f->err.msg);
		assert_case(!conf_secret(f->conf, "part.token", 0), rows[i].why);
	}
	(void)fresh(f);
	assert_ok(conf_set(f->conf, "name=a=b", &f->err), &f->err);
	assert_string_equal(conf_str(f->conf, "name"), "a=b");
	assert_ok(conf_set(f->conf, "name=", &f->err), &f->err);
	assert_string_equal(conf_str(f->conf, "name"), "");
}

static void secrets_are_lists(void **state)
{
	static const struct {
		const char *why, *yaml;
		const char *secrets[3];
		const char *says;
	} rows[] = {
		{ "one", "part.token: abc\n", { "abc" }, NULL },
		{ "two, during rotation", "part.token: abc,def\n", { "abc", "def" }, NULL },
		{ "blanks around", "part.token: \" abc , def \"\n", { "abc", "def" }, NULL },
		{ "blanks inside", "part.token: It's a Secret\n", { "It's a Secret" }, NULL },
		{ "empty ones are none", "part.token: \",,abc,\"\n", { "abc" }, NULL },
		{ "line ends separate",
		  "part.token: \"abc\\r\\ndef\\n\"\n",
		  { "abc", "def" },
		  NULL },
		{ "a list", "part.token:\n  - abc\n  - def\n", { "abc", "def" }, NULL },
		{ "an empty list", "part.token: []\n", { NULL }, NULL },
		{ "eight", "part.token: \"1,2,3,4,5,6,7,8\"\n", { "1", "2", "3" }, NULL },
		{ "nine", "part.token: \"1,2,3,4,5,6,7,8,9\"\n", { NULL }, "more than 8 secrets" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		(void)fresh(f);
		assert_case(load(f, rows[i].yaml) == (rows[i].says ? -1 : 0), rows[i].why);
		if (rows[i].says) {
			assert_case(strstr(f->err.msg, rows[i].says) != NULL, f->err.msg);
			continue;
		}
		for (size_t k = 0; k < 3; k++) {
			const char *s = conf_secret(f->conf, "part.token", k);
			const char *expected = rows[i].secrets[k];

			assert_case(strcmp(s ? s : "", expected ? expected : "") == 0, rows[i].why);
		}
		assert_case(!conf_secret(f->conf, "part.token", 8), rows[i].why);
		assert_case(!conf_str(f->conf, "part.token"), rows[i].why);
	}
}

static void secrets_come_from_files(void **state)
{
	static const struct {
		const char *why, *text;
		size_t n;
		const char *secret, *says;
	} rows[] = {
		{ "a line", "abc\n", 4, "abc", NULL },
		{ "no line end", "abc", 3, "abc", NULL },
		{ "two lines", "abc\ndef\n", 8, "abc", NULL },
		{ "nothing", "", 0, NULL, "is empty" },
		{ "blanks", " \n\n", 3, NULL, "is empty" },
		{ "bytes", "a\0b", 3, NULL, "is not text" },
	};
	struct fixture *f = *state;
	OWNED(freep) char *path = xstrdup(path_of(f, "secret"));
	OWNED(freep) char *assignment = xasprintf("part.token_file=%s", path);
	OWNED(freep) char *yaml = xasprintf("part:\n  token_file: %s\n", path);
	OWNED(freep) char *large = xcalloc(1, (64 << 10) + 2);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		write_file(path, rows[i].text, rows[i].n);
		for (int way = 0; way < 3; way++) {
			const char *s;
			int rc;

			(void)fresh(f);
			(void)setenv("PIPELINE_GUARD_PART_TOKEN_FILE", way == 2 ? path : "", 1);
			rc = way == 0   ? load(f, yaml)
			     : way == 1 ? conf_set(f->conf, assignment, &f->err)
					: conf_load_env(f->conf, &f->err);
			assert_case(rc == (rows[i].says ? -1 : 0), rows[i].why);
			s = conf_secret(f->conf, "part.token", 0);
			assert_case(rows[i].says ? strstr(f->err.msg, rows[i].says) != NULL
						 : s && strcmp(s, rows[i].secret) == 0,
				    rows[i].why);
			assert_case(!strstr(f->err.msg, "abc"), rows[i].why);
		}
	}
	(void)unsetenv("PIPELINE_GUARD_PART_TOKEN_FILE");
	memset(large, 's', (64 << 10) + 1);
	write_file(path, large, 64 << 10);
	assert_ok(conf_set(fresh(f), assignment, &f->err), &f->err);
	write_file(path, large, (64 << 10) + 1);
	assert_int_equal(conf_set(fresh(f), assignment, &f->err), -1);
	assert_non_null(strstr(f->err.msg, "larger than 64 KiB"));
	(void)unlink(path);
	assert_int_equal(conf_set(fresh(f), assignment, &f->err), -1);
	assert_non_null(strstr(f->err.msg, "part.token_file: cannot open"));
}

static void load_secret(struct fixture *f)
{
	OWNED(freep) char *assignment = xasprintf("part.token_file=%s", path_of(f, "secret"));

	assert_ok(conf_set(f->conf, assignment, &f->err), &f->err);
}

static void a_secret_that_everybody_can_read_is_a_warning(void **state)
{
	static const struct {
		mode_t mode;
		bool warns;
	} rows[] = {
		{ 0600, false }, { 0400, false }, { 0640, false }, { 0604, true }, { 0602, true }
	};
	struct fixture *f = *state;

	write_file(path_of(f, "secret"), "abc", 3);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(freep) char *text = NULL;

		assert_int_equal(chmod(path_of(f, "secret"), rows[i].mode), 0);
		text = said(load_secret, f);
		assert_int_equal(strstr(text, "can be read by everybody") != NULL, rows[i].warns);
		assert_null(strstr(text, "abc"));
	}
}

static void a_later_secret_replaces_all_earlier_ones(void **state)
{
	struct fixture *f = *state;

	assert_ok(load(f, "part.token: a,b,c\n"), &f->err);
	(void)setenv("PIPELINE_GUARD_PART_TOKEN", "d", 1);
	assert_ok(conf_load_env(f->conf, &f->err), &f->err);
	assert_string_equal(conf_secret(f->conf, "part.token", 0), "d");
	assert_null(conf_secret(f->conf, "part.token", 1));
}

static void a_region_and_its_partitions_are_checked(void **state)
{
	static const struct {
		const char *why, *region;
		bool ok;
	} rows[] = {
		{ "the default", "local", true },
		{ "letters, digits, dashes", "eu-west-1", true },
		{ "as long as it gets", "abcdefghijabcdefghijabcdefghij1", true },
		{ "one more", "abcdefghijabcdefghijabcdefghij12", false },
		{ "nothing", "", false },
		{ "upper case", "EU", false },
		{ "a brace would end the hash tag", "a}b", false },
		{ "a colon separates", "a:b", false },
		{ "blank", "a b", false },
		{ "underscore", "a_b", false },
	};
	static const struct conf_table *const common_tables[] = { &settings_conf };
	struct keyspace ks;
	struct err err = { 0 };
	const char *url;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(conf_freep) struct conf *conf = conf_new(common_tables, 1);
		OWNED(freep) char *set = xasprintf("region=%s", rows[i].region);

		assert_ok(conf_set(conf, set, &err), &err);
		assert_ok(conf_set(conf, "partitions=32", &err), &err);
		assert_int_equal(conf_set(conf, "partitions=33", &err), -1);
		assert_case(settings_keyspace(conf, &ks, &err) == (rows[i].ok ? 0 : -1),
			    rows[i].why);
		if (rows[i].ok) {
			assert_string_equal(ks.region, rows[i].region);
			assert_int_equal(ks.partitions, 32);
		}
		assert_int_equal(settings_redis_url(conf, &url, &err), -1);
		assert_int_equal(err.kind, ERR_CONFIG);
		assert_ok(conf_set(conf, "redis.url=unix:///x", &err), &err);
		assert_ok(settings_redis_url(conf, &url, &err), &err);
		assert_string_equal(url, "unix:///x");
	}
}

#define CONF_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONF_TEST(starts_with_its_defaults),
		CONF_TEST(every_type_has_its_spelling_and_limits),
		CONF_TEST(later_wins),
		CONF_TEST(says_where_each_value_comes_from),
		CONF_TEST(reads_files),
		CONF_TEST(refuses_files_and_says_where),
		CONF_TEST(nesting_and_key_length_are_limited),
		CONF_TEST(a_file_has_a_cap),
		CONF_TEST(a_file_that_cannot_be_read_is_named),
		CONF_TEST(variables_are_the_keys_in_capitals),
		CONF_TEST(unknown_variables_are_one_warning),
		CONF_TEST(set_needs_a_key_and_a_value),
		CONF_TEST(secrets_are_lists),
		CONF_TEST(secrets_come_from_files),
		CONF_TEST(a_secret_that_everybody_can_read_is_a_warning),
		CONF_TEST(a_later_secret_replaces_all_earlier_ones),
		CONF_TEST(a_region_and_its_partitions_are_checked),
	};

	return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
