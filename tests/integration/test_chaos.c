/*
 * Everything at once: receivers, dispatchers, Redis and the CI server are killed, paused and cut
 * off at random while failures come in; in the end the simulator's ledger says what was
 * lost, done twice, or forgotten. The seed repeats the order of trouble, not every race in it.
 *
 *   GUARD_CHAOS_SECONDS (default 12) and GUARD_CHAOS_SEED change it; `./dev chaos` sets them.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/integration/product.h"

enum {
	DISPATCHERS = 3,
	RATE = 8, /* failing runs a second of GitHub */
	STEP_MS = 60,
	LONGEST_MS = 1200, /* of one trouble */
	LEASE_MS = 4000,
	SECONDS = 12,
	LEDGER_MS = 90000,
	OTHERS_MAX = 2000, /* runs of GitLab and Jenkins */
};

/* --- a wire that can be cut ------------------------------------------------------------ */

enum { ENDS_MAX = 64 };

/* Cut: nothing passes and nobody is told, as behind a dead switch. Refusing: nobody is there. */
enum wire_state { WIRE_WELL, WIRE_CUT, WIRE_REFUSES };
static const int wire_signals[] = { SIGUSR1, SIGUSR2, SIGHUP };
static volatile sig_atomic_t wire_state;

struct wire {
	pid_t pid;
	int port;
	int64_t until_ms; /* in trouble until then; 0: well */
};

struct wires {
	const char *to; /* path of a socket, or a port */
	int port, listener;
	int end[ENDS_MAX][2];
};

static void on_wire_signal(int sig)
{
	for (size_t i = 0; i < ARRAY_LEN(wire_signals); i++)
		if (wire_signals[i] == sig)
			wire_state = (sig_atomic_t)i;
}

