#include "core/incident.h"

#include <string.h>

#include "tests/unit/unit.h"

static void a_subject_is_one_of_three(void **state)
{
	static const struct {
		const char *subject;
		bool good;
	} rows[] = {
		{ "host:registry.example.org", true },
		{ "host:registry", true },
		{ "fp:0123456789abcdef", true },
		{ "category:network_failure", true },
		{ "category:network_failure/dns", true },
		{ "host:", false },
		{ "host:Registry.example.org", false },
		{ "host:a b", false },
		{ "fp:0123456789abcde", false },
		{ "fp:0123456789abcdef0", false },
		{ "fp:0123456789ABCDEF", false },
		{ "category:", false },
		{ "category:weather", false },
		{ "category:network_failure/", false },
		{ "category:network_failure/a:b", false },
		{ "registry.example.org", false },
		{ "", false },
	};
	char host[INCIDENT_HOST_MAX + 8] = "host:";
	struct err err;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if ((incident_subject_check(rows[i].subject, &err) == 0) != rows[i].good)
			fail_msg("%s", rows[i].subject);
	memset(host + 5, 'a', INCIDENT_HOST_MAX);
	assert_int_equal(incident_subject_check(host, &err), 0);
	host[5 + INCIDENT_HOST_MAX] = 'a';
	assert_int_equal(incident_subject_check(host, &err), -1);
}

static void a_time_has_its_bounds(void **state)
{
	int64_t ms = -1;
	struct err err;

	UNUSED(state);
	assert_int_equal(incident_for("", &ms, &err), 0);
	assert_int_equal(ms, 0);
	assert_int_equal(incident_for("2h", &ms, &err), 0);
	assert_int_equal(ms, 2 * 3600 * 1000);
	assert_int_equal(incident_for("7d", &ms, &err), 0);
	assert_int_equal(incident_for("8d", &ms, &err), -1);
	assert_int_equal(incident_for("0", &ms, &err), -1);
	assert_int_equal(incident_for("soon", &ms, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_subject_is_one_of_three),
		cmocka_unit_test(a_time_has_its_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
