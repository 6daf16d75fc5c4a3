/*
 * The address of a host name without holding up the loop: getaddrinfo() waits for name servers
 * for as long as they please. By c-ares (docs/adr/0009).
 */
#ifndef GUARD_CORE_RESOLVE_H
#define GUARD_CORE_RESOLVE_H

#include <sys/socket.h>

#include "core/base.h"

struct event_base;
struct resolve;

/* addr NULL: there is none, and `why`. Called at most once, from the loop; may free the resolve. */
typedef void resolve_fn(const struct sockaddr *addr, socklen_t len, const char *why, void *arg);

/*
 * Reads the system's configuration anew. Takes what is in /etc/hosts and numbers too. It may go on
 * for long when name servers are silent: the caller has the deadline.
 */
struct resolve *resolve_new(struct event_base *, const char *host, int port, resolve_fn *,
			    void *arg);
/* The callback is not called any more. */
void resolve_free(struct resolve *);
DEFINE_OWNED(struct resolve, resolve_free)

/* For tests: asks "127.0.0.1:5300" instead of the system's name servers; NULL: the system's. */
void resolve_ask(const char *server);

#endif
