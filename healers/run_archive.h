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

/*
 * GitHub names a job's file "3_<job>.txt", and those of its steps
 * "<job>/7_<step>.txt", with some characters left out and long names cut. Puts
 * the text into `out`. ERR_INPUT: no such job in it, or not an archive we accept.
 */
int run_archive_log(const void *zip, size_t n, const char *job, struct tail_buf *out,
		    struct err *) MUST_CHECK;

#endif
