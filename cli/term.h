/*
 * What commands print: tables and colour for a terminal, plain text for a pipe.
 * Text that came from outside is cleaned first, so that it cannot move the cursor.
 */
#ifndef GUARD_CLI_TERM_H
#define GUARD_CLI_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base.h"

/* Standard output is a terminal that wants colour (NO_COLOR is respected). */
bool term_colour(void);

/* Prints text on standard output, as core/neutralise.h makes it. */
void term_put(const char *text);

/* Escape sequence for a word such as "healed" or "escalated", and the one that ends it; "" without
 * colour. */
const char *term_paint(const char *word);
const char *term_bold(void);
const char *term_plain(void);

/* Who types, as the machine says: information for whoever asks "who was that", no proof. */
enum { TERM_USER_MAX = 40 };
void term_user(char out[static TERM_USER_MAX]);

/* Nothing else is going on: wait. */
void term_pause(int64_t ms);

/* "12 s", "5 min", "3 h", "2 d" since then. */
void term_age(char out[static 24], int64_t at_ms, int64_t now_ms);

/* Columns are as wide as their widest cell, up to a cap; the last one is not cut. */
struct table;
struct table *table_new(const char *const *headings); /* NULL-terminated; borrowed */
void table_free(struct table *);
DEFINE_OWNED(struct table, table_free)
void table_cell(struct table *, const char *text); /* row by row; copied */
size_t table_rows(const struct table *);
void table_print(const struct table *);

#endif
