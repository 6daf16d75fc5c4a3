/* One segment file of the spool: how records lie in it, and how they are found again. */
#ifndef GUARD_RECEIVER_SPOOL_SEGMENT_H
#define GUARD_RECEIVER_SPOOL_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"
#include "receiver/spool.h"

/* First bytes of every segment; another release's layout has another number. */
#define SEGMENT_MAGIC "PGSPOOL1"
enum { SEGMENT_MAGIC_BYTES = 8, SEGMENT_RECORD_HEAD = 28 };

/* Appends one framed record. */
void segment_frame(struct buf *, const void *record, size_t n, int64_t at_ms);

/*
 * Finds the next whole record at or after *at, and moves *at behind it. What lies
 * between is damage; *damaged grows by it. False at the end; a record that was cut off
 * there (a crash before its sync) is no damage.
 */
bool segment_next(const char *data, size_t n, size_t *at, struct spool_record *out,
		  uint64_t *damaged);

/*
 * The whole file, at most twice SPOOL_SEGMENT_BYTES; malloc'ed. ERR_TRANSIENT: not now (no
 * descriptor, no permission); ERR_INPUT: never, it is gone, no segment, or the disk is damaged.
 */
int segment_read(const char *path, char **data, size_t *n, struct err *) MUST_CHECK;

#endif
