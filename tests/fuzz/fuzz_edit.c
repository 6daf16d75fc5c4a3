/*
 * Files of repositories and lines of logs are written by strangers: an edit of any of them ends,
 * changes no more than it may, and names no path that is none. First line: the log's; second: the
 * failed test; the rest is the file.
 */
#include <string.h>

#include "core/finding.h"
#include "core/mem.h"
#include "healers/edit.h"
#include "healers/propose.h"
#include "tests/fuzz/fuzz.h"

static const char *const mirrors[] = { "packages.example.org https://mirror.acme.org/npm" };
static const struct propose_rules rules = {
	.ci_files = true, .fewer_tests = true, .mirrors = mirrors, .n_mirrors = 1
};

static void try_one(const struct edit *edit, const struct edit_facts *facts,
		    const struct edit_file *f)
{
	struct edit_result r = { .what = "" };

	buf_init(&r.text, CHANGE_BYTES_MAX);
	if (edit->apply(facts, f, &r)) {
		unsigned max = edit->limits.max_lines;

		FUZZ_ASSERT(!r.text.overflow);
		FUZZ_ASSERT(*r.what && strlen(r.what) < EDIT_WHAT_MAX);
		FUZZ_ASSERT(r.text.len != f->n || memcmp(r.text.data, f->text, f->n) != 0);
		if (!edit->every_file)
			FUZZ_ASSERT(change_lines(f->text, f->n, r.text.data, r.text.len, max) <=
				    max);
	}
	buf_done(&r.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct edit *const edits[] = { &edit_bump_timeout, &edit_use_mirror,
						    &edit_quarantine_test };
	OWNED(arena_freep) struct arena *a = arena_new();
	const char *rest[2] = { "", "" };
	char *text = arena_strndup(a, "", 0);
	struct finding f;
	struct edit_facts facts = { &f, &rules, ".github/workflows/ci.yml" };

	if (size && size < (1 << 20) && !memchr(data, 0, size))
		text = arena_strndup(a, (const char *)data, size);
	for (size_t i = 0; i < ARRAY_LEN(rest); i++) {
		char *end = strchr(text, '\n');

		rest[i] = text;
		text = end ? end + 1 : text + strlen(text);
		if (end)
			*end = '\0';
	}
	finding_init(&f);
	f.evidence[0] = (struct finding_line){ 1, rest[0] };
	f.n_evidence = 1;
	f.failed_tests[0] = rest[1];
	f.n_failed_tests = 1;
	f.test_framework = "pytest";
	for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
		char path[CHANGE_PATH_MAX];

		if (!edits[i]->fits(&facts))
			continue;
		for (unsigned k = 0; edits[i]->file(&facts, k, path); k++) {
			FUZZ_ASSERT(k < 64 && change_path_ok(path));
			try_one(edits[i], &facts, &(struct edit_file){ path, text, strlen(text) });
		}
	}
	return 0;
}
