/* The security auditor, with real folders and links. */
#include "healers/security.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/unit/unit.h"

static const struct conf_table *const tables[] = { &security_conf };

struct world {
	struct conf *conf;
	char folder[64], inside[96];
};

static int setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));
	char link[128];

	w->conf = conf_new(tables, 1);
	(void)snprintf(w->folder, sizeof(w->folder), "/tmp/guard-security-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	(void)snprintf(w->inside, sizeof(w->inside), "%s/in", w->folder);
	assert_int_equal(mkdir(w->inside, 0700), 0);
	(void)snprintf(link, sizeof(link), "%s/up", w->inside);
	assert_int_equal(symlink("..", link), 0);
	(void)snprintf(link, sizeof(link), "%s/etc", w->inside);
	assert_int_equal(symlink("/etc", link), 0);
	(void)snprintf(link, sizeof(link), "%s/self", w->inside);
	assert_int_equal(symlink("in", link), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "in/up", "in/etc", "in/self", "in" };
	struct world *w = *state;
	char path[128];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", w->folder, names[i]);
		(void)remove(path);
	}
	(void)rmdir(w->folder);
	conf_free(w->conf);
	free(w);
	return 0;
}

enum { ARGS = 5 };

/* "IN" at the front of an argument is the folder. */
static void judge(const struct world *w, const char *const *args, bool network,
		  struct security_verdict *v)
{
	char text[ARGS][256];
	const char *argv[ARGS + 1] = { NULL };
	const struct security_command cmd = { .argv = argv, .cwd = w->inside, .network = network };

	for (size_t i = 0; i < ARGS && args[i]; i++) {
		if (text_starts(args[i], "IN"))
			(void)snprintf(text[i], sizeof(text[i]), "%s%s", w->inside, args[i] + 2);
		else
			(void)snprintf(text[i], sizeof(text[i]), "%s", args[i]);
		argv[i] = text[i];
	}
	security_check(w->conf, &cmd, v);
}

