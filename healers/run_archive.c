#include "healers/run_archive.h"

#include <locale.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "core/mem.h"
#include "core/text.h"

enum {
	NAME_MAX_BYTES = 512,
	CUT_NAME_MIN = 60, /* a shorter name in the archive was not cut by GitHub */
	READ_BYTES = 64 << 10,
};

/* How well an entry's name fits the job. */
enum fit { FIT_NONE, FIT_CUT, FIT_SPACES, FIT_EXACT };

/* What the archive offers; entries are named by their position. */
struct choice {
	enum fit whole_fit; /* best file of the whole job */
	size_t whole;
	enum fit steps_fit; /* best directory of steps */
	struct step_file {
		unsigned number;
		size_t entry;
		struct tail_buf text;
	} steps[ARCHIVE_STEPS_MAX];
	size_t n_steps;
};

static void archive_read_freep(struct archive **a)
{
	if (*a)
		(void)archive_read_free(*a);
}

static struct archive *open_zip(const void *zip, size_t n, struct err *err)
{
	struct archive *a = archive_read_new();

	if (!a)
		abort();
	if (archive_read_support_format_zip_seekable(a) != ARCHIVE_OK ||
	    archive_read_open_memory(a, zip, n) != ARCHIVE_OK) {
		err_format(err, ERR_INPUT, "the run's archive is no zip file");
		(void)archive_read_free(a);
		return NULL;
	}
	return a;
}

/* Characters that GitHub leaves out of file names. */
static bool left_out(unsigned char c)
{
	return c < 0x20 || strchr("\"/\\:*?<>|", c) != NULL;
}

static void fold(char *out, size_t cap, const char *name, size_t n, bool spaces)
{
	size_t len = 0;

	for (size_t i = 0; i < n && len < cap - 1; i++)
		if (name[i] && !left_out((unsigned char)name[i]) && (spaces || name[i] != ' '))
			out[len++] = name[i];
	out[len] = '\0';
}

static enum fit name_fit(const char *name, size_t n, const char *job)
{
	char a[NAME_MAX_BYTES], b[NAME_MAX_BYTES];
	size_t len;

	fold(a, sizeof(a), name, n, true);
	fold(b, sizeof(b), job, strlen(job), true);
	if (!a[0])
		return FIT_NONE;
	if (strcmp(a, b) == 0)
		return FIT_EXACT;
	fold(a, sizeof(a), name, n, false);
	fold(b, sizeof(b), job, strlen(job), false);
	if (strcmp(a, b) == 0)
		return FIT_SPACES;
	len = strlen(a);
	return len >= CUT_NAME_MIN && strncmp(a, b, len) == 0 ? FIT_CUT : FIT_NONE;
}

/* "12_rest": the number and where the rest begins; false when it is not of that form. */
static bool numbered(const char *s, unsigned *number, const char **rest)
{
	size_t n;

	s += *s == '-';
	n = strspn(s, "0123456789");
	if (!n || n > 6 || s[n] != '_')
		return false;
	*number = (unsigned)strtoul(s, NULL, 10);
	*rest = s + n + 1;
	return true;
}

static void offer_steps(struct choice *c, enum fit fit, size_t entry, unsigned number)
{
	if (fit > c->steps_fit) {
		c->steps_fit = fit;
		c->n_steps = 0;
	}
	if (fit == FIT_NONE || fit < c->steps_fit || c->n_steps == ARCHIVE_STEPS_MAX)
		return;
	c->steps[c->n_steps++] = (struct step_file){ .number = number, .entry = entry };
}

static void offer(struct choice *c, size_t entry, const char *name, const char *job)
{
	const char *slash = strrchr(name, '/');
	const char *base = slash ? slash + 1 : name;
	const char *rest;
	unsigned number;
	enum fit fit;

	if (!text_ends(base, ".txt") || !numbered(base, &number, &rest))
		return;
	if (slash) {
		offer_steps(c, name_fit(name, (size_t)(slash - name), job), entry, number);
		return;
	}
	fit = name_fit(rest, strlen(rest) - 4, job);
	if (fit > c->whole_fit) {
		c->whole_fit = fit;
		c->whole = entry;
	}
}

/* NULL when the entry is no plain file with a name we can use. */
static const char *entry_name(struct archive_entry *e)
{
	const char *name = archive_entry_pathname_utf8(e);

	if (!name)
		name = archive_entry_pathname(e);
	if (!name || strlen(name) >= NAME_MAX_BYTES || archive_entry_filetype(e) != AE_IFREG)
		return NULL;
	return name;
}

/* 1: an entry, 0: the end. */
static int next_entry(struct archive *a, struct archive_entry **e, size_t at, struct err *err)
{
	int rc = archive_read_next_header(a, e);

	if (rc == ARCHIVE_EOF)
		return 0;
	if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
		return err_set(err, ERR_INPUT, "the run's archive is damaged");
	if (at >= ARCHIVE_ENTRIES_MAX)
		return err_set(err, ERR_INPUT, "the run's archive has over %d files",
			       ARCHIVE_ENTRIES_MAX);
	return 1;
}

