/* A receiver of several processes behind one listening socket, which a parent of them keeps open.
 */
#ifndef GUARD_CLI_WORKERS_H
#define GUARD_CLI_WORKERS_H

struct cli;

/*
 * Runs receiver.workers of them until SIGTERM or SIGINT; starts again what dies, and replaces
 * all on SIGHUP. Prints the ready line of a receiver when all of them serve. The exit status.
 */
int workers_run(struct cli *);

#endif
