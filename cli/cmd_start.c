/* start: everything on one machine. A private Redis unless one is configured, a receiver, a
 * dispatcher. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "cli/command.h"
#include "cli/data_dir.h"
#include "cli/query.h"
#include "cli/role_args.h"
#include "cli/simulator.h"
#include "cli/supervisor.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/http_server.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/process.h"
#include "core/redis.h"
#include "core/text.h"
#include "dispatcher/dispatcher.h"
#include "web/access.h"

enum { REDIS_WAIT_MS = 60000, REDIS_LOOK_MS = 50 };

/* Places of children in the metrics area; receivers follow. */
enum { SLOT_OTHERS, SLOT_DISPATCHER, SLOT_RECEIVERS };

static bool demo;

static const struct cli_option own[] = {
	{ .name = "listen",
	  .argument = "ADDRESS",
	  .key = "listen",
	  .help = "address for webhooks and the page; default 127.0.0.1:8080" },
	{ .name = "workers",
	  .argument = "N",
	  .key = "receiver.workers",
	  .help = "processes that take webhooks in; default 1" },
	{ .name = "data-dir",
	  .argument = "DIR",
	  .key = "data_dir",
	  .help = "where secrets and the private Redis are kept" },
	{ .name = "observe",
	  .key = "mode",
	  .value = "observe",
	  .help = "report what would be done, and do nothing" },
	{ .name = "demo",
	  .flag = &demo,
	  .help = "with a simulated GitHub, in a data folder of its own" },
	{ .name = NULL },
};

struct start {
	struct event_base *base;
	struct cli *cli;
	struct supervisor *supervisor;
	struct redis *probe;
	struct event *look, *term, *interrupt, *hangup;
	int64_t redis_deadline_ms;
	int listen_fd, admin_fd, metrics_fd; /* admin_fd -1: the listener serves the page too */
	const char *scheme;
	char address[128], admin_address[128];
	char folder[DATA_PATH_MAX], redis_conf[DATA_PATH_MAX], redis_url[DATA_PATH_MAX];
	char secret[DATA_PATH_MAX], admin_token[DATA_PATH_MAX], token[DATA_PATH_MAX];
	char audit_key[DATA_PATH_MAX], approve_key[DATA_PATH_MAX]; /* "": one is configured */
	char exe[4096], simulator[4096], api_url[256];
	bool private_redis, given_secret, given_admin_token;
	bool terminal;            /* a person started it, from one */
	struct role_args args[3]; /* by enum role */
	unsigned workers, ready;
	int status;
};

enum role { SIMULATOR, RECEIVER, DISPATCHER };

/* Whoever takes webhooks in holds no provider token, and the other way round. */
static const char *const provider_secrets[] = { "PIPELINE_GUARD_GITHUB_TOKEN",
						"PIPELINE_GUARD_GITHUB_APP_",
						"PIPELINE_GUARD_GITLAB_TOKEN",
						"PIPELINE_GUARD_JENKINS_TOKEN", NULL };
static const char *const webhook_secrets[] = { "PIPELINE_GUARD_GITHUB_WEBHOOK_SECRET",
					       "PIPELINE_GUARD_GITLAB_WEBHOOK_TOKEN",
					       "PIPELINE_GUARD_GITLAB_SIGNING_TOKEN",
					       "PIPELINE_GUARD_JENKINS_WEBHOOK_TOKEN",
					       "PIPELINE_GUARD_GENERIC_WEBHOOK_SECRET",
					       "PIPELINE_GUARD_SOURCES_",
					       NULL };
static const char *const everything_of_ours[] = { "PIPELINE_GUARD_", NULL };

/* --- argv of children --------------------------------------------------------- */

/* Whoever acts, or lets people act, records it. */
static void set_audit(struct start *s, enum role role)
{
	char folder[DATA_PATH_MAX + 8];

	if (*s->audit_key)
		role_set(&s->args[role], "audit.key_file", s->audit_key);
	if (*s->approve_key)
		role_set(&s->args[role], "approve.key_file", s->approve_key);
	(void)snprintf(folder, sizeof(folder), "%s/audit", s->folder);
	if (!conf_str(s->cli->conf, "audit.dir"))
		role_set(&s->args[role], "audit.dir", folder);
}

