/*
 * Learns a text model from labelled logs: multinomial logistic regression by AdaGrad, on
 * n-grams that occur in several projects. The same samples in the same order give the same bytes.
 * Takes seconds: for a command or a child process, never for a loop.
 */
#ifndef GUARD_ML_TEXT_TRAIN_H
#define GUARD_ML_TEXT_TRAIN_H

#include "ml/text_model.h"

enum { TEXT_SAMPLES_MAX = 50000, TEXT_FOLDS = 5 };

struct text_sample {
	uint32_t *buckets; /* ascending, each once */
	size_t n;
	unsigned class;
	uint64_t project; /* samples of one are never on both sides of a validation */
	bool scored;      /* a log with a label to be judged by; others are only learned from */
	double weight;
};

struct text_samples {
	struct text_sample *at;
	size_t n, cap;
	unsigned n_classes;
	char classes[TEXT_CLASSES_MAX][TEXT_CLASS_NAME_MAX];
};

/* Index of the class, which is added when it is new; -1 when it is no category, or one too many. */
int text_samples_class(struct text_samples *, const char *name);
/* The lines are not kept. */
int text_samples_add(struct text_samples *, const char *const *lines, size_t n,
		     const struct text_sample *what, struct err *) MUST_CHECK;
void text_samples_done(struct text_samples *); /* also fits OWNED() */

/* What validation by project says: each log judged by a model that saw none of its project. */
struct text_report {
	unsigned logs, right;
	unsigned answered, answered_right; /* over the threshold of the class */
	unsigned passed, alarms;           /* logs in which nothing failed; an answer to one */
	unsigned got[TEXT_CLASSES_MAX][TEXT_CLASSES_MAX]; /* [label][answer] */
	unsigned others, others_right;                    /* samples that are no logs */
};

typedef void text_progress_fn(unsigned done, unsigned of, void *arg);

int text_train(const struct text_samples *, text_progress_fn *, void *arg, struct text_model **out,
	       struct text_report *, struct err *) MUST_CHECK;

#endif
