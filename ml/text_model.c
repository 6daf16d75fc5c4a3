#include "ml/text_model.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/finding.h"
#include "core/mem.h"
#include "ml/exp_plain.h"
#include "ml/text_features.h"

static const char magic[4] = { 'P', 'G', 'T', 'M' };

enum {
	VERSION = 1,
	HEAD_BYTES = 4 + 4 * 4 + SHA256_BYTES,
	CLASS_BYTES = TEXT_CLASS_NAME_MAX + 12,
	BUCKET_BYTES = 4,
};

static size_t bytes_of(size_t n_classes, size_t n_rows)
{
	return HEAD_BYTES + n_classes * CLASS_BYTES + n_rows * (BUCKET_BYTES + n_classes) +
	       SHA256_BYTES;
}

/* ---- reading ------------------------------------------------------------------------------- */

struct reader {
	const unsigned char *at;
};

static uint32_t take_u32(struct reader *r)
{
	const unsigned char *p = r->at;

	r->at += 4;
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static float take_float(struct reader *r)
{
	uint32_t bits = take_u32(r);
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static bool is_class(const char name[static TEXT_CLASS_NAME_MAX])
{
	return memchr(name, '\0', TEXT_CLASS_NAME_MAX) &&
	       (strcmp(name, TEXT_PASSED) == 0 || finding_category_known(name));
}

static bool within(float f, float low, float high)
{
	return f >= low && f <= high; /* false for what is not a number */
}

static int read_classes(struct reader *r, struct text_model *m, struct err *err)
{
	for (unsigned c = 0; c < m->n_classes; c++) {
		memcpy(m->classes[c], r->at, TEXT_CLASS_NAME_MAX);
		r->at += TEXT_CLASS_NAME_MAX;
		m->bias[c] = take_float(r);
		m->scale[c] = take_float(r);
		m->threshold[c] = take_float(r);
		if (!is_class(m->classes[c]))
			return err_set(err, ERR_CONFIG, "class %u is no category", c);
		if (!within(m->bias[c], -1e3F, 1e3F) || !within(m->scale[c], 0, 1e3F) ||
		    !within(m->threshold[c], 0, TEXT_NEVER))
			return err_set(err, ERR_CONFIG, "class %u has senseless weights", c);
	}
	return 0;
}

static int read_rows(struct reader *r, struct text_model *m, struct err *err)
{
	m->rows = xcalloc(m->n_rows + 1, sizeof(*m->rows));
	for (unsigned i = 0; i < m->n_rows; i++) {
		m->rows[i].bucket = take_u32(r);
		memcpy(m->rows[i].weight, r->at, m->n_classes);
		r->at += m->n_classes;
		if (m->rows[i].bucket >> TEXT_BUCKET_BITS ||
		    (i && m->rows[i].bucket <= m->rows[i - 1].bucket))
			return err_set(err, ERR_CONFIG, "row %u is out of order", i);
	}
	return 0;
}

static int read_head(struct reader *r, size_t n, struct text_model *m, struct err *err)
{
	uint32_t version;

	r->at += sizeof(magic);
	version = take_u32(r);
	m->n_classes = take_u32(r);
	m->n_rows = take_u32(r);
	m->temperature = take_float(r);
	memcpy(m->inputs, r->at, SHA256_BYTES);
	r->at += SHA256_BYTES;
	if (version != VERSION)
		return err_set(err, ERR_CONFIG, "version %u, this release reads %d; train it again",
			       version, VERSION);
	if (m->n_classes == 0 || m->n_classes > TEXT_CLASSES_MAX || m->n_rows > TEXT_ROWS_MAX ||
	    bytes_of(m->n_classes, m->n_rows) != n)
		return err_set(err, ERR_CONFIG, "its size is not what it says");
	if (!within(m->temperature, 0.01F, 100))
		return err_set(err, ERR_CONFIG, "senseless temperature");
	return 0;
}

int text_model_parse(const void *data, size_t n, struct text_model **out, struct err *err)
{
	OWNED(text_model_freep) struct text_model *m = xcalloc(1, sizeof(*m));
	struct reader r = { .at = data };
	unsigned char sum[SHA256_BYTES];

	if (n < HEAD_BYTES + SHA256_BYTES || memcmp(data, magic, sizeof(magic)) != 0)
		return err_set(err, ERR_CONFIG, "this is no text model");
	if (read_head(&r, n, m, err) < 0)
		return -1;
	sha256(data, n - SHA256_BYTES, sum);
	if (memcmp(sum, r.at + (n - HEAD_BYTES - SHA256_BYTES), SHA256_BYTES) != 0)
		return err_set(err, ERR_CONFIG, "it is damaged: the checksum differs");
	if (read_classes(&r, m, err) < 0 || read_rows(&r, m, err) < 0)
		return -1;
	*out = TAKE(m);
	return 0;
}

static void closep(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

int text_model_load(const char *path, struct text_model **out, struct err *err)
{
	OWNED(freep) unsigned char *data = xmalloc(TEXT_MODEL_BYTES_MAX + 1);
	OWNED(closep) FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return err_set(err, ERR_CONFIG, "%s: %s", path, strerror(errno));
	n = fread(data, 1, TEXT_MODEL_BYTES_MAX + 1, f);
	if (n > TEXT_MODEL_BYTES_MAX)
		return err_set(err, ERR_CONFIG, "%s: over %d bytes", path, TEXT_MODEL_BYTES_MAX);
	return text_model_parse(data, n, out, err) < 0 ? err_wrap(err, "%s", path) : 0;
}

void text_model_free(struct text_model *m)
{
	if (!m)
		return;
	free(m->rows);
	free(m);
}

/* ---- writing ------------------------------------------------------------------------------- */

static void put_u32(unsigned char **at, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		*(*at)++ = (unsigned char)(v >> (8 * i));
}

static void put_float(unsigned char **at, float f)
{
	uint32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	put_u32(at, bits);
}

static void put_bytes(unsigned char **at, const void *data, size_t n)
{
	memcpy(*at, data, n);
	*at += n;
}

unsigned char *text_model_bytes(const struct text_model *m, size_t *n)
{
	unsigned char *data, *at;

	*n = bytes_of(m->n_classes, m->n_rows);
	at = data = xmalloc(*n);
	put_bytes(&at, magic, sizeof(magic));
	put_u32(&at, VERSION);
	put_u32(&at, m->n_classes);
	put_u32(&at, m->n_rows);
	put_float(&at, m->temperature);
	put_bytes(&at, m->inputs, SHA256_BYTES);
	for (unsigned c = 0; c < m->n_classes; c++) {
		put_bytes(&at, m->classes[c], TEXT_CLASS_NAME_MAX);
		put_float(&at, m->bias[c]);
		put_float(&at, m->scale[c]);
		put_float(&at, m->threshold[c]);
	}
	for (unsigned i = 0; i < m->n_rows; i++) {
		put_u32(&at, m->rows[i].bucket);
		put_bytes(&at, m->rows[i].weight, m->n_classes);
	}
	sha256(data, (size_t)(at - data), at);
	return data;
}

/* ---- asking -------------------------------------------------------------------------------- */

/* Features and rows are both in the order of buckets: `at` only moves forward. */
static const struct text_row *row_of(const struct text_model *m, size_t *at, uint32_t bucket)
{
	while (*at < m->n_rows && m->rows[*at].bucket < bucket)
		(*at)++;
	return *at < m->n_rows && m->rows[*at].bucket == bucket ? &m->rows[*at] : NULL;
}

void text_model_score(const struct text_model *m, const struct text_feature *f, size_t n,
		      double score[static TEXT_CLASSES_MAX])
{
	int64_t sum[TEXT_CLASSES_MAX] = { 0 };
	size_t at = 0, known = 0;
	double norm;

	for (size_t i = 0; i < n; i++) {
		const struct text_row *row;

		if (i && f[i].bucket == f[i - 1].bucket)
			continue; /* on another line again: it occurs, that is all */
		row = row_of(m, &at, f[i].bucket);
		for (unsigned c = 0; row && c < m->n_classes; c++)
			sum[c] += row->weight[c];
		known += row != NULL;
	}
	norm = known ? 1 / sqrt((double)known) : 0;
	for (unsigned c = 0; c < m->n_classes; c++)
		score[c] = (double)sum[c] * (double)m->scale[c] * norm + (double)m->bias[c];
}

void text_model_share(const double *score, unsigned n_classes, double temperature,
		      double p[static TEXT_CLASSES_MAX])
{
	double most = -HUGE_VAL, all = 0;

	for (unsigned c = 0; c < n_classes; c++)
		most = score[c] > most ? score[c] : most;
	for (unsigned c = 0; c < n_classes; c++)
		all += p[c] = exp_plain((score[c] - most) / temperature);
	for (unsigned c = 0; c < n_classes; c++)
		p[c] /= all;
}

bool text_model_knows(const struct text_model *m, const char *category)
{
	for (unsigned c = 0; c < m->n_classes; c++)
		if (strcmp(m->classes[c], category) == 0)
			return m->threshold[c] < TEXT_NEVER;
	return false;
}

static unsigned likeliest(const struct text_model *m, const double *p)
{
	unsigned best = 0;

	for (unsigned c = 1; c < m->n_classes; c++)
		if (p[c] > p[best])
			best = c;
	return best;
}

/* The lines whose words weigh most for class c, in the order of the log. */
static void give_reasons(const struct text_model *m, const struct text_feature *f, size_t n,
			 unsigned c, struct text_opinion *out)
{
	int64_t worth[TEXT_LINES_MAX] = { 0 };
	bool chosen[TEXT_LINES_MAX] = { false };
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		const struct text_row *row = row_of(m, &at, f[i].bucket);

		if (row)
			worth[f[i].line] += row->weight[c];
	}
	for (unsigned k = 0; k < TEXT_REASONS; k++) {
		size_t best = TEXT_LINES_MAX;

		for (size_t i = 0; i < TEXT_LINES_MAX; i++)
			if (!chosen[i] && worth[i] > 0 &&
			    (best == TEXT_LINES_MAX || worth[i] > worth[best]))
				best = i;
		if (best < TEXT_LINES_MAX)
			chosen[best] = true;
	}
	for (size_t i = 0; i < TEXT_LINES_MAX; i++)
		if (chosen[i])
			out->reasons[out->n_reasons++] = i;
}

void text_model_ask(const struct text_model *m, const char *const *lines, size_t n,
		    struct text_opinion *out)
{
	OWNED(freep) struct text_feature *f = xmalloc(TEXT_FEATURES_MAX * sizeof(*f));
	size_t n_features = text_features(lines, n, f);
	double score[TEXT_CLASSES_MAX], p[TEXT_CLASSES_MAX];
	unsigned first = 0;

	*out = (struct text_opinion){ .sure = false };
	text_model_score(m, f, n_features, score);
	text_model_share(score, m->n_classes, (double)m->temperature, p);
	for (unsigned k = 0; k < TEXT_ANSWERS && k < m->n_classes; k++) {
		unsigned c = likeliest(m, p);

		out->best[k].class = m->classes[c];
		out->best[k].probability = p[c];
		first = k == 0 ? c : first;
		p[c] = -1;
	}
	give_reasons(m, f, n_features, first, out);
	out->sure = out->n_reasons && out->best[0].probability >= (double)m->threshold[first] &&
		    strcmp(out->best[0].class, TEXT_PASSED) != 0;
}