static void begin_role(struct start *s, enum role role, const char *name)
{
	role_begin(&s->args[role], s->exe, name, s->cli);
	if (role != SIMULATOR)
		set_audit(s, role);
	role_set(&s->args[role], "log_format", conf_str(s->cli->conf, "log_format"));
}

/* --- ends --------------------------------------------------------------------- */

static void on_finished(int status, void *arg)
{
	struct start *s = arg;

	if (status)
		s->status = status;
	(void)event_base_loopexit(s->base, NULL);
}

static void fail(struct start *s, const struct err *err)
{
	s->status = cli_fail(&cmd_start, err);
	supervisor_stop(s->supervisor);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct start *s = arg;

	UNUSED(what);
	/* With a terminal it means that the terminal has gone. */
	if (sig == SIGHUP && !s->terminal) {
		log_info("reloading: a new process for each role takes over");
		supervisor_renew(s->supervisor);
		return;
	}
	process_notify("STOPPING=1");
	log_info("stopping", KV("signal", (int)sig));
	supervisor_stop(s->supervisor);
}

/* --- what is printed ------------------------------------------------------------ */

static const char *page_address(const struct start *s)
{
	return s->admin_fd >= 0 ? s->admin_address : s->address;
}

/* Where each provider's webhooks go, and what switches on those that have no secret yet. */
static const struct door {
	const char *provider, *keys[2], *section, *variable;
} doors[] = {
	{ "github", { "github.webhook_secret" }, "sources.github.secret", NULL },
	{ "gitlab",
	  { "gitlab.webhook_token", "gitlab.signing_token" },
	  "sources.gitlab.secret",
	  "PIPELINE_GUARD_GITLAB_WEBHOOK_TOKEN_FILE" },
	{ "jenkins",
	  { "jenkins.webhook_token" },
	  "sources.jenkins.secret",
	  "PIPELINE_GUARD_JENKINS_WEBHOOK_TOKEN_FILE" },
};

static bool has_secret(const struct conf *conf, const struct door *d)
{
	const char *name;

	for (size_t i = 0; i < ARRAY_LEN(d->keys) && d->keys[i]; i++)
		if (conf_secret(conf, d->keys[i], 0))
			return true;
	for (size_t i = 0; (name = conf_section_name(conf, "sources", i)); i++)
		if (strcmp(name, d->provider) == 0)
			return conf_secret(conf, d->section, 0) != NULL;
	return false;
}

static void print_doors(const struct start *s, const char *address)
{
	for (size_t i = 0; i < (demo ? 1 : ARRAY_LEN(doors)); i++) {
		const struct door *d = &doors[i];

		printf("  %-9s %s://%s/webhooks/%-7s  ", i ? "" : "Webhooks", s->scheme, address,
		       d->provider);
		if (!d->variable && !s->given_secret)
			printf("secret: cat %s\n", s->secret);
		else if (has_secret(s->cli->conf, d))
			printf("secret as configured\n");
		else
			printf("401 until %s is set\n", d->variable);
	}
}

/* Nobody can open 0.0.0.0: this machine's name in its place. */
static void address_shown(const char *address, char out[static 128])
{
	const char *port = strrchr(address, ':');
	char host[64] = "";

	if (port && (text_starts(address, "0.0.0.0:") || text_starts(address, "[::]:")) &&
	    gethostname(host, sizeof(host) - 1) == 0 && *host)
		(void)snprintf(out, 128, "%s%s", host, port);
	else
		(void)snprintf(out, 128, "%s", address);
}

static void print_secret(const char *label, bool given, const char *path, const char *what_for)
{
	printf("  %-9s %s%s%s\n", label, given ? "as configured" : "cat ", given ? "" : path,
	       what_for);
}

