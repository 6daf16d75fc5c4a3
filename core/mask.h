/* Hides secrets in a line of a log, and what could do harm where it is shown, before it leaves
 * memory. */
#ifndef GUARD_CORE_MASK_H
#define GUARD_CORE_MASK_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Copies s with every credential that we recognise replaced by "[masked]":
 * tokens with a known prefix, keys, JSON web tokens, user:password in URLs,
 * Authorization values, and what follows password=, token: and the like. A tab becomes a
 * space, other characters that must not be shown (core/neutralise.h) '?'.
 * Writes at most cap-1 bytes, terminated, cut at a UTF-8 border; returns the length.
 */
size_t mask_text(const char *s, size_t n, char *out, size_t cap);

/*
 * Calls fn for each of those in a line; borrowed from it. Not `sure`: what has such a prefix or
 * follows such a name, which in a program may well be the name of something else.
 */
typedef void mask_found_fn(const char *secret, size_t n, bool sure, void *arg);
void mask_each(const char *s, size_t n, mask_found_fn *, void *arg);

#endif
