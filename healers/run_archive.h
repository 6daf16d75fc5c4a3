/*
 * The log of one job out of a run's zip archive, all in memory. Archives come
 * from builds of strangers: entries, names and sizes are bounded.
 */
#ifndef GUARD_HEALERS_RUN_ARCHIVE_H
#define GUARD_HEALERS_RUN_ARCHIVE_H

#include <stddef.h>

#include "core/err.h"
#include "core/tail_buf.h"

enum {
	ARCHIVE_ENTRIES_MAX = 32768,
	ARCHIVE_STEPS_MAX = 128, /* files of one job, when it has no file of its own */
};
/* Unpacked bytes that one call may read: a bomb is refused, not waited for. */
#define ARCHIVE_UNPACKED_MAX ((size_t)64 << 20)

/* ... and in one step, so that nothing else waits long. */
enum { ARCHIVE_STEP_BYTES = 512 << 10 };

/*
 * GitHub names a job's file "3_<job>.txt", and those of its steps
 * "<job>/7_<step>.txt", with some characters left out and long names cut. The text
 * is put into `out`; all three are borrowed until the end.
 */
struct run_archive;
struct run_archive *run_archive_new(const void *zip, size_t n, const char *job,
				    struct tail_buf *out);
void run_archive_free(struct run_archive *);
DEFINE_OWNED(struct run_archive, run_archive_free)

/* 1: there is more to do, 0: done. ERR_INPUT: no such job in it, or not an archive we accept. */
int run_archive_step(struct run_archive *, struct err *) MUST_CHECK;

#endif
