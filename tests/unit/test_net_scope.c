#include "core/net_scope.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

enum { NO_NAMESPACE = 77 };

static const char *scope_of(const char *text)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return net_not_public((struct sockaddr *)&in);
	assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	return net_not_public((struct sockaddr *)&in6);
}

static void knows_who_is_inside(void **state)
{
	/* Each block from both sides where it has two. */
	static const struct {
		const char *ip, *scope; /* NULL: public */
	} rows[] = {
		{ "0.0.0.0", "unspecified" },
		{ "0.255.255.255", "unspecified" },
		{ "1.0.0.0", NULL },
		{ "9.255.255.255", NULL },
		{ "10.0.0.0", "private" },
		{ "10.255.255.255", "private" },
		{ "11.0.0.0", NULL },
		{ "100.63.255.255", NULL },
		{ "100.64.0.1", "shared" },
		{ "100.128.0.0", NULL },
		{ "126.255.255.255", NULL },
		{ "127.0.0.1", "loopback" },
		{ "127.255.255.255", "loopback" },
		{ "128.0.0.0", NULL },
		{ "169.253.255.255", NULL },
		{ "169.254.169.254", "link-local" },
		{ "169.255.0.0", NULL },
		{ "172.15.255.255", NULL },
		{ "172.16.0.0", "private" },
		{ "172.31.255.255", "private" },
		{ "172.32.0.0", NULL },
		{ "192.0.2.1", "documentation" },
		{ "192.167.255.255", NULL },
		{ "192.168.1.1", "private" },
		{ "192.169.0.0", NULL },
		{ "198.18.0.1", "benchmark" },
		{ "198.20.0.0", NULL },
		{ "223.255.255.255", NULL },
		{ "224.0.0.1", "multicast" },
		{ "240.0.0.1", "reserved" },
		{ "255.255.255.255", "reserved" },
		{ "::", "unspecified" },
		{ "::1", "loopback" },
		{ "::2", "reserved" },
		{ "::127.0.0.1", "reserved" },
		{ "::ffff:127.0.0.1", "loopback" },
		{ "::ffff:169.254.169.254", "link-local" },
		{ "::ffff:8.8.8.8", NULL },
		{ "64:ff9b::10.0.0.1", "private" },
		{ "64:ff9b::8.8.8.8", NULL },
		{ "64:ff9b:1::1", "translated" },
		{ "100::1", "discarded" },
		{ "2001::1", "tunnelled" },
		{ "2001:db8::1", "documentation" },
		{ "2001:4860:4860::8888", NULL },
		{ "2002:7f00:1::", "tunnelled" },
		{ "3fff::1", "documentation" },
		{ "2606:4700::1", NULL },
		{ "4000::1", "reserved" },
		{ "fc00::1", "private" },
		{ "fd00:ec2::254", "private" },
		{ "fe80::1", "link-local" },
		{ "fec0::1", "site-local" },
		{ "ff02::1", "multicast" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *got = scope_of(rows[i].ip), *want = rows[i].scope;

		assert_case(!got == !want && (!got || strcmp(got, want) == 0), rows[i].ip);
	}
}

static void other_families_are_not_public(void **state)
{
	const struct sockaddr un = { .sa_family = AF_UNIX };

	UNUSED(state);
	assert_non_null(net_not_public(&un));
	assert_false(net_is_public(&un, NULL));
}

static void hosts_are_read_as_resolvers_do(void **state)
{
	static const struct {
		const char *host, *scope;
	} rows[] = {
		{ "example.org", NULL },
		{ "8.8.8.8", NULL },
		{ "localhost", "loopback" },
		{ "a.localhost", "loopback" },
		{ "notlocalhost", NULL },
		{ "127.1", "loopback" },
		{ "2130706433", "loopback" },
		{ "0x7f000001", "loopback" },
		{ "0177.0.0.1", "loopback" },
		{ "[::1]", "loopback" },
		{ "[::ffff:10.0.0.1]", "private" },
		{ "[zz]", "malformed" },
		{ "[2606:4700::1]", NULL },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *got = net_host_not_public(rows[i].host), *want = rows[i].scope;

		assert_case(!got == !want && (!got || strcmp(got, want) == 0), rows[i].host);
	}
}

static bool is_own(const char *ip)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, ip, &in.sin_addr) == 1)
		return net_is_own((struct sockaddr *)&in);
	(void)inet_pton(AF_INET6, ip, &in6.sin6_addr);
	return net_is_own((struct sockaddr *)&in6);
}

/* In a namespace whose loopback has a public address: no packet of it goes anywhere. */
static int look_from_a_public_machine(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	struct ifreq r = { .ifr_name = "lo" };
	int fd;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return NO_NAMESPACE;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	(void)inet_pton(AF_INET, "8.8.4.4", &at.sin_addr);
	if (is_own("8.8.4.4") || is_own("::ffff:8.8.4.4"))
		return 1;
	memcpy(&r.ifr_addr, &at, sizeof(at));
	if (ioctl(fd, SIOCSIFADDR, &r) < 0)
		return NO_NAMESPACE;
	return is_own("8.8.4.4") && is_own("::ffff:8.8.4.4") && !is_own("8.8.8.8") &&
			       !is_own("2606:4700::1")
		       ? 0
		       : 2;
}

static void knows_its_own_addresses(void **state)
{
	int status;
	pid_t pid;

	UNUSED(state);
	assert_true(is_own("127.0.0.1"));
	pid = fork();
	if (pid == 0)
		_exit(look_from_a_public_machine());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WEXITSTATUS(status) == NO_NAMESPACE)
		skip();
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_who_is_inside),
		cmocka_unit_test(other_families_are_not_public),
		cmocka_unit_test(knows_its_own_addresses),
		cmocka_unit_test(hosts_are_read_as_resolvers_do),
	};

	return cmocka_run_group_tests_name("net_scope", tests, NULL, NULL);
}
