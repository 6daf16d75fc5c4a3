#include "ml/text_train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/finding.h"
#include "core/mem.h"
#include "core/text.h"
#include "ml/text_features.h"

/* Chosen by validation on the tuning part of the labelled logs (docs/models.md). */
enum {
	EPOCHS = 30,
	PROJECTS_MIN = 2, /* that a feature occurs in; others are names of one project */
	ROWS_KEPT = 8192,
};
static const double step_size = 0.2, shrink = 3e-4;

/* A wrong category takes as much away as so many right ones give. */
static const double wrong_costs = 3;
/* Logs worth so many projects must have shown that a class may speak. */
static const double projects_gained = 2;

enum { N_BUCKETS = 1 << TEXT_BUCKET_BITS };

/* ---- samples ------------------------------------------------------------------------------- */

int text_samples_class(struct text_samples *all, const char *name)
{
	for (unsigned c = 0; c < all->n_classes; c++)
		if (strcmp(all->classes[c], name) == 0)
			return (int)c;
	if (all->n_classes == TEXT_CLASSES_MAX || strcmp(name, "unknown") == 0 ||
	    (strcmp(name, TEXT_PASSED) != 0 && !finding_category_known(name)))
		return -1;
	(void)text_copy(all->classes[all->n_classes], TEXT_CLASS_NAME_MAX, name, strlen(name));
	return (int)all->n_classes++;
}

int text_samples_add(struct text_samples *all, const char *const *lines, size_t n,
		     const struct text_sample *what, struct err *err)
{
	OWNED(freep) struct text_feature *f = xmalloc(TEXT_FEATURES_MAX * sizeof(*f));
	size_t n_features = text_features(lines, n, f);
	struct text_sample *s;

	if (all->n == TEXT_SAMPLES_MAX)
		return err_set(err, ERR_CONFIG, "more than %d samples", TEXT_SAMPLES_MAX);
	if (all->n == all->cap) {
		all->cap = all->cap ? 2 * all->cap : 256;
		all->at = xrealloc(all->at, all->cap * sizeof(*all->at));
	}
	s = &all->at[all->n++];
	*s = *what;
	s->n = 0;
	s->buckets = xmalloc((n_features + 1) * sizeof(*s->buckets));
	for (size_t i = 0; i < n_features; i++)
		if (i == 0 || f[i].bucket != f[i - 1].bucket)
			s->buckets[s->n++] = f[i].bucket;
	return 0;
}

void text_samples_done(struct text_samples *all)
{
	for (size_t i = 0; i < all->n; i++)
		free(all->at[i].buckets);
	free(all->at);
	*all = (struct text_samples){ .n = 0 };
}

/* ---- learning ------------------------------------------------------------------------------ */

struct learner {
	const struct text_samples *all;
	size_t *order; /* samples to learn from */
	size_t n;
	int32_t *row_of; /* bucket to row; -1: not used */
	uint32_t *bucket_of;
	unsigned n_rows;
	double *weights, *squares; /* [row][class]; squares: of the steps so far */
	double bias[TEXT_CLASSES_MAX], bias_squares[TEXT_CLASSES_MAX];
	double *shares; /* what each sample counts */
	uint64_t random;
};

static void learner_done(struct learner *l)
{
	free(l->order);
	free(l->row_of);
	free(l->bucket_of);
	free(l->weights);
	free(l->squares);
	free(l->shares);
}

static int by_project(const void *a, const void *b, void *arg)
{
	const struct text_samples *all = arg;
	const size_t *x = a, *y = b;
	uint64_t p = all->at[*x].project, q = all->at[*y].project;

	if (p != q)
		return p < q ? -1 : 1;
	return (*x > *y) - (*x < *y);
}

/* All classes count the same: what is frequent here need not be so elsewhere. */
static void balance(struct learner *l)
{
	double of[TEXT_CLASSES_MAX] = { 0 }, all = 0;
	unsigned n = 0;

	for (size_t i = 0; i < l->n; i++)
		of[l->all->at[l->order[i]].class] += l->shares[l->order[i]];
	for (unsigned c = 0; c < TEXT_CLASSES_MAX; c++) {
		n += of[c] > 0;
		all += of[c];
	}
	for (size_t i = 0; i < l->n; i++)
		l->shares[l->order[i]] *= all / of[l->all->at[l->order[i]].class] / n;
}

