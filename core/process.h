/* What every daemon of ours does with its process, and tells its service manager. */
#ifndef GUARD_CORE_PROCESS_H
#define GUARD_CORE_PROCESS_H

#include <stddef.h>

#include "core/base.h"
#include "core/err.h"

/*
 * A peer that went away, or a file that may not grow, is an error of that write and not
 * the end of the process. And it may open as many files as it is allowed to, within reason.
 */
void process_daemon(void);
/*
 * libevent writes without MSG_NOSIGNAL: with the default a peer that has just died would take us
 * along. Leaves a handler of the program's own alone.
 */
void process_ignore_sigpipe(void);
/* Descriptors this process may have open. */
unsigned process_files_max(void);

/* Who is root becomes nobody: whatever works on a stranger's files has no rights but that. */
int process_be_nobody(struct err *) MUST_CHECK;

/*
 * Tells systemd, when it started us with Type=notify: "READY=1", "STOPPING=1",
 * "STATUS=...". The protocol of sd_notify(3), one datagram.
 */
void process_notify(const char *state);

/*
 * Sockets that systemd opened for us (sd_listen_fds(3)): their number, from descriptor
 * 3 on, 0 when there are none. Call once, at start; children are told nothing of them.
 */
unsigned process_listen_fds(void);
enum { PROCESS_LISTEN_FD = 3 };

#endif