static void commands_get_what_they_deserve(void **state)
{
	static const struct {
		const char *why;
		const char *args[ARGS + 1];
		unsigned score;
		const char *check; /* the first reason; NULL: none */
		bool network;
	} rows[] = {
		{ "what a healer runs",
		  { "git", "-c", "core.hooksPath=/dev/null", "merge", "--abort" },
		  100,
		  NULL,
		  false },
		{ "another case",
		  { "git", "-c", "CORE.hookspath=/dev/null", "gc" },
		  100,
		  NULL,
		  false },
		{ "a file that is there not", { "git", "add", "new/file.c" }, 100, NULL, false },
		{ "the folder itself, spelled out",
		  { "git", "-C", "IN", "status" },
		  100,
		  NULL,
		  false },
		{ "a link that stays inside", { "git", "add", "./a/../b" }, 100, NULL, false },
		{ "/dev/null is harmless", { "git", "diff", "/dev/null" }, 100, NULL, false },
		{ "a shell is no program of ours", { "sh", "-c", "true" }, 0, "program", false },
		{ "nor one by its path", { "/usr/bin/git", "gc" }, 0, "program", false },
		{ "nor one of the repository", { "./git", "gc" }, 0, "program", false },
		{ "nor nothing", { NULL }, 0, "program", false },
		{ "settings run programs",
		  { "git", "-c", "core.sshCommand=touch x", "fetch" },
		  0,
		  "option",
		  false },
		{ "by any name", { "git", "-c", "alias.gc=!touch x", "gc" }, 0, "option", false },
		{ "and a value may be no path",
		  { "git", "-c", "core.hooksPath=hooks", "gc" },
		  0,
		  "option",
		  false },
		{ "-c without anything", { "git", "-c" }, 0, "option", false },
		{ "upload-pack", { "git", "fetch", "--upload-pack=touch x" }, 0, "option", false },
		{ "--exec of rebase", { "git", "rebase", "--exec", "touch" }, 0, "option", false },
		{ "bisect run", { "git", "bisect", "run", "make" }, 40, "option", false },
		{ "ext transport", { "git", "fetch", "ext::sh -c x" }, 0, "option", true },
		{ "out, by dots", { "git", "add", "../x" }, 40, "path_escape", false },
		{ "deeper, by dots", { "git", "add", "a/../../x" }, 40, "path_escape", false },
		{ "in an option",
		  { "git", "apply", "--directory=../x" },
		  40,
		  "path_escape",
		  false },
		{ "glued to a short one", { "git", "-C../x", "gc" }, 40, "path_escape", false },
		{ "home", { "git", "add", "~/x" }, 40, "path_escape", false },
		{ "absolute, elsewhere", { "git", "add", "/srv/x" }, 40, "path_escape", false },
		{ "absolute, a neighbour", { "git", "add", "INx/y" }, 40, "path_escape", false },
		{ "absolute, through the folder",
		  { "git", "add", "IN/../x" },
		  40,
		  "path_escape",
		  false },
		{ "the system's", { "git", "add", "/etc/passwd" }, 0, "system_folder", false },
		{ "a link that leads up", { "git", "add", "up" }, 40, "symlink_escape", false },
		{ "through a link", { "git", "add", "up/x" }, 40, "symlink_escape", false },
		{ "through a link to what is not there",
		  { "git", "add", "etc/none" },
		  40,
		  "symlink_escape",
		  false },
		{ "through a link, absolute",
		  { "git", "add", "IN/etc/passwd" },
		  40,
		  "symlink_escape",
		  false },
		{ "control characters", { "git", "add", "a\nb" }, 40, "control_character", false },
		{ "for a shell", { "git", "add", "$(touch x)" }, 40, "option", false },
		{ "a URL without network",
		  { "git", "fetch", "https://example.org/a.git" },
		  40,
		  "network",
		  false },
		{ "a URL with network",
		  { "git", "fetch", "https://example.org/a.git" },
		  100,
		  NULL,
		  true },
		{ "metadata", { "git", "fetch", "http://169.254.169.254/x" }, 0, "option", true },
		{ "loopback", { "git", "fetch", "http://127.1/x" }, 40, "url", true },
		{ "ssh", { "git", "fetch", "git@example.org:a.git" }, 40, "url", true },
		{ "a file URL", { "git", "clone", "file:///etc" }, 0, "option", true },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct security_verdict v;

		judge(w, rows[i].args, rows[i].network, &v);
		if (v.score != rows[i].score)
			print_error("score %u\n", v.score);
		assert_case(v.score == rows[i].score, rows[i].why);
		assert_case(v.allowed == (v.score >= 50), rows[i].why);
		assert_case(!v.n_reasons == !rows[i].check, rows[i].why);
		if (rows[i].check)
			assert_case(strcmp(v.reasons[0].check, rows[i].check) == 0, rows[i].why);
	}
}

/* Judged by the row alone: the programs need not be installed here. */
static void options_of_each_program_are_known(void **state)
{
	static const struct {
		const char *args[ARGS + 1];
	} rows[] = {
		{ { "npm", "ci", "--script-shell=/x" } },
		{ { "npm", "install", "--registry=https://example.org" } },
		{ { "pip", "install", "--index-url", "https://example.org" } },
		{ { "pip", "install", "git+https://example.org/x" } },
		{ { "cargo", "build", "--config=x" } },
		{ { "make", "SHELL=./x" } },
		{ { "make", "--eval=x" } },
		{ { "cmake", "-P", "x.cmake" } },
		{ { "cmake", "-DCMAKE_C_COMPILER_LAUNCHER=x" } },
		{ { "yarn", "dlx", "x" } },
		{ { "gh", "auth", "token" } },
		{ { "glab", "alias", "set" } },
		{ { "pytest", "-p", "x" } },
		{ { "jest", "--globalSetup=x" } },
		{ { "mocha", "-r", "x" } },
		{ { "eslint", "--rulesdir", "x" } },
		{ { "eslint", "-c", "x.js" } },
		{ { "eslint", "--plugin", "x" } },
		{ { "eslint", "--format=./x.js" } },
		{ { "flake8", "--config=x" } },
		{ { "isort", "--formatter=x" } },
		{ { "prettier", "--plugin=./x.js" } },
		{ { "prettier", "--config", "x.js" } },
		{ { "gofmt", "-cpuprofile", "x" } },
		{ { "pnpm", "install", "--global-pnpmfile=x" } },
		{ { "pnpm", "dlx", "x" } },
		{ { "go", "build", "-toolexec=x" } },
		{ { "go", "generate", "x" } },
		{ { "go", "build", "-gcflags=x" } },
		{ { "bundle", "exec", "x" } },
		{ { "composer", "global", "require" } },
		{ { "poetry", "run", "x" } },
		{ { "pip-compile", "--pip-args=x" } },
		{ { "pip-compile", "--index-url=https://example.org" } },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct security_verdict v;
		bool found = false;

		judge(w, rows[i].args, true, &v);
		for (unsigned k = 0; k < v.n_reasons; k++)
			found |= strcmp(v.reasons[k].check, "option") == 0 &&
				 v.reasons[k].weight > 50;
		assert_case(found, rows[i].args[0]);
		assert_false(v.allowed);
	}
}

