/*
 * Where logs lie: another origin than the API's, behind links that lapse. Whoever
 * sends Authorization there is turned away, and counted.
 */
#ifndef GUARD_TESTS_STORAGE_H
#define GUARD_TESTS_STORAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct sim;
struct storage;

int storage_new(struct sim *, struct storage **out, struct err *) MUST_CHECK;
void storage_free(struct storage *);

/* A link to a job's log, or with job_id 0 to the archive of the attempt. */
void storage_link(struct storage *, uint64_t run_id, unsigned attempt, uint64_t job_id,
		  char out[static 512]);

#endif
