/*
 * Allocation. Out of memory aborts (docs/adr/0002): every size a stranger
 * controls has a cap, and unfinished work is claimed again after a crash.
 */
#ifndef GUARD_CORE_MEM_H
#define GUARD_CORE_MEM_H

#include <stdlib.h>

#include "core/base.h"

void *xmalloc(size_t n) ALLOCATES;
void *xcalloc(size_t count, size_t size) ALLOCATES;
void *xrealloc(void *p, size_t n) MUST_CHECK;
char *xstrdup(const char *s) ALLOCATES;
char *xstrndup(const char *s, size_t max) ALLOCATES;
void *xmemdup(const void *p, size_t n) ALLOCATES;
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2) ALLOCATES;

/* For OWNED(freep) on any malloc'ed pointer: `OWNED(freep) char *s = ...`. */
static inline void freep(void *p)
{
	free(*(void **)p);
}

/*
 * Everything that belongs to one unit of work dies together. Pointers from an
 * arena stay valid until arena_free(); nothing is freed one by one.
 */
struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *);
void *arena_alloc(struct arena *, size_t n) MUST_CHECK;       /* zeroed, aligned for any type */
char *arena_strdup(struct arena *, const char *s) MUST_CHECK; /* NULL gives NULL */
char *arena_strndup(struct arena *, const char *s, size_t n) MUST_CHECK;
char *arena_printf(struct arena *, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_CHECK;

DEFINE_OWNED(struct arena, arena_free)

#endif
