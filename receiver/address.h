/* Lists of address blocks, and who a request comes from when proxies stand in front of us. */
#ifndef GUARD_RECEIVER_ADDRESS_H
#define GUARD_RECEIVER_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

/* An IPv6 address; IPv4 is mapped, so that 1.2.3.4 and ::ffff:1.2.3.4 are the same. */
struct address {
	unsigned char ip[16];
	bool local; /* the peer of a unix socket; `ip` says nothing */
};

/* "1.2.3.4", "::1", "unix"; also "1.2.3.4:80" and "[::1]:80", as some proxies write it. */
bool address_parse(const char *text, size_t n, struct address *out);

struct address_block {
	struct address net;
	unsigned bits;
};

/* Zeroed: an empty list. */
struct address_list {
	struct address_block *blocks;
	size_t n;
};

enum { ADDRESS_BLOCKS_MAX = 256 };

/* "10.0.0.0/8, 2001:db8::/32, 192.0.2.7, unix"; bits beyond the mask must be 0. */
int address_list_parse(const char *text, struct address_list *out, struct err *) MUST_CHECK;
void address_list_done(struct address_list *);
bool address_list_has(const struct address_list *, const struct address *);

/* The i-th X-Forwarded-For line of a request, NULL past the end. */
typedef const char *forwarded_fn(const void *request, size_t i);

/*
 * The nearest address that is not one of the trusted proxies: the peer, or what a proxy
 * wrote at the right end of X-Forwarded-For. Whatever stands left of that a stranger may have
 * written. False when a trusted proxy wrote something else than an address.
 */
bool address_of_client(const char *peer, const struct address_list *trusted, forwarded_fn *,
		       const void *request, struct address *out);

#endif
