/* Bodies as Jenkins' Notification plugin might send them. */
#include "tests/fuzz/event_checks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_body(&provider_jenkins, "", data, size);
	return 0;
}
