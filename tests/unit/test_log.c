#include "core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/unit/unit.h"

/* Standard error goes into a file while something is logged. */
struct capture {
	FILE *file;
	int old;
};

static void begin(struct capture *c)
{
	(void)fflush(stderr);
	c->file = tmpfile();
	assert_non_null(c->file);
	c->old = dup(STDERR_FILENO);
	assert_true(c->old >= 0);
	assert_true(dup2(fileno(c->file), STDERR_FILENO) >= 0);
}

/* What was written, to be freed. */
static char *end(struct capture *c)
{
	char *text;
	long n;

	assert_true(dup2(c->old, STDERR_FILENO) >= 0);
	(void)close(c->old);
	(void)fseek(c->file, 0, SEEK_END);
	n = ftell(c->file);
	rewind(c->file);
	text = xcalloc(1, (size_t)n + 1);
	assert_int_equal(fread(text, 1, (size_t)n, c->file), n);
	(void)fclose(c->file);
	return text;
}

static char *logged(const char *key, const char *value)
{
	struct capture c;

	begin(&c);
	log_info("something happened", KV(key, value));
	return end(&c);
}

static const struct {
	const char *why, *value;
} hostile[] = {
	{ "line feed", "x\n{\"at\":\"2026\",\"level\":\"error\",\"msg\":\"forged\"}" },
	{ "carriage return", "x\r2026 error forged" },
	{ "vertical tab and form feed", "x\v\fforged" },
	{ "end of the string", "x\",\"level\":\"error" },
	{ "an escape at the end", "x\\" },
	{ "next line", "x\xc2\x85"
		       "forged" },
	{ "line separator", "x\xe2\x80\xa8"
			    "forged" },
	{ "paragraph separator", "x\xe2\x80\xa9"
				 "forged" },
	{ "terminal commands", "x\x1b[2J\x1b]0;title\x07" },
	{ "terminal commands in one byte", "x\xc2\x9b"
					   "2J" },
	{ "backspace", "good\b\b\b\bevil" },
	{ "not UTF-8", "x\xff\xfe\x80" },
	{ "cut UTF-8", "x\xf0\x9f\x98" },
	{ "format directives", "%s%n%d" },
	{ "nothing", "" },
};

static void check_one_line(const char *line, const char *why)
{
	size_t n = strlen(line);

	assert_case(n && line[n - 1] == '\n', why);
	assert_case(strchr(line, '\n') == line + n - 1, why);
	for (const char *s = line; s < line + n - 1; s++)
		assert_case((unsigned char)*s >= 0x20 && *s != 0x7f, why);
	assert_case(utf8_valid((const unsigned char *)line, n), why);
	assert_case(!strstr(line, "\xc2\x85") && !strstr(line, "\xc2\x9b") &&
			    !strstr(line, "\xe2\x80\xa8") && !strstr(line, "\xe2\x80\xa9"),
		    why);
}

static void a_value_cannot_forge_a_line(void **state)
{
	UNUSED(state);
	for (int text = 0; text < 2; text++) {
		log_init("tester", LEVEL_INFO, text);
		for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
			OWNED(freep) char *line = logged("v", hostile[i].value);
			OWNED(json_putp) struct json_object *o = NULL;
			struct err err = { 0 };

			check_one_line(line, hostile[i].why);
			if (text) {
				assert_case(
					strstr(line, " info  tester: something happened v=\"") !=
						NULL,
					hostile[i].why);
				continue;
			}
			assert_ok(json_parse(line, strlen(line), &o, &err), &err);
			assert_case(json_object_object_length(o) == 6, hostile[i].why);
			assert_case(strcmp(json_str(o, "level", ""), "info") == 0, hostile[i].why);
			assert_case(strcmp(json_str(o, "msg", ""), "something happened") == 0,
				    hostile[i].why);
			if (utf8_valid((const unsigned char *)hostile[i].value,
				       strlen(hostile[i].value)))
				assert_case(strcmp(json_str(o, "v", "-"), hostile[i].value) == 0,
					    hostile[i].why);
		}
	}
}