static int dial(const char *to)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	bool local = *to == '/';
	int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM, 0), rc;

	if (local) {
		(void)text_copy(un.sun_path, sizeof(un.sun_path), to, strlen(to));
		rc = connect(fd, (struct sockaddr *)&un, sizeof(un));
	} else {
		sin.sin_port = htons((uint16_t)strtoul(to, NULL, 10));
		rc = connect(fd, (struct sockaddr *)&sin, sizeof(sin));
	}
	if (rc < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

/* -1: none. The port is 0 or one that was ours before. */
static int listen_at(int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons((uint16_t)port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(fd, 64) < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

/* False when one side has closed. */
static bool pass_on(int from, int to)
{
	char data[16384];
	ssize_t n = read(from, data, sizeof(data)), sent = 0;

	while (n > 0 && sent < n) {
		ssize_t more = send(to, data + sent, (size_t)(n - sent), MSG_NOSIGNAL);

		if (more <= 0)
			return false;
		sent += more;
	}
	return n > 0;
}

static void drop_end(struct wires *w, int i)
{
	(void)close(w->end[i][0]);
	(void)close(w->end[i][1]);
	w->end[i][0] = w->end[i][1] = -1;
}

static void take_end(struct wires *w)
{
	int in = accept(w->listener, NULL, NULL), out = in < 0 ? -1 : dial(w->to);

	for (int i = 0; out >= 0 && i < ENDS_MAX; i++) {
		if (w->end[i][0] < 0) {
			w->end[i][0] = in;
			w->end[i][1] = out;
			return;
		}
	}
	if (in >= 0)
		(void)close(in);
	if (out >= 0)
		(void)close(out);
}

static void forward(struct wires *w, const struct pollfd *p)
{
	for (int i = 0; i < ENDS_MAX; i++)
		for (int side = 0; side < 2; side++)
			if (w->end[i][0] >= 0 && p[2 * i + side].revents &&
			    !pass_on(w->end[i][side], w->end[i][1 - side]))
				drop_end(w, i);
}

static void follow_state(struct wires *w)
{
	if (wire_state != WIRE_REFUSES) {
		if (w->listener < 0)
			w->listener = listen_at(w->port);
		return;
	}
	if (w->listener >= 0)
		(void)close(w->listener);
	w->listener = -1;
	for (int i = 0; i < ENDS_MAX; i++)
		if (w->end[i][0] >= 0)
			drop_end(w, i);
}

static void NO_RETURN wire_run(struct wires *w)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < ARRAY_LEN(wire_signals); i++)
		(void)sigaction(wire_signals[i],
				&(struct sigaction){ .sa_handler = on_wire_signal }, NULL);
	for (;;) {
		struct pollfd p[2 * ENDS_MAX + 1];
		bool cut = wire_state == WIRE_CUT;

		follow_state(w);
		for (int i = 0; i < ENDS_MAX; i++)
			for (int side = 0; side < 2; side++)
				p[2 * i + side] =
					(struct pollfd){ cut ? -1 : w->end[i][side], POLLIN, 0 };
		p[2 * ENDS_MAX] = (struct pollfd){ cut ? -1 : w->listener, POLLIN, 0 };
		if (poll(p, ARRAY_LEN(p), 50) <= 0)
			continue;
		forward(w, p);
		if (p[2 * ENDS_MAX].revents)
			take_end(w);
	}
}

/* The process dies with the test. */
static void wire_start(struct wire *wire, const char *to)
{
	struct wires w = { .to = to, .listener = listen_at(0) };
	struct sockaddr_in sin = { .sin_port = 0 };
	socklen_t n = sizeof(sin);

	assert_true(w.listener >= 0);
	assert_int_equal(getsockname(w.listener, (struct sockaddr *)&sin, &n), 0);
	memset(w.end, 0xff, sizeof(w.end));
	w.port = wire->port = ntohs(sin.sin_port);
	wire->pid = fork();
	assert_true(wire->pid >= 0);
	if (wire->pid == 0)
		wire_run(&w);
	(void)close(w.listener);
}

static void wire_set(struct wire *w, enum wire_state state, int64_t until_ms)
{
	(void)kill(w->pid, wire_signals[state]);
	w->until_ms = until_ms;
}

/* --- the world --------------------------------------------------------------------------- */

struct chaos {
	struct rig *r;
	uint32_t seed;
	struct proc *receiver, *dispatcher[DISPATCHERS];
	struct wire redis_wire[DISPATCHERS]; /* that of the first one is not used */
	struct wire api;                     /* from all dispatchers to the CI server */
	/* When each trouble ends; 0: there is none. */
	int64_t redis_dead, redis_stopped, dispatcher_stopped[DISPATCHERS], sim_stopped;
	struct proc *sim;
	unsigned troubles;
	uint64_t *other; /* runs of GitLab and Jenkins */
	size_t n_others;
};

static unsigned draw(struct chaos *c, unsigned below)
{
	c->seed ^= c->seed << 13;
	c->seed ^= c->seed >> 17;
	c->seed ^= c->seed << 5;
	return c->seed % below;
}

/* Half of these troubles outlast a lease, and somebody else has done the work meanwhile. */
static int64_t for_a_while(struct chaos *c)
{
	return clock_mono_ms() + draw(c, 2) * LEASE_MS + draw(c, LONGEST_MS);
}

static struct proc *new_dispatcher(struct chaos *c, int i)
{
	struct rig *r = c->r;
	const char *name = rig_printf(r, "dispatcher-%d", i);
	const char *api = rig_printf(r, "http://127.0.0.1:%d", c->api.port);
	const char *token = rig_path(r, "token");
	/* The CI server is paused for up to LONGEST_MS: a lost call has to show within the settle
	 * time, as heal.settle asks for. */
	const char *const sets[] = {
		"heal.settle=3s",
		rig_printf(r, "dispatcher.lease=%dms", LEASE_MS),
		"dispatcher.claim_idle=1s",
		"heal.timeout=6s",
		/* It goes on for so long behind a cut wire, and its last words arrive late. */
		"redis.timeout=1s",
		"github.timeout=1s",
		"gitlab.timeout=1s",
		"jenkins.timeout=1s",
		"diagnose.tries=40",
		/* Everybody dies here, and no entry is at fault. */
		"dispatcher.max_deliveries=100",
		"heal.give_up=10m",
		"heal.approve_within=1s", /* nobody answers what is only suggested */
		rig_printf(r, "github.api_url=%s", api),
		rig_printf(r, "gitlab.url=%s", api),
		rig_printf(r, "gitlab.token_file=%s", token),
		rig_printf(r, "jenkins.url=%s", api),
		"jenkins.user=guard",
		rig_printf(r, "jenkins.token_file=%s", token),
		rules_only(r, "network.yaml", "runners.yaml", "markers.yaml", "c_cpp.yaml", NULL),
		i ? rig_printf(r, "redis.url=redis://127.0.0.1:%d", c->redis_wire[i].port) : NULL,
		NULL,
	};

	return dispatcher_start_list(r, name, NULL, sets);
}

static struct proc *new_receiver(struct chaos *c)
{
	return receiver_start(
		c->r, "receiver.workers=2", "redis.timeout=500ms",
		rig_printf(c->r, "gitlab.webhook_token_file=%s", rig_path(c->r, "gitlab-secret")),
		rig_printf(c->r, "jenkins.webhook_token_file=%s", rig_path(c->r, "jenkins-secret")),
		NULL);
}

static void repair_wire(struct wire *w, int64_t now)
{
	if (w->until_ms && now >= w->until_ms)
		wire_set(w, WIRE_WELL, 0);
}

static void repair(struct chaos *c, int64_t now)
{
	for (int i = 0; i < DISPATCHERS; i++) {
		if (c->dispatcher_stopped[i] && now >= c->dispatcher_stopped[i]) {
			proc_signal(c->dispatcher[i], SIGCONT);
			c->dispatcher_stopped[i] = 0;
		}
	}
	if (c->sim_stopped && now >= c->sim_stopped) {
		proc_signal(c->sim, SIGCONT);
		c->sim_stopped = 0;
	}
	for (int i = 1; i < DISPATCHERS; i++)
		repair_wire(&c->redis_wire[i], now);
	repair_wire(&c->api, now);
	if (c->redis_stopped && now >= c->redis_stopped) {
		proc_signal(redis_proc(c->r), SIGCONT);
		c->redis_stopped = 0;
	}
	if (c->redis_dead && now >= c->redis_dead) {
		redis_start(c->r);
		c->redis_dead = 0;
	}
}

static bool redis_well(const struct chaos *c)
{
	return !c->redis_dead && !c->redis_stopped;
}

/* Needs Redis to come up: with a dead one the test would only wait. */
static void kill_dispatcher(struct chaos *c)
{
	int i = (int)draw(c, DISPATCHERS);

	if (!redis_well(c) || c->redis_wire[i].until_ms || c->dispatcher_stopped[i])
		return;
	proc_kill(c->dispatcher[i]);
	c->dispatcher[i] = new_dispatcher(c, i);
}

static void stop_dispatcher(struct chaos *c)
{
	int i = (int)draw(c, DISPATCHERS);

	if (c->dispatcher_stopped[i])
		return;
	proc_signal(c->dispatcher[i], SIGSTOP);
	c->dispatcher_stopped[i] = for_a_while(c);
}

static void kill_receiver(struct chaos *c)
{
	proc_kill(c->receiver);
	c->receiver = new_receiver(c);
}

static void kill_worker(struct chaos *c)
{
	int pid = (int)proc_pid(c->receiver);
	const char *list = rig_read(c->r, rig_printf(c->r, "/proc/%d/task/%d/children", pid, pid));
	long worker = list ? strtol(list, NULL, 10) : 0;

	if (worker > 1)
		(void)kill((pid_t)worker, SIGKILL);
}

static void kill_redis(struct chaos *c)
{
	if (!redis_well(c))
		return;
	redis_kill(c->r);
	c->redis_dead = clock_mono_ms() + draw(c, LONGEST_MS);
}

static void stop_redis(struct chaos *c)
{
	if (!redis_well(c))
		return;
	proc_signal(redis_proc(c->r), SIGSTOP);
	c->redis_stopped = clock_mono_ms() + draw(c, LONGEST_MS);
}

static void stop_provider(struct chaos *c)
{
	if (c->sim_stopped)
		return;
	proc_signal(c->sim, SIGSTOP);
	c->sim_stopped = clock_mono_ms() + draw(c, LONGEST_MS);
}

/*
 * What a dispatcher wrote until it noticed arrives after its lease, when somebody else has been at
 * the work for a while or has ended it.
 */
static void cut_redis(struct chaos *c)
{
	struct wire *w = &c->redis_wire[1 + draw(c, DISPATCHERS - 1)];

	if (!w->until_ms)
		wire_set(w, WIRE_CUT,
			 clock_mono_ms() + LEASE_MS + LONGEST_MS + draw(c, LONGEST_MS));
}

static void cut_provider(struct chaos *c)
{
	enum wire_state how = draw(c, 2) ? WIRE_CUT : WIRE_REFUSES;

	if (!c->api.until_ms)
		wire_set(&c->api, how, clock_mono_ms() + draw(c, 2 * LONGEST_MS));
}

/* The CI server answers, and badly. */
static void fault(struct chaos *c)
{
	static const char *const faults[] = {
		"{\"call\":\"any\",\"times\":3,\"kind\":\"status\",\"status\":503}",
		"{\"call\":\"rerun\",\"times\":1,\"kind\":\"apply_then_drop\"}",
		"{\"call\":\"rerun\",\"times\":1,\"kind\":\"drop\"}",
		"{\"call\":\"log\",\"times\":2,\"kind\":\"drop\"}",
		/* clang-format off */
		"{\"call\":\"any\",\"times\":2,\"kind\":\"status\",\"status\":429,\"headers\":{\"Retry-After\":\"1\"}}",
		/* clang-format on */
		"{\"call\":\"get_run\",\"times\":1,\"kind\":\"hang\",\"ms\":1500}",
	};

	if (!c->sim_stopped)
		sim_fault(c->r, faults[draw(c, ARRAY_LEN(faults))]);
}

static void trouble(struct chaos *c)
{
	static void (*const kinds[])(struct chaos *) = {
		kill_dispatcher, stop_dispatcher, kill_receiver, kill_worker,
		kill_redis,      stop_redis,      stop_provider, cut_provider,
		cut_redis,       cut_redis,       fault,         fault,
	};

	kinds[draw(c, ARRAY_LEN(kinds))](c);
	c->troubles++;
}

/* GitHub's failures come by themselves; each build of Jenkins has a job of its own. */
static void fail_elsewhere(struct chaos *c)
{
	bool jenkins = draw(c, 2);

	if (c->sim_stopped || c->n_others == OTHERS_MAX || draw(c, 3))
		return;
	c->other[c->n_others] =
		sim_run(c->r, rig_printf(c->r,
					 "{\"provider\":\"%s\",\"repo\":\"team/app-%zu\","
					 "\"cause\":\"network_dns\",\"rerun\":\"%s\"}",
					 jenkins ? "jenkins" : "gitlab", c->n_others,
					 draw(c, 2) ? "pass" : "same"));
	c->n_others++;
}

/* --- the ledger --------------------------------------------------------------------------- */

static struct json_object *sim_json(struct rig *r, const char *path)
{
	return http_get(r, simulator_port(r), path).json;
}

static bool quiet(struct rig *r)
{
	struct json_object *o = sim_json(r, "/_sim/summary");

	return json_i64(o, "running", -1) == 0 && json_i64(o, "webhooks_waiting", -1) == 0;
}

/* Runs whose first failure the guard was told of and answered 2xx: these it has to care for. */
struct told {
	uint64_t *run;
	size_t n;
};

static void add_told(struct rig *r, struct told *t, uint64_t run)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->run[i] == run)
			return;
	/* attempts.0 of one that passed at once is no failure. */
	if (strcmp(sim_word(r, run, "attempts.0.conclusion"), "failure") == 0 ||
	    strcmp(sim_word(r, run, "attempts.0.conclusion"), "timed_out") == 0 ||
	    strcmp(sim_word(r, run, "attempts.0.conclusion"), "startup_failure") == 0)
		t->run[t->n++] = run;
}

