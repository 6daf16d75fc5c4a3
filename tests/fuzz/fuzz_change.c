/*
 * A change is made by programs that read strangers' files: whatever is in them, judging it ends,
 * and what is let through holds what was promised.
 */
#include <string.h>

#include "core/conf.h"
#include "core/mem.h"
#include "healers/change.h"
#include "tests/fuzz/fuzz.h"

enum { LINES = 50 };

static const struct conf_table *const tables[] = { &change_conf };

/* Diff's numbers: nothing for the same, the same both ways, never less than lengths differ. */
static void check_lines(const char *a, size_t n, const char *b, size_t m)
{
	unsigned there = change_lines(a, n, b, m, LINES), back = change_lines(b, m, a, n, LINES);

	FUZZ_ASSERT(there == back && there <= LINES + 1);
	FUZZ_ASSERT((there == 0) == (n == m && memcmp(a, b, n) == 0));
	FUZZ_ASSERT(change_lines(a, n, a, n, 0) == 0);
}

/* A path, the file before and after, apart by NULs. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct conf *conf;
	static const struct change_limits any = { 0 };
	OWNED(freep) char *text = xmalloc(size + 3);
	struct change_file f = { .path = text };
	const struct change c = { &f, 1 };
	struct err err;

	memcpy(text, data, size);
	memset(text + size, 0, 3);
	if (!conf)
		conf = conf_new(tables, 1);
	f.before = text + strlen(text) + 1;
	if (f.before > text + size)
		return 0;
	f.n_before = strlen(f.before);
	f.after = f.before + f.n_before + 1;
	f.n_after = f.after > text + size ? 0 : (size_t)(text + size - f.after);
	check_lines(f.before, f.n_before, f.after, f.n_after);
	if (change_check(conf, &any, &c, &err) < 0) {
		FUZZ_ASSERT(err.kind == ERR_INPUT && *err.msg);
		return 0;
	}
	FUZZ_ASSERT(change_path_ok(f.path) && !change_is_ci_file(f.path));
	FUZZ_ASSERT(strncmp(f.path, "../", 3) != 0 && !strstr(f.path, "/../"));
	FUZZ_ASSERT(!memchr(f.after, '\0', f.n_after));
	return 0;
}
