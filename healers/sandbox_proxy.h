/*
 * The only way out of a sandbox whose command has the network: an HTTP proxy. Its listening socket
 * is made in there (healers/sandbox_stage.c) and handed out to us, so a namespace without any
 * network is enough, and nothing of ours runs inside. Who may be talked to is decided here, by the
 * address that the connection goes to.
 */
#ifndef GUARD_HEALERS_SANDBOX_PROXY_H
#define GUARD_HEALERS_SANDBOX_PROXY_H

#include <stdbool.h>

#include "core/err.h"

struct event_base;
struct sandbox_network;
struct sandbox_proxy;

/*
 * Of the network everything is copied. *offer: for the child, which sends the socket over it, once;
 * the caller's to close. NULL, with err, where that cannot be made.
 */
struct sandbox_proxy *sandbox_proxy_new(struct event_base *, const struct sandbox_network *,
					int *offer, struct err *) MUST_CHECK;
/* In the child: hands the socket over, which stays the caller's to close. */
bool sandbox_proxy_offer(int over, int listener) MUST_CHECK;
/* Whatever still runs over it ends. NULL is fine. */
void sandbox_proxy_free(struct sandbox_proxy *);

/* "10.0.0.1 is private, x.example.org is ...": what was asked for and refused; "" nothing. */
const char *sandbox_proxy_refused(const struct sandbox_proxy *);

#endif
