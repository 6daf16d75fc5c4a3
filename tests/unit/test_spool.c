/* The spool: what was synced survives everything, in order; what cannot be kept is said so. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "receiver/spool.h"
#include "receiver/spool_segment.h"
#include "tests/unit/unit.h"

enum { MANY = 600, BIG = 1 << 30 };

static char dir[64];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	UNUSED(st);
	UNUSED(type);
	UNUSED(ftw);
	return remove(path);
}

static int set_up(void **state)
{
	UNUSED(state);
	(void)snprintf(dir, sizeof(dir), "/tmp/guard-spool-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	UNUSED(state);
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct spool *open_spool(uint64_t max_bytes)
{
	struct spool *s = NULL;
	struct err err;

	assert_ok(spool_open(dir, max_bytes, &s, &err), &err);
	return s;
}

static void put(struct spool *s, const char *text)
{
	struct err err;

	assert_ok(spool_append(s, text, strlen(text), &err), &err);
}

static void sync_now(struct spool *s)
{
	struct err err;

	assert_ok(spool_sync(s, &err), &err);
}

static void expect(struct spool *s, const char *text)
{
	struct spool_record r;

	if (!spool_next(s, &r))
		fail_msg("no record where \"%s\" was expected", text);
	if (r.n != strlen(text) || memcmp(r.data, text, r.n) != 0)
		fail_msg("\"%.*s\" where \"%s\" was expected", (int)r.n, r.data, text);
	assert_true(r.at_ms > 1600000000000);
}

static void expect_nothing(struct spool *s)
{
	struct spool_record r;

	assert_false(spool_next(s, &r));
}

/* Runs fn in a process that ends without any clean-up. */
static void in_a_process_that_dies(void (*fn)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		fn();
		(void)raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* The only segment below dir. */
static void find_segment(char out[static 400])
{
	char pattern[200];
	DIR *d = opendir(dir);
	struct dirent *e;

	out[0] = '\0';
	while (d && (e = readdir(d))) {
		DIR *in;
		struct dirent *f;

		if (strncmp(e->d_name, "w-", 2) != 0)
			continue;
		(void)snprintf(pattern, sizeof(pattern), "%s/%.60s", dir, e->d_name);
		in = opendir(pattern);
		while (in && (f = readdir(in)))
			if (strstr(f->d_name, ".seg"))
				(void)snprintf(out, 400, "%s/%.60s", pattern, f->d_name);
		if (in)
			(void)closedir(in);
	}
	if (d)
		(void)closedir(d);
	assert_true(out[0] != '\0');
}

static void gives_back_in_order_what_was_synced(void **state)
{
	OWNED(spool_closep) struct spool *s = open_spool(BIG);
	char text[32];

	UNUSED(state);
	assert_true(spool_empty(s));
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(text, sizeof(text), "record %d", i);
		put(s, text);
		if (i % 7 == 0)
			sync_now(s);
	}
	sync_now(s);
	assert_false(spool_empty(s));
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(text, sizeof(text), "record %d", i);
		expect(s, text);
		spool_release(s, 1);
	}
	expect_nothing(s);
	assert_true(spool_empty(s));
	assert_int_equal(spool_bytes(s), 0);
}

static void hides_what_is_not_synced(void **state)
{
	OWNED(spool_closep) struct spool *s = open_spool(BIG);

	UNUSED(state);
	put(s, "not yet");
	expect_nothing(s);
	assert_true(spool_empty(s));
	sync_now(s);
	expect(s, "not yet");
}

static void reads_again_what_was_not_released(void **state)
{
	OWNED(spool_closep) struct spool *s = open_spool(BIG);

	UNUSED(state);
	put(s, "a");
	put(s, "b");
	put(s, "c");
	sync_now(s);
	expect(s, "a");
	expect(s, "b");
	expect(s, "c");
	spool_release(s, 1);
	spool_rewind(s);
	expect(s, "b");
	expect(s, "c");
	expect_nothing(s);
	spool_release(s, 2);
	assert_true(spool_empty(s));
}

