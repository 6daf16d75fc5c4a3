#include "cli/workers.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "cli/command.h"
#include "cli/role_args.h"
#include "cli/supervisor.h"
#include "core/conf.h"
#include "core/http_server.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/process.h"

static const char default_admin[] = "127.0.0.1:9090";

struct workers {
	struct cli *cli;
	struct event_base *base;
	struct supervisor *supervisor;
	struct event *signals[3];
	struct role_args args;
	int listen_fd, admin_fd; /* admin_fd -1: none, or the same listener */
	char address[128], admin_address[128];
	unsigned wanted, ready;
	int status;
};

static void on_finished(int status, void *arg)
{
	struct workers *w = arg;

	if (status)
		w->status = status;
	(void)event_base_loopexit(w->base, NULL);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct workers *w = arg;

	UNUSED(what);
	if (sig == SIGHUP) {
		log_info("reloading: new workers take over");
		supervisor_renew(w->supervisor);
		return;
	}
	process_notify("STOPPING=1");
	log_info("stopping", KV("signal", (int)sig));
	supervisor_stop(w->supervisor);
}

static void on_ready(const char *line, void *arg)
{
	struct workers *w = arg;
	const char *scheme = conf_str(w->cli->conf, "tls.cert_file") ? "https" : "http";

	UNUSED(line);
	if (++w->ready < w->wanted)
		return;
	printf("receiver ready %s://%s", scheme, w->address);
	if (w->admin_fd >= 0)
		printf(" admin %s://%s", scheme, w->admin_address);
	printf("\n");
	(void)fflush(stdout);
	process_notify("READY=1");
}

/* Workers inherit both sockets: whichever is free takes the next connection of either. */
static int open_sockets(struct workers *w, struct err *err)
{
	const char *listen = conf_str(w->cli->conf, "listen");
	const char *admin = conf_str(w->cli->conf, "admin_listen");

	if (!admin)
		admin = default_admin;
	w->admin_fd = -1;
	w->listen_fd = http_listen(listen, w->address, err);
	if (w->listen_fd < 0)
		return err_wrap(err, "listen");
	if (strcmp(admin, "none") == 0 || strcmp(admin, listen) == 0)
		return 0;
	w->admin_fd = http_listen(admin, w->admin_address, err);
	return w->admin_fd < 0 ? err_wrap(err, "admin_listen") : 0;
}

static int prepare_args(struct workers *w, struct err *err)
{
	const char *admin = conf_str(w->cli->conf, "admin_listen");
	const char *url = role_hidden_url(w->cli);
	char exe[4096], fd[32];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n <= 0)
		return err_set(err, ERR_TRANSIENT, "cannot read /proc/self/exe");
	exe[n] = '\0';
	/*
	 * It may hold a password, and argv is public: workers find it in their environment. One
	 * that was not given here they read themselves, and anew when they are renewed.
	 */
	if (url && setenv("PIPELINE_GUARD_REDIS_URL", url, 1) < 0)
		return err_set(err, ERR_TRANSIENT, "cannot set the environment");
	role_begin(&w->args, exe, "receiver", w->cli);
	role_set(&w->args, "receiver.workers", "1");
	(void)snprintf(fd, sizeof(fd), "fd:%d", w->listen_fd);
	role_set(&w->args, "listen", fd);
	if (w->admin_fd < 0 && !(admin && strcmp(admin, "none") == 0))
		role_set(&w->args, "admin_listen", fd);
	(void)snprintf(fd, sizeof(fd), "fd:%d", w->admin_fd);
	if (w->admin_fd >= 0)
		role_set(&w->args, "admin_listen", fd);
	return 0;
}

static int start_all(struct workers *w, struct err *err)
{
	struct child_spec spec = { .name = "receiver",
				   .argv = w->args.argv,
				   .pass_fd = w->listen_fd,
				   .pass_fd2 = w->admin_fd,
				   .renewable = true };

	for (unsigned i = 0; i < w->wanted; i++) {
		spec.metrics_slot = i;
		if (supervisor_add(w->supervisor, &spec, on_ready, w, err) < 0)
			return -1;
	}
	return 0;
}

static void watch_signals(struct workers *w)
{
	static const int numbers[ARRAY_LEN(w->signals)] = { SIGTERM, SIGINT, SIGHUP };

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		w->signals[i] = evsignal_new(w->base, numbers[i], on_signal, w);
		if (!w->signals[i] || evsignal_add(w->signals[i], NULL) < 0)
			abort();
	}
}

static int run(struct workers *w)
{
	struct err err;

	if (open_sockets(w, &err) < 0 || prepare_args(w, &err) < 0)
		return cli_fail(&cmd_receiver, &err);
	w->supervisor = supervisor_new(w->base, metrics_area_new(2 * w->wanted),
				       conf_int(w->cli->conf, "drain_timeout"), on_finished, w);
	watch_signals(w);
	if (start_all(w, &err) < 0) {
		w->status = cli_fail(&cmd_receiver, &err);
		supervisor_stop(w->supervisor);
	}
	(void)event_base_dispatch(w->base);
	supervisor_free(w->supervisor);
	for (size_t i = 0; i < ARRAY_LEN(w->signals); i++)
		event_free(w->signals[i]);
	return w->status;
}

int workers_run(struct cli *cli)
{
	OWNED(freep) struct workers *w = xcalloc(1, sizeof(*w));
	int status;

	process_daemon();
	w->cli = cli;
	w->wanted = (unsigned)conf_int(cli->conf, "receiver.workers");
	w->base = event_base_new();
	if (!w->base)
		abort();
	status = run(w);
	role_args_done(&w->args);
	event_base_free(w->base);
	return status;
}
