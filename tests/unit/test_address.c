#include "receiver/address.h"

#include <string.h>

#include "tests/unit/unit.h"

static void knows_who_is_in_a_list(void **state)
{
	static const struct {
		const char *list, *address;
		bool in;
	} rows[] = {
		{ "192.0.2.7", "192.0.2.7", true },
		{ "192.0.2.7", "192.0.2.8", false },
		{ "192.0.2.0/24", "192.0.2.255", true },
		{ "192.0.2.0/24", "192.0.3.0", false },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.128/25", "192.0.2.128", true },
		{ "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "203.0.113.9", true },
		{ "2001:db8::/32", "2001:db8:ffff::1", true },
		{ "2001:db8::/32", "2001:db9::1", false },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
		{ "::1", "::1", true },
		{ "10.0.0.0/8", "::ffff:10.1.2.3", true },
		{ "::ffff:10.0.0.0/104", "10.1.2.3", true },
		{ "10.0.0.0/8, 192.0.2.7 2001:db8::/32", "192.0.2.7", true },
		{ "unix", "unix", true },
		{ "unix", "127.0.0.1", false },
		{ "::/0", "unix", false },
		{ "", "192.0.2.7", false },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct address_list list;
		struct address a;
		struct err err;

		assert_ok(address_list_parse(rows[i].list, &list, &err), &err);
		assert_case(address_parse(rows[i].address, strlen(rows[i].address), &a),
			    rows[i].address);
		assert_case(address_list_has(&list, &a) == rows[i].in, rows[i].list);
		address_list_done(&list);
	}
}

static void refuses_lists_with_mistakes(void **state)
{
	static const struct {
		const char *list, *says;
	} rows[] = {
		{ "192.0.2", "no address" },
		{ "192.0.2.7,example.com", "\"example.com\" is no address" },
		{ "192.0.2.0/33", "prefix length" },
		{ "2001:db8::/129", "prefix length" },
		{ "192.0.2.0/", "prefix length" },
		{ "192.0.2.0/-1", "prefix length" },
		{ "192.0.2.7/24", "bits beyond" },
		{ "2001:db8::1/64", "bits beyond" },
		{ "/8", "no address" },
		{ "111111111111111111111111111111111111111111111111111111111111111111111111111111",
		  "no address" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct address_list list;
		struct err err = { 0 };

		assert_case(address_list_parse(rows[i].list, &list, &err) < 0, rows[i].list);
		if (err.kind != ERR_CONFIG || !strstr(err.msg, rows[i].says))
			fail_msg("row \"%s\": said \"%s\"", rows[i].list, err.msg);
	}
}

static void reads_addresses_as_proxies_write_them(void **state)
{
	static const struct {
		const char *text, *same_as;
	} rows[] = {
		{ "192.0.2.7:8080", "192.0.2.7" },
		{ "[2001:db8::1]:443", "2001:db8::1" },
		{ "[2001:db8::1]", "2001:db8::1" },
		{ "[2001:db8::1", NULL },
		{ "[2001:db8::1]x", NULL },
		{ "unknown", NULL },
		{ "", NULL },
		{ "192.0.2.7.", NULL },
		{ "192.0.2.07", NULL },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct address a, b;
		bool good = address_parse(rows[i].text, strlen(rows[i].text), &a);

		assert_case(good == (rows[i].same_as != NULL), rows[i].text);
		if (!good)
			continue;
		const char *same = rows[i].same_as ? rows[i].same_as : "";

		assert_true(address_parse(same, strlen(same), &b));
		assert_case(memcmp(a.ip, b.ip, sizeof(a.ip)) == 0, rows[i].text);
	}
}

static const char *line_of(const void *lines, size_t i)
{
	return ((const char *const *)lines)[i];
}

static void believes_only_its_own_proxies(void **state)
{
	static const struct {
		const char *why, *trusted, *peer;
		const char *lines[4];
		const char *client; /* NULL: nobody knows */
	} rows[] = {
		{ "no proxy", "", "203.0.113.1", { NULL }, "203.0.113.1" },
		{ "a header from a stranger", "", "203.0.113.1", { "10.0.0.1" }, "203.0.113.1" },
		{ "a stranger who is no proxy",
		  "10.0.0.0/8",
		  "203.0.113.1",
		  { "10.0.0.1" },
		  "203.0.113.1" },
		{ "one proxy", "10.0.0.0/8", "10.0.0.1", { "203.0.113.1" }, "203.0.113.1" },
		{ "the left end is the stranger's own",
		  "10.0.0.0/8",
		  "10.0.0.1",
		  { "192.0.2.1, 203.0.113.1" },
		  "203.0.113.1" },
		{ "two proxies",
		  "10.0.0.0/8",
		  "10.0.0.1",
		  { "192.0.2.1,203.0.113.1, 10.0.0.2" },
		  "203.0.113.1" },
		{ "over several lines",
		  "10.0.0.0/8",
		  "10.0.0.1",
		  { "192.0.2.1", "203.0.113.1 ,", "10.0.0.2" },
		  "203.0.113.1" },
		{ "with ports", "10.0.0.0/8", "10.0.0.1", { "203.0.113.1:4711" }, "203.0.113.1" },
		{ "proxies only", "10.0.0.0/8", "10.0.0.1", { "10.0.0.3, 10.0.0.2" }, "10.0.0.3" },
		{ "a proxy without the header", "10.0.0.0/8", "10.0.0.1", { NULL }, "10.0.0.1" },
		{ "no address where the proxy wrote",
		  "10.0.0.0/8",
		  "10.0.0.1",
		  { "203.0.113.1, unknown" },
		  NULL },
		{ "\"unix\" is no address from afar", "10.0.0.0/8", "10.0.0.1", { "unix" }, NULL },
		{ "nonsense further left is not read",
		  "10.0.0.0/8",
		  "10.0.0.1",
		  { "<script>, 203.0.113.1" },
		  "203.0.113.1" },
		{ "a proxy on a unix socket", "unix", "unix", { "203.0.113.1" }, "203.0.113.1" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct address_list trusted;
		struct address got, want;
		struct err err;
		bool known;

		assert_ok(address_list_parse(rows[i].trusted, &trusted, &err), &err);
		known = address_of_client(rows[i].peer, &trusted, line_of, rows[i].lines, &got);
		assert_case(known == (rows[i].client != NULL), rows[i].why);
		if (known) {
			assert_true(address_parse(rows[i].client, strlen(rows[i].client), &want));
			assert_case(memcmp(got.ip, want.ip, sizeof(got.ip)) == 0, rows[i].why);
		}
		address_list_done(&trusted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_who_is_in_a_list),
		cmocka_unit_test(refuses_lists_with_mistakes),
		cmocka_unit_test(reads_addresses_as_proxies_write_them),
		cmocka_unit_test(believes_only_its_own_proxies),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