static struct told told_runs(struct rig *r, size_t *lost, size_t *doubled)
{
	struct json_object *list = json_at(sim_json(r, "/_sim/deliveries"), "deliveries");
	const struct redisReply *all = redis_do(r, "XRANGE %s - +", EVENTS);
	size_t n = json_object_array_length(list);
	struct told t = { .run = rig_alloc(r, (n + 1) * sizeof(uint64_t)) };
	OWNED(buf_done) struct buf guids;

	buf_init(&guids, 16 << 20);
	for (size_t i = 0; i < all->elements; i++)
		for (size_t k = 0; k + 1 < all->element[i]->element[1]->elements; k += 2)
			if (strcmp(all->element[i]->element[1]->element[k]->str, "delivery") == 0)
				buf_printf(&guids, "%s,",
					   all->element[i]->element[1]->element[k + 1]->str);
	for (size_t i = 0; i < n; i++) {
		struct json_object *d = json_object_array_get_idx(list, i);
		const char *guid = json_str(d, "guid", "?"), *at;

		if (json_i64(d, "status", 0) != 202)
			continue;
		at = strstr(buf_text(&guids), guid);
		*lost += at == NULL;
		*doubled += at && strstr(at + 1, guid);
		if (strcmp(json_str(d, "event", ""), "workflow_run") == 0 &&
		    strcmp(json_str(d, "action", ""), "completed") == 0)
			add_told(r, &t, (uint64_t)json_i64(d, "run", 0));
	}
	return t;
}

