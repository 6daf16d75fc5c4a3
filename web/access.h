/*
 * Who may see the page and the API. On a loopback listener everybody on this
 * machine may look, unless the request shows that it came from elsewhere (through a
 * proxy, or from a foreign web page by DNS rebinding). Otherwise the admin
 * token is needed, and for what changes something it always is.
 */
#ifndef GUARD_WEB_ACCESS_H
#define GUARD_WEB_ACCESS_H

#include <stdbool.h>

struct conf;
struct http_request;

struct access {
	const struct conf *conf;
	bool loopback; /* the listener can be reached from this machine only */
};

/* The conf must outlive it. */
void access_init(struct access *, const struct conf *);

/* False when the request was refused, and answered. `changes`: it would change something. */
bool access_allows(const struct access *, struct http_request *, bool changes);

/* "127.0.0.1:8080", "[::1]:0", "localhost:80", "unix:/path" or "fd:N" (its bound address). */
bool access_is_loopback_listener(const char *address);
/* Host header that names this machine: localhost, *.localhost, 127.0.0.0/8 or [::1]. */
bool access_is_loopback_host(const char *host);
/* Authorization: Bearer TOKEN, or Basic with it as password when `basic`. */
bool access_token_matches(const struct conf *, const char *authorization, bool basic);

#endif
