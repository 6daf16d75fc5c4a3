#include "dispatcher/log_clean.h"

#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/text.h"
#include "unit.h"

/* "number:flags:text\n" for every cleaned line, so that two ways of feeding can be compared. */
static void drain(struct log_clean *c, struct buf *out)
{
	size_t len, n;
	const char *text = log_clean_text(c, &len);
	const struct clean_line *lines = log_clean_lines(c, &n);

	for (size_t i = 0; i < n; i++) {
		assert_true(lines[i].start + lines[i].len < len);
		assert_int_equal(text[lines[i].start + lines[i].len], '\n');
		buf_printf(out, "%llu:%x:%.*s\n", (unsigned long long)lines[i].number,
			   lines[i].flags, lines[i].len, text + lines[i].start);
	}
	log_clean_reset(c);
}

static void free_clean(struct log_clean **c)
{
	log_clean_free(*c);
}

static void clean_in_pieces(const char *log, size_t n, size_t piece, struct buf *out)
{
	OWNED(free_clean) struct log_clean *c = log_clean_new(0);

	for (size_t at = 0; at < n;) {
		size_t most = n - at < piece ? n - at : piece;
		size_t taken = log_clean_feed(c, log + at, most);

		at += taken;
		if (taken < most)
			drain(c, out);
	}
	log_clean_end(c);
	drain(c, out);
}

static const char *clean(const char *log, size_t n, struct buf *out)
{
	buf_init(out, 64 << 20);
	clean_in_pieces(log, n, n ? n : 1, out);
	return out->len ? out->data : "";
}

