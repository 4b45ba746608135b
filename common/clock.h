/* clock.h - the two clocks, in one place so that everything else takes time as a parameter. */
#ifndef NM_COMMON_CLOCK_H
#define NM_COMMON_CLOCK_H

#include <stdint.h>

int64_t nm_clock_mono_ms(void); /* monotonic milliseconds: for leases and time-outs */
int64_t nm_clock_mono_us(void); /* monotonic microseconds: for latencies */
int64_t nm_clock_wall_ms(void); /* Unix time in milliseconds: for records */

#endif
