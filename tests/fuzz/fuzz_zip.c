/* Archives of strangers' builds: a log within its cap, or an error that says so. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#include "healers/run_archive.h"

enum { CAP = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	OWNED(tail_buf_done) struct tail_buf out;
	struct err err = { 0 };

	tail_buf_init(&out, CAP, n % 2);
	if (run_archive_log(data, n, "build", &out, &err) < 0 && err.kind != ERR_INPUT)
		abort();
	if (out.len > CAP || tail_buf_text(&out)[out.len] != '\0')
		abort();
	return 0;
}
