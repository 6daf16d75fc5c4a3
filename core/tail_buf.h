/*
 * Byte buffer of a fixed maximum that, when told so, keeps the last bytes and
 * counts what it dropped: for logs, where the end says what went wrong.
 */
#ifndef GUARD_CORE_TAIL_BUF_H
#define GUARD_CORE_TAIL_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base.h"

/* Embedded; read the counters, leave the rest alone. */
struct tail_buf {
	char *data;
	size_t len, cap, max, start;
	uint64_t dropped_bytes, dropped_lines; /* newlines among the dropped bytes */
	bool keep_tail;
	bool over; /* without keep_tail: something did not fit */
};

void tail_buf_init(struct tail_buf *, size_t max_bytes, bool keep_tail);
/* Wipes the memory, since what was received may have been a credential. */
void tail_buf_done(struct tail_buf *);
/* What is in it belongs to `to` from here on, which had nothing; `from` is only to be done with. */
void tail_buf_move(struct tail_buf *to, struct tail_buf *from);
void tail_buf_reset(struct tail_buf *); /* empties, keeps the memory */

/* False, and nothing kept of it, when it does not fit and the tail is not wanted. */
bool tail_buf_put(struct tail_buf *, const char *p, size_t n);
/* Terminated and in one piece, never NULL; borrowed until the next put. What lost its front is
 * turned in place for that, all of it at once. */
const char *tail_buf_text(struct tail_buf *);
/* From byte `at`, which is in it, the *n bytes that are in one piece. There are two at most. */
const char *tail_buf_piece(const struct tail_buf *, size_t at, size_t *n);
/* Up to n bytes from `at` on; how many. */
size_t tail_buf_copy(const struct tail_buf *, size_t at, char *out, size_t n);

#endif
