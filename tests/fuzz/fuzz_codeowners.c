/*
 * CODEOWNERS are written by strangers: any bytes parse, in bounded time, and who is named is text.
 * The first line is the path that is asked for.
 */
#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/codeowners.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	const char *text = (const char *)data, *end = size ? memchr(text, '\n', size) : NULL;
	size_t n = end ? (size_t)(end - text) : size;
	const char *path = arena_strndup(a, size ? text : "", n < 300 ? n : 300);

	for (int dialect = CODEOWNERS_GITHUB; dialect <= CODEOWNERS_GITLAB; dialect++) {
		const struct codeowners *c = codeowners_parse(size ? text + n : "", size - n,
							      (enum codeowners_dialect)dialect, a);
		char owner[CODEOWNERS_OWNER_MAX];
		bool found = codeowners_of(c, path, owner);

		FUZZ_ASSERT(found == (*owner != '\0'));
		FUZZ_ASSERT(strlen(owner) < CODEOWNERS_OWNER_MAX);
		FUZZ_ASSERT(utf8_valid((const unsigned char *)owner, strlen(owner)));
	}
	return 0;
}
