#include "dispatcher/incident_host.h"

#include <string.h>

#include "core/finding.h"
#include "tests/unit/unit.h"

static void finds_the_host_of_a_line(void **state)
{
	static const struct {
		const char *line, *host, *why;
	} rows[] = {
		{ "curl: (6) Could not resolve host: Registry.Example.org", "registry.example.org",
		  "small letters" },
		{ "npm ERR! request to https://registry.example.org/left-pad failed, reason: "
		  "getaddrinfo EAI_AGAIN registry.example.org",
		  "registry.example.org", "an address" },
		{ "npm ERR! getaddrinfo EAI_AGAIN registry.example.org:443", "registry.example.org",
		  "a port ends it" },
		{ "fatal: unable to access 'https://me:pw@git.example.com:8443/a.git/': 503",
		  "git.example.com", "neither user nor port" },
		{ "dial tcp: lookup proxy.example.org on 127.0.0.53:53: no such host",
		  "proxy.example.org", "and not the resolver" },
		{ "HTTPSConnectionPool(host='packages.example.net', port=443): Max retries",
		  "packages.example.net", "quoted" },
		{ "java.net.UnknownHostException: repo.example.org", "repo.example.org", "Java" },
		{ "OpenSSL SSL_connect: Connection reset by peer in connection to "
		  "a.example.org:443 ",
		  "a.example.org", "words between" },
		{ "lookup localhost and https://b.example.org./x", "b.example.org",
		  "the second; a root dot is no part of it" },
		{ "Failed to connect to localhost port 5432", "", "this machine" },
		{ "https://db.localhost/x and http://box.localdomain/", "", "this machine, too" },
		{ "dial tcp http://10.0.0.7:5432/", "", "an IP address is everybody's own" },
		{ "connect to postgres port 5432", "", "a service of the job" },
		{ "could not connect to the server.", "", "no name" },
		{ "https://-bad.example.org/ https://a..example.org/ https://.org/", "",
		  "no names" },
		{ "resolve host: ", "", "the end" },
		{ "", "", "nothing" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char host[INCIDENT_HOST_MAX + 1] = "unset";
		bool found = incident_host_in(rows[i].line, host);

		if (strcmp(host, rows[i].host) != 0 || found != (*host != '\0'))
			fail_msg("%s: \"%s\" of %s", rows[i].why, host, rows[i].line);
	}
}

static void a_host_has_a_cap(void **state)
{
	char line[200] = "https://", host[INCIDENT_HOST_MAX + 1];

	UNUSED(state);
	memset(line + 8, 'a', INCIDENT_HOST_MAX - 4);
	memcpy(line + 8 + INCIDENT_HOST_MAX - 4, ".org/", 6);
	assert_true(incident_host_in(line, host));
	assert_int_equal(strlen(host), INCIDENT_HOST_MAX);
	memcpy(line + 8 + INCIDENT_HOST_MAX - 4, "b.org/", 7);
	assert_false(incident_host_in(line, host));
}

static void only_the_network_has_hosts(void **state)
{
	char host[INCIDENT_HOST_MAX + 1];
	struct finding f;

	UNUSED(state);
	finding_init(&f);
	f.evidence[0].text = "something else";
	f.evidence[1].text = "GET https://a.example.org/x";
	f.n_evidence = 2;
	f.category = "network_failure";
	incident_host(&f, host);
	assert_string_equal(host, "a.example.org");
	f.category = "test_failure";
	incident_host(&f, host);
	assert_string_equal(host, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_host_of_a_line),
		cmocka_unit_test(a_host_has_a_cap),
		cmocka_unit_test(only_the_network_has_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
