#include "healers/sandbox.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <event2/event.h>

#include "core/child.h"
#include "core/clock.h"
#include "core/mem.h"
#include "healers/sandbox_proxy.h"
#include "healers/sandbox_stage.h"

enum { DISK_LOOK_MS = 50, ARGS_MAX = 128 };

struct room {
	int64_t bytes, files; /* files: as many as there can be more of; some filesystems say 0 */
};

struct sandbox {
	struct child *child;
	struct sandbox_proxy *proxy; /* NULL: no network */
	struct event *look;
	char *folder;
	struct room at_start, max;
	sandbox_fn *fn;
	void *arg;
};

static void sandbox_free(struct sandbox *s)
{
	if (s->look)
		event_free(s->look);
	child_cancel(s->child);
	sandbox_proxy_free(s->proxy);
	free(s->folder);
	free(s);
}

static void report(struct sandbox *s, struct sandbox_end *end)
{
	end->refused = s->proxy ? sandbox_proxy_refused(s->proxy) : "";
	s->fn(end, s->arg);
	sandbox_free(s);
}

static bool look_for_room(const char *folder, struct room *out)
{
	struct statvfs st;

	*out = (struct room){ 0, 0 };
	if (statvfs(folder, &st) < 0)
		return false;
	*out = (struct room){ (int64_t)(st.f_bavail * st.f_frsize), (int64_t)st.f_favail };
	return true;
}

static void on_child(const struct child_end *e, void *arg)
{
	struct sandbox *s = arg;
	const size_t mark = strlen(SANDBOX_READY);
	struct sandbox_end end = { .status = e->status, .out = e->out, .n = e->n };

	s->child = NULL;
	/* Everything up to the mark is said by our own stages; without it the command never ran. */
	if (strncmp(e->out, SANDBOX_READY, mark) == 0) {
		end.fate = e->late ? SANDBOX_LATE : e->over ? SANDBOX_TALKATIVE : SANDBOX_EXITED;
		end.out += mark;
		end.n -= mark;
	} else {
		end.fate = e->late ? SANDBOX_LATE : SANDBOX_UNAVAILABLE;
	}
	report(s, &end);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct sandbox_end end = { .fate = SANDBOX_DISK, .status = -1, .out = "" };
	struct sandbox *s = arg;
	struct timeval soon = clock_timeval(DISK_LOOK_MS);
	struct room left;

	UNUSED(fd);
	UNUSED(what);
	if (!look_for_room(s->folder, &left) || (s->at_start.bytes - left.bytes <= s->max.bytes &&
						 s->at_start.files - left.files <= s->max.files)) {
		(void)evtimer_add(s->look, &soon);
		return;
	}
	child_cancel(TAKE(s->child));
	report(s, &end);
}

/* The limits as arguments of the stages: numbers, in the order of struct sandbox_limits. */
static size_t stage_arguments(const struct sandbox_options *o, const char *self, char *text,
			      size_t cap, const char **argv)
{
	size_t n = 0;

	(void)snprintf(text, cap, "%d,%d,%" PRId64 ",%" PRId64 ",%u,%" PRId64, o->network != NULL,
		       o->home, o->max_memory_bytes, o->max_file_bytes, o->max_processes,
		       o->timeout_ms / 1000 + 1);
	argv[n++] = self;
	argv[n++] = SANDBOX_STAGE;
	argv[n++] = SANDBOX_OUTSIDE;
	argv[n++] = text;
	argv[n++] = o->folder;
	for (size_t i = 0; o->argv[i] && n < ARGS_MAX - 1; i++)
		argv[n++] = o->argv[i];
	argv[n] = NULL;
	return n;
}

int sandbox_start(struct event_base *base, const struct sandbox_options *o, sandbox_fn *fn,
		  void *arg, struct sandbox **out, struct err *err)
{
	struct timeval soon = clock_timeval(DISK_LOOK_MS);
	char self[PATH_MAX], limits[128];
	const char *argv[ARGS_MAX];
	struct sandbox *s;
	int offer = -1, rc = 0;

	if (child_self(self, sizeof(self), err) < 0)
		return -1;
	if (!o->argv[0] || o->argv[0][0] != '/' || o->folder[0] != '/')
		return err_set(err, ERR_BUG, "program and folder must be absolute paths");
	if (stage_arguments(o, self, limits, sizeof(limits), argv) == ARGS_MAX - 1)
		return err_set(err, ERR_INPUT, "too many arguments");
	s = xcalloc(1, sizeof(*s));
	s->fn = fn;
	s->arg = arg;
	s->folder = xstrdup(o->folder);
	s->max = (struct room){ o->max_disk_bytes, o->max_files };
	(void)look_for_room(o->folder, &s->at_start);
	s->look = evtimer_new(base, on_look, s);
	if (!s->look)
		abort();
	if (o->network) {
		s->proxy = sandbox_proxy_new(base, o->network, &offer, err);
		rc = s->proxy ? 0 : -1;
	}
	if (rc == 0)
		rc = child_start_on(base, argv, offer, o->timeout_ms,
				    o->max_output + strlen(SANDBOX_READY), on_child, s, &s->child,
				    err);
	if (offer >= 0)
		(void)close(offer);
	if (rc < 0) {
		sandbox_free(s);
		return -1;
	}
	(void)evtimer_add(s->look, &soon);
	*out = s;
	return 0;
}

void sandbox_cancel(struct sandbox *s)
{
	if (s)
		sandbox_free(s);
}

const char *sandbox_fate_name(enum sandbox_fate fate)
{
	switch (fate) {
	case SANDBOX_EXITED:
		return "exited";
	case SANDBOX_UNAVAILABLE:
		return "sandbox_unavailable";
	case SANDBOX_LATE:
		return "too_late";
	case SANDBOX_TALKATIVE:
		return "too_much_output";
	case SANDBOX_DISK:
		return "too_much_disk";
	}
	return "?";
}
