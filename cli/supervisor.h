/*
 * Child processes of `start` and of a receiver with workers: started in order, started again with
 * backoff when they die, replaced by new ones when asked, stopped in an order that lets them
 * finish. A child counts as up when it printed its ready line ("receiver ready ...") on stdout.
 */
#ifndef GUARD_CLI_SUPERVISOR_H
#define GUARD_CLI_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct event_base;
struct supervisor;

struct child_spec {
	const char *name;  /* for logs; also the first word of the ready line */
	char *const *argv; /* absolute path first; borrowed for the supervisor's life */
	const char *const
		*hide; /* environment variables (prefixes, NULL-terminated) it must not see */
	int pass_fd;   /* the one descriptor it inherits besides stdio, or -1 */
	int pass_fd2;  /* another, or -1 */
	unsigned metrics_slot; /* it gets 2n or 2n+1, so that old and new write apart */
	bool renewable;        /* supervisor_renew() replaces it */
	bool ready_at_once;    /* it prints no ready line */
	bool outlives;         /* stopped after all the others: they need it to finish */
};

/* finished(status): everything stopped; status 2 when a child refused its configuration. */
struct supervisor *supervisor_new(struct event_base *, int metrics_fd, int64_t drain_ms,
				  void (*finished)(int status, void *arg), void *arg);
void supervisor_free(struct supervisor *);

/* ready(line, arg): once, with the text after "NAME ready ". Later restarts do not call it. */
int supervisor_add(struct supervisor *, const struct child_spec *,
		   void (*ready)(const char *line, void *arg), void *arg, struct err *) MUST_CHECK;
/* SIGTERM to all, then to those that outlive the others; SIGKILL when the drain time is over,
 * or when it is called again. */
void supervisor_stop(struct supervisor *);
void supervisor_signal_all(struct supervisor *, int sig);
/*
 * Starts a new process beside each renewable child, which reads configuration, secrets and
 * rules anew and may be a newer executable. When it is ready the old one is told to drain; when
 * it does not come up the old one stays. Asked again meanwhile, it begins anew when the old
 * ones are gone, for what was started may have read what was true before.
 */
void supervisor_renew(struct supervisor *);

#endif