static bool cared_for(struct rig *r, const struct told *t, bool say)
{
	size_t open = 0;

	for (size_t i = 0; i < t->n; i++) {
		const char *state = plan_field(r, t->run[i], 1, "state");

		/* Its second attempt may be what the guard heard of first. */
		if (!*state)
			state = plan_field(r, t->run[i], 2, "state");
		if (strcmp(state, "done") != 0) {
			open++;
			if (say)
				print_message(
					"run %" PRIu64 ": plan \"%s\", generation %s, status %s, "
					"diagnosed %s\n",
					t->run[i], state, run_field(r, t->run[i], "generation"),
					run_field(r, t->run[i], "status"),
					run_field(r, t->run[i], "diagnosed"));
		}
	}
	return open == 0;
}

static void one_outcome_each(struct rig *r, const struct told *t)
{
	for (size_t i = 0; i < t->n; i++)
		for (unsigned generation = 1; generation <= 2; generation++)
			if (*plan_field(r, t->run[i], generation, "state"))
				assert_int_equal(outcomes_of(r, t->run[i], generation), 1);
}

/* Every plan that was made for them is done, and once. */
static void others_have_one_outcome_each(struct chaos *c)
{
	struct rig *r = c->r;

	for (size_t i = 0; i < c->n_others; i++) {
		const char *planned = run_field(r, c->other[i], "planned");

		for (char *end; *planned; planned = end) {
			uint64_t generation = strtoull(planned, &end, 10);

			assert_string_equal(plan_field(r, c->other[i], generation, "state"),
					    "done");
			assert_int_equal(outcomes_of(r, c->other[i], generation), 1);
		}
	}
}

