/* CDEvents, bare and in CloudEvents. */
#include "tests/fuzz/event_checks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_body(&provider_generic, "", data, size);
	return 0;
}
