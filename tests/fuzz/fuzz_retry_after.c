/* Retry-After comes from a stranger: any value gives -1, or 0 to a week. */
#include "core/http_client.h"
#include "core/mem.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWNED(freep) char *value = xstrndup((const char *)data, size);
	int64_t ms = http_retry_after_ms(value, INT64_C(1785319289000));

	FUZZ_ASSERT(ms >= -1 && ms <= INT64_C(7) * 24 * 3600 * 1000);
	return 0;
}
