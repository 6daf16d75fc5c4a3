/* Many saved logs, named by folders or a table, and what is known about each. */
#ifndef GUARD_CLI_LOG_FILES_H
#define GUARD_CLI_LOG_FILES_H

#include <stddef.h>

#include "core/base.h"
#include "core/err.h"

struct detect_scan;

enum { LOG_FILES_MAX = 500000 };

struct log_file {
	char *path;
	const char *label; /* as in dispatcher/rule_report.h; NULL: not known */
	char *project;     /* that it is of; NULL: not said */
};

struct log_files {
	struct log_file *at;
	size_t n, cap;
	size_t unlabelled;
};

/*
 * A folder: all files below it, in the order of their names. What a log is, the folders on
 * the way say: `green` or `passed`, `red` or `failed`, or a category, which may be in one of the
 * latter. A file: a table with the columns path, category and, if known, project; paths are
 * relative to the table.
 */
int log_files_find(const char *where, struct log_files **out, struct err *) MUST_CHECK;
void log_files_free(struct log_files *);
DEFINE_OWNED(struct log_files, log_files_free)

/* Feeds the log in pieces, so that its size does not matter. "-" is standard input. */
int log_file_feed(const char *name, struct detect_scan *, struct err *) MUST_CHECK;

#endif
