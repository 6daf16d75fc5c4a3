/*
 * A second opinion on a failure from the words of its log: a linear model over hashed n-grams
 * (text_features.h). It is asked where no rule is sure, and never says that trying again helps.
 *
 * A file, little-endian: the magic word, a version, numbers of classes and rows, the temperature, a
 * digest of what it learned from, of each class its name, bias, scale and threshold, rows of a
 * bucket and one signed byte per class, and the SHA-256 of all of that.
 */
#ifndef GUARD_ML_TEXT_MODEL_H
#define GUARD_ML_TEXT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base.h"
#include "core/crypto.h"
#include "core/err.h"

enum {
	TEXT_CLASSES_MAX = 16,
	TEXT_CLASS_NAME_MAX = 32,
	TEXT_ROWS_MAX = 16384,
	TEXT_MODEL_BYTES_MAX = 512 << 10,
	TEXT_ANSWERS = 3,
	TEXT_REASONS = 3,
};

/* The class of logs in which nothing failed; all others are categories of a finding. */
#define TEXT_PASSED "passed"

#define TEXT_NEVER 2.0F

struct text_row {
	uint32_t bucket;
	int8_t weight[TEXT_CLASSES_MAX];
};

struct text_model {
	unsigned n_classes, n_rows;
	char classes[TEXT_CLASSES_MAX][TEXT_CLASS_NAME_MAX];
	float bias[TEXT_CLASSES_MAX], scale[TEXT_CLASSES_MAX];
	/* Below this probability it does not speak; TEXT_NEVER: no log showed that it may. */
	float threshold[TEXT_CLASSES_MAX];
	float temperature; /* makes probabilities as right as they say */
	unsigned char inputs[SHA256_BYTES];
	struct text_row *rows; /* ascending buckets */
};

/* The file is taken whole or refused. */
int text_model_load(const char *path, struct text_model **out, struct err *) MUST_CHECK;
int text_model_parse(const void *data, size_t n, struct text_model **out, struct err *) MUST_CHECK;
void text_model_free(struct text_model *);
DEFINE_OWNED(struct text_model, text_model_free)

/* Its file as bytes; the caller frees. */
unsigned char *text_model_bytes(const struct text_model *, size_t *n) ALLOCATES;

struct text_opinion {
	struct {
		const char *class; /* the model's */
		double probability;
	} best[TEXT_ANSWERS];         /* likeliest first; class NULL where there are fewer */
	bool sure;                    /* over the threshold, and not that nothing failed */
	size_t reasons[TEXT_REASONS]; /* indices of the lines that speak most for the first */
	size_t n_reasons;
};

void text_model_ask(const struct text_model *, const char *const *lines, size_t n,
		    struct text_opinion *out);

/* True when logs showed that it can tell this category from others. */
bool text_model_knows(const struct text_model *, const char *category);

struct text_feature;
/* For training: scores before the temperature, one per class, and what they mean with one. */
void text_model_score(const struct text_model *, const struct text_feature *, size_t n,
		      double score[static TEXT_CLASSES_MAX]);
void text_model_share(const double *score, unsigned n_classes, double temperature,
		      double p[static TEXT_CLASSES_MAX]);

#endif
