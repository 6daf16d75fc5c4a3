/* The receiver: webhooks in, ci_events out, nothing accepted is lost. */
#ifndef GUARD_RECEIVER_RECEIVER_H
#define GUARD_RECEIVER_RECEIVER_H

struct conf;
struct conf_table;

extern const struct conf_table receiver_conf;

/*
 * Runs until SIGTERM or SIGINT, then drains. Prints one line on stdout when it
 * serves: "receiver ready http://127.0.0.1:PORT" (and " admin http://..." when
 * that is another listener). Returns the exit status of the process.
 */
int receiver_run(struct conf *);

#endif
