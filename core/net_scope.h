/*
 * Whether an address is out in the internet, or one that only somebody inside should talk to. For
 * URLs that strangers may have chosen: what a name resolves to is what counts, at the moment of the
 * connection.
 */
#ifndef GUARD_CORE_NET_SCOPE_H
#define GUARD_CORE_NET_SCOPE_H

#include <stdbool.h>
#include <sys/socket.h>

/* NULL: public. Else what it is: "loopback", "private", "link-local", ... */
const char *net_not_public(const struct sockaddr *);
/* As http_call_options.may_connect. */
bool net_is_public(const struct sockaddr *, void *unused);
/*
 * An address of a network card of this machine, or that cannot be known. A public one too leads
 * past a firewall that stands before the machine.
 */
bool net_is_own(const struct sockaddr *);
/* As net_not_public() of a host as a URL has it, when it is an address ("[::1]", "10.1"); NULL also
 * for names.
 */
const char *net_host_not_public(const char *host);

#endif