static void threshold_and_names_are_configured(void **state)
{
	static const char *const run[] = { "env", NULL }, *const two[] = { "git", "add", "../x",
									   NULL };
	struct world *w = *state;
	struct security_verdict v;
	struct err err;
	char text[200];

	judge(w, run, false, &v);
	assert_false(v.allowed);
	assert_ok(conf_set(w->conf, "security.commands=true, env", &err), &err);
	judge(w, run, false, &v);
	assert_true(v.allowed);
	assert_string_equal(v.program, "/usr/bin/env");
	assert_string_equal(v.cwd, w->inside);
	security_say(&v, text, sizeof(text));
	assert_string_equal(text, "nothing to object to");
	judge(w, two, false, &v);
	assert_false(v.allowed);
	security_say(&v, text, sizeof(text));
	assert_string_equal(text, "path_escape: ../x leads out of the folder (-60)");
	assert_ok(conf_set(w->conf, "security.threshold=40", &err), &err);
	judge(w, two, false, &v);
	assert_true(v.allowed);
}

static void the_folder_has_to_be_one(void **state)
{
	static const char *const argv[] = { "git", "gc", NULL };
	static const char *const folders[] = { NULL,   "",         "relative", "/",
					       "/etc", "/usr/lib", "/nowhere", "/tmp/../etc" };
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		const struct security_command cmd = { .argv = argv, .cwd = folders[i] };
		struct security_verdict v;

		security_check(w->conf, &cmd, &v);
		assert_case(!v.allowed && v.score == 0, folders[i] ? folders[i] : "none");
	}
}

static void what_is_too_much_is_refused(void **state)
{
	struct world *w = *state;
	const char *argv[70] = { "git" };
	OWNED(freep) char *big = xcalloc(1, 4098);
	const struct security_command cmd = { .argv = argv, .cwd = w->inside };
	struct security_verdict v;

	for (size_t i = 1; i <= 64; i++)
		argv[i] = "a";
	security_check(w->conf, &cmd, &v);
	assert_int_equal(v.score, 100);
	argv[65] = "a";
	security_check(w->conf, &cmd, &v);
	assert_int_equal(v.score, 0);
	memset(big, 'a', 4097);
	argv[1] = big;
	argv[2] = NULL;
	security_check(w->conf, &cmd, &v);
	assert_int_equal(v.score, 0);
}

static void urls_of_strangers_are_looked_at(void **state)
{
	static const struct {
		const char *url;
		bool ok;
	} rows[] = {
		{ "https://hooks.example.org/x", true },
		{ "http://example.org:8080/", true },
		{ "https://8.8.8.8/", true },
		{ "ftp://example.org/", false },
		{ "https://user:pw@example.org/", false },
		{ "https://user@example.org/", false },
		{ "https://localhost/", false },
		{ "https://10.0.0.1/", false },
		{ "https://[::1]/", false },
		{ "https://2130706433/", false },
		{ "http://0x7f.1/", false },
		{ "http://example.org:22/", false },
		{ "http://example.org:6379/", true },
		{ "http://exa mple.org/", false },
		{ "http://example.org\\@10.0.0.1/", false },
		{ "http://example.org/\r\nX: y", false },
		{ "gopher://example.org", false },
		{ "", false },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err;

		assert_case((security_check_url(rows[i].url, &err) == 0) == rows[i].ok,
			    rows[i].url);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(commands_get_what_they_deserve),     T(options_of_each_program_are_known),
		T(threshold_and_names_are_configured), T(the_folder_has_to_be_one),
		T(what_is_too_much_is_refused),        T(urls_of_strangers_are_looked_at),
#undef T
	};

	return cmocka_run_group_tests_name("security", tests, NULL, NULL);
}
