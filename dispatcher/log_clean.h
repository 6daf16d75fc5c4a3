/*
 * Makes a CI log readable for rules: no timestamps, escapes, markers or
 * invalid bytes. Streaming with bounded memory; lines keep their original number.
 *
 * A carriage return ends a cleaned line too (progress bars, GitLab and Travis
 * markers), without counting as a line of the file.
 */
#ifndef GUARD_DISPATCHER_LOG_CLEAN_H
#define GUARD_DISPATCHER_LOG_CLEAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CLEAN_LINE_MAX = 4096,       /* bytes kept of one line; the rest is skipped */
	CLEAN_BLOCK_MAX = 256 << 10, /* cleaned bytes handed over at a time */
	CLEAN_LINES_MAX = 8192,      /* lines handed over at a time */

};

enum clean_flag {
	CLEAN_ERROR = 1 << 0,   /* the CI system marked it: ##[error], ::error:: */
	CLEAN_WARNING = 1 << 1, /* ##[warning], ::warning:: */
	CLEAN_COMMAND = 1 << 2, /* an echoed command, not output */
	CLEAN_STEP = 1 << 3,    /* a step, stage or section of the CI system begins */
	CLEAN_CUT = 1 << 4,     /* the line was longer than CLEAN_LINE_MAX */
};

struct clean_line {
	uint64_t number; /* 1-based in the original */
	uint32_t start;  /* in the block's text, which has '\n' after each line */
	uint16_t len;
	uint16_t flags;
};

struct log_clean;

/* Line numbers count on after skipped_lines. */
struct log_clean *log_clean_new(uint64_t skipped_lines);
void log_clean_free(struct log_clean *);

/* Takes bytes until the block is full; returns how many. Call again after log_clean_reset(). */
size_t log_clean_feed(struct log_clean *, const char *data, size_t n);
/* The end of the log: cleans what is left of a line without a newline. Always has room. */
void log_clean_end(struct log_clean *);

/* The block so far; borrowed until the next feed. */
const char *log_clean_text(const struct log_clean *, size_t *len);
const struct clean_line *log_clean_lines(const struct log_clean *, size_t *n);
void log_clean_reset(struct log_clean *);

#endif
