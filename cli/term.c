#include "cli/term.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/neutralise.h"

enum { CELL_BYTES_MAX = 1024, COLUMNS_MAX = 8, WIDTH_MAX = 44 };

bool term_colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

void term_put(const char *text)
{
	OWNED(buf_done) struct buf b;

	buf_init(&b, 64 << 10);
	neutralise_text(&b, text);
	(void)fputs(buf_text(&b), stdout);
}

const char *term_paint(const char *word)
{
	static const struct {
		const char *word, *code;
	} rows[] = {
		{ "healed", "\033[32m" },       { "success", "\033[32m" },
		{ "diagnosed", "\033[36m" },    { "sent", "\033[36m" },
		{ "same_failure", "\033[31m" }, { "different_failure", "\033[31m" },
		{ "refused", "\033[31m" },      { "gave_up", "\033[31m" },
		{ "timed_out", "\033[31m" },    { "unknown", "\033[31m" },
		{ "escalated", "\033[33m" },    { "proposed", "\033[36m" },
		{ "observed", "\033[33m" },     { "dead", "\033[31m" },
		{ "passed", "\033[32m" },       { "needs_you", "\033[33m" },
		{ "healing", "\033[36m" },      { "diagnosing", "\033[36m" },
	};

	for (size_t i = 0; term_colour() && i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].word, word) == 0)
			return rows[i].code;
	return "";
}

const char *term_bold(void)
{
	return term_colour() ? "\033[1m" : "";
}

const char *term_plain(void)
{
	return term_colour() ? "\033[0m" : "";
}

void term_pause(int64_t ms)
{
	(void)poll(NULL, 0, (int)ms);
}

void term_age(char out[static 24], int64_t at_ms, int64_t now_ms)
{
	int64_t s = at_ms < now_ms ? (now_ms - at_ms) / 1000 : 0;

	if (s < 120)
		(void)snprintf(out, 24, "%" PRId64 " s", s);
	else if (s < 2 * 3600)
		(void)snprintf(out, 24, "%" PRId64 " min", s / 60);
	else if (s < 2 * 86400)
		(void)snprintf(out, 24, "%" PRId64 " h", s / 3600);
	else
		(void)snprintf(out, 24, "%" PRId64 " d", s / 86400);
}

/* --- tables ------------------------------------------------------------------------ */

struct table {
	const char *const *headings;
	size_t columns, n, cap;
	char **cells;
	size_t width[COLUMNS_MAX];
};

static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void widen(struct table *t, size_t column, const char *text)
{
	size_t w = width_of(text);

	if (w > WIDTH_MAX)
		w = WIDTH_MAX;
	if (w > t->width[column])
		t->width[column] = w;
}

struct table *table_new(const char *const *headings)
{
	struct table *t = xcalloc(1, sizeof(*t));

	t->headings = headings;
	for (; headings[t->columns] && t->columns < COLUMNS_MAX; t->columns++)
		widen(t, t->columns, headings[t->columns]);
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
}

void table_cell(struct table *t, const char *text)
{
	struct buf b;

	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 64;
		t->cells = xrealloc(t->cells, t->cap * sizeof(*t->cells));
	}
	buf_init(&b, CELL_BYTES_MAX);
	neutralise_text(&b, text ? text : "");
	widen(t, t->n % t->columns, buf_text(&b));
	t->cells[t->n++] = buf_take(&b);
}

size_t table_rows(const struct table *t)
{
	return t->columns ? t->n / t->columns : 0;
}

static void put_cell(const struct table *t, size_t column, const char *text)
{
	size_t width = width_of(text), keep = t->width[column];
	const char *end = text;

	if (column == t->columns - 1) {
		printf("%s\n", text);
		return;
	}
	if (width > keep) {
		for (size_t seen = 0; *end; end++)
			if (((unsigned char)*end & 0xc0) != 0x80 && ++seen == keep)
				break;
		printf("%.*s…  ", (int)(end - text), text);
		return;
	}
	printf("%s%*s", text, (int)(keep - width + 2), "");
}

void table_print(const struct table *t)
{
	printf("%s", term_bold());
	for (size_t c = 0; c < t->columns; c++)
		put_cell(t, c, t->headings[c]);
	printf("%s", term_plain());
	for (size_t i = 0; t->columns && i < t->n; i++) {
		printf("%s", term_paint(t->cells[i]));
		put_cell(t, i % t->columns, t->cells[i]);
		printf("%s", *term_paint(t->cells[i]) ? term_plain() : "");
	}
}

void term_user(char out[static TERM_USER_MAX])
{
	const char *user = getenv("SUDO_USER");
	size_t n = 0;

	if (!user || !*user)
		user = getenv("USER");
	for (; user && *user && n < 32; user++)
		if (strspn(user,
			   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-"))
			out[n++] = *user;
	out[n] = '\0';
	if (n == 0)
		(void)snprintf(out, TERM_USER_MAX, "a person");
}
