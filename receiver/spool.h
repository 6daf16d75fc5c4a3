/*
 * What Redis did not take, on disk, until it does: records in segment files, in
 * order, each with a checksum. Durable in groups: spool_append() only collects, one
 * spool_sync() makes all of it survive a crash. Knows nothing of what is in a record.
 *
 * Every writer has a folder of its own below `dir`, locked while it lives. The
 * segments of a writer that died are adopted by whoever looks next, so nothing waits for a
 * particular process to come back. Layout on disk: docs/spool.md.
 */
#ifndef GUARD_RECEIVER_SPOOL_H
#define GUARD_RECEIVER_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

enum {
	SPOOL_RECORD_MAX = 128 << 10,
	SPOOL_SEGMENT_BYTES = 8 << 20, /* a new file is begun beyond */
};

struct spool;

/* Makes the folders. ERR_CONFIG: cannot be written, or by others too. At most max_bytes are kept on
 * disk. */
int spool_open(const char *dir, uint64_t max_bytes, struct spool **out, struct err *) MUST_CHECK;
/* What was synced stays for the next process; what was only appended is gone. */
void spool_close(struct spool *);
DEFINE_OWNED(struct spool, spool_close)

/* ERR_TRANSIENT: no room, by the cap. */
int spool_append(struct spool *, const void *record, size_t n, struct err *) MUST_CHECK;
/* The same for a record that was read and cannot be released: behind the others, whatever the cap.
 */
int spool_put_back(struct spool *, const void *record, size_t n, struct err *) MUST_CHECK;
/*
 * Blocks for one fdatasync. On failure (disk full, I/O error) everything that was
 * appended since the last sync is taken back, and later appends may work again.
 */
int spool_sync(struct spool *, struct err *) MUST_CHECK;

/*
 * Reading, oldest first, of what is synced. A record is borrowed until the next
 * call of spool_next() or spool_release(). False: nothing unread.
 */
struct spool_record {
	const char *data;
	size_t n;
	int64_t at_ms; /* wall clock of the append */
};
bool spool_next(struct spool *, struct spool_record *out);
/* The oldest n records that were read are safe elsewhere: forget them. */
void spool_release(struct spool *, size_t n);
/* What was read and not released is read again. */
void spool_rewind(struct spool *);

/* Takes the segments of dead writers over; how many. */
size_t spool_adopt(struct spool *);

bool spool_empty(const struct spool *); /* nothing synced that is not released */
/* Something is synced behind what was read. */
bool spool_more(const struct spool *);
uint64_t spool_bytes(const struct spool *);
bool spool_has_room(const struct spool *);    /* by the cap, for one record of any size */
uint64_t spool_damaged(const struct spool *); /* bytes that could not be read, kept aside */

/*
 * For people: walks every segment below dir, of living and dead writers, without
 * touching them. Returns -1 when dir cannot be read.
 */
struct spool_segment {
	const char *path;
	bool alive;     /* its writer is running */
	bool set_aside; /* damaged, kept for people */
	uint64_t bytes, records, damaged_bytes;
	int64_t oldest_ms, newest_ms;
};
typedef void spool_segment_fn(const struct spool_segment *, void *arg);
typedef void spool_record_fn(const struct spool_record *, void *arg);
int spool_look(const char *dir, spool_segment_fn *, spool_record_fn *each /* may be NULL */,
	       void *arg, struct err *) MUST_CHECK;

#endif
