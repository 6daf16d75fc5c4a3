/* Where the CI simulator's executable is. */
#ifndef GUARD_CLI_SIMULATOR_H
#define GUARD_CLI_SIMULATOR_H

#include <stddef.h>

#include "core/err.h"

/* PIPELINE_GUARD_SIMULATOR, else next to this executable, else where a build tree has it. */
int simulator_find(char *path, size_t cap, struct err *) MUST_CHECK;

/* The folder of this executable, without a slash at the end. */
int executable_folder(char *path, size_t cap, struct err *) MUST_CHECK;

#endif