static void print_what_to_paste(const struct start *s)
{
	const struct conf *conf = s->cli->conf;

	printf("In GitHub: Settings > Webhooks > Add webhook. Paste the webhook address, content "
	       "type\n"
	       "application/json, the secret, and choose the events \"Workflow runs\" and "
	       "\"Workflow jobs\".\n");
	if (access_is_loopback_listener(s->address))
		printf("GitHub cannot reach %s: have a proxy with TLS pass /webhooks on to it, and "
		       "paste\nthe proxy's address.\n",
		       s->address);
	else
		printf("Paste it with the name that GitHub reaches; a proxy with TLS in front is "
		       "better.\n");
	if (!conf_secret(conf, "github.token", 0) && !conf_str(conf, "github.app_id"))
		printf("It needs a token to read logs and to re-run jobs; stop it, and start it "
		       "again "
		       "after\n"
		       "  export PIPELINE_GUARD_GITHUB_TOKEN_FILE=/path/to/token\n");
	printf("GitLab, Jenkins and others: docs/senders.md. Ctrl-C stops it.\n\n");
}

static void print_block(struct start *s)
{
	const char *why, *mode = dispatcher_mode(s->cli->conf, &why);
	char page[128], webhook[128];

	address_shown(page_address(s), page);
	address_shown(s->address, webhook);
	if (demo) {
		mode = strcmp(conf_str(s->cli->conf, "mode"), "observe") == 0 ? "observe" : "act";
		why = "on the simulated GitHub only";
	}
	printf("\nPipeline Guard is running.\n\n"
	       "  Page      %s://%s/\n",
	       s->scheme, page);
	print_doors(s, webhook);
	print_secret("Admin", s->given_admin_token, s->admin_token,
		     access_is_loopback_listener(page_address(s))
			     ? "   # for the button that stops it"
			     : "   # password of the page, with any name");
	printf("  Mode      %s: %s\n", mode, why);
	if (s->private_redis)
		printf("  Redis     redis-cli -s %s/redis.sock\n", s->folder);
	printf("  Data      %s\n\n", s->folder);
	if (demo)
		printf("A simulated GitHub at %s sends failures of known causes.\n"
		       "Open the page and watch them being diagnosed and healed. Ctrl-C stops "
		       "it.\n\n",
		       s->api_url);
	else
		print_what_to_paste(s);
	printf("guard ready %s://%s\n", s->scheme, s->address);
	(void)fflush(stdout);
	process_notify("READY=1");
}

/* --- children, one after the other ------------------------------------------------ */

static void on_dispatcher(const char *line, void *arg)
{
	UNUSED(line);
	print_block(arg);
}

static void start_dispatcher(struct start *s)
{
	struct child_spec spec = { .name = "dispatcher",
				   .hide = webhook_secrets,
				   .argv = s->args[DISPATCHER].argv,
				   .pass_fd = -1,
				   .pass_fd2 = -1,
				   .renewable = true,
				   .metrics_slot = SLOT_DISPATCHER };
	struct err err;

	begin_role(s, DISPATCHER, "dispatcher");
	role_set(&s->args[DISPATCHER], "admin_listen", "none");
	if (demo) {
		role_set(&s->args[DISPATCHER], "github.api_url", s->api_url);
		role_set(&s->args[DISPATCHER], "github.token_file", s->token);
		role_set(&s->args[DISPATCHER], "github.write_interval", "0s");
	}
	if (supervisor_add(s->supervisor, &spec, on_dispatcher, s, &err) < 0)
		fail(s, &err);
}

static void on_receiver(const char *line, void *arg)
{
	struct start *s = arg;

	UNUSED(line);
	if (++s->ready == s->workers)
		start_dispatcher(s);
}

