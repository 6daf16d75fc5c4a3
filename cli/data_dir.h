/* The folder where `start` keeps its secrets and the private Redis. */
#ifndef GUARD_CLI_DATA_DIR_H
#define GUARD_CLI_DATA_DIR_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct conf;

enum { DATA_PATH_MAX = 1024 };

/* data_dir, else $XDG_STATE_HOME/NAME, else ~/.local/state/NAME. Does not touch the disk. */
int data_dir_path(const struct conf *, const char *name, char out[static DATA_PATH_MAX],
		  struct err *) MUST_CHECK;

/* receiver.spool_dir, else the folder `spool` in the data folder. */
int data_dir_spool(const struct conf *, char out[static DATA_PATH_MAX], struct err *) MUST_CHECK;

/* Makes it (0700) with its parents and locks it; the lock lasts as long as the process. One that
 * others can write into is refused. */
int data_dir_open(const char *path, struct err *) MUST_CHECK;

/* Writes 64 random hex digits to `path` (0600) unless it is there already. */
int data_dir_secret(const char *path, bool *created, struct err *) MUST_CHECK;

/*
 * Configuration of a private redis-server under `folder`: unix socket only, every write
 * on disk before it is answered. Fills in the path of the configuration and the URL.
 */
int data_dir_redis(const char *folder, char conf_path[static DATA_PATH_MAX],
		   char url[static DATA_PATH_MAX], struct err *) MUST_CHECK;

/* Removes the private Redis' data. For demos, whose world is new at every start. */
int data_dir_forget_redis(const char *folder, struct err *) MUST_CHECK;

#endif
