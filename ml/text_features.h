/*
 * Lines of a log as numbers: which words and pairs of neighbours occur, each hashed into one of
 * 2^20 buckets. What differs between runs (numbers, digests, long names) is folded.
 */
#ifndef GUARD_ML_TEXT_FEATURES_H
#define GUARD_ML_TEXT_FEATURES_H

#include <stddef.h>
#include <stdint.h>

enum {
	TEXT_BUCKET_BITS = 20,
	TEXT_LINES_MAX = 64,         /* further lines are not looked at */
	TEXT_LINE_BYTES_MAX = 300,   /* nor further bytes of a line */
	TEXT_FEATURES_MAX = 1 << 14, /* nor further features */
};

struct text_feature {
	uint32_t bucket;
	uint32_t line; /* index into lines */
};

/* By bucket, then line; each pair once. Returns how many. */
size_t text_features(const char *const *lines, size_t n,
		     struct text_feature out[static TEXT_FEATURES_MAX]);

#endif
