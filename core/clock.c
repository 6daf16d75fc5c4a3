#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#include "core/text.h"

static int64_t read_us(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

#ifdef GUARD_TEST_HOOKS
/* In tests the clock jumps: the file that the environment names holds the milliseconds. */
static int64_t jump_ms(void)
{
	const char *path = getenv("PIPELINE_GUARD_TEST_CLOCK_FILE");
	FILE *f = path ? fopen(path, "re") : NULL;
	char line[24] = "";
	int64_t ms = 0;

	if (!f)
		return 0;
	if (!fgets(line, sizeof(line), f) || !text_to_i64(line, &ms))
		ms = 0;
	(void)fclose(f);
	return ms;
}
#else
static int64_t jump_ms(void)
{
	return 0;
}
#endif

int64_t clock_wall_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000 + jump_ms();
}

int64_t clock_mono_ms(void)
{
	return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_mono_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

struct timeval clock_timeval(int64_t ms)
{
	if (ms < 0)
		ms = 0;
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
}