static void goes_on_while_it_is_read(void **state)
{
	OWNED(spool_closep) struct spool *s = open_spool(BIG);

	UNUSED(state);
	put(s, "first");
	sync_now(s);
	expect(s, "first");
	put(s, "second");
	sync_now(s);
	spool_release(s, 1);
	expect(s, "second");
	spool_release(s, 1);
	assert_true(spool_empty(s));
}

static void die_with_three_synced_and_one_not(void)
{
	struct spool *s = open_spool(BIG);

	put(s, "one");
	put(s, "two");
	sync_now(s);
	put(s, "three");
	sync_now(s);
	put(s, "never acknowledged");
}

static void inherits_from_a_writer_that_was_killed(void **state)
{
	OWNED(spool_closep) struct spool *s = NULL;

	UNUSED(state);
	in_a_process_that_dies(die_with_three_synced_and_one_not);
	s = open_spool(BIG);
	assert_int_equal(spool_adopt(s), 1);
	assert_int_equal(spool_adopt(s), 0);
	put(s, "four");
	sync_now(s);
	expect(s, "one");
	expect(s, "two");
	expect(s, "three");
	spool_release(s, 3);
	expect(s, "four");
	spool_release(s, 1);
	expect_nothing(s);
	assert_true(spool_empty(s));
}

static void leaves_a_living_writer_alone(void **state)
{
	OWNED(spool_closep) struct spool *a = open_spool(BIG);
	OWNED(spool_closep) struct spool *b = open_spool(BIG);

	UNUSED(state);
	put(a, "mine");
	sync_now(a);
	assert_int_equal(spool_adopt(b), 0);
	expect_nothing(b);
	expect(a, "mine");
}

static void leaves_nothing_behind_when_it_is_empty(void **state)
{
	struct spool *s = open_spool(BIG);
	struct dirent **names = NULL;
	int n;

	UNUSED(state);
	spool_close(s);
	n = scandir(dir, &names, NULL, alphasort);
	assert_int_equal(n, 2);
	free(names[0]);
	free(names[1]);
	free(names);
}

/* A crash may cut the file anywhere: whole records before the cut are found, and nothing else. */
static void survives_a_cut_at_any_byte(void **state)
{
	static const char *const texts[] = { "alpha", "", "gamma gamma", "delta" };
	OWNED(buf_done) struct buf file;
	size_t ends[ARRAY_LEN(texts)];

	UNUSED(state);
	buf_init(&file, 1 << 20);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		segment_frame(&file, texts[i], strlen(texts[i]), 1700000000000);
		ends[i] = file.len;
	}
	for (size_t cut = 0; cut <= file.len; cut++) {
		struct spool_record r;
		uint64_t damaged = 0;
		size_t at = 0, n = 0, whole = 0;

		while (whole < ARRAY_LEN(texts) && ends[whole] <= cut)
			whole++;
		while (segment_next(file.data, cut, &at, &r, &damaged)) {
			assert_int_equal(r.n, strlen(texts[n]));
			assert_memory_equal(r.data, texts[n], r.n);
			n++;
		}
		assert_int_equal(n, whole);
		assert_int_equal(damaged, 0);
	}
}

/* A damaged record costs itself; those around it are found. */
static void survives_a_flipped_bit_at_any_byte(void **state)
{
	static const char *const texts[] = { "alpha", "beta", "gamma" };
	OWNED(buf_done) struct buf file;
	size_t ends[ARRAY_LEN(texts)];

	UNUSED(state);
	buf_init(&file, 1 << 20);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		segment_frame(&file, texts[i], strlen(texts[i]), 1700000000000);
		ends[i] = file.len;
	}
	for (size_t byte = 0; byte < file.len; byte++) {
		struct spool_record r;
		uint64_t damaged = 0;
		size_t at = 0, n = 0, hit = 0;

		while (ends[hit] <= byte)
			hit++;
		file.data[byte] ^= 0x10;
		for (; segment_next(file.data, file.len, &at, &r, &damaged); n++) {
			size_t i = n + (n >= hit);
			const char *text = i < ARRAY_LEN(texts) ? texts[i] : "one too many";

			assert_int_equal(r.n, strlen(text));
			assert_memory_equal(r.data, text, r.n);
		}
		file.data[byte] ^= 0x10;
		assert_int_equal(n, ARRAY_LEN(texts) - 1);
		/* At the very end damage may look like a crash. */
		assert_true(damaged > 0 || hit == ARRAY_LEN(texts) - 1);
	}
}

