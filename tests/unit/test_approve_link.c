/* A link does what it says, for whom it was made, until it expires; and nothing else. */
#include "core/approve_link.h"

#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/conf.h"
#include "core/http_server.h"
#include "core/mem.h"
#include "core/settings.h"
#include "unit.h"

#define OLD_KEY "the key that everybody still knows"
#define NEW_KEY "the key that came after it: 32 bytes"

static const struct conf_table *const tables[] = { &settings_conf };

static const struct approve_link link_of_all = {
	.plan = "jenkins:9:folder/job one:7",
	.channel = "on-call",
	.approve = true,
	.until_s = 1000,
};

static char *made(const char *key, const struct approve_link *l)
{
	OWNED(buf_done) struct buf out;

	buf_init(&out, 2000);
	approve_link_put(key, l, &out);
	return xstrdup(buf_text(&out));
}

static struct conf *conf_with(const char *keys)
{
	struct conf *conf = conf_new(tables, ARRAY_LEN(tables));
	struct err err;

	assert_int_equal(setenv("PIPELINE_GUARD_APPROVE_KEY", keys, 1), 0);
	assert_ok(conf_load_env(conf, &err), &err);
	return conf;
}

static enum approve_link_fate read_at(const char *keys, const char *text, int64_t now_s,
				      struct approve_link *out)
{
	OWNED(conf_freep) struct conf *conf = conf_with(keys);
	const char *query = strchr(text, '?');
	struct http_request req = { .method = "GET", .path = APPROVE_LINK_PATH };

	assert_non_null(query);
	req.query = query + 1;
	return approve_link_read(conf, &req, now_s, out);
}

static void it_says_what_it_was_made_of(void **state)
{
	OWNED(freep) char *text = made(NEW_KEY, &link_of_all);
	struct approve_link l;

	UNUSED(state);
	assert_int_equal(strncmp(text, &APPROVE_LINK_PATH[1], strlen(APPROVE_LINK_PATH) - 1), 0);
	assert_null(strchr(text, ' '));
	assert_int_equal(read_at(NEW_KEY, text, 999, &l), APPROVE_LINK_GOOD);
	assert_string_equal(l.plan, link_of_all.plan);
	assert_string_equal(l.channel, link_of_all.channel);
	assert_true(l.approve);
	assert_int_equal(l.until_s, 1000);
	assert_int_equal(read_at(NEW_KEY, text, 1000, &l), APPROVE_LINK_EXPIRED);
	/* During rotation. */
	assert_int_equal(read_at("another one," NEW_KEY, text, 1, &l), APPROVE_LINK_GOOD);
	assert_int_equal(read_at(OLD_KEY, text, 1, &l), APPROVE_LINK_WRONG);
}

static char *replaced(const char *text, const char *what, const char *with)
{
	const char *at = strstr(text, what);

	assert_non_null(at);
	return xasprintf("%.*s%s%s", (int)(at - text), text, with, at + strlen(what));
}

static void whatever_is_changed_it_is_worth_nothing(void **state)
{
	static const struct {
		const char *what, *with, *why;
	} rows[] = {
		{ "do=approve", "do=reject", "the other answer" },
		{ "do=approve", "do=", "no answer" },
		{ "do=approve&", "", "none at all" },
		{ "plan=jenkins:9:", "plan=jenkins:8:", "of another plan" },
		{ "channel=on-call", "channel=oncall", "for somebody else" },
		{ "until=1000", "until=9000", "for longer" },
		{ "until=1000", "until=x", "for no time" },
		{ "channel=on-call&plan=", "channel=&plan=on-call", "the border moved" },
		{ "&mac=", "&mac=0", "a longer signature" },
		{ "&mac=", "&nothing=", "no signature" },
	};
	OWNED(freep) char *text = made(NEW_KEY, &link_of_all);

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(freep) char *other = replaced(text, rows[i].what, rows[i].with);
		struct approve_link l;

		if (read_at(NEW_KEY, other, 1, &l) != APPROVE_LINK_WRONG)
			fail_msg("%s: %s", rows[i].why, other);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_says_what_it_was_made_of),
		cmocka_unit_test(whatever_is_changed_it_is_worth_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
