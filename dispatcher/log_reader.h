/*
 * Reads logs in slices, one per turn of the loop, so that a large one holds up nothing else. Those
 * that are read at the same time take turns.
 */
#ifndef GUARD_DISPATCHER_LOG_READER_H
#define GUARD_DISPATCHER_LOG_READER_H

#include <stdbool.h>

#include "core/base.h"
#include "core/finding.h"
#include "core/tail_buf.h"
#include "dispatcher/detector.h"

enum { LOG_SLICE_BYTES = 64 << 10 };

struct arena;
struct event_base;
struct log_reader;
struct log_reading;

/* Strings of the finding live in the arena. `found`: `look_for` is somewhere in the log. */
typedef void log_read_fn(struct finding *, bool found, void *arg);

struct log_reader *log_reader_new(struct event_base *, const struct detector *);
/* Ends all; their callbacks are not called any more. */
void log_reader_free(struct log_reader *);
DEFINE_OWNED(struct log_reader, log_reader_free)

/* Before the old detector is freed: what is being read begins anew. */
void log_reader_use(struct log_reader *, const struct detector *);

/*
 * Moves the bytes of `log` here. The strings of the input (its text and len are not read), the
 * arena and `look_for` (NULL: nothing) are borrowed until the end. fn is called once, in a later
 * turn.
 */
struct log_reading *log_reader_begin(struct log_reader *, struct tail_buf *log,
				     const struct detect_input *, const char *look_for,
				     struct arena *, log_read_fn *, void *arg);
/* fn is not called any more; NULL is fine. For one that has not reported yet. */
void log_reading_cancel(struct log_reading *);

#endif