static size_t others_healed(struct chaos *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_others; i++)
		n += strcmp(run_field(c->r, c->other[i], "outcome"), "healed") == 0;
	return n;
}

static void wait_for_no_work(struct rig *r)
{
	int64_t end = clock_mono_ms() + LEDGER_MS;

	while (redis_int_of(r, "ZCARD %s", DUE) > 0 && clock_mono_ms() < end)
		rig_tick(r);
	for (int i = 0; i < redis_int_of(r, "ZCARD %s", DUE); i++) {
		const struct redisReply *left =
			redis_do(r, "ZRANGE %s %d %d WITHSCORES", DUE, i, i);
		const char *item = rig_printf(r, "%s", left->element[0]->str);
		const char *score = rig_printf(r, "%s", left->element[1]->str);

		print_message("left: %s due %s, now %" PRId64 ", work \"%s\"\n", item, score,
			      clock_wall_ms(), redis_text_of(r, "HGET pg:{local:0}:work %s", item));
	}
	assert_int_equal(redis_int_of(r, "ZCARD %s", DUE), 0);
}

static void no_dead_letters(struct rig *r)
{
	int64_t n = redis_int_of(r, "XLEN %s", DEAD);

	if (n)
		print_message("the last of %" PRId64 " dead letters: %s %s: %s\n", n,
			      redis_last_field(r, DEAD, "item"), redis_last_field(r, DEAD, "entry"),
			      redis_last_field(r, DEAD, "reason"));
	assert_int_equal(n, 0);
}

