/*
 * Byte buffer with a cap given at birth. Going over the cap drops the append
 * and sets `overflow` for good, so a chain of appends is checked once at its end.
 */
#ifndef GUARD_CORE_BUF_H
#define GUARD_CORE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base.h"

struct buf {
	char *data; /* always NUL-terminated once anything was appended; NULL before */
	size_t len, cap, max;
	bool overflow;
};

void buf_init(struct buf *, size_t max_bytes);
void buf_done(struct buf *);  /* also fits OWNED(buf_done) */
void buf_reset(struct buf *); /* empties, keeps the memory */

void buf_append(struct buf *, const void *data, size_t n);
void buf_puts(struct buf *, const char *s);
void buf_putc(struct buf *, char c);
void buf_printf(struct buf *, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Appends s as a JSON string, quotes included; bytes that are not UTF-8 become U+FFFD. */
void buf_json(struct buf *, const char *s, size_t n);

/* The text so far, "" when empty; borrowed until the next append. */
const char *buf_text(const struct buf *);

/* Hands the malloc'ed text over (never NULL) and empties the buffer. */
char *buf_take(struct buf *);

#endif