/* A project with a hundred logs counts like ten: its ways are not everybody's. */
static void share_out(struct learner *l)
{
	qsort_r(l->order, l->n, sizeof(*l->order), by_project, (void *)(uintptr_t)l->all);
	for (size_t i = 0, end; i < l->n; i = end) {
		uint64_t project = l->all->at[l->order[i]].project;

		for (end = i; end < l->n && l->all->at[l->order[end]].project == project; end++)
			;
		for (size_t k = i; k < end; k++)
			l->shares[l->order[k]] =
				l->all->at[l->order[k]].weight / sqrt((double)(end - i));
	}
}

/* Samples are in the order of projects here, so that each counts a feature once. */
static void choose_buckets(struct learner *l)
{
	OWNED(freep) uint32_t *projects = xcalloc(N_BUCKETS, sizeof(*projects));
	OWNED(freep) uint64_t *last = xcalloc(N_BUCKETS, sizeof(*last));

	for (size_t i = 0; i < l->n; i++) {
		const struct text_sample *s = &l->all->at[l->order[i]];

		for (size_t k = 0; k < s->n; k++) {
			uint32_t b = s->buckets[k];

			projects[b] += projects[b] == 0 || last[b] != s->project;
			last[b] = s->project;
		}
	}
	for (uint32_t b = 0; b < N_BUCKETS; b++) {
		l->row_of[b] = projects[b] >= PROJECTS_MIN ? (int32_t)l->n_rows : -1;
		if (l->row_of[b] >= 0)
			l->bucket_of[l->n_rows++] = b;
	}
}

static uint64_t next_random(struct learner *l)
{
	l->random ^= l->random << 13;
	l->random ^= l->random >> 7;
	l->random ^= l->random << 17;
	return l->random;
}

static void shuffle(struct learner *l)
{
	for (size_t i = l->n; i > 1; i--) {
		size_t k = next_random(l) % i, kept = l->order[i - 1];

		l->order[i - 1] = l->order[k];
		l->order[k] = kept;
	}
}

static void step(double *weight, double *square, double slope)
{
	*square += slope * slope;
	*weight -= step_size * slope / (sqrt(*square) + 1e-8);
}

static size_t rows_in(const struct learner *l, const struct text_sample *s, int32_t *rows)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (l->row_of[s->buckets[i]] >= 0)
			rows[n++] = l->row_of[s->buckets[i]];
	return n;
}

static void learn_one(struct learner *l, size_t which)
{
	const struct text_sample *s = &l->all->at[which];
	unsigned n_classes = l->all->n_classes;
	int32_t rows[TEXT_FEATURES_MAX];
	size_t n = rows_in(l, s, rows);
	double score[TEXT_CLASSES_MAX] = { 0 }, p[TEXT_CLASSES_MAX], norm;

	norm = n ? 1 / sqrt((double)n) : 0;
	for (size_t i = 0; i < n; i++)
		for (unsigned c = 0; c < n_classes; c++)
			score[c] += l->weights[(size_t)rows[i] * n_classes + c];
	for (unsigned c = 0; c < n_classes; c++)
		score[c] = score[c] * norm + l->bias[c];
	text_model_share(score, n_classes, 1, p);
	for (unsigned c = 0; c < n_classes; c++) {
		double slope = (p[c] - (c == s->class)) * l->shares[which];

		if (fabs(slope) < 1e-4)
			continue; /* it knows */
		step(&l->bias[c], &l->bias_squares[c], slope);
		for (size_t i = 0; i < n; i++) {
			size_t at = (size_t)rows[i] * n_classes + c;

			step(&l->weights[at], &l->squares[at],
			     slope * norm + shrink * l->weights[at]);
		}
	}
}

static unsigned fold_of(const struct text_sample *s)
{
	return (unsigned)((s->project >> 17) % TEXT_FOLDS);
}

/* Learns from all samples but those of one fold; TEXT_FOLDS: from all. */
static void learner_init(struct learner *l, const struct text_samples *all, unsigned without)
{
	*l = (struct learner){ .all = all, .random = 0x9e3779b97f4a7c15ULL };
	l->order = xcalloc(all->n + 1, sizeof(*l->order));
	l->shares = xcalloc(all->n + 1, sizeof(*l->shares));
	l->row_of = xcalloc(N_BUCKETS, sizeof(*l->row_of));
	l->bucket_of = xcalloc(N_BUCKETS, sizeof(*l->bucket_of));
	for (size_t i = 0; i < all->n; i++)
		if (fold_of(&all->at[i]) != without)
			l->order[l->n++] = i;
	share_out(l);
	balance(l);
	choose_buckets(l);
	l->weights = xcalloc((size_t)l->n_rows * all->n_classes + 1, sizeof(double));
	l->squares = xcalloc((size_t)l->n_rows * all->n_classes + 1, sizeof(double));
}

/* ---- the small model ----------------------------------------------------------------------- */

