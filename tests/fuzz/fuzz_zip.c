/* Archives of strangers' builds: a log within its cap, or an error that says so. */
#include "healers/run_archive.h"
#include "tests/fuzz/fuzz.h"

enum { CAP = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWNED(tail_buf_done) struct tail_buf out;
	OWNED(run_archive_freep) struct run_archive *r = NULL;
	struct err err = { 0 };
	int rc;

	tail_buf_init(&out, CAP, size % 2);
	r = run_archive_new(data, size, "build", &out);
	while ((rc = run_archive_step(r, &err)) > 0)
		continue;
	FUZZ_ASSERT(rc == 0 || err.kind == ERR_INPUT);
	FUZZ_ASSERT(out.len <= CAP && tail_buf_text(&out)[out.len] == '\0');
	return 0;
}
