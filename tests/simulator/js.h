/*
 * Writes JSON straight into a buffer: payloads are large, of one shape, and sent by the
 * thousand. Every member ends with a comma that js_close() or js_done() takes back.
 */
#ifndef GUARD_TESTS_JS_H
#define GUARD_TESTS_JS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"

/* `key` NULL: in an array, or the outermost value. */
void js_open(struct buf *, const char *key, char bracket);
void js_close(struct buf *, char bracket);
void js_str(struct buf *, const char *key, const char *value); /* NULL: null */
void js_url(struct buf *, const char *key, const char *fmt, ...) PRINTF_LIKE(3, 4);
void js_i64(struct buf *, const char *key, int64_t value);
void js_u64(struct buf *, const char *key, uint64_t value);
void js_bool(struct buf *, const char *key, bool value);
void js_null(struct buf *, const char *key);
/* "2026-07-29T10:01:29Z"; null for 0. */
void js_time(struct buf *, const char *key, int64_t at_ms);
/* JSON as it is. */
void js_raw(struct buf *, const char *key, const char *json);
const char *js_done(struct buf *);

#endif
