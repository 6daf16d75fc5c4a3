/*
 * Counters, gauges and histograms in Prometheus' text format. A process writes
 * into its own slot of a shared memory area; when a supervisor made the area
 * (an inherited descriptor), whoever renders speaks for all its processes.
 */
#ifndef GUARD_CORE_METRICS_H
#define GUARD_CORE_METRICS_H

#include <stdint.h>

#include "core/base.h"
#include "core/buf.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* Supervisor: makes the area for n processes and returns the descriptor to inherit. */
int metrics_area_new(unsigned n_slots);
/* Supervisor: a process that ended measures nothing any more; what it counted stays. */
void metrics_area_forget_gauges(int area_fd, unsigned slot);
/* Child: fd -1 keeps a private area. A restarted child takes the slot of its dead predecessor over.
 */
void metrics_init(int area_fd, unsigned slot);
/* From PIPELINE_GUARD_METRICS_FD and _SLOT, which `start` gives its children; happens by itself at
 * first use. */
void metrics_init_from_env(void);

/*
 * `name` without the pipeline_guard_ prefix, `labels` as `source="github",result="accepted"`
 * or "". Label values must come from our own tables. Unknown
 * series are created at first use; when the slot is full, or labels are longer than
 * 95 bytes, they go to one overflow counter.
 */
void metrics_add(const char *name, const char *labels, int64_t n);
void metrics_set(const char *name, const char *labels, int64_t value);
void metrics_set_real(const char *name, const char *labels, double value); /* shares, rates */
void metrics_observe_ms(const char *name, const char *labels, double ms);

/* A counter that is hit per event: looked up once. */
struct metric;
struct metric *metrics_handle(const char *name, const char *labels);
void metric_add(struct metric *, int64_t n);
void metric_observe_ms(struct metric *, double ms);

/* Of all processes. */
void metrics_render(struct buf *);

#endif
