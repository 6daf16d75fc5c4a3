/* A webhook made by hand, for tests of what looks at one. */
#ifndef GUARD_TESTS_HOOKS_H
#define GUARD_TESTS_HOOKS_H

#include <string.h>
#include <strings.h>

#include "core/base.h"
#include "receiver/provider.h"

/* Ends with a NULL name. A name may stand there twice. */
struct hook_header {
	const char *name, *value;
};

static inline const char *hook_header(const void *headers, const char *name, size_t i)
{
	for (const struct hook_header *h = headers; h && h->name; h++)
		if (strcasecmp(h->name, name) == 0 && i-- == 0)
			return h->value;
	return NULL;
}

static inline struct webhook hook_of(const struct hook_header *headers, const char *body,
				     int64_t now_ms)
{
	return (struct webhook){ .header = hook_header,
				 .headers = headers,
				 .body = body,
				 .body_len = body ? strlen(body) : 0,
				 .now_ms = now_ms };
}

#endif