static void settle_accounts(struct chaos *c)
{
	struct rig *r = c->r;
	size_t lost = 0, doubled = 0;
	int64_t end = clock_mono_ms() + LEDGER_MS;
	struct told t;

	WAIT_MS(r, quiet(r), LEDGER_MS);
	wait_for_no_work(r);
	t = told_runs(r, &lost, &doubled);
	while (!cared_for(r, &t, false) && clock_mono_ms() < end)
		rig_tick(r);
	print_message("%u troubles; %" PRId64 " runs, %zu failures told by GitHub, %zu by others "
		      "(%zu healed), %" PRId64 " re-runs, %" PRId64
		      " healed; lost %zu, doubled %zu, re-run twice %" PRId64 "\n",
		      c->troubles, sim_total(r, "runs"), t.n, c->n_others, others_healed(c),
		      sim_total(r, "rerun_accepted"), sim_total(r, "healed"), lost, doubled,
		      sim_total(r, "rerun_twice"));
	assert_int_equal(lost, 0);
	assert_int_equal(doubled, 0);
	assert_int_equal(sim_total(r, "rerun_twice"), 0);
	assert_int_equal(sim_total(r, "log_auth_leaks"), 0);
	no_dead_letters(r);
	assert_true(cared_for(r, &t, true));
	one_outcome_each(r, &t);
	others_have_one_outcome_each(c);
	assert_true(t.n > 10);
	assert_true(sim_total(r, "healed") > 0);
}

static unsigned setting(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);
	uint64_t n;

	return text && text_to_u64(text, &n) && n > 0 && n < UINT32_MAX ? (unsigned)n : otherwise;
}

static const char *secret(struct rig *r, const char *name, const char *text)
{
	rig_write(r, name, text, 0600);
	return rig_path(r, name);
}

static void start_world(struct chaos *c, unsigned seconds)
{
	struct rig *r = c->r;
	const char *gitlab = secret(r, "gitlab-secret", "gitlab-token-of-the-chaos-test\n");
	const char *jenkins = secret(r, "jenkins-secret", "jenkins-password-of-the-chaos\n"), *url;

	c->other = rig_alloc(r, OTHERS_MAX * sizeof(*c->other));
	for (int i = 1; i < DISPATCHERS; i++)
		wire_start(&c->redis_wire[i], redis_url(r) + strlen("unix://"));
	c->receiver = new_receiver(c);
	url = rig_printf(r, "http://127.0.0.1:%d/webhooks", receiver_port(r));
	c->sim = simulator_start(r, "--rate", rig_printf(r, "%d", RATE), "--count",
				 rig_printf(r, "%u", RATE * seconds), "--transient-rate", "0.6",
				 "--heal-rate", "0.6", "--duplicate", "0.1", "--reorder", "0.1",
				 "--latency-ms", "300", "--gitlab-webhook-url",
				 rig_printf(r, "%s/gitlab", url), "--gitlab-secret-file", gitlab,
				 "--jenkins-webhook-url", rig_printf(r, "%s/jenkins", url),
				 "--jenkins-secret-file", jenkins, NULL);
	wire_start(&c->api, rig_printf(r, "%d", simulator_port(r)));
	for (int i = 0; i < DISPATCHERS; i++)
		c->dispatcher[i] = new_dispatcher(c, i);
}

static void promises_hold_while_everything_dies(struct rig *r)
{
	unsigned seconds = setting("GUARD_CHAOS_SECONDS", SECONDS);
	struct chaos c = { .r = r, .seed = setting("GUARD_CHAOS_SEED", 20261125) };
	int64_t end;

	print_message("%u s, seed %" PRIu32 "\n", seconds, c.seed);
	start_world(&c, seconds);
	end = clock_mono_ms() + (int64_t)seconds * 1000;
	while (clock_mono_ms() < end) {
		int64_t next = clock_mono_ms() + STEP_MS + draw(&c, 4 * STEP_MS);

		trouble(&c);
		fail_elsewhere(&c);
		while (clock_mono_ms() < next) {
			rig_tick(r);
			repair(&c, clock_mono_ms());
		}
	}
	repair(&c, INT64_MAX);
	sim_no_faults(r);
	settle_accounts(&c);
	for (int i = 1; i < DISPATCHERS; i++)
		(void)kill(c.redis_wire[i].pid, SIGKILL);
	(void)kill(c.api.pid, SIGKILL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(promises_hold_while_everything_dies),
	};

	return rig_main(tests);
}
