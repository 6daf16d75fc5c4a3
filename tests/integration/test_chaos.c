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
	RATE = 8, /* failing runs a second */
	STEP_MS = 60,
	LONGEST_MS = 1200, /* of one trouble */
	SECONDS = 12,
	LEDGER_MS = 90000,
};

/* --- a wire that can be cut ------------------------------------------------------------ */

enum { WIRES_MAX = 16 };
static volatile sig_atomic_t cut;

static void on_cut(int sig)
{
	cut = sig == SIGUSR1;
}

static int dial_unix(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)text_copy(un.sun_path, sizeof(un.sun_path), path, strlen(path));
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0) {
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

static void drop_wire(int wires[static WIRES_MAX][2], int i)
{
	(void)close(wires[i][0]);
	(void)close(wires[i][1]);
	wires[i][0] = wires[i][1] = -1;
}

static void take_wire(int wires[static WIRES_MAX][2], int listener, const char *path)
{
	int in = accept(listener, NULL, NULL), out = in < 0 ? -1 : dial_unix(path);

	for (int i = 0; out >= 0 && i < WIRES_MAX; i++) {
		if (wires[i][0] < 0) {
			wires[i][0] = in;
			wires[i][1] = out;
			return;
		}
	}
	if (in >= 0)
		(void)close(in);
	if (out >= 0)
		(void)close(out);
}

static void forward(int wires[static WIRES_MAX][2], const struct pollfd *p)
{
	for (int i = 0; i < WIRES_MAX; i++)
		for (int side = 0; side < 2; side++)
			if (wires[i][0] >= 0 && p[2 * i + side].revents &&
			    !pass_on(wires[i][side], wires[i][1 - side]))
				drop_wire(wires, i);
}

/* While it is cut nothing passes and nobody is told: bytes wait, as behind a dead switch. */
static void NO_RETURN wire(int listener, const char *path)
{
	int wires[WIRES_MAX][2];

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = on_cut }, NULL);
	(void)sigaction(SIGUSR2, &(struct sigaction){ .sa_handler = on_cut }, NULL);
	memset(wires, 0xff, sizeof(wires));
	for (;;) {
		struct pollfd p[2 * WIRES_MAX + 1];

		for (int i = 0; i < WIRES_MAX; i++)
			for (int side = 0; side < 2; side++)
				p[2 * i + side] =
					(struct pollfd){ cut ? -1 : wires[i][side], POLLIN, 0 };
		p[2 * WIRES_MAX] = (struct pollfd){ cut ? -1 : listener, POLLIN, 0 };
		if (poll(p, ARRAY_LEN(p), 1000) <= 0)
			continue;
		forward(wires, p);
		if (p[2 * WIRES_MAX].revents)
			take_wire(wires, listener, path);
	}
}

/* Its port; the process dies with the test. */
static int wire_start(const char *url, pid_t *pid)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &n), 0);
	*pid = fork();
	assert_true(*pid >= 0);
	if (*pid == 0)
		wire(fd, url + strlen("unix://"));
	(void)close(fd);
	return ntohs(sin.sin_port);
}

/* --- the world --------------------------------------------------------------------------- */

struct chaos {
	struct rig *r;
	uint32_t seed;
	struct proc *receiver, *dispatcher[DISPATCHERS];
	const char *cut_off_url; /* redis.url of the last dispatcher, through the wire */
	pid_t wire;
	/* When each trouble ends; 0: there is none. */
	int64_t redis_dead, redis_stopped, dispatcher_stopped[DISPATCHERS], sim_stopped, wire_cut;
	struct proc *sim;
	unsigned troubles;
};

static unsigned draw(struct chaos *c, unsigned below)
{
	c->seed ^= c->seed << 13;
	c->seed ^= c->seed >> 17;
	c->seed ^= c->seed << 5;
	return c->seed % below;
}

static struct proc *new_dispatcher(struct chaos *c, int i)
{
	struct rig *r = c->r;
	const char *name = rig_printf(r, "dispatcher-%d", i);
	/* The CI server is paused for up to LONGEST_MS: a lost call has to show within the settle
	 * time, as heal.settle asks for. */
	const char *const sets[] = {
		"heal.settle=3s",
		"dispatcher.lease=4s",
		"dispatcher.claim_idle=1s",
		"heal.timeout=6s",
		"redis.timeout=500ms",
		"github.timeout=1s",
		"diagnose.tries=40",
		"heal.give_up=10m",
		rules_only(r, "network.yaml", "runners.yaml", "markers.yaml", "c_cpp.yaml", NULL),
		i == DISPATCHERS - 1 ? rig_printf(r, "redis.url=%s", c->cut_off_url) : NULL,
		NULL,
	};

