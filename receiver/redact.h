/* Takes out of a webhook's body what might be a secret, before it is kept for people. */
#ifndef GUARD_RECEIVER_REDACT_H
#define GUARD_RECEIVER_REDACT_H

#include <stddef.h>

#include "core/buf.h"

/*
 * Appends s. "[masked]" become: values of members named like a secret, also in plain text
 * ("password: x", "token=x"), credentials in URLs and after Bearer or Basic, tokens of known
 * makers, and every longer word that mixes letters and digits without being a hash. The text
 * may be no JSON at all. Masks too much rather than too little. Stops at the cap of `out`.
 */
void redact(const char *s, size_t n, struct buf *out);

#endif
