/*
 * A job's log is written by strangers: any bytes give a finding that is bounded, printable and the
 * same however the bytes come and whichever engine looks.
 */
#include <string.h>

#include "core/finding.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/detector.h"
#include "tests/fuzz/fuzz.h"

static struct detector *load(void)
{
	struct detector *d = NULL;
	struct err err;

	FUZZ_ASSERT(detector_new(NULL, NULL, &d, &err) == 0);
	return d;
}

static void check(const struct finding *f)
{
	FUZZ_ASSERT(finding_category_known(f->category));
	FUZZ_ASSERT(f->confidence >= 0 && f->confidence < 1);
	FUZZ_ASSERT(f->n_evidence <= FINDING_EVIDENCE_MAX);
	FUZZ_ASSERT(f->n_failed_tests <= FINDING_TESTS_MAX);
	for (size_t i = 0; i < f->n_evidence; i++) {
		size_t n = strlen(f->evidence[i].text);

		FUZZ_ASSERT(n <= FINDING_TEXT_MAX && f->evidence[i].line > 0);
		FUZZ_ASSERT(utf8_valid((const unsigned char *)f->evidence[i].text, n));
	}
}

static char *answer(const struct detector *d, const uint8_t *data, size_t n, size_t piece)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct detect_input in = { .text = NULL };
	OWNED(detect_scan_freep) struct detect_scan *s = detect_scan_new(d, &in);
	OWNED(json_putp) struct json_object *o = NULL;
	struct finding f;

	for (size_t at = 0; at < n; at += piece)
		detect_scan_feed(s, (const char *)data + at, n - at < piece ? n - at : piece);
	detect_scan_end(s, a, &f);
	check(&f);
	f.scan_ms = 0;
	o = finding_to_json(&f);
	return xstrdup(json_text(o));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct detector *fast, *slow;

	if (!fast) {
		fast = load();
		slow = load();
		detector_use_pcre2_only(slow);
	}
	OWNED(freep) char *whole = answer(fast, data, size, size + 1);
	OWNED(freep) char *pieces = answer(fast, data, size, 7);
	OWNED(freep) char *slowly = answer(slow, data, size, size + 1);

	FUZZ_ASSERT(strcmp(whole, pieces) == 0);
	FUZZ_ASSERT(strcmp(whole, slowly) == 0);
	return 0;
}