static void start_receiver(struct start *s)
{
	struct child_spec spec = { .name = "receiver",
				   .hide = provider_secrets,
				   .argv = s->args[RECEIVER].argv,
				   .pass_fd = s->listen_fd,
				   .pass_fd2 = s->admin_fd,
				   .renewable = true };
	const char *admin = conf_str(s->cli->conf, "admin_listen");
	char fd[32], admin_fd[32], spool[DATA_PATH_MAX + 8];
	struct err err;

	(void)snprintf(fd, sizeof(fd), "fd:%d", s->listen_fd);
	(void)snprintf(admin_fd, sizeof(admin_fd), "fd:%d", s->admin_fd);
	(void)snprintf(spool, sizeof(spool), "%s/spool", s->folder);
	if (s->admin_fd >= 0)
		admin = admin_fd;
	else if (!admin || strcmp(admin, "none") != 0)
		admin = fd;
	begin_role(s, RECEIVER, "receiver");
	role_set(&s->args[RECEIVER], "listen", fd);
	role_set(&s->args[RECEIVER], "admin_listen", admin);
	if (!conf_str(s->cli->conf, "receiver.spool_dir"))
		role_set(&s->args[RECEIVER], "receiver.spool_dir", spool);
	if (!s->given_secret)
		role_set(&s->args[RECEIVER], "github.webhook_secret_file", s->secret);
	if (!s->given_admin_token)
		role_set(&s->args[RECEIVER], "admin_token_file", s->admin_token);
	for (unsigned i = 0; i < s->workers; i++) {
		spec.metrics_slot = SLOT_RECEIVERS + i;
		if (supervisor_add(s->supervisor, &spec, on_receiver, s, &err) < 0) {
			fail(s, &err);
			return;
		}
	}
}

static void on_simulator(const char *line, void *arg)
{
	struct start *s = arg;

	(void)snprintf(s->api_url, sizeof(s->api_url), "%s", line + (*line == ' '));
	start_receiver(s);
}

static void start_simulator(struct start *s)
{
	struct child_spec spec = { .name = "simulator",
				   .hide = everything_of_ours,
				   .argv = s->args[SIMULATOR].argv,
				   .pass_fd = -1,
				   .pass_fd2 = -1,
				   .metrics_slot = SLOT_OTHERS };
	const char *const args[] = { s->simulator, "--demo",       "--secret-file",
				     s->secret,    "--token-file", s->token };
	char url[200];
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(args); i++)
		role_add(&s->args[SIMULATOR], args[i]);
	(void)snprintf(url, sizeof(url), "%s://%s/webhooks/github", s->scheme, s->address);
	role_add(&s->args[SIMULATOR], "--webhook-url");
	role_add(&s->args[SIMULATOR], url);
	if (supervisor_add(s->supervisor, &spec, on_simulator, s, &err) < 0)
		fail(s, &err);
}

static void redis_is_there(struct start *s)
{
	(void)evtimer_del(s->look);
	redis_free(TAKE(s->probe));
	if (demo)
		start_simulator(s);
	else
		start_receiver(s);
}

static void on_pong(const struct redisReply *reply, void *arg)
{
	struct start *s = arg;
	struct timeval again = clock_timeval(REDIS_LOOK_MS);
	char shown[256];
	struct err err;

	if (!redis_is_error(reply, NULL)) {
		redis_is_there(s);
		return;
	}
	if (clock_mono_ms() > s->redis_deadline_ms) {
		query_url_shown(s->redis_url, shown);
		err_format(&err, ERR_TRANSIENT, "redis does not answer at %s: %s%s%s%s", shown,
			   reply ? redis_why(reply) : redis_problem(s->probe),
			   s->private_redis ? "; see " : "; is it running, and redis.url right?",
			   s->private_redis ? s->folder : "", s->private_redis ? "/redis.log" : "");
		fail(s, &err);
		return;
	}
	/* Not connected yet, or still LOADING its file. */
	(void)evtimer_add(s->look, &again);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct start *s = arg;

	UNUSED(fd);
	UNUSED(what);
	redis_send_args(s->probe, on_pong, s, "PING", (char *)NULL);
}

static void look_for_redis(struct start *s)
{
	struct timeval now = { 0 };
	struct err err;

	if (redis_new(s->base, s->redis_url, conf_int(s->cli->conf, "redis.timeout"), &s->probe,
		      &err) < 0) {
		fail(s, &err);
		return;
	}
	s->redis_deadline_ms = clock_mono_ms() + (s->private_redis ? REDIS_WAIT_MS : 10000);
	(void)evtimer_add(s->look, &now);
}

static void on_redis_child(const char *line, void *arg)
{
	UNUSED(line);
	look_for_redis(arg);
}