static void die_with_two_synced(void)
{
	struct spool *s = open_spool(BIG);

	put(s, "good");
	sync_now(s);
	put(s, "bad");
	put(s, "good too");
	sync_now(s);
}

static void keeps_a_damaged_segment_for_people(void **state)
{
	OWNED(spool_closep) struct spool *s = NULL;
	struct dirent **names = NULL;
	char path[400];
	int fd, n, aside = 0;

	UNUSED(state);
	in_a_process_that_dies(die_with_two_synced);
	find_segment(path);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "X", 1, SEGMENT_MAGIC_BYTES + 2 * SEGMENT_RECORD_HEAD + 4), 1);
	(void)close(fd);
	s = open_spool(BIG);
	assert_int_equal(spool_adopt(s), 1);
	expect(s, "good");
	expect(s, "good too");
	spool_release(s, 2);
	assert_true(spool_empty(s));
	assert_true(spool_damaged(s) > 0);
	n = scandir(dir, &names, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		aside += strncmp(names[i]->d_name, "damaged-", 8) == 0;
		free(names[i]);
	}
	free(names);
	assert_int_equal(aside, 1);
}

static void leaves_the_files_of_another_layout(void **state)
{
	OWNED(spool_closep) struct spool *s = NULL;
	char path[400];
	int fd;

	UNUSED(state);
	in_a_process_that_dies(die_with_two_synced);
	find_segment(path);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "PGSPOOL9", 8, 0), 8);
	(void)close(fd);
	s = open_spool(BIG);
	assert_int_equal(spool_adopt(s), 0);
	expect_nothing(s);
	assert_int_equal(access(path, F_OK), 0);
}

/* The clock went back since: the name of what is inherited lies in the future. */
static void what_is_inherited_comes_first_whatever_the_clock_says(void **state)
{
	OWNED(spool_closep) struct spool *s = NULL;
	OWNED(freep) char *text = xcalloc(1, SPOOL_RECORD_MAX);
	char path[400], later[400];
	struct spool_record r;
	struct err err;

	UNUSED(state);
	in_a_process_that_dies(die_with_two_synced);
	find_segment(path);
	(void)snprintf(later, sizeof(later), "%.*s/%s", (int)(strrchr(path, '/') - path), path,
		       "4102444800000-00000000-0123456789ab.seg");
	assert_int_equal(rename(path, later), 0);
	s = open_spool(BIG);
	assert_int_equal(spool_adopt(s), 1);
	/* More than one file, so that one of them gets in line. */
	for (int i = 0; i < SPOOL_SEGMENT_BYTES / SPOOL_RECORD_MAX + 2; i++) {
		assert_ok(spool_append(s, text, SPOOL_RECORD_MAX, &err), &err);
		sync_now(s);
	}
	expect(s, "good");
	expect(s, "bad");
	expect(s, "good too");
	spool_release(s, 3);
	assert_true(spool_next(s, &r));
	assert_int_equal(r.n, SPOOL_RECORD_MAX);
}

