#include "cli/data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/mem.h"
#include "core/settings.h"
#include "unit.h"

static char root[64];

static const char *in_root(const char *name)
{
	static char paths[4][160];
	static size_t turn;
	char *path = paths[turn++ % ARRAY_LEN(paths)];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", root, name);
	return path;
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static void put(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

static size_t get(const char *path, char out[static 256])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, out, 255);

	assert_true(fd >= 0 && n >= 0);
	out[n] = '\0';
	(void)close(fd);
	return (size_t)n;
}

static int set_up(void **state)
{
	UNUSED(state);
	(void)snprintf(root, sizeof(root), "/tmp/guard-test-data-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct err err;

	UNUSED(state);
	/* Empties ROOT/redis only, so the tests put everything there. */
	if (data_dir_forget_redis(root, &err) < 0)
		return -1;
	(void)rmdir(in_root("redis"));
	return rmdir(root);
}

/* --- where ------------------------------------------------------------------------- */

static void the_folder_is_where_people_expect_it(void **state)
{
	static const struct conf_table *const tables[] = { &settings_conf };
	static const struct {
		const char *given, *state_home, *home, *want, *why;
	} rows[] = {
		{ NULL, NULL, "/home/ada", "/home/ada/.local/state/guard", "the default" },
		{ NULL, "/state", "/home/ada", "/state/guard", "XDG_STATE_HOME" },
		{ NULL, "relative", "/home/ada", "/home/ada/.local/state/guard",
		  "a relative one counts as unset" },
		{ "/data", "/state", "/home/ada", "/data", "given" },
		{ NULL, NULL, NULL, NULL, "nothing is known" },
		{ NULL, NULL, "here", NULL, "HOME is relative" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(conf_freep) struct conf *conf = conf_new(tables, ARRAY_LEN(tables));
		char assignment[64], path[DATA_PATH_MAX];
		struct err err;
		int status;

		(void)snprintf(assignment, sizeof(assignment), "data_dir=%s",
			       rows[i].given ? rows[i].given : "");
		if (rows[i].given)
			assert_ok(conf_set(conf, assignment, &err), &err);
		(void)(rows[i].state_home ? setenv("XDG_STATE_HOME", rows[i].state_home, 1)
					  : unsetenv("XDG_STATE_HOME"));
		(void)(rows[i].home ? setenv("HOME", rows[i].home, 1) : unsetenv("HOME"));
		status = data_dir_path(conf, "guard", path, &err);
		assert_case((status == 0) == (rows[i].want != NULL), rows[i].why);
		assert_case(status < 0 || strcmp(path, rows[i].want) == 0, rows[i].why);
	}
}

/* --- the folder -------------------------------------------------------------------- */

static void only_we_can_read_the_folder(void **state)
{
	struct err err;
	mode_t was = umask(0);

	UNUSED(state);
	assert_ok(data_dir_open(in_root("redis/a/b"), &err), &err);
	(void)umask(was);
	assert_int_equal(mode_of(in_root("redis/a/b")), 0700);
	assert_int_equal(mode_of(in_root("redis/a/b/lock")), 0600);
	assert_int_equal(mode_of(in_root("redis/a")) & 022, 0);
}

static void one_start_at_a_time(void **state)
{
	struct err err;

	UNUSED(state);
	assert_ok(data_dir_open(in_root("redis/one"), &err), &err);
	assert_int_equal(data_dir_open(in_root("redis/one"), &err), -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
	assert_non_null(strstr(err.msg, "in use"));
}

static void refuses_a_folder_that_others_can_write(void **state)
{
	struct err err;

	UNUSED(state);
	assert_int_equal(mkdir(in_root("redis"), 0700), 0);
	assert_int_equal(mkdir(in_root("redis/open"), 0700), 0);
	assert_int_equal(chmod(in_root("redis/open"), 0777), 0);
	assert_int_equal(data_dir_open(in_root("redis/open"), &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_int_equal(access(in_root("redis/open/lock"), F_OK), -1);
	assert_int_equal(chmod(in_root("redis/open"), 0775), 0);
	assert_ok(data_dir_open(in_root("redis/open"), &err), &err);
}

static void refuses_what_is_no_folder(void **state)
{
	struct err err;

	UNUSED(state);
	assert_int_equal(mkdir(in_root("redis"), 0700), 0);
	put(in_root("redis/file"), "x", 0600);
	assert_int_equal(data_dir_open(in_root("redis/file"), &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_int_equal(data_dir_open(in_root("redis/file/below"), &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
}

/* --- secrets ----------------------------------------------------------------------- */

static void a_secret_is_made_once(void **state)
{
	char first[256], second[256];
	bool created = false;
	struct err err;

	UNUSED(state);
	assert_int_equal(mkdir(in_root("redis"), 0700), 0);
	assert_ok(data_dir_secret(in_root("redis/secret"), &created, &err), &err);
	assert_true(created);
	assert_int_equal(mode_of(in_root("redis/secret")), 0600);
	assert_int_equal(get(in_root("redis/secret"), first), 65);
	assert_int_equal(strspn(first, "0123456789abcdef"), 64);
	assert_ok(data_dir_secret(in_root("redis/secret"), &created, &err), &err);
	assert_false(created);
	(void)get(in_root("redis/secret"), second);
	assert_string_equal(first, second);
	assert_int_equal(access(in_root("redis/secret.new"), F_OK), -1);
}

static void an_empty_secret_is_none(void **state)
{
	char text[256];
	bool created = false;
	struct err err;

	UNUSED(state);
	assert_int_equal(mkdir(in_root("redis"), 0700), 0);
	put(in_root("redis/secret"), "", 0644);
	assert_ok(data_dir_secret(in_root("redis/secret"), &created, &err), &err);
	assert_true(created);
	assert_int_equal(get(in_root("redis/secret"), text), 65);
	assert_int_equal(mode_of(in_root("redis/secret")), 0600);
}

/* What a crash or somebody else left where the new secret is written first. */
static void what_lies_in_the_way_does_not_leak_it(void **state)
{
	char text[256];
	bool created = false;
	struct err err;

	UNUSED(state);
	assert_int_equal(mkdir(in_root("redis"), 0700), 0);
	put(in_root("redis/secret.new"), "half a secret, readable by all", 0666);
	assert_ok(data_dir_secret(in_root("redis/secret"), &created, &err), &err);
	assert_int_equal(mode_of(in_root("redis/secret")), 0600);
	assert_int_equal(get(in_root("redis/secret"), text), 65);

	put(in_root("redis/victim"), "mine", 0644);
	assert_int_equal(symlink("victim", in_root("redis/other.new")), 0);
	assert_int_equal(data_dir_secret(in_root("redis/other"), &created, &err), -1);
	assert_int_equal(get(in_root("redis/victim"), text), 4);
}

/* --- the private Redis ------------------------------------------------------------- */

static void redis_keeps_every_write(void **state)
{
	static const char *const lines[] = { "\nport 0\n", "\nappendonly yes\n",
					     "\nappendfsync always\n",
					     "\nmaxmemory-policy noeviction\n",
					     "\nunixsocketperm 700\n" };
	char conf[DATA_PATH_MAX], url[DATA_PATH_MAX], want[128], text[2048] = "";
	struct err err;
	int fd;

	UNUSED(state);
	assert_ok(data_dir_redis(in_root("redis"), conf, url, &err), &err);
	assert_string_equal(conf, in_root("redis/redis.conf"));
	(void)snprintf(want, sizeof(want), "unix://%s", in_root("redis/redis.sock"));
	assert_string_equal(url, want);
	assert_int_equal(mode_of(conf), 0600);
	assert_int_equal(mode_of(in_root("redis/redis")), 0700);
	fd = open(conf, O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	(void)close(fd);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		assert_case(strstr(text, lines[i]), lines[i]);
}

static void refuses_a_folder_that_redis_cannot_use(void **state)
{
	char conf[DATA_PATH_MAX], url[DATA_PATH_MAX];
	struct err err;

	UNUSED(state);
	assert_int_equal(mkdir(in_root("redis"), 0700), 0);
	assert_int_equal(data_dir_redis(in_root("redis/a\"b"), conf, url, &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_int_equal(data_dir_redis(in_root("redis/a-name-so-long-that-the-socket-in-it-does-"
						"not-fit-into-its-address-any-more-at-all"),
					conf, url, &err),
			 -1);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_non_null(strstr(err.msg, "too long for a socket"));
}

static void forgetting_does_not_follow_links(void **state)
{
	struct err err;

	UNUSED(state);
	assert_int_equal(mkdir(in_root("redis"), 0700), 0);
	assert_int_equal(mkdir(in_root("redis/keep"), 0700), 0);
	put(in_root("redis/keep/file"), "x", 0600);
	assert_int_equal(mkdir(in_root("redis/home"), 0700), 0);
	assert_int_equal(mkdir(in_root("redis/home/redis"), 0700), 0);
	put(in_root("redis/home/redis/old.aof"), "x", 0600);
	assert_int_equal(symlink("../../keep", in_root("redis/home/redis/link")), 0);
	assert_ok(data_dir_forget_redis(in_root("redis/home"), &err), &err);
	assert_int_equal(access(in_root("redis/home/redis/old.aof"), F_OK), -1);
	assert_int_equal(access(in_root("redis/keep/file"), F_OK), 0);
	assert_int_equal(access(in_root("redis/home/redis"), F_OK), 0);
}

#define IN_ROOT(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_folder_is_where_people_expect_it),
		IN_ROOT(only_we_can_read_the_folder),
		IN_ROOT(one_start_at_a_time),
		IN_ROOT(refuses_a_folder_that_others_can_write),
		IN_ROOT(refuses_what_is_no_folder),
		IN_ROOT(a_secret_is_made_once),
		IN_ROOT(an_empty_secret_is_none),
		IN_ROOT(what_lies_in_the_way_does_not_leak_it),
		IN_ROOT(redis_keeps_every_write),
		IN_ROOT(refuses_a_folder_that_redis_cannot_use),
		IN_ROOT(forgetting_does_not_follow_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
