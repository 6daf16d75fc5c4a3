/* How each sender shows that it knows the secret: for `replay`, which sends in its place. */
#ifndef GUARD_CLI_WEBHOOK_SIGN_H
#define GUARD_CLI_WEBHOOK_SIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct conf;
struct webhook_sender;

struct saved_webhook {
	const char *body;
	size_t body_len;
	const char *event;    /* the sender's name for it */
	const char *delivery; /* NULL: a new one */
};

enum { WEBHOOK_HEADERS_MAX = 8 };

/* By the provider's name; NULL when there is none. */
const struct webhook_sender *webhook_sender_find(const char *provider);
const char *webhook_sender_name(const struct webhook_sender *);
/* An example of the event that has to be given; NULL: none has to. */
const char *webhook_sender_event(const struct webhook_sender *);
/* File in the data folder with the secret that `start` generated; NULL: it generates none. */
const char *webhook_sender_file(const struct webhook_sender *);
/* The configured secret, NULL when there is none. */
const char *webhook_sender_secret(const struct webhook_sender *, const struct conf *);

/* "Name: value", at most WEBHOOK_HEADERS_MAX of them, NULL-terminated; the caller frees each. */
int webhook_sign(const struct webhook_sender *, const struct saved_webhook *, const char *secret,
		 char *headers[static WEBHOOK_HEADERS_MAX + 1], struct err *) MUST_CHECK;

#endif
