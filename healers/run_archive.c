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
	STEP_ENTRIES = 256, /* looked at in one step */
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

enum phase { CHOOSING, FINDING, UNPACKING, JOINING };

struct run_archive {
	const void *zip;
	size_t n;
	const char *job;
	struct tail_buf *out;
	locale_t utf8;
	struct archive *archive;
	enum phase phase;
	struct choice choice;
	size_t entry;          /* the next one */
	struct tail_buf *into; /* being unpacked */
	size_t budget;         /* bytes that may still be unpacked */
	size_t step, at;       /* being joined: its index, and how far it got */
	char chunk[READ_BYTES];
};

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

/* From the first entry again. */
static int open_anew(struct run_archive *r, struct err *err)
{
	if (r->archive)
		(void)archive_read_free(r->archive);
	r->entry = 0;
	r->archive = open_zip(r->zip, r->n, err);
	return r->archive ? 0 : -1;
}

/* The whole log, if it fits best: a cut name may be another job's, and then the steps say more. */
static bool takes_whole(const struct choice *c)
{
	return c->whole_fit >= c->steps_fit;
}

static int choose(struct run_archive *r, struct err *err)
{
	struct archive_entry *e;

	for (unsigned i = 0; i < STEP_ENTRIES; i++) {
		int rc = next_entry(r->archive, &e, r->entry, err);
		const char *name = rc > 0 ? entry_name(e) : NULL;

		if (rc < 0)
			return -1;
		if (name)
			offer(&r->choice, r->entry, name, r->job);
		r->entry++;
		if (rc > 0)
			continue;
		if (r->choice.whole_fit == FIT_NONE && r->choice.steps_fit == FIT_NONE)
			return err_set(err, ERR_INPUT, "the run's archive has no log of this job");
		r->phase = FINDING;
		return open_anew(r, err) < 0 ? -1 : 1;
	}
	return 1;
}

/* Where that entry is to be unpacked; NULL: it is not wanted. */
static struct tail_buf *wanted(struct run_archive *r, size_t entry)
{
	struct choice *c = &r->choice;

	if (takes_whole(c))
		return entry == c->whole ? r->out : NULL;
	for (size_t i = 0; i < c->n_steps; i++)
		if (c->steps[i].entry == entry) {
			tail_buf_init(&c->steps[i].text, r->out->max, r->out->keep_tail);
			return &c->steps[i].text;
		}
	return NULL;
}

static int by_number(const void *a, const void *b)
{
	const struct step_file *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

/* The files of steps may come in any order, so each waits in memory. */
static int find(struct run_archive *r, struct err *err)
{
	struct archive_entry *e;

	for (unsigned i = 0; i < STEP_ENTRIES; i++) {
		int rc = next_entry(r->archive, &e, r->entry, err);

		if (rc < 0)
			return -1;
		if (rc == 0 && takes_whole(&r->choice))
			return err_set(err, ERR_INPUT, "the run's archive is damaged");
		if (rc == 0) {
			qsort(r->choice.steps, r->choice.n_steps, sizeof(r->choice.steps[0]),
			      by_number);
			r->phase = JOINING;
			return 1;
		}
		r->into = wanted(r, r->entry++);
		if (r->into) {
			r->phase = UNPACKING;
			return 1;
		}
	}
	return 1;
}

static int unpack(struct run_archive *r, struct err *err)
{
	for (size_t n = 0; n < ARCHIVE_STEP_BYTES; n += READ_BYTES) {
		ssize_t got = archive_read_data(r->archive, r->chunk, READ_BYTES);

		if (got < 0)
			return err_set(err, ERR_INPUT, "the run's archive is damaged");
		if (got == 0) {
			r->phase = FINDING;
			return !takes_whole(&r->choice);
		}
		if ((size_t)got > r->budget)
			return err_set(err, ERR_INPUT,
				       "the job's log unpacks to more than %zu bytes",
				       ARCHIVE_UNPACKED_MAX);
		r->budget -= (size_t)got;
		if (!tail_buf_put(r->into, r->chunk, (size_t)got))
			return err_set(err, ERR_INPUT, "the job's log is over %zu bytes",
				       r->out->max);
	}
	return 1;
}

static int join(struct run_archive *r, struct err *err)
{
	struct tail_buf *text = &r->choice.steps[r->step].text;
	size_t n = 0;

	if (r->at < text->len) {
		const char *piece = tail_buf_piece(text, r->at, &n);

		n = n < ARCHIVE_STEP_BYTES ? n : ARCHIVE_STEP_BYTES;
		if (!tail_buf_put(r->out, piece, n))
			return err_set(err, ERR_INPUT, "the job's log is over %zu bytes",
				       r->out->max);
		r->at += n;
		return 1;
	}
	/* A step that lost its front fills `out`, so these come before all it holds. */
	r->out->dropped_bytes += text->dropped_bytes;
	r->out->dropped_lines += text->dropped_lines;
	tail_buf_done(text);
	r->at = 0;
	return ++r->step < r->choice.n_steps;
}

static int step(struct run_archive *r, struct err *err)
{
	switch (r->phase) {
	case CHOOSING:
		if (!r->archive && open_anew(r, err) < 0)
			return -1;
		return choose(r, err);
	case FINDING:
		return find(r, err);
	case UNPACKING:
		return unpack(r, err);
	case JOINING:
		return join(r, err);
	}
	return 0;
}

struct run_archive *run_archive_new(const void *zip, size_t n, const char *job,
				    struct tail_buf *out)
{
	struct run_archive *r = xcalloc(1, sizeof(*r));

	r->zip = zip;
	r->n = n;
	r->job = job;
	r->out = out;
	r->budget = ARCHIVE_UNPACKED_MAX;
	/* In the plain "C" locale libarchive turns every letter beyond ASCII into '?'. */
	r->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	return r;
}

void run_archive_free(struct run_archive *r)
{
	if (!r)
		return;
	if (r->archive)
		(void)archive_read_free(r->archive);
	for (size_t i = 0; i < r->choice.n_steps; i++)
		tail_buf_done(&r->choice.steps[i].text);
	if (r->utf8)
		freelocale(r->utf8);
	free(r);
}

int run_archive_step(struct run_archive *r, struct err *err)
{
	locale_t before = r->utf8 ? uselocale(r->utf8) : (locale_t)0;
	int rc = step(r, err);

	if (r->utf8)
		(void)uselocale(before);
	return rc;
}
