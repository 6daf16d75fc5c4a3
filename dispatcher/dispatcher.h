/* The dispatcher: ci_events in, findings, plans and outcomes out. Any number may run. */
#ifndef GUARD_DISPATCHER_DISPATCHER_H
#define GUARD_DISPATCHER_DISPATCHER_H

struct conf;
struct conf_table;

extern const struct conf_table dispatcher_conf;

/*
 * Runs until SIGTERM or SIGINT, then drains. Prints one line on stdout when it
 * consumes: "dispatcher ready NAME". Returns the exit status of the process.
 */
int dispatcher_run(struct conf *);

/* "act", "suggest" or "observe": what it will do with this configuration, and why. */
const char *dispatcher_mode(const struct conf *, const char **why);

#endif
