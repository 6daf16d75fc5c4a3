/*
 * Runs one command where it can do little harm: namespaces of its own, no network but a proxy,
 * a read-only system, one folder to write to, limits for everything, a list of system calls that
 * are refused, and nothing of it left when it ends. docs/sandbox.md
 *
 * Two stages of our own executable do that (sandbox_stage_main); bubblewrap makes the namespaces
 * between them. Where one part is not to be had, nothing is run: never a weaker sandbox.
 */
#ifndef GUARD_HEALERS_SANDBOX_H
#define GUARD_HEALERS_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct event_base;
struct sandbox;

/*
 * What a command may reach that needs the network, over HTTP and our proxy: hosts whose address is
 * public, and what is named here. Lists of "host", "*.domain", "host:port".
 */
struct sandbox_network {
	const char *hosts;  /* none but these; NULL or "": any */
	const char *inside; /* ... and these, whatever their address is */
	int64_t max_bytes;  /* of all connections, both ways */
};

struct sandbox_options {
	const char *const *argv; /* argv[0] is an absolute path, as security_check() found it */
	const char *folder; /* absolute, without symbolic links: may be written to, and is cwd */
	const struct sandbox_network *network; /* NULL: none */
	/* Programs that fetch much: their home is SANDBOX_HOME in the folder, not a small /tmp. */
	bool home;
	int64_t timeout_ms;       /* of the whole, by the clock on the wall */
	size_t max_output;        /* of both outputs together */
	int64_t max_disk_bytes;   /* how much less its filesystem may have left */
	int64_t max_files;        /* ... and so many files: empty ones take no bytes */
	int64_t max_file_bytes;   /* of one file */
	int64_t max_memory_bytes; /* of address space, per process */
	unsigned max_processes;   /* threads included */
};

enum sandbox_fate {
	SANDBOX_EXITED,
	SANDBOX_UNAVAILABLE, /* this host does not allow it; `out` says why */
	SANDBOX_LATE,        /* ended at its deadline */
	SANDBOX_TALKATIVE,   /* ended because it wrote too much */
	SANDBOX_DISK,        /* ended because it filled the disk */
};

struct sandbox_end {
	enum sandbox_fate fate;
	int status;      /* of exit, or 256 + the signal that ended it */
	const char *out; /* both outputs, terminated; borrowed during the callback */
	size_t n;
	const char *refused; /* what it asked of the network and did not get; "" nothing */
};
typedef void sandbox_fn(const struct sandbox_end *, void *arg);

/*
 * fn is called once, from the loop, unless this fails. Run as root, the command runs as the
 * owner of the folder; it never runs as root. Looks at the filesystem now and then, so it belongs
 * into a process that may block for that.
 */
int sandbox_start(struct event_base *, const struct sandbox_options *, sandbox_fn *, void *arg,
		  struct sandbox **out, struct err *) MUST_CHECK;
/* Ends it now; fn is not called any more. NULL is fine. */
void sandbox_cancel(struct sandbox *);

/* "exited", "sandbox_unavailable", ... */
const char *sandbox_fate_name(enum sandbox_fate);

/*
 * What an executable that uses this has to do when its first argument is SANDBOX_STAGE. Replaces
 * the process, or returns an exit status.
 */
#define SANDBOX_HOME  ".pipeline-guard-home" /* whoever wants it makes it */
#define SANDBOX_STAGE "sandbox-stage"
int sandbox_stage_main(int argc, char **argv);

#endif
