#include "cli/simulator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/text.h"

int executable_folder(char *path, size_t cap, struct err *err)
{
	ssize_t n = readlink("/proc/self/exe", path, cap - 1);
	char *slash;

	if (n <= 0)
		return err_set(err, ERR_TRANSIENT, "cannot read /proc/self/exe");
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
	return 0;
}

int simulator_find(char *path, size_t cap, struct err *err)
{
	static const char *const places[] = { "pipeline-guard-simulator",
					      "../tests/simulator/pipeline-guard-simulator" };
	const char *given = getenv("PIPELINE_GUARD_SIMULATOR");
	char folder[3800];

	if (given && *given) {
		if (!text_copy(path, cap, given, strlen(given)) || access(path, X_OK) != 0)
			return err_set(err, ERR_TRANSIENT,
				       "PIPELINE_GUARD_SIMULATOR does not name an executable");
		return 0;
	}
	if (executable_folder(folder, sizeof(folder), err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		int n = snprintf(path, cap, "%s/%s", folder, places[i]);

		if (n > 0 && (size_t)n < cap && access(path, X_OK) == 0)
			return 0;
	}
	return err_set(err, ERR_TRANSIENT,
		       "the simulator is not installed here; it is built with the tests "
		       "(GUARD_TESTS=ON), or name it in PIPELINE_GUARD_SIMULATOR");
}
