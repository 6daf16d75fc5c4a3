#include "core/audit_chain.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

enum { RECORDS = 5 };

static const char key[] = "a key of forty characters, more or less.";

/* A chain of one writer, as it is stored. */
struct chain {
	struct audit_record records[RECORDS];
	char seq[RECORDS][8], mac[RECORDS][AUDIT_MAC_HEX + 1], id[AUDIT_KEY_ID_HEX + 1];
};

static void build(struct chain *c)
{
	audit_key_id(key, c->id);
	for (int i = 0; i < RECORDS; i++) {
		struct audit_record *r = &c->records[i];

		(void)snprintf(c->seq[i], sizeof(c->seq[i]), "%d", i + 1);
		r->n = 0;
		r->pairs[r->n++] = (struct audit_pair){ "seq", c->seq[i] };
		r->pairs[r->n++] = (struct audit_pair){ "key", c->id };
		r->pairs[r->n++] = (struct audit_pair){ "what", "sent" };
		r->pairs[r->n++] = (struct audit_pair){ "prev", i ? c->mac[i - 1] : "" };
		audit_mac(key, r, c->mac[i]);
	}
}

static void faults(const struct chain *c, const int *order, size_t n, const char *with_key,
		   enum audit_fault *out)
{
	struct audit_check check = { .seq = 0 };
	const char *keys[] = { "an older key", with_key };

	for (size_t i = 0; i < n; i++)
		out[i] = audit_check(&check, &c->records[order[i]], c->mac[order[i]], keys, 2);
}

static void a_whole_chain_is_good(void **state)
{
	static const int order[] = { 0, 1, 2, 3, 4 };
	enum audit_fault f[RECORDS];
	struct chain c;

	(void)state;
	build(&c);
	faults(&c, order, RECORDS, key, f);
	for (int i = 0; i < RECORDS; i++)
		assert_int_equal(f[i], AUDIT_GOOD);
}

static void what_is_missing_moved_or_repeated_is_found_where_it_is(void **state)
{
	static const struct {
		int order[RECORDS];
		size_t n;
		enum audit_fault f[RECORDS];
	} cases[] = {
		{ { 0, 2, 3 }, 3, { AUDIT_GOOD, AUDIT_MISSING, AUDIT_GOOD } },
		{ { 1, 2 }, 2, { AUDIT_MISSING, AUDIT_GOOD } },
		{ { 0, 2, 1, 3 }, 4, { AUDIT_GOOD, AUDIT_MISSING, AUDIT_MOVED, AUDIT_GOOD } },
		{ { 0, 1, 1, 2 }, 4, { AUDIT_GOOD, AUDIT_GOOD, AUDIT_REPEATED, AUDIT_GOOD } },
		{ { 0, 1, 0, 2 }, 4, { AUDIT_GOOD, AUDIT_GOOD, AUDIT_MOVED, AUDIT_GOOD } },
	};
	struct chain c;

	(void)state;
	build(&c);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum audit_fault f[RECORDS];

		faults(&c, cases[i].order, cases[i].n, key, f);
		for (size_t k = 0; k < cases[i].n; k++)
			if (f[k] != cases[i].f[k])
				fail_msg("case %zu, record %zu: %d", i, k, (int)f[k]);
	}
}

static void a_changed_record_is_found(void **state)
{
	static const int order[] = { 0, 1, 2, 3, 4 };
	enum audit_fault f[RECORDS];
	struct chain c;

	(void)state;
	build(&c);
	c.records[2].pairs[2].value = "healed";
	faults(&c, order, RECORDS, key, f);
	assert_int_equal(f[1], AUDIT_GOOD);
	assert_int_equal(f[2], AUDIT_CHANGED);
	/* It is left out, and the next one says so. */
	assert_int_equal(f[3], AUDIT_MISSING);
	assert_int_equal(f[4], AUDIT_GOOD);
}

/* Without the key nobody makes a record that fits. */
static void a_forged_record_is_found(void **state)
{
	static const int order[] = { 0, 1, 2 };
	enum audit_fault f[RECORDS];
	struct chain c;

	(void)state;
	build(&c);
	audit_mac("another key", &c.records[1], c.mac[1]);
	faults(&c, order, 3, key, f);
	assert_int_equal(f[1], AUDIT_CHANGED);
	faults(&c, order, 1, "not the key", f);
	assert_int_equal(f[0], AUDIT_NO_KEY);
}

static void no_two_records_are_the_same_bytes(void **state)
{
	static const struct audit_record a = { .pairs = { { "a", "bc" } }, .n = 1 };
	static const struct audit_record b = { .pairs = { { "ab", "c" } }, .n = 1 };
	static const struct audit_record c = { .pairs = { { "a", "b" }, { "c", "" } }, .n = 2 };
	char x[AUDIT_MAC_HEX + 1], y[AUDIT_MAC_HEX + 1], z[AUDIT_MAC_HEX + 1];

	(void)state;
	audit_mac(key, &a, x);
	audit_mac(key, &b, y);
	audit_mac(key, &c, z);
	assert_string_not_equal(x, y);
	assert_string_not_equal(x, z);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_chain_is_good),
		cmocka_unit_test(what_is_missing_moved_or_repeated_is_found_where_it_is),
		cmocka_unit_test(a_changed_record_is_found),
		cmocka_unit_test(a_forged_record_is_found),
		cmocka_unit_test(no_two_records_are_the_same_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