static int start_redis(struct start *s, struct err *err)
{
	static const char *const places[] = { "/usr/bin/redis-server",
					      "/usr/local/bin/redis-server", "/bin/redis-server" };
	static char *argv[3];
	struct child_spec spec = { .name = "redis",
				   .hide = everything_of_ours,
				   .argv = argv,
				   .pass_fd = -1,
				   .pass_fd2 = -1,
				   .ready_at_once = true,
				   .outlives = true };

	for (size_t i = 0; i < ARRAY_LEN(places) && !argv[0]; i++)
		if (access(places[i], X_OK) == 0)
			argv[0] = xstrdup(places[i]);
	if (!argv[0])
		return err_set(
			err, ERR_TRANSIENT,
			"redis-server is not installed: apt-get install redis-server, or set "
			"PIPELINE_GUARD_REDIS_URL to one that runs");
	argv[1] = s->redis_conf;
	return supervisor_add(s->supervisor, &spec, on_redis_child, s, err);
}

/* --- set-up ------------------------------------------------------------------------ */

static int prepare_demo(struct start *s, struct err *err)
{
	bool created;

	(void)snprintf(s->token, sizeof(s->token), "%.1000s/demo-token", s->folder);
	if (data_dir_secret(s->token, &created, err) < 0 ||
	    simulator_find(s->simulator, sizeof(s->simulator), err) < 0)
		return -1;
	/* The simulated world starts anew; events of an old one would only confuse. */
	return s->private_redis ? data_dir_forget_redis(s->folder, err) : 0;
}

/* All workers inherit them, so a worker may come and go without a connection being lost. */
static int open_sockets(struct start *s, struct err *err)
{
	const char *listen = conf_str(s->cli->conf, "listen");
	const char *admin = conf_str(s->cli->conf, "admin_listen");
	unsigned given = process_listen_fds();
	char fd[32];

	s->scheme = conf_str(s->cli->conf, "tls.cert_file") ? "https" : "http";
	s->admin_fd = -1;
	(void)snprintf(fd, sizeof(fd), "fd:%d", PROCESS_LISTEN_FD);
	s->listen_fd = http_listen(given ? fd : listen, s->address, err);
	if (s->listen_fd < 0) {
		const struct err why = *err;

		return err_set(err, why.kind, "%s; choose another address with --listen", why.msg);
	}
	if (given < 2 && (!admin || strcmp(admin, "none") == 0 || strcmp(admin, listen) == 0))
		return 0;
	(void)snprintf(fd, sizeof(fd), "fd:%d", PROCESS_LISTEN_FD + 1);
	s->admin_fd = http_listen(given > 1 ? fd : admin, s->admin_address, err);
	return s->admin_fd < 0 ? err_wrap(err, "admin_listen") : 0;
}

/* What nobody configured is made once and kept: the webhook secret, the admin token. */
static int prepare_secrets(struct start *s, struct err *err)
{
	const struct conf *conf = s->cli->conf;
	bool created;

	s->given_secret = conf_secret(conf, "github.webhook_secret", 0) && !demo;
	s->given_admin_token = conf_secret(conf, "admin_token", 0);
	(void)snprintf(s->secret, sizeof(s->secret), "%.1000s/github-webhook-secret", s->folder);
	(void)snprintf(s->admin_token, sizeof(s->admin_token), "%.1000s/admin-token", s->folder);
	if (!s->given_secret && data_dir_secret(s->secret, &created, err) < 0)
		return -1;
	if (!conf_secret(conf, "audit.key", 0)) {
		(void)snprintf(s->audit_key, sizeof(s->audit_key), "%.1000s/audit-key", s->folder);
		if (data_dir_secret(s->audit_key, &created, err) < 0)
			return -1;
	}
	if (!conf_secret(conf, "approve.key", 0)) {
		(void)snprintf(s->approve_key, sizeof(s->approve_key), "%.1000s/approve-key",
			       s->folder);
		if (data_dir_secret(s->approve_key, &created, err) < 0)
			return -1;
	}
	return s->given_admin_token ? 0 : data_dir_secret(s->admin_token, &created, err);
}

