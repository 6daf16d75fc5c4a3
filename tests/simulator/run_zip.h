/* The zip archive of a run's logs, as GitHub lays it out. */
#ifndef GUARD_TESTS_RUN_ZIP_H
#define GUARD_TESTS_RUN_ZIP_H

#include "core/buf.h"
#include "tests/simulator/world.h"

enum { RUN_ZIP_MAX = 256 << 20 };

/* "0_job.txt" for each job that ran, and "job/1_step.txt" for each of its steps. */
void run_zip_write(struct buf *, const struct run *, unsigned attempt, unsigned noise);

#endif