static void every_ci_system_is_read_alike(void **state)
{
	static const struct {
		const char *why, *log, *want;
	} cases[] = {
		{ "plain", "make\nerror: no rule\n", "1:0:make\n2:0:error: no rule\n" },
		{ "no newline at the end", "one\ntwo", "1:0:one\n2:0:two\n" },
		{ "empty lines count but are left out", "a\n\n\nb\n", "1:0:a\n4:0:b\n" },
		{ "windows line ends are one line", "a\r\nb\r\n", "1:0:a\n2:0:b\n" },
		{ "github: time and step",
		  "2026-03-01T10:11:12.1234567Z ##[group]Run make test\n"
		  "2026-03-01T10:11:12.2234567Z ##[endgroup]\n"
		  "2026-03-01T10:11:13.0000000Z ok 1\n"
		  "2026-03-01T10:11:14.0000000Z ##[error]Process completed with exit code 2.\n",
		  "1:c:Run make test\n3:0:ok 1\n4:1:Process completed with exit code 2.\n" },
		{ "github: annotations",
		  "::error file=tax.c,line=3::no rate\n::warning::old rate\n",
		  "1:1:no rate\n2:2:old rate\n" },
		{ "github: groups of a tool are no steps", "##[group]Fetching\n::group::Deps\n",
		  "1:4:Fetching\n2:4:Deps\n" },
		{ "byte order mark",
		  "\xef\xbb\xbf"
		  "2026-03-01T10:11:12.1Z hello\n",
		  "1:0:hello\n" },
		{ "gitlab: sections and streams",
		  "section_start:1700000000:build_script\r\033[0K\033[0;m$ make\n"
		  "2026-03-01T10:11:12.123456Z 01E error: no rule\n"
		  "section_end:1700000009:build_script\r\033[0K\n",
		  "1:8:\n1:4:$ make\n2:0:error: no rule\n" },
		{ "jenkins: pipeline lines",
		  "[Pipeline] { (Test)\n[Pipeline] sh\n+ make test\n[2026-03-01T10:11:12.123Z] "
		  "no\n",
		  "1:8:\n3:4:+ make test\n4:0:no\n" },
		{ "jenkins: two spaces after the hour, more belong to the line",
		  "10:11:12  + make\n10:11:13  error: no\n10:11:14    at tax.c\n10:11:15 ok\n",
		  "1:4:+ make\n2:0:error: no\n3:0:  at tax.c\n4:0:ok\n" },
		{ "jenkins: tidying up is no stage, a block no step",
		  "[Pipeline] stage\n[Pipeline] { (Declarative: Post Actions)\n[Pipeline] {\nno\n",
		  "4:0:no\n" },
		{ "buildkit: the step's number and seconds",
		  "#12 4.567 no\n#8 ERROR: no\n#1 is a number\n2026-03-01T10:11:12.1Z #7 12.34 "
		  "make\n#9 1.2\n",
		  "1:0:no\n2:0:#8 ERROR: no\n3:0:#1 is a number\n4:0:make\n5:0:#9 1.2\n" },
		{ "azure: a section is a step", "##[section]Starting: Build\n",
		  "1:c:Starting: Build\n" },
		{ "travis: folds",
		  "travis_fold:start:install\r\033[0Ktravis_time:start:1a2b\r\033[0K$ ./install\n"
		  "travis_time:end:1a2b:start=1,finish=2\r\033[0Kdone\n",
		  "1:8:\n1:4:$ ./install\n2:0:done\n" },
		{ "harness: two times and a level",
		  "[task 2026-03-01T10:11:12.123Z] 10:11:12    ERROR - no rate\n"
		  "10:11:12     INFO - all is well\n",
		  "1:1:no rate\n2:0:all is well\n" },
		{ "a level without a time is text", "ERROR - no rate\n", "1:0:ERROR - no rate\n" },
		{ "kernel: seconds since boot", "[   12.345678] Kernel panic\n",
		  "1:0:Kernel panic\n" },
		{ "a time inside a line stays", "at 10:11:12 it broke\n",
		  "1:0:at 10:11:12 it broke\n" },
		{ "a number that looks like a time stays", "10:11:123 is no time\n",
		  "1:0:10:11:123 is no time\n" },
		{ "warnings of tools", "[WARNING] old\nnpm WARN old\n",
		  "1:2:[WARNING] old\n2:2:npm WARN old\n" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWNED(buf_done) struct buf out;
		const char *got = clean(cases[i].log, strlen(cases[i].log), &out);

		if (strcmp(got, cases[i].want) != 0)
			fail_msg("row \"%s\": got\n%s", cases[i].why, got);
	}
}

static void terminal_noise_is_removed(void **state)
{
	static const struct {
		const char *why, *log;
		size_t n;
		const char *want;
	} cases[] = {
#define ROW(why, log, want) { why, log, sizeof(log) - 1, want }
		ROW("colours", "\033[31;1merror\033[0m: no\n", "1:0:error: no\n"),
		ROW("title, ended by bell", "\033]0;make\aerror\n", "1:0:error\n"),
		ROW("link, ended by ESC backslash", "\033]8;;http://x\033\\text\n", "1:0:text\n"),
		ROW("escape that never ends", "a\033[31", "1:0:a\n"),
		ROW("title that never ends", "a\033]0;x\n", "1:0:a\n"),
		ROW("escape at the very end", "a\033", "1:0:a\n"),
		ROW("two-byte escape", "\0337a\0338\n", "1:0:a\n"),
		ROW("progress by carriage return", " 10%\r 50%\r100%\ndone\n",
		    "1:0: 10%\n1:0: 50%\n1:0:100%\n2:0:done\n"),
		ROW("only carriage returns", "a\rb\rc", "1:0:a\n1:0:b\n1:0:c\n"),
		ROW("backspaces", "12%\b\b\b99%\n", "1:0:99%\n"),
		ROW("more backspaces than text", "a\b\b\bb\n", "1:0:b\n"),
		ROW("NUL and control bytes", "a\0b\001c\177d\n", "1:0:abcd\n"),
		ROW("invalid UTF-8",
		    "a\xff"
		    "b\xc3"
		    "c\n",
		    "1:0:a?b?c\n"),
		ROW("a surrogate and an overlong form", "\xed\xa0\x80|\xc0\xaf\n", "1:0:???|??\n"),
		ROW("valid UTF-8 stays", "naïve ✗ 🙂\n", "1:0:naïve ✗ 🙂\n"),
		ROW("tabs stay", "\tat x\n", "1:0:\tat x\n"),
		ROW("nothing but escapes", "\033[0m\n\033[K\nx\n", "3:0:x\n"),
#undef ROW
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWNED(buf_done) struct buf out;
		const char *got = clean(cases[i].log, cases[i].n, &out);

		if (strcmp(got, cases[i].want) != 0)
			fail_msg("row \"%s\": got\n%s", cases[i].why, got);
	}
}

static void empty_logs_have_no_lines(void **state)
{
	OWNED(buf_done) struct buf out;

	UNUSED(state);
	assert_string_equal(clean("", 0, &out), "");
}

/* From both sides of the limit, and the rest of the line does not become another one. */
static void a_long_line_is_cut_once(void **state)
{
	UNUSED(state);
	for (size_t len = CLEAN_LINE_MAX - 1; len <= CLEAN_LINE_MAX + 1; len++) {
		OWNED(freep) char *log = xmalloc(len + 8);
		OWNED(free_clean) struct log_clean *c = log_clean_new(0);
		const struct clean_line *lines;
		size_t n;

		memset(log, 'x', len);
		memcpy(log + len, "\nafter\n", 8);
		(void)log_clean_feed(c, log, len + 7);
		lines = log_clean_lines(c, &n);
		assert_int_equal(n, 2);
		assert_int_equal(lines[0].len, len < CLEAN_LINE_MAX ? len : CLEAN_LINE_MAX);
		assert_int_equal(lines[1].number, 2);
		assert_int_equal(lines[1].len, 5);
	}
}

static void a_megabyte_in_one_line_is_one_line(void **state)
{
	enum { MEGABYTE = 1 << 20 };
	OWNED(freep) char *log = xmalloc(MEGABYTE);
	OWNED(free_clean) struct log_clean *c = log_clean_new(41);
	const struct clean_line *lines;
	size_t n;

	UNUSED(state);
	memset(log, 'y', MEGABYTE);
	assert_int_equal(log_clean_feed(c, log, MEGABYTE), MEGABYTE);
	log_clean_end(c);
	lines = log_clean_lines(c, &n);
	assert_int_equal(n, 1);
	assert_int_equal(lines[0].number, 42);
	assert_int_equal(lines[0].len, CLEAN_LINE_MAX);
	assert_true(lines[0].flags & CLEAN_CUT);
}

static void a_cut_does_not_split_a_character(void **state)
{
	OWNED(freep) char *log = xmalloc(CLEAN_LINE_MAX + 8);
	OWNED(free_clean) struct log_clean *c = log_clean_new(0);
	const struct clean_line *lines;
	const char *text;
	size_t n, len;

	UNUSED(state);
	memset(log, 'x', CLEAN_LINE_MAX - 1);
	memcpy(log + CLEAN_LINE_MAX - 1, "é and more", 8);
	(void)log_clean_feed(c, log, CLEAN_LINE_MAX + 7);
	log_clean_end(c);
	text = log_clean_text(c, &len);
	lines = log_clean_lines(c, &n);
	assert_true(utf8_valid((const unsigned char *)text, lines[0].len));
	assert_int_equal(lines[0].len, CLEAN_LINE_MAX - 1);
}

/* Every kind of border: within escapes, characters, marks, times, line ends, keys. */
static void pieces_do_not_matter(void **state)
{
	static const char log[] =
		"\xef\xbb\xbf"
		"2026-03-01T10:11:12.1234567Z ##[group]Run make\r\n"
		"2026-03-01T10:11:13.0Z \033[31mnaïve 🙂\033[0m \033]0;t\a\xf0\x9f\xff\n"
		"section_start:1:x\r\033[0K$ make\n\n"
		"10%\r20%\rdone\n"
		"-----BEGIN RSA PRIVATE KEY-----\nTUlJRXBB\n-----END RSA PRIVATE KEY-----\n"
		"10:11:12 ERROR - no\nlast";
	OWNED(buf_done) struct buf whole;

	UNUSED(state);
	(void)clean(log, sizeof(log) - 1, &whole);
	for (size_t piece = 1; piece < 12; piece++) {
		OWNED(buf_done) struct buf out;

		buf_init(&out, 1 << 20);
		clean_in_pieces(log, sizeof(log) - 1, piece, &out);
		assert_string_equal(out.data, whole.data);
	}
}

/* The text is looked at in stretches: a line may begin and end anywhere in one, or go on in the
 * next.
 */
static void a_line_is_read_alike_wherever_it_lies(void **state)
{
	enum { BEFORE = 140 };
	static const char *const ends[] = { "\n", "\r\n" };
	static const struct {
		const char *line, *want;
	} cases[] = {
		{ "x", "2:0:x\n" },
		{ "an ordinary line of more than sixty-four bytes, which is more than a stretch",
		  "2:0:an ordinary line of more than sixty-four bytes, which is more than a "
		  "stretch\n" },
		{ "2026-03-01T10:11:12.1Z text", "2:0:text\n" },
		{ "##[error]text", "2:1:text\n" },
		{ "warning: text", "2:2:warning: text\n" },
		{ "\033[31;1mred\033[0m and na\303\257ve\033[K", "2:0:red and na\303\257ve\n" },
		{ "", "" },
	};
	char x[BEFORE + 1];

	UNUSED(state);
	memset(x, 'x', sizeof(x));
	for (size_t i = 0; i < 2 * BEFORE * ARRAY_LEN(cases); i++) {
		const char *end = ends[i % 2], *line = cases[i / 2 / BEFORE].line;
		int before = 1 + (int)(i / 2 % BEFORE);
		OWNED(buf_done) struct buf log, out, want;

		buf_init(&log, 1 << 20);
		buf_printf(&log, "%.*s%s%s%snext%s", before, x, end, line, end, end);
		buf_init(&want, 1 << 20);
		buf_printf(&want, "1:0:%.*s\n%s3:0:next\n", before, x, cases[i / 2 / BEFORE].want);
		assert_string_equal(clean(log.data, log.len, &out), want.data);
	}
}

/* What has one byte that no time has is text. */
static void a_time_is_one_in_every_byte(void **state)
{
	static const struct {
		const char *line;
		size_t time;
	} cases[] = { { "2026-03-01T10:11:12 text", 19 }, { "10:11:12 text", 8 } };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t at = 0; at < cases[i].time; at++)
			for (int ch = ' '; ch < 0x7f; ch++) {
				bool digit = cases[i].line[at] >= '0' && cases[i].line[at] <= '9';
				bool still =
					digit ? ch >= '0' && ch <= '9'
					      : ch == cases[i].line[at] || (at == 10 && ch == ' ');
				OWNED(freep) char *line = xasprintf("%s\n", cases[i].line);
				OWNED(freep) char *want = NULL;
				OWNED(buf_done) struct buf out;

				line[at] = (char)ch;
				want = xasprintf("1:0:%s", still ? "text\n" : line);
				assert_string_equal(clean(line, strlen(line), &out), want);
			}
}