static int look(const void *zip, size_t n, const char *job, struct choice *c, struct err *err)
{
	OWNED(archive_read_freep) struct archive *a = open_zip(zip, n, err);
	struct archive_entry *e;
	int rc;

	if (!a)
		return -1;
	for (size_t at = 0; (rc = next_entry(a, &e, at, err)) > 0; at++) {
		const char *name = entry_name(e);

		if (name)
			offer(c, at, name, job);
	}
	return rc;
}

static int unpack(struct archive *a, struct tail_buf *out, size_t *budget, struct err *err)
{
	OWNED(freep) char *chunk = xmalloc(READ_BYTES);
	ssize_t got;

	while ((got = archive_read_data(a, chunk, READ_BYTES)) > 0) {
		if ((size_t)got > *budget)
			return err_set(err, ERR_INPUT,
				       "the job's log unpacks to more than %zu bytes",
				       ARCHIVE_UNPACKED_MAX);
		*budget -= (size_t)got;
		if (!tail_buf_put(out, chunk, (size_t)got))
			return err_set(err, ERR_INPUT, "the job's log is over %zu bytes", out->max);
	}
	if (got < 0)
		return err_set(err, ERR_INPUT, "the run's archive is damaged");
	return 0;
}

static int take_whole(struct archive *a, const struct choice *c, struct tail_buf *out,
		      size_t *budget, struct err *err)
{
	struct archive_entry *e;
	int rc;

	for (size_t at = 0; (rc = next_entry(a, &e, at, err)) > 0; at++)
		if (at == c->whole)
			return unpack(a, out, budget, err);
	return rc < 0 ? -1 : err_set(err, ERR_INPUT, "the run's archive is damaged");
}

static struct step_file *step_at(struct choice *c, size_t entry)
{
	for (size_t i = 0; i < c->n_steps; i++)
		if (c->steps[i].entry == entry)
			return &c->steps[i];
	return NULL;
}

static int by_number(const void *a, const void *b)
{
	const struct step_file *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

/* The files may come in any order, so each waits in memory; the budget bounds them together. */
static int read_steps(struct archive *a, struct choice *c, const struct tail_buf *like,
		      size_t *budget, struct err *err)
{
	struct archive_entry *e;
	int rc;

	for (size_t at = 0; (rc = next_entry(a, &e, at, err)) > 0; at++) {
		struct step_file *step = step_at(c, at);

		if (!step)
			continue;
		tail_buf_init(&step->text, like->max, like->keep_tail);
		if (unpack(a, &step->text, budget, err) < 0)
			return -1;
	}
	return rc;
}

static int take_steps(struct archive *a, struct choice *c, struct tail_buf *out, size_t *budget,
		      struct err *err)
{
	int rc = read_steps(a, c, out, budget, err);

	qsort(c->steps, c->n_steps, sizeof(c->steps[0]), by_number);
	for (size_t i = 0; i < c->n_steps; i++) {
		struct tail_buf *text = &c->steps[i].text;

		if (rc == 0 && !tail_buf_put(out, tail_buf_text(text), text->len))
			rc = err_set(err, ERR_INPUT, "the job's log is over %zu bytes", out->max);
		/* A step that lost its front fills `out`, so these come before all it holds. */
		out->dropped_bytes += text->dropped_bytes;
		out->dropped_lines += text->dropped_lines;
		tail_buf_done(text);
	}
	return rc;
}

static int find_log(const void *zip, size_t n, const char *job, struct tail_buf *out,
		    struct err *err)
{
	OWNED(archive_read_freep) struct archive *a = NULL;
	struct choice c = { 0 };
	size_t budget = ARCHIVE_UNPACKED_MAX;

	if (look(zip, n, job, &c, err) < 0)
		return -1;
	if (c.whole_fit == FIT_NONE && c.steps_fit == FIT_NONE)
		return err_set(err, ERR_INPUT, "the run's archive has no log of this job");
	a = open_zip(zip, n, err);
	if (!a)
		return -1;
	/* A cut name may be another job's: then the steps, if they fit better, say more. */
	if (c.whole_fit >= c.steps_fit)
		return take_whole(a, &c, out, &budget, err);
	return take_steps(a, &c, out, &budget, err);
}

int run_archive_log(const void *zip, size_t n, const char *job, struct tail_buf *out,
		    struct err *err)
{
	/* In the plain "C" locale libarchive turns every letter beyond ASCII into '?'. */
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	locale_t before = utf8 ? uselocale(utf8) : (locale_t)0;
	int rc = find_log(zip, n, job, out, err);

	if (utf8) {
		(void)uselocale(before);
		freelocale(utf8);
	}
	return rc;
}