/* Somebody cleans up below us: what is said to be kept is kept from then on. */
static void makes_its_folders_again(void **state)
{
	OWNED(spool_closep) struct spool *s = open_spool(BIG);
	OWNED(spool_closep) struct spool *next = NULL;

	UNUSED(state);
	put(s, "is gone");
	sync_now(s);
	assert_int_equal(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	put(s, "is kept");
	sync_now(s);
	expect(s, "is kept");
	assert_int_equal(spool_damaged(s) > 0, 1);
	spool_close(TAKE(s));
	next = open_spool(BIG);
	assert_int_equal(spool_adopt(next), 1);
	expect(next, "is kept");
}

static void refuses_a_folder_that_others_can_write(void **state)
{
	struct spool *s = NULL;
	struct err err;

	UNUSED(state);
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(spool_open(dir, BIG, &s, &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_non_null(strstr(err.msg, "chmod o-w"));
	assert_int_equal(chmod(dir, 0770), 0);
	assert_ok(spool_open(dir, BIG, &s, &err), &err);
	spool_close(s);
}

/* A pipe nobody writes to, a link, a folder: none of them is waited for or followed. */
static void takes_nothing_but_files(void **state)
{
	static const char *const names[] = { "1-pipe.seg", "2-link.seg", "3-folder.seg" };
	OWNED(spool_closep) struct spool *s = open_spool(BIG);
	char path[200], target[200];

	UNUSED(state);
	(void)snprintf(target, sizeof(target), "%s/w-dead", dir);
	assert_int_equal(mkdir(target, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/w-dead/%s", dir, names[0]);
	assert_int_equal(mkfifo(path, 0600), 0);
	(void)snprintf(path, sizeof(path), "%s/w-dead/%s", dir, names[1]);
	assert_int_equal(symlink("/etc/hostname", path), 0);
	(void)snprintf(path, sizeof(path), "%s/w-dead/%s", dir, names[2]);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(spool_adopt(s), 0);
	expect_nothing(s);
	assert_int_equal(spool_damaged(s), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct stat st;

		(void)snprintf(path, sizeof(path), "%s/w-dead/%s", dir, names[i]);
		assert_int_equal(lstat(path, &st), 0);
	}
}

static void what_is_put_back_comes_last(void **state)
{
	OWNED(spool_closep) struct spool *s = open_spool(300);
	char text[100];
	struct spool_record r;
	struct err err;

	UNUSED(state);
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	put(s, text);
	put(s, "second");
	sync_now(s);
	assert_true(spool_next(s, &r));
	assert_true(spool_more(s));
	/* Also where the cap would leave no room for a new one. */
	for (int i = 0; i < 3; i++)
		assert_ok(spool_put_back(s, text, strlen(text), &err), &err);
	assert_int_equal(spool_append(s, text, sizeof(text), &err), -1);
	sync_now(s);
	spool_release(s, 1);
	expect(s, "second");
	assert_true(spool_more(s));
	spool_release(s, 1);
	for (int i = 0; i < 3; i++)
		expect(s, text);
	assert_false(spool_more(s));
}

static void says_when_it_is_full(void **state)
{
	OWNED(spool_closep) struct spool *s = open_spool(300);
	char text[100];
	struct err err;

	UNUSED(state);
	memset(text, 'x', sizeof(text));
	assert_ok(spool_append(s, text, sizeof(text), &err), &err);
	assert_ok(spool_append(s, text, sizeof(text), &err), &err);
	assert_int_equal(spool_append(s, text, sizeof(text), &err), -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
	assert_non_null(strstr(err.msg, "full"));
	sync_now(s);
	assert_int_equal(spool_append(s, text, sizeof(text), &err), -1);
	for (int i = 0; i < 2; i++) {
		struct spool_record r;

		assert_true(spool_next(s, &r));
	}
	spool_release(s, 2);
	assert_ok(spool_append(s, text, sizeof(text), &err), &err);
}

static void refuses_a_record_over_the_cap(void **state)
{
	OWNED(spool_closep) struct spool *s = open_spool(BIG);
	OWNED(freep) char *text = xcalloc(1, SPOOL_RECORD_MAX + 1);
	struct err err;

	UNUSED(state);
	assert_ok(spool_append(s, text, SPOOL_RECORD_MAX, &err), &err);
	assert_int_equal(spool_append(s, text, SPOOL_RECORD_MAX + 1, &err), -1);
	assert_int_equal(err.kind, ERR_BUG);
}

/* A file-size limit stands for the full disk: the write comes back short, then fails. */
static void takes_back_what_does_not_fit_on_the_disk(void **state)
{
	OWNED(spool_closep) struct spool *s = open_spool(BIG);
	struct rlimit was, small;
	char text[1000];
	struct err err;

	UNUSED(state);
	put(s, "before");
	sync_now(s);
	memset(text, 'x', sizeof(text));
	(void)getrlimit(RLIMIT_FSIZE, &was);
	small = was;
	small.rlim_cur = 500;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_ok(spool_append(s, text, sizeof(text), &err), &err);
	assert_int_equal(spool_sync(s, &err), -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	put(s, "after");
	sync_now(s);
	expect(s, "before");
	spool_release(s, 1);
	expect(s, "after");
	spool_release(s, 1);
	expect_nothing(s);
	assert_int_equal(spool_damaged(s), 0);
}

static void begins_a_new_file_when_one_is_long(void **state)
{
	OWNED(spool_closep) struct spool *s = open_spool(BIG);
	OWNED(freep) char *text = xmalloc(SPOOL_RECORD_MAX);
	size_t n = 2 * SPOOL_SEGMENT_BYTES / SPOOL_RECORD_MAX + 5, got = 0;
	struct spool_record r;
	struct err err;

	UNUSED(state);
	memset(text, 'y', SPOOL_RECORD_MAX);
	for (size_t i = 0; i < n; i++) {
		text[0] = (char)('A' + i % 26);
		assert_ok(spool_append(s, text, SPOOL_RECORD_MAX, &err), &err);
		sync_now(s);
	}
	while (spool_next(s, &r)) {
		assert_int_equal(r.n, SPOOL_RECORD_MAX);
		assert_int_equal(r.data[0], 'A' + got % 26);
		spool_release(s, 1);
		got++;
	}
	assert_int_equal(got, n);
	assert_int_equal(spool_bytes(s), 0);
}

struct seen {
	size_t segments, alive, records;
};

static void count_segment(const struct spool_segment *seg, void *arg)
{
	struct seen *seen = arg;

	seen->segments++;
	seen->alive += seg->alive;
	seen->records += seg->records;
	assert_true(seg->oldest_ms > 1600000000000 && seg->newest_ms >= seg->oldest_ms);
}

static void can_be_looked_at_without_being_touched(void **state)
{
	OWNED(spool_closep) struct spool *s = NULL;
	struct seen seen = { 0 };
	struct err err;

	UNUSED(state);
	in_a_process_that_dies(die_with_two_synced);
	s = open_spool(BIG);
	put(s, "alive");
	sync_now(s);
	for (int i = 0; i < 2; i++) {
		seen = (struct seen){ 0 };
		assert_ok(spool_look(dir, count_segment, NULL, &seen, &err), &err);
		assert_int_equal(seen.segments, 2);
		assert_int_equal(seen.alive, 1);
		assert_int_equal(seen.records, 4);
	}
	assert_int_equal(spool_look("/nonexistent", count_segment, NULL, &seen, &err), -1);
}

static void says_why_a_folder_cannot_be_used(void **state)
{
	struct spool *s = NULL;
	struct err err;

	UNUSED(state);
	assert_int_equal(spool_open("/proc/nowhere", BIG, &s, &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_null(s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(gives_back_in_order_what_was_synced),
		T(hides_what_is_not_synced),
		T(reads_again_what_was_not_released),
		T(goes_on_while_it_is_read),
		T(inherits_from_a_writer_that_was_killed),
		T(leaves_a_living_writer_alone),
		T(leaves_nothing_behind_when_it_is_empty),
		T(survives_a_cut_at_any_byte),
		T(survives_a_flipped_bit_at_any_byte),
		T(keeps_a_damaged_segment_for_people),
		T(leaves_the_files_of_another_layout),
		T(what_is_inherited_comes_first_whatever_the_clock_says),
		T(makes_its_folders_again),
		T(refuses_a_folder_that_others_can_write),
		T(takes_nothing_but_files),
		T(what_is_put_back_comes_last),
		T(says_when_it_is_full),
		T(refuses_a_record_over_the_cap),
		T(takes_back_what_does_not_fit_on_the_disk),
		T(begins_a_new_file_when_one_is_long),
		T(can_be_looked_at_without_being_touched),
		T(says_why_a_folder_cannot_be_used),
#undef T
	};

	(void)sigaction(SIGXFSZ, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
