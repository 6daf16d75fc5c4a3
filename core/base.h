/* Attributes and ownership helpers used everywhere; this file does not grow. */
#ifndef GUARD_CORE_BASE_H
#define GUARD_CORE_BASE_H

#include <stddef.h>

#define MUST_CHECK        __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define NO_RETURN         __attribute__((noreturn))

/*
 * Marks an allocator whose result goes to free(). Told to gcc only: its
 * analyzer understands OWNED(), clang's (14) does not and would cry leak.
 */
#if defined(__GNUC__) && !defined(__clang__)
#define ALLOCATES __attribute__((malloc, malloc(free, 1), returns_nonnull))
#else
#define ALLOCATES
#endif

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define UNUSED(x)    ((void)(x))

/*
 * OWNED(fn) releases a local when it goes out of scope; `fn` receives a
 * pointer to the variable and must accept one that still holds NULL.
 * TAKE(p) hands the value to somebody else and forgets it here.
 */
#define OWNED(fn) __attribute__((cleanup(fn)))
#define TAKE(p)                         \
	__extension__({                 \
		__typeof__(p) t_ = (p); \
		(p) = NULL;             \
		t_;                     \
	})

/* Generates `void fn##p(type **)` from a `void fn(type *)`. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type cannot be parenthesised */
#define DEFINE_OWNED(type, fn)             \
	static inline void fn##p(type **p) \
	{                                  \
		if (*p)                    \
			fn(*p);            \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

#endif