struct worth {
	double most; /* its largest weight */
	unsigned row;
};

static int by_worth(const void *a, const void *b)
{
	const struct worth *x = a, *y = b;

	if (x->most != y->most)
		return x->most > y->most ? -1 : 1;
	return (x->row > y->row) - (x->row < y->row);
}

static int by_row(const void *a, const void *b)
{
	const struct worth *x = a, *y = b;

	return (x->row > y->row) - (x->row < y->row);
}

/* The rows that matter most, in the order of their buckets. */
static unsigned keep_rows(const struct learner *l, struct worth *worth)
{
	unsigned n_classes = l->all->n_classes, n = l->n_rows < ROWS_KEPT ? l->n_rows : ROWS_KEPT;

	for (unsigned i = 0; i < l->n_rows; i++) {
		worth[i] = (struct worth){ .row = i };
		for (unsigned c = 0; c < n_classes; c++)
			worth[i].most =
				fmax(worth[i].most, fabs(l->weights[(size_t)i * n_classes + c]));
	}
	qsort(worth, l->n_rows, sizeof(*worth), by_worth);
	qsort(worth, n, sizeof(*worth), by_row);
	return n;
}

static struct text_model *small_model(const struct learner *l)
{
	OWNED(freep) struct worth *worth = xcalloc(l->n_rows + 1, sizeof(*worth));
	struct text_model *m = xcalloc(1, sizeof(*m));
	unsigned n_classes = l->all->n_classes;

	m->n_classes = n_classes;
	m->n_rows = keep_rows(l, worth);
	m->temperature = 1;
	m->rows = xcalloc(m->n_rows + 1, sizeof(*m->rows));
	memcpy(m->classes, l->all->classes, sizeof(m->classes));
	for (unsigned i = 0; i < m->n_rows; i++)
		m->rows[i].bucket = l->bucket_of[worth[i].row];
	for (unsigned c = 0; c < n_classes; c++) {
		double most = 1e-9;

		for (unsigned i = 0; i < m->n_rows; i++)
			most = fmax(most, fabs(l->weights[(size_t)worth[i].row * n_classes + c]));
		m->scale[c] = (float)(most / 127);
		m->bias[c] = (float)l->bias[c];
		for (unsigned i = 0; i < m->n_rows; i++)
			m->rows[i].weight[c] = (int8_t)round(
				l->weights[(size_t)worth[i].row * n_classes + c] / most * 127);
	}
	return m;
}

static struct text_model *learn(const struct text_samples *all, unsigned without)
{
	OWNED(learner_done) struct learner l;

	learner_init(&l, all, without);
	for (unsigned e = 0; e < EPOCHS; e++) {
		shuffle(&l);
		for (size_t i = 0; i < l.n; i++)
			learn_one(&l, l.order[i]);
	}
	return small_model(&l);
}

/* ---- validation ---------------------------------------------------------------------------- */

/* What a model that never saw its project said of each sample. */
struct judged {
	double score[TEXT_CLASSES_MAX];
	double share; /* what it counts */
	unsigned best;
	double p; /* of the best */
};

static void judge_fold(const struct text_samples *all, const struct text_model *m, unsigned fold,
		       struct judged *judged)
{
	OWNED(freep) struct text_feature *f = xmalloc(TEXT_FEATURES_MAX * sizeof(*f));

	for (size_t i = 0; i < all->n; i++) {
		const struct text_sample *s = &all->at[i];

		if (fold_of(s) != fold)
			continue;
		for (size_t k = 0; k < s->n; k++)
			f[k] = (struct text_feature){ .bucket = s->buckets[k] };
		text_model_score(m, f, s->n, judged[i].score);
	}
}

static unsigned best_of(const double *p, unsigned n)
{
	unsigned best = 0;

	for (unsigned c = 1; c < n; c++)
		if (p[c] > p[best])
			best = c;
	return best;
}

/* The one of a grid with the least squared error of the probabilities. */
static float fit_temperature(const struct text_samples *all, const struct judged *judged)
{
	double least = HUGE_VAL, best = 1;

	for (int tenth = 2; tenth < 60; tenth++) {
		double error = 0, t = tenth / 10.0;

		for (size_t i = 0; i < all->n; i++) {
			double p[TEXT_CLASSES_MAX];

			if (!all->at[i].scored)
				continue;
			text_model_share(judged[i].score, all->n_classes, t, p);
			for (unsigned c = 0; c < all->n_classes; c++) {
				double off = p[c] - (c == all->at[i].class);

				error += off * off * judged[i].share;
			}
		}
		if (error < least) {
			least = error;
			best = t;
		}
	}
	return (float)best;
}

