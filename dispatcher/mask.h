/* Hides secrets in a line of a log, and what could do harm where it is shown, before it leaves
 * memory. */
#ifndef GUARD_DISPATCHER_MASK_H
#define GUARD_DISPATCHER_MASK_H

#include <stddef.h>

/*
 * Copies s with every credential that we recognise replaced by "[masked]":
 * tokens with a known prefix, keys, JSON web tokens, user:password in URLs,
 * Authorization values, and what follows password=, token: and the like. A tab becomes a
 * space, other characters that must not be shown (core/neutralise.h) '?'.
 * Writes at most cap-1 bytes, terminated, cut at a UTF-8 border; returns the length.
 */
size_t mask_text(const char *s, size_t n, char *out, size_t cap);

#endif
