/* Clocks in milliseconds. Wall time for what is stored, monotonic for what is waited for. */
#ifndef GUARD_CORE_CLOCK_H
#define GUARD_CORE_CLOCK_H

#include <stdint.h>
#include <sys/time.h>

int64_t clock_wall_ms(void);
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);

struct timeval clock_timeval(int64_t ms); /* for event_add(); negative counts as 0 */

#endif
