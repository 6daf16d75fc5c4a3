#include "core/net_scope.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/text.h"

/* IANA's registries of special addresses, as far as nobody outside answers there. */
static const struct block4 {
	uint32_t net;
	unsigned bits;
	const char *what;
} blocks4[] = {
	{ 0x00000000, 8, "unspecified" },    { 0x7f000000, 8, "loopback" },
	{ 0x0a000000, 8, "private" },        { 0xac100000, 12, "private" },
	{ 0xc0a80000, 16, "private" },       { 0x64400000, 10, "shared" },
	{ 0xa9fe0000, 16, "link-local" },    { 0xc0000000, 24, "reserved" },
	{ 0xc0000200, 24, "documentation" }, { 0xc6336400, 24, "documentation" },
	{ 0xcb007100, 24, "documentation" }, { 0xc6120000, 15, "benchmark" },
	{ 0xc0586300, 24, "reserved" },      { 0xe0000000, 4, "multicast" },
	{ 0xf0000000, 4, "reserved" },
};

static const struct block6 {
	unsigned char net[16];
	unsigned bits;
	const char *what;
} blocks6[] = {
	{ { 0x01, 0x00 }, 64, "discarded" },
	{ { 0x20, 0x01, 0x00, 0x00 }, 32, "tunnelled" },
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32, "documentation" },
	{ { 0x3f, 0xff, 0x00 }, 20, "documentation" },
	{ { 0x20, 0x02 }, 16, "tunnelled" },
	{ { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48, "translated" },
	{ { 0x5f, 0x00 }, 16, "reserved" },
};

static const char *scope4(uint32_t ip)
{
	for (size_t i = 0; i < ARRAY_LEN(blocks4); i++)
		if ((ip ^ blocks4[i].net) >> (32 - blocks4[i].bits) == 0)
			return blocks4[i].what;
	return NULL;
}

static uint32_t last4(const unsigned char *p)
{
	return (uint32_t)p[12] << 24 | (uint32_t)p[13] << 16 | (uint32_t)p[14] << 8 | p[15];
}

static bool starts_with_bits(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	return memcmp(a, b, whole) == 0 && (!rest || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

static const char *scope6(const unsigned char *ip)
{
	static const unsigned char zero[16], nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (memcmp(ip, zero, 15) == 0)
		return ip[15] == 1 ? "loopback" : ip[15] ? "reserved" : "unspecified";
	/* An IPv4 address within: that one is meant. */
	if (memcmp(ip, mapped, 12) == 0 || memcmp(ip, nat64, 12) == 0)
		return scope4(last4(ip));
	if (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80)
		return "link-local";
	if (ip[0] == 0xfe && (ip[1] & 0xc0) == 0xc0)
		return "site-local";
	if ((ip[0] & 0xfe) == 0xfc)
		return "private";
	if (ip[0] == 0xff)
		return "multicast";
	for (size_t i = 0; i < ARRAY_LEN(blocks6); i++)
		if (starts_with_bits(ip, blocks6[i].net, blocks6[i].bits))
			return blocks6[i].what;
	/* Only this much of IPv6 was ever given to anybody. */
	return (ip[0] & 0xe0) == 0x20 ? NULL : "reserved";
}

const char *net_not_public(const struct sockaddr *sa)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		return scope4(ntohl(in.sin_addr.s_addr));
	}
	if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		return scope6(in6.sin6_addr.s6_addr);
	}
	return "not of the internet";
}

bool net_is_public(const struct sockaddr *sa, void *unused)
{
	UNUSED(unused);
	return !net_not_public(sa);
}

/* What an IPv6 address that stands for an IPv4 address stands for. */
static bool is_mapped(const struct sockaddr *sa, struct sockaddr_in *out)
{
	struct sockaddr_in6 in6;

	if (sa->sa_family != AF_INET6)
		return false;
	memcpy(&in6, sa, sizeof(in6));
	*out = (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(last4(in6.sin6_addr.s6_addr)) };
	return IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
}

static bool same_host(const struct sockaddr *a, const struct sockaddr *b)
{
	struct sockaddr_in a4, b4;
	struct sockaddr_in6 a6, b6;

	if (a->sa_family != b->sa_family)
		return false;
	if (a->sa_family == AF_INET) {
		memcpy(&a4, a, sizeof(a4));
		memcpy(&b4, b, sizeof(b4));
		return a4.sin_addr.s_addr == b4.sin_addr.s_addr;
	}
	if (a->sa_family != AF_INET6)
		return false;
	memcpy(&a6, a, sizeof(a6));
	memcpy(&b6, b, sizeof(b6));
	return memcmp(&a6.sin6_addr, &b6.sin6_addr, sizeof(a6.sin6_addr)) == 0;
}

bool net_is_own(const struct sockaddr *sa)
{
	struct ifaddrs *all = NULL;
	struct sockaddr_in in;
	bool own = false;

	if (is_mapped(sa, &in))
		sa = (const struct sockaddr *)&in;
	if (getifaddrs(&all) < 0)
		return true;
	for (const struct ifaddrs *i = all; i && !own; i = i->ifa_next)
		own = i->ifa_addr && same_host(i->ifa_addr, sa);
	freeifaddrs(all);
	return own;
}

const char *net_host_not_public(const char *host)
{
	size_t n = strlen(host);
	char text[INET6_ADDRSTRLEN];
	struct in6_addr ip6;
	struct in_addr ip4;

	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		if (!text_copy(text, sizeof(text), host + 1, n - 2) ||
		    inet_pton(AF_INET6, text, &ip6) != 1)
			return "malformed";
		return scope6(ip6.s6_addr);
	}
	/* As resolvers read it: also "127.1", "0x7f000001" and "2130706433". */
	if (inet_aton(host, &ip4))
		return scope4(ntohl(ip4.s_addr));
	return strcmp(host, "localhost") == 0 || text_ends(host, ".localhost") ? "loopback" : NULL;
}
