#include "dispatcher/rule_cache.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/json.h"
#include "core/mem.h"
#include "dispatcher/detector.h"
#include "unit.h"

enum { NOBODY = 65534 };

static char root[64];

/* Both live as long as the test. */
static char cache[100], slot[120];

/* Good until it was called three more times. */
static const char *in_root(const char *name)
{
	static char paths[4][160];
	static size_t turn;
	char *path = paths[turn++ % ARRAY_LEN(paths)];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", root, name);
	return path;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	UNUSED(st);
	UNUSED(kind);
	UNUSED(ftw);
	return remove(path);
}

static int set_up(void **state)
{
	UNUSED(state);
	(void)snprintf(root, sizeof(root), "/tmp/guard-test-cache-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	(void)snprintf(cache, sizeof(cache), "%s/cache", root);
	(void)snprintf(slot, sizeof(slot), "%s/rules-5.cache", cache);
	return 0;
}

static int tear_down(void **state)
{
	UNUSED(state);
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- entries ----------------------------------------------------------------------- */

static const unsigned char key[SHA256_BYTES] = { 5, 1 };
static const uint32_t left_out[] = { 3, 70000 };
static const struct rule_cache_entry entry = {
	.data = "compiled",
	.n = 8,
	.left_out = left_out,
	.n_left_out = ARRAY_LEN(left_out),
};

static bool there(const char *folder, const unsigned char *want)
{
	OWNED(rule_cache_entry_done) struct rule_cache_entry got = { .data = NULL };

	if (!rule_cache_read(folder, want, &got))
		return false;
	assert_int_equal(got.n, entry.n);
	assert_memory_equal(got.data, entry.data, entry.n);
	assert_int_equal((uintptr_t)got.data % 16, 0);
	assert_int_equal(got.n_left_out, entry.n_left_out);
	assert_memory_equal(got.left_out, left_out, sizeof(left_out));
	return true;
}

static void what_was_kept_is_found(void **state)
{
	struct stat st;

	UNUSED(state);
	assert_false(there(cache, key));
	assert_true(rule_cache_write(cache, key, &entry));
	assert_true(there(cache, key));
	assert_true(rule_cache_write(cache, key, &entry));
	assert_true(there(cache, key));
	assert_int_equal(stat(cache, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(lstat(slot, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* One level of parents is made, as in a home that has no .cache. */
	assert_false(rule_cache_write(in_root("not/there/yet"), key, &entry));
	assert_true(rule_cache_write(in_root("not/there"), key, &entry));
}

static void another_key_finds_nothing(void **state)
{
	unsigned char other[SHA256_BYTES];

	UNUSED(state);
	assert_true(rule_cache_write(cache, key, &entry));
	for (size_t i = 0; i < sizeof(other); i++) {
		memcpy(other, key, sizeof(other));
		/* Also one that has the same place. */
		other[i] = (unsigned char)(other[i] + RULE_CACHE_SLOTS);
		assert_false(there(cache, other));
	}
	assert_true(rule_cache_write(cache, other, &entry));
	assert_false(there(cache, key));
	assert_true(there(cache, other));
}

static char *file_of(const char *path, size_t *n)
{
	FILE *f = fopen(path, "re");
	char *data = xcalloc(1, 4096);

	assert_non_null(f);
	*n = fread(data, 1, 4096, f);
	(void)fclose(f);
	return data;
}

static void put(const char *path, const char *data, size_t n)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static void damage_is_noticed_at_every_byte(void **state)
{
	OWNED(freep) char *data = NULL;
	size_t n;

	UNUSED(state);
	assert_true(rule_cache_write(cache, key, &entry));
	data = file_of(slot, &n);
	for (size_t i = 0; i < n; i++) {
		data[i] ^= 0x10;
		put(slot, data, n);
		assert_false(there(cache, key));
		data[i] ^= 0x10;
		put(slot, data, i);
		assert_false(there(cache, key));
	}
	data[n] = 'x';
	put(slot, data, n + 1);
	assert_false(there(cache, key));
	put(slot, data, n);
	assert_true(there(cache, key));
}

static void what_others_can_write_is_not_trusted(void **state)
{
	static const mode_t writable[] = { 0620, 0602, 0666 };
	char elsewhere[160], link[160];

	UNUSED(state);
	assert_true(rule_cache_write(cache, key, &entry));
	for (size_t i = 0; i < ARRAY_LEN(writable); i++) {
		assert_int_equal(chmod(slot, writable[i]), 0);
		assert_false(there(cache, key));
		assert_int_equal(chmod(slot, 0600), 0);
		assert_int_equal(chmod(cache, writable[i] | 0100), 0);
		assert_false(there(cache, key));
		assert_false(rule_cache_write(cache, key, &entry));
		assert_int_equal(chmod(cache, 0700), 0);
	}
	assert_true(there(cache, key));

	(void)snprintf(link, sizeof(link), "%s/link", root);
	assert_int_equal(symlink(cache, link), 0);
	assert_false(there(link, key));
	assert_false(rule_cache_write(link, key, &entry));

	(void)snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", root);
	assert_int_equal(rename(slot, elsewhere), 0);
	assert_int_equal(symlink(elsewhere, slot), 0);
	assert_false(there(cache, key));
	/* Writing takes the place of the link and does not follow it. */
	assert_int_equal(truncate(elsewhere, 0), 0);
	assert_true(rule_cache_write(cache, key, &entry));
	assert_true(there(cache, key));
	assert_int_equal(remove(elsewhere), 0);
	assert_true(there(cache, key));

	assert_int_equal(remove(slot), 0);
	assert_int_equal(mkfifo(slot, 0600), 0);
	assert_false(there(cache, key));
}

static void what_belongs_to_another_user_is_not_trusted(void **state)
{
	UNUSED(state);
	if (geteuid() != 0)
		skip();
	assert_true(rule_cache_write(cache, key, &entry));
	assert_int_equal(chown(slot, NOBODY, NOBODY), 0);
	assert_false(there(cache, key));
	assert_int_equal(chown(slot, 0, 0), 0);
	assert_true(there(cache, key));
	assert_int_equal(chown(cache, NOBODY, NOBODY), 0);
	assert_false(there(cache, key));
	assert_false(rule_cache_write(cache, key, &entry));
}

static void a_folder_that_cannot_be_written_is_no_fault(void **state)
{
	bool root_user = geteuid() == 0;

	UNUSED(state);
	assert_true(rule_cache_write(cache, key, &entry));
	if (root_user) {
		/* Modes do not stop root. */
		assert_int_equal(chmod(root, 0755), 0);
		assert_int_equal(chown(slot, NOBODY, NOBODY), 0);
		assert_int_equal(chown(cache, NOBODY, NOBODY), 0);
		assert_int_equal(seteuid(NOBODY), 0);
	}
	assert_int_equal(chmod(cache, 0500), 0);
	assert_false(rule_cache_write(cache, key, &entry));
	assert_true(there(cache, key));
	assert_int_equal(chmod(cache, 0700), 0);
	if (root_user)
		assert_int_equal(seteuid(0), 0);
	/* A file is in the way. */
	put(in_root("file"), "x", 1);
	assert_false(rule_cache_write(in_root("file"), key, &entry));
	assert_false(rule_cache_write(in_root("file/cache"), key, &entry));
}

static void the_folder_is_where_caches_are(void **state)
{
	static const struct {
		const char *data_dir, *xdg, *home, *path; /* NULL: none */
	} rows[] = {
		{ "/data", "/cache", "/home/ada", "/data/cache" },
		{ NULL, "/cache", "/home/ada", "/cache/pipeline-guard" },
		{ NULL, NULL, "/home/ada", "/home/ada/.cache/pipeline-guard" },
		{ NULL, "here", "/home/ada", "/home/ada/.cache/pipeline-guard" },
		{ NULL, "", "", NULL },
		{ NULL, NULL, NULL, NULL },
	};
	char long_name[2 * RULE_CACHE_PATH_MAX], out[RULE_CACHE_PATH_MAX];

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		(void)(rows[i].xdg ? setenv("XDG_CACHE_HOME", rows[i].xdg, 1)
				   : unsetenv("XDG_CACHE_HOME"));
		(void)(rows[i].home ? setenv("HOME", rows[i].home, 1) : unsetenv("HOME"));
		if (!rows[i].path) {
			assert_false(rule_cache_folder(rows[i].data_dir, out));
			continue;
		}
		assert_true(rule_cache_folder(rows[i].data_dir, out));
		assert_string_equal(out, rows[i].path);
	}
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_false(rule_cache_folder(long_name, out));
}

/* --- with rules -------------------------------------------------------------------- */

/* With short literals: those are the engine's part, and what is kept. */
static const char shop[] = "rules:\n"
			   "  - {id: rate, category: build_failure, confidence: 0.9, title: x, "
			   "regex: 'no rate', positive: ['error: no rate'], "
			   "negative: ['rate']}\n"
			   "  - {id: cart, category: test_failure, confidence: 0.8, title: y, "
			   "regex: 'cart is .{1,9} empty', positive: ['cart is quite empty'], "
			   "negative: ['cart']}\n";

static struct detector *load(const char *yaml, bool *cached)
{
	struct detector *d = NULL;
	struct err err;

	(void)mkdir(in_root("rules"), 0700);
	put(in_root("rules/shop.yaml"), yaml, strlen(yaml));
	assert_ok(detector_new(in_root("rules"), cache, &d, &err), &err);
	*cached = detector_is_from_cache(d);
	return d;
}

static char *answer(const struct detector *d)
{
	static const char log[] = "all well\ncart is not empty\nerror: no rate\n";
	OWNED(arena_freep) struct arena *a = arena_new();
	OWNED(json_putp) struct json_object *o = NULL;
	struct detect_input in = { .text = log, .len = strlen(log) };
	struct finding f;

	detector_scan(d, &in, a, &f);
	f.scan_ms = 0;
	o = finding_to_json(&f);
	return xstrdup(json_text(o));
}

static void expect(const char *yaml, bool from_cache, char **says)
{
	bool cached;
	OWNED(detector_freep) struct detector *d = load(yaml, &cached);

	if (detector_is_one_pass(d))
		assert_int_equal(cached, from_cache);
	free(*says);
	*says = answer(d);
}

/* The place that the rules took, whatever their key. */
static const char *kept_file(void)
{
	static char path[200];

	for (unsigned i = 0; i < RULE_CACHE_SLOTS; i++) {
		(void)snprintf(path, sizeof(path), "%s/rules-%u.cache", cache, i);
		if (access(path, F_OK) == 0)
			return path;
	}
	return NULL;
}

static void rules_from_the_cache_answer_the_same(void **state)
{
	OWNED(freep) char *fresh = NULL;
	OWNED(freep) char *cached = NULL;

	UNUSED(state);
	expect(shop, false, &fresh);
	assert_non_null(strstr(fresh, "\"rate\""));
	expect(shop, true, &cached);
	assert_string_equal(fresh, cached);
}

static void other_rules_are_compiled(void **state)
{
	OWNED(freep) char *yaml = xstrdup(shop);
	OWNED(freep) char *says = NULL;

	UNUSED(state);
	expect(shop, false, &says);
	*strstr(strstr(yaml, "regex: 'no"), "rate") = 'd';
	*strstr(strstr(yaml, "positive: ['error"), "rate") = 'd';
	expect(yaml, false, &says);
	assert_null(strstr(says, "\"rate\""));
	/* The order of rules is part of what was compiled. */
	expect("rules:\n"
	       "  - {id: cart, category: test_failure, confidence: 0.8, title: y, "
	       "regex: 'cart is .{1,9} empty', positive: ['cart is quite empty'], "
	       "negative: ['cart']}\n"
	       "  - {id: rate, category: build_failure, confidence: 0.9, title: x, "
	       "regex: 'no rate', positive: ['error: no rate'], negative: ['rate']}\n",
	       false, &says);
	assert_non_null(strstr(says, "\"rate\""));
}

static void a_damaged_cache_is_made_anew(void **state)
{
	OWNED(freep) char *fresh = NULL;
	OWNED(freep) char *says = NULL;

	UNUSED(state);
	expect(shop, false, &fresh);
	if (!kept_file()) /* a build without the one-pass engine */
		skip();
	put(kept_file(), "garbage", 7);
	expect(shop, false, &says);
	assert_string_equal(fresh, says);
	expect(shop, true, &says);
	assert_string_equal(fresh, says);
}

#define ENTRY_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ENTRY_TEST(what_was_kept_is_found),
		ENTRY_TEST(another_key_finds_nothing),
		ENTRY_TEST(damage_is_noticed_at_every_byte),
		ENTRY_TEST(what_others_can_write_is_not_trusted),
		ENTRY_TEST(what_belongs_to_another_user_is_not_trusted),
		ENTRY_TEST(a_folder_that_cannot_be_written_is_no_fault),
		ENTRY_TEST(rules_from_the_cache_answer_the_same),
		ENTRY_TEST(other_rules_are_compiled),
		ENTRY_TEST(a_damaged_cache_is_made_anew),
		cmocka_unit_test(the_folder_is_where_caches_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
