/* Archives of strangers' builds: a log within its cap, or an error that says so. */
#include "healers/run_archive.h"
#include "tests/fuzz/fuzz.h"

enum { CAP = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWNED(tail_buf_done) struct tail_buf out;
	struct err err = { 0 };

	tail_buf_init(&out, CAP, size % 2);
	if (run_archive_log(data, size, "build", &out, &err) < 0)
		FUZZ_ASSERT(err.kind == ERR_INPUT);
	FUZZ_ASSERT(out.len <= CAP && tail_buf_text(&out)[out.len] == '\0');
	return 0;
}
