/* The same failure gives the same fingerprint, whatever run, machine, directory or time it had. */
#ifndef GUARD_DISPATCHER_FINGERPRINT_H
#define GUARD_DISPATCHER_FINGERPRINT_H

#include <stddef.h>

enum { FINGERPRINT_HEX = 16, FINGERPRINT_LINE_MAX = 512 };

/*
 * Replaces what differs between occurrences: numbers, amounts with their units and times become
 * N, hex digests, addresses, UUIDs and made-up names H, refs and branches B, and of a path only the
 * last part stays, unless it is a temporary folder. Returns the length; out is terminated.
 */
size_t fingerprint_normalise(const char *line, char out[static FINGERPRINT_LINE_MAX]);

/* 16 hex digits of SHA-256 over the category and the normalised lines. */
void fingerprint_of(const char *category, const char *const *lines, size_t n_lines,
		    char out[static FINGERPRINT_HEX + 1]);

/*
 * Which of the lines says most of a failure that has no name: the last one that speaks of trouble
 * and not of an exit status, which every failure has. n is at least 1.
 */
size_t fingerprint_telling(const char *const *lines, size_t n);

#endif