/* What the class gains by answering from that probability on. */
static double gain(const struct text_samples *all, const struct judged *judged, unsigned class,
		   double threshold)
{
	double sum = 0;

	for (size_t i = 0; i < all->n; i++)
		if (all->at[i].scored && judged[i].best == class && judged[i].p >= threshold)
			sum += judged[i].share * (all->at[i].class == class ? 1 : -wrong_costs);
	return sum;
}

/* The threshold with the largest gain; never, where too little is gained. */
static float fit_threshold(const struct text_samples *all, const struct judged *judged,
			   unsigned class)
{
	double most = projects_gained, best = (double)TEXT_NEVER;

	for (int percent = 50; percent < 100; percent++) {
		double g = gain(all, judged, class, percent / 100.0);

		if (g > most) {
			most = g;
			best = percent / 100.0;
		}
	}
	return (float)best;
}

static void count(const struct text_samples *all, const struct judged *judged,
		  const struct text_model *m, struct text_report *r)
{
	for (size_t i = 0; i < all->n; i++) {
		const struct text_sample *s = &all->at[i];
		bool right = judged[i].best == s->class;
		bool answers = judged[i].p >= (double)m->threshold[judged[i].best];

		if (!s->scored) {
			r->others++;
			r->others_right += right;
			continue;
		}
		r->got[s->class][judged[i].best]++;
		if (strcmp(all->classes[s->class], TEXT_PASSED) == 0) {
			r->passed++;
			r->alarms += answers;
			continue;
		}
		r->logs++;
		r->right += right;
		r->answered += answers;
		r->answered_right += answers && right;
	}
}

/* Projects count as in learning, classes as they come. */
static void share_judged(const struct text_samples *all, struct judged *judged)
{
	OWNED(learner_done) struct learner l = { .all = all, .n = all->n };

	l.order = xcalloc(all->n + 1, sizeof(*l.order));
	l.shares = xcalloc(all->n + 1, sizeof(*l.shares));
	for (size_t i = 0; i < all->n; i++)
		l.order[i] = i;
	share_out(&l);
	for (size_t i = 0; i < all->n; i++)
		judged[i].share = l.shares[i];
}

static void settle(const struct text_samples *all, struct judged *judged, struct text_model *m)
{
	m->temperature = fit_temperature(all, judged);
	for (size_t i = 0; i < all->n; i++) {
		double p[TEXT_CLASSES_MAX];

		text_model_share(judged[i].score, all->n_classes, (double)m->temperature, p);
		judged[i].best = best_of(p, all->n_classes);
		judged[i].p = p[judged[i].best];
	}
	for (unsigned c = 0; c < all->n_classes; c++)
		m->threshold[c] = strcmp(all->classes[c], TEXT_PASSED) == 0
					  ? TEXT_NEVER
					  : fit_threshold(all, judged, c);
}

static void digest(const struct text_samples *all, unsigned char out[static SHA256_BYTES])
{
	unsigned char sum[SHA256_BYTES] = { 0 };

	memset(out, 0, SHA256_BYTES);
	for (size_t i = 0; i < all->n; i++) {
		const struct text_sample *s = &all->at[i];
		struct bytes pieces[] = {
			{ s->buckets, s->n * sizeof(*s->buckets) },
			{ all->classes[s->class], strlen(all->classes[s->class]) },
			{ &s->project, sizeof(s->project) },
			{ &s->weight, sizeof(s->weight) },
		};

		memcpy(sum, out, sizeof(sum));
		hmac_sha256_of(sum, sizeof(sum), pieces, ARRAY_LEN(pieces), out);
	}
}

int text_train(const struct text_samples *all, text_progress_fn *progress, void *arg,
	       struct text_model **out, struct text_report *report, struct err *err)
{
	OWNED(freep) struct judged *judged = xcalloc(all->n + 1, sizeof(*judged));
	OWNED(text_model_freep) struct text_model *m = NULL;

	if (all->n_classes < 2)
		return err_set(err, ERR_INPUT, "samples of two categories at least are needed");
	*report = (struct text_report){ .logs = 0 };
	for (unsigned fold = 0; fold < TEXT_FOLDS; fold++) {
		OWNED(text_model_freep) struct text_model *part = learn(all, fold);

		judge_fold(all, part, fold, judged);
		progress(fold + 1, TEXT_FOLDS + 1, arg);
	}
	share_judged(all, judged);
	m = learn(all, TEXT_FOLDS);
	progress(TEXT_FOLDS + 1, TEXT_FOLDS + 1, arg);
	settle(all, judged, m);
	digest(all, m->inputs);
	count(all, judged, m, report);
	*out = TAKE(m);
	return 0;
}
