#include "core/value.h"

#include <inttypes.h>
#include <stdio.h>

const char *const value_names[VALUE_N] = {
	"tries", "healed", "ci_minutes_spent", "person_minutes_saved", "flakes_masked",
};

void value_key(const struct keyspace *ks, int64_t day, char key[static KEY_MAX])
{
	char name[40];

	(void)snprintf(name, sizeof(name), "value:%" PRId64, day);
	key_region(ks, name, key);
}