static int prepare(struct start *s, struct err *err)
{
	const struct conf *conf = s->cli->conf;
	const char *url = conf_str(conf, "redis.url");
	ssize_t n = readlink("/proc/self/exe", s->exe, sizeof(s->exe) - 1);

	if (n <= 0)
		return err_set(err, ERR_TRANSIENT, "cannot read /proc/self/exe");
	if (data_dir_path(conf, demo ? "pipeline-guard-demo" : "pipeline-guard", s->folder, err) <
		    0 ||
	    data_dir_open(s->folder, err) < 0)
		return -1;
	s->workers = (unsigned)conf_int(conf, "receiver.workers");
	s->private_redis = !url || demo;
	if (prepare_secrets(s, err) < 0)
		return -1;
	if (demo && prepare_demo(s, err) < 0)
		return -1;
	if (s->private_redis && data_dir_redis(s->folder, s->redis_conf, s->redis_url, err) < 0)
		return -1;
	if (!s->private_redis)
		(void)snprintf(s->redis_url, sizeof(s->redis_url), "%s", url);
	/*
	 * It may hold a password, and argv is public: children find it in their environment, unless
	 * they can read it for themselves, and anew when they are renewed.
	 */
	if ((s->private_redis || role_hidden_url(s->cli)) &&
	    setenv("PIPELINE_GUARD_REDIS_URL", s->redis_url, 1) < 0)
		return err_set(err, ERR_TRANSIENT, "setenv: %s", strerror(errno));
	s->metrics_fd = metrics_area_new(2 * (SLOT_RECEIVERS + s->workers));
	return open_sockets(s, err);
}

static struct event *signal_event(struct start *s, int sig)
{
	struct event *ev = evsignal_new(s->base, sig, on_signal, s);

	if (!ev || evsignal_add(ev, NULL) < 0)
		abort();
	return ev;
}

static void free_event(struct event *ev)
{
	if (ev)
		event_free(ev);
}

static int run_everything(struct start *s)
{
	struct err err;

	s->base = event_base_new();
	if (!s->base)
		abort();
	if (prepare(s, &err) < 0) {
		event_base_free(s->base);
		return cli_fail(&cmd_start, &err);
	}
	s->term = signal_event(s, SIGTERM);
	s->interrupt = signal_event(s, SIGINT);
	s->hangup = signal_event(s, SIGHUP);
	s->look = evtimer_new(s->base, on_look, s);
	s->supervisor = supervisor_new(s->base, s->metrics_fd,
				       conf_int(s->cli->conf, "drain_timeout"), on_finished, s);
	if (!s->look)
		abort();
	if (s->private_redis && start_redis(s, &err) < 0)
		fail(s, &err);
	else if (!s->private_redis)
		look_for_redis(s);
	(void)event_base_dispatch(s->base);
	redis_free(s->probe);
	supervisor_free(s->supervisor);
	free_event(s->look);
	free_event(s->term);
	free_event(s->interrupt);
	free_event(s->hangup);
	event_base_free(s->base);
	return s->status;
}

static int run(int argc, char **argv)
{
	OWNED(freep) struct start *s = xcalloc(1, sizeof(*s));
	struct cli cli;
	int status = cli_begin(&cmd_start, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	/* People read this; a pipe or a file gets JSON. */
	if (!conf_is_set(cli.conf, "log_format") && isatty(STDERR_FILENO)) {
		struct err err;

		if (conf_set(cli.conf, "log_format=text", &err) == 0)
			log_init(cmd_start.name, LEVEL_INFO, true);
	}
	process_daemon();
	s->terminal = isatty(STDIN_FILENO);
	s->cli = &cli;
	status = run_everything(s);
	for (size_t i = 0; i < ARRAY_LEN(s->args); i++)
		role_args_done(&s->args[i]);
	cli_end(&cli);
	return status;
}

const struct command cmd_start = {
	.name = "start",
	.group = GROUP_RUN,
	.summary = "run everything on this machine",
	.usage = "usage: pipeline-guard start [options]\n\n"
		 "Runs a private redis-server (unless redis.url is set), a receiver and a "
		 "dispatcher,\n"
		 "starts again what dies, and serves the page. Prints what to paste where. SIGTERM "
		 "or\n"
		 "Ctrl-C finishes what is in flight and stops; a second one stops at once.\n"
		 "Without a terminal SIGHUP replaces receivers and dispatcher by new processes, "
		 "which read "
		 "configuration,\n"
		 "secrets, certificates and rules anew and may be a new release; no connection is "
		 "lost.\n",
	.run = run,
};
