/*
 * What is said of a cause when its rule says nothing itself: a plain title, what to do, and where
 * to read more, in the reader's language (conf/knowledge/LOCALE.yaml).
 */
#ifndef GUARD_DISPATCHER_KNOWLEDGE_H
#define GUARD_DISPATCHER_KNOWLEDGE_H

#include "core/base.h"
#include "core/err.h"

struct arena;
struct finding;

struct knowledge_entry {
	char *category, *subcategory, *title, *link; /* subcategory NULL: the category itself */
	char **advice;
	unsigned advice_count;
};

struct knowledge;

/* dir NULL: what came with this release. locale: "de", or as in LANG, "de_AT.UTF-8". */
int knowledge_load(const char *dir, const char *locale, struct knowledge **out,
		   struct err *) MUST_CHECK;
/* The same, or in English where that language is not there. */
int knowledge_load_or_english(const char *locale, struct knowledge **out, struct err *) MUST_CHECK;
void knowledge_free(struct knowledge *);
DEFINE_OWNED(struct knowledge, knowledge_free)

/* What is known of exactly that; NULL when nothing is. subcategory may be "". */
const struct knowledge_entry *knowledge_find(const struct knowledge *, const char *category,
					     const char *subcategory);
/* In the order of the file; NULL past the end. */
const struct knowledge_entry *knowledge_at(const struct knowledge *, size_t i);

/* Fills in what the rule left open. The finding borrows nothing from here. */
void knowledge_complete(const struct knowledge *, struct arena *, struct finding *);

#endif