static void a_line_has_what_programs_look_for(void **state)
{
	OWNED(json_putp) struct json_object *o = NULL;
	OWNED(freep) char *line = NULL;
	const char *none = NULL;
	struct capture c;
	struct err err = { 0 };

	UNUSED(state);
	log_init("receiver", LEVEL_INFO, false);
	begin(&c);
	log_warn("numbers", KV("small", -1), KV("large", (unsigned long long)UINT64_MAX),
		 KV("lowest", (long long)INT64_MIN), KV("none", none), KV("text", "t"));
	line = end(&c);
	assert_ok(json_parse(line, strlen(line), &o, &err), &err);
	assert_true(text_iso8601_ms(json_str(o, "at", "")) > 0);
	assert_string_equal(json_str(o, "level", ""), "warn");
	assert_string_equal(json_str(o, "role", ""), "receiver");
	assert_string_equal(json_str(o, "fn", ""), __func__);
	assert_non_null(strstr(line,
			       "\"small\":-1,\"large\":18446744073709551615,"
			       "\"lowest\":-9223372036854775808,\"none\":\"\",\"text\":\"t\"}"));
}

static void a_line_without_values_is_whole(void **state)
{
	OWNED(freep) char *line = NULL;
	struct capture c;

	UNUSED(state);
	log_init("t", LEVEL_ERROR, true);
	begin(&c);
	log_error("gone");
	line = end(&c);
	assert_string_equal(line + strlen("2026-07-29T10:01:29.763Z"), " error t: gone\n");
}

static void the_threshold_decides(void **state)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		OWNED(freep) char *text = NULL;
		enum log_level level = LEVEL_DEBUG;
		struct capture c;

		assert_true(log_level_from_text(names[i], &level));
		assert_int_equal(level, i);
		log_init("t", level, true);
		begin(&c);
		log_error("m");
		log_warn("m");
		log_info("m");
		log_debug("m");
		text = end(&c);
		for (size_t k = 0; k < ARRAY_LEN(names); k++) {
			assert_int_equal(strstr(text, names[k]) != NULL, k <= i);
			assert_int_equal(log_enabled((enum log_level)k), k <= i);
		}
	}
}

static void unknown_levels_are_refused(void **state)
{
	static const char *const words[] = { "", "INFO", "warning", "trace", "info ", "0" };
	enum log_level level = LEVEL_WARN;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		assert_case(!log_level_from_text(words[i], &level), words[i]);
		assert_case(level == LEVEL_WARN, words[i]);
	}
}

/* A stranger who can write long names must not be able to hide the event. */
static void a_line_that_is_too_long_still_says_what_happened(void **state)
{
	static const struct {
		const char *why;
		size_t n;
		char c;
		bool whole;
	} rows[] = {
		{ "long", 16000, 'x', true },
		{ "too long", 17000, 'x', false },
		{ "long once escaped", 3000, '\x01', false },
		{ "huge", 1 << 20, 'x', false },
	};

	UNUSED(state);
	for (int text = 0; text < 2; text++) {
		log_init("t", LEVEL_INFO, text);
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			OWNED(freep) char *value = xmalloc(rows[i].n + 1);
			OWNED(freep) char *line = NULL;

			memset(value, rows[i].c, rows[i].n);
			value[rows[i].n] = '\0';
			line = logged("v", value);
			check_one_line(line, rows[i].why);
			assert_case(strstr(line, "something happened") != NULL, rows[i].why);
			assert_case((strstr(line, "left_out") == NULL) == rows[i].whole,
				    rows[i].why);
			assert_case(strlen(line) <= 16 * 1024, rows[i].why);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_cannot_forge_a_line),
		cmocka_unit_test(a_line_has_what_programs_look_for),
		cmocka_unit_test(a_line_without_values_is_whole),
		cmocka_unit_test(the_threshold_decides),
		cmocka_unit_test(unknown_levels_are_refused),
		cmocka_unit_test(a_line_that_is_too_long_still_says_what_happened),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