/* A block that is full hands back what it did not take; nothing is lost or numbered twice. */
static void many_lines_pass_in_blocks(void **state)
{
	enum { LINES = 3 * CLEAN_LINES_MAX + 5 };
	OWNED(buf_done) struct buf log, out;
	uint64_t seen = 0;

	UNUSED(state);
	buf_init(&log, 1 << 20);
	for (unsigned i = 1; i <= LINES; i++)
		buf_printf(&log, "%u\n", i);
	buf_init(&out, 4 << 20);
	clean_in_pieces(log.data, log.len, log.len, &out);
	for (const char *s = out.data; *s; s = strchr(s, '\n') + 1) {
		unsigned long long number, text;

		assert_int_equal(sscanf(s, "%llu:0:%llu", &number, &text), 2);
		assert_int_equal(number, text);
		assert_int_equal(number, ++seen);
	}
	assert_int_equal(seen, LINES);
}

static void private_keys_are_hidden(void **state)
{
	static const struct {
		const char *why, *log, *want;
	} cases[] = {
		{ "short last line and lines without a special character",
		  "-----BEGIN PRIVATE KEY-----\nTUlJRXZR\nQUJD\n-----END PRIVATE KEY-----\nnext\n",
		  "1:0:-----BEGIN PRIVATE KEY-----\n2:0:[masked]\n3:0:[masked]\n"
		  "4:0:-----END PRIVATE KEY-----\n5:0:next\n" },
		{ "encrypted, indented, after other text",
		  "key: -----BEGIN EC PRIVATE KEY-----\n  Proc-Type: 4,ENCRYPTED\n"
		  "  DEK-Info: AES-128-CBC,00AA\n  TUlJ\"\nnot a key any more\nQUJD\n",
		  "1:0:key: -----BEGIN EC PRIVATE "
		  "KEY-----\n2:0:[masked]\n3:0:[masked]\n4:0:[masked]\n"
		  "5:0:not a key any more\n6:0:QUJD\n" },
		{ "a certificate is no secret",
		  "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n",
		  "1:0:-----BEGIN CERTIFICATE-----\n2:0:QUJD\n3:0:-----END CERTIFICATE-----\n" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWNED(buf_done) struct buf out;
		const char *got = clean(cases[i].log, strlen(cases[i].log), &out);

		if (strcmp(got, cases[i].want) != 0)
			fail_msg("row \"%s\": got\n%s", cases[i].why, got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_ci_system_is_read_alike),
		cmocka_unit_test(terminal_noise_is_removed),
		cmocka_unit_test(empty_logs_have_no_lines),
		cmocka_unit_test(a_long_line_is_cut_once),
		cmocka_unit_test(a_megabyte_in_one_line_is_one_line),
		cmocka_unit_test(a_cut_does_not_split_a_character),
		cmocka_unit_test(pieces_do_not_matter),
		cmocka_unit_test(a_line_is_read_alike_wherever_it_lies),
		cmocka_unit_test(a_time_is_one_in_every_byte),
		cmocka_unit_test(many_lines_pass_in_blocks),
		cmocka_unit_test(private_keys_are_hidden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
