/* The labelled logs that the detector is measured on, in the layouts of their publishers. */
#ifndef GUARD_TESTS_BENCH_DETECTOR_SETS_H
#define GUARD_TESTS_BENCH_DETECTOR_SETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CASE_TESTS_MAX = 200, CASE_LINES_MAX = 200 };

/* One log and what is known about it. */
struct sample {
	const char *set;
	char *project;    /* samples of one project never are on both sides of the split */
	const char *want; /* category; "" the build passed; NULL not known */
	char *path;       /* NULL when the text is here */
	char *text;
	size_t len;
	char *tests[CASE_TESTS_MAX]; /* names of the failed ones */
	size_t n_tests;
	bool tests_known;
	char *lines[CASE_LINES_MAX]; /* that people or other tools point at */
	size_t n_lines;
	bool held_out;
};

struct samples {
	struct sample *at;
	size_t n, cap;
	uint64_t seed;
};

/*
 * Adds every set that is below root; another seed splits the projects otherwise. Sets that are not
 * there are named on standard output. The texts are not read yet.
 */
void sets_load(const char *root, uint64_t seed, struct samples *);
void samples_done(struct samples *);

/* False when it cannot be read. */
bool sample_read(struct sample *);
void sample_forget(struct sample *);

#endif
