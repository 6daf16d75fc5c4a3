/* Writes the log of a job as GitHub stores it: a time in front of every line, groups, marks. */
#ifndef GUARD_TESTS_JOB_LOG_H
#define GUARD_TESTS_JOB_LOG_H

#include "core/buf.h"

struct job;
struct run;

enum { JOB_LOG_MAX = 32 << 20 };

/* `noise`: lines of ordinary output before the failure. The same input gives the same log. */
void job_log_write(struct buf *, const struct run *, const struct job *, unsigned noise);
/* One line of a story, with this run's values in it. */
void job_log_expand(struct buf *, const struct run *, const char *text);

#endif