	return dispatcher_start_list(r, name, NULL, sets);
}

static struct proc *new_receiver(struct chaos *c)
{
	return receiver_start(c->r, "receiver.workers=2", "redis.timeout=500ms", NULL);
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
	if (c->wire_cut && now >= c->wire_cut) {
		(void)kill(c->wire, SIGUSR2);
		c->wire_cut = 0;
	}
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

	if (!redis_well(c) || c->wire_cut || c->dispatcher_stopped[i])
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
	/* Some sleep for longer than their lease. */
	c->dispatcher_stopped[i] = clock_mono_ms() + draw(c, 2) * 4000 + draw(c, LONGEST_MS);
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

static void cut_wire(struct chaos *c)
{
	if (c->wire_cut)
		return;
	(void)kill(c->wire, SIGUSR1);
	c->wire_cut = clock_mono_ms() + draw(c, 3 * LONGEST_MS);
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
		kill_dispatcher, stop_dispatcher, kill_receiver, kill_worker, kill_redis,
		stop_redis,      stop_provider,   cut_wire,      fault,       fault,
	};

	kinds[draw(c, ARRAY_LEN(kinds))](c);
	c->troubles++;
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
				print_message("run %" PRIu64 ": plan \"%s\", generation %s\n",
					      t->run[i], state,
					      run_field(r, t->run[i], "generation"));
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
	print_message("%u troubles; %" PRId64 " runs, %zu failures told, %" PRId64
		      " re-runs, %" PRId64 " healed; lost %zu, doubled %zu, re-run twice %" PRId64
		      "\n",
		      c->troubles, sim_total(r, "runs"), t.n, sim_total(r, "rerun_accepted"),
		      sim_total(r, "healed"), lost, doubled, sim_total(r, "rerun_twice"));
	assert_int_equal(lost, 0);
	assert_int_equal(doubled, 0);
	assert_int_equal(sim_total(r, "rerun_twice"), 0);
	assert_int_equal(sim_total(r, "log_auth_leaks"), 0);
	assert_true(cared_for(r, &t, true));
	one_outcome_each(r, &t);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
	assert_true(t.n > 10);
	assert_true(sim_total(r, "healed") > 0);
}

static unsigned setting(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);
	uint64_t n;

	return text && text_to_u64(text, &n) && n > 0 && n < UINT32_MAX ? (unsigned)n : otherwise;
}

static void promises_hold_while_everything_dies(struct rig *r)
{
	unsigned seconds = setting("GUARD_CHAOS_SECONDS", SECONDS);
	struct chaos c = { .r = r, .seed = setting("GUARD_CHAOS_SEED", 20261125) };
	int64_t end;
	int port;

	print_message("%u s, seed %" PRIu32 "\n", seconds, c.seed);
	port = wire_start(redis_url(r), &c.wire);
	c.cut_off_url = rig_printf(r, "redis://127.0.0.1:%d", port);
	c.receiver = new_receiver(&c);
	c.sim = simulator_start(r, "--rate", rig_printf(r, "%d", RATE), "--count",
				rig_printf(r, "%u", RATE * seconds), "--transient-rate", "0.6",
				"--heal-rate", "0.6", "--duplicate", "0.1", "--reorder", "0.1",
				NULL);
	for (int i = 0; i < DISPATCHERS; i++)
		c.dispatcher[i] = new_dispatcher(&c, i);
	end = clock_mono_ms() + (int64_t)seconds * 1000;
	while (clock_mono_ms() < end) {
		int64_t next = clock_mono_ms() + STEP_MS + draw(&c, 4 * STEP_MS);

		trouble(&c);
		while (clock_mono_ms() < next) {
			rig_tick(r);
			repair(&c, clock_mono_ms());
		}
	}
	repair(&c, INT64_MAX);
	sim_no_faults(r);
	settle_accounts(&c);
	(void)kill(c.wire, SIGKILL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(promises_hold_while_everything_dies),
	};

	return rig_main(tests);
}
