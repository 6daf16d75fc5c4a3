/*
 * What is below the dispatchers fails: the master dies amid the work and a replica is promoted,
 * memory is full, the group is destroyed, the clock jumps. Nothing is lost and nothing is done
 * twice.
 */
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "core/json.h"
#include "tests/integration/product.h"

enum { RUNS = 60, DAY_MS = 24 * 3600 * 1000 };

static const char *rules(struct rig *r)
{
	return rules_only(r, "network.yaml", "markers.yaml", NULL);
}

/* --- a master and its replica ------------------------------------------------------------ */

static const char *free_port(struct rig *r)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	(void)close(fd);
	return rig_printf(r, "%u", ntohs(sin.sin_port));
}

static const char *socket_of(struct rig *r, const char *name)
{
	return rig_printf(r, "%s.sock", rig_path(r, name));
}

static struct proc *start_server(struct rig *r, const char *name, const char *port)
{
	const char *const argv[] = { "redis-server",
				     "--port",
				     port,
				     "--bind",
				     "127.0.0.1",
				     "--unixsocket",
				     socket_of(r, name),
				     "--save",
				     "",
				     "--repl-diskless-sync-delay",
				     "0",
				     "--dir",
				     rig_path(r, ""),
				     "--dbfilename",
				     rig_printf(r, "%s.rdb", name),
				     NULL };
	struct proc *p = proc_start(r, name, argv, NULL);

	redis_use(r, socket_of(r, name));
	return p;
}

/* The address everybody has; who answers there changes. */
static void point_at(struct rig *r, const char *name)
{
	const char *next = rig_path(r, "next.sock");

	assert_int_equal(symlink(socket_of(r, name), next), 0);
	assert_int_equal(rename(next, rig_path(r, "current.sock")), 0);
}

static bool in_step(struct rig *r)
{
	return strstr(redis_text_of(r, "INFO replication"), "state=online") != NULL;
}

/* Returns the master; questions go to it. */
static struct proc *start_pair(struct rig *r)
{
	const char *port = free_port(r);
	struct proc *master;

	(void)start_server(r, "replica", free_port(r));
	(void)redis_do(r, "REPLICAOF 127.0.0.1 %s", port);
	master = start_server(r, "master", port);
	WAIT(r, in_step(r));
	point_at(r, "master");
	return master;
}

static void fail_over(struct rig *r, struct proc *master)
{
	proc_kill(master);
	redis_use(r, socket_of(r, "replica"));
	(void)redis_do(r, "REPLICAOF NO ONE");
	point_at(r, "replica");
}

static struct proc *dispatcher(struct rig *r, const char *name)
{
	return dispatcher_start(r, name, rules(r), "dispatcher.claim_idle=1s",
				"dispatcher.lease=2s", "redis.timeout=1s",
				rig_printf(r, "redis.url=unix://%s", rig_path(r, "current.sock")),
				NULL);
}

static bool quiet(struct rig *r)
{
	return sim_total(r, "running") == 0 && sim_total(r, "webhooks_waiting") == 0;
}

/*
 * Every run was run again, and the guard knows how that went. A plan that only the dead master knew
 * is not made again for a run that has gone on.
 */
static void all_are_known(struct rig *r)
{
	struct json_object *list =
		json_at(http_get(r, simulator_port(r), "/_sim/runs").json, "runs");
	size_t n = json_object_array_length(list), plans = 0;

	assert_int_equal(n, RUNS);
	for (size_t i = 0; i < n; i++) {
		uint64_t run = (uint64_t)json_i64(json_object_array_get_idx(list, i), "id", 0);

		WAIT(r, strcmp(run_field(r, run, "generation"), "2") == 0 &&
				strcmp(run_field(r, run, "conclusion"),
				       sim_word(r, run, "conclusion")) == 0);
		if (!*plan_field(r, run, 1, "state"))
			continue;
		(void)plan_result(r, run, 1);
		assert_int_equal(outcomes_of(r, run, 1), 1);
		plans++;
	}
	assert_true(plans > RUNS / 2);
}

/*
 * What the dead master had not handed on yet is gone, whatever the dispatchers had been told. They
 * start from what the replica has: receivers send again, the provider says what was done.
 */
static void a_failover_amid_the_work_loses_nothing(struct rig *r)
{
	const char *url = rig_printf(r, "redis.url=unix://%s", rig_path(r, "current.sock"));
	struct proc *master = start_pair(r);

	(void)receiver_start(r, url, "redis.timeout=1s", NULL);
	simulator_start(r, "--rate", "40", "--count", rig_printf(r, "%d", RUNS), "--cause",
			"network_dns", "--heal-rate", "0.5", NULL);
	(void)dispatcher(r, "a");
	(void)dispatcher(r, "b");
	WAIT(r, sim_total(r, "rerun_accepted") >= RUNS / 4);
	fail_over(r, master);
	WAIT_MS(r, sim_total(r, "runs") == RUNS && quiet(r), 2 * PATIENCE_MS);
	all_are_known(r);
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == 0);
	assert_int_equal(sim_total(r, "rerun_twice"), 0);
	assert_int_equal(sim_total(r, "rerun_accepted"), RUNS);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
}

/* --- entries by hand ----------------------------------------------------------------------- */

static void add_failures(struct rig *r, int from, int n)
{
	for (int i = from; i < from + n; i++)
		(void)redis_do(r,
			       "XADD %s * v 1 provider github source github delivery d-%d kind run "
			       "repo_id 501 repo acme/shop run_id %d generation 1 status completed "
			       "conclusion failure at_ms 1795600000000",
			       EVENTS, i, i);
}

static int64_t pending(struct rig *r)
{
	return redis_do(r, "XPENDING %s dispatchers", EVENTS)->element[0]->integer;
}

static bool says(struct proc *p, const char *text)
{
	return strstr(proc_output(p), text) != NULL;
}

static void settled(struct rig *r, int64_t outcomes)
{
	WAIT(r, redis_int_of(r, "XLEN %s", OUTCOMES) >= outcomes);
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == 0 && pending(r) == 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", OUTCOMES), outcomes);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
}

/* Its entries stay pending and are recorded when there is room again. */
static void waits_while_redis_has_no_memory(struct rig *r)
{
	struct proc *p = dispatcher_start(r, "dispatcher", rules(r), NULL);

	add_failures(r, 1000, 5);
	settled(r, 5);
	proc_signal(p, SIGSTOP);
	add_failures(r, 1005, 5);
	(void)redis_do(r, "CONFIG SET maxmemory 1");
	proc_signal(p, SIGCONT);
	WAIT(r, says(p, "OOM command not allowed"));
	assert_int_equal(redis_int_of(r, "XLEN %s", OUTCOMES), 5);
	(void)redis_do(r, "CONFIG SET maxmemory 0");
	settled(r, 10);
}

static bool has_group(struct rig *r)
{
	return redis_do(r, "XINFO GROUPS %s", EVENTS)->elements == 1;
}

/* Every time it is read again from the start, and what was done is not done again. */
static void a_group_destroyed_under_load_loses_nothing(struct rig *r)
{
	enum { ROUNDS = 6, EACH = 50 };

	(void)dispatcher_start(r, "a", rules(r), "dispatcher.claim_idle=500ms", NULL);
	(void)dispatcher_start(r, "b", rules(r), "dispatcher.claim_idle=500ms", NULL);
	for (int i = 0; i < ROUNDS; i++) {
		add_failures(r, 2000 + i * EACH, EACH);
		(void)redis_do(r, "XGROUP DESTROY %s dispatchers", EVENTS);
	}
	WAIT(r, has_group(r));
	settled(r, ROUNDS * EACH);
}

/* --- a cluster ---------------------------------------------------------------------------- */

static void refused_by(struct rig *r, const char *role, const char *url)
{
	const char *const args[] = { role,
				     "--set",
				     rig_printf(r, "redis.url=%s", url),
				     "--set",
				     "admin_listen=none",
				     "--set",
				     strcmp(role, "receiver") == 0 ? "listen=127.0.0.1:0"
								   : rules(r),
				     "--set",
				     rig_printf(r, "data_dir=%s", rig_path(r, "data")),
				     NULL };
	struct proc *p = guard_start(r, role, args, NULL);

	assert_int_equal(proc_wait(p, PATIENCE_MS), 2);
	assert_true(says(p, "Redis Cluster is not supported"));
}

/* Without slots it answers CLUSTERDOWN; with all of them every command works, for now. */
static void a_cluster_is_refused_at_the_start(struct rig *r)
{
	const char *const argv[] = {
		"redis-server",       "--port", free_port(r),     "--bind",     "127.0.0.1",
		"--cluster-enabled",  "yes",    "--cluster-port", free_port(r), "--unixsocket",
		socket_of(r, "node"), "--dir",  rig_path(r, ""),  NULL
	};
	const char *url = rig_printf(r, "unix://%s", socket_of(r, "node"));

	(void)proc_start(r, "node", argv, NULL);
	redis_use(r, socket_of(r, "node"));
	refused_by(r, "dispatcher", url);
	refused_by(r, "receiver", url);
	(void)redis_do(r, "CLUSTER ADDSLOTSRANGE 0 16383");
	WAIT(r, strstr(redis_text_of(r, "CLUSTER INFO"), "cluster_state:ok"));
	refused_by(r, "dispatcher", url);
	refused_by(r, "receiver", url);
	assert_int_equal(redis_int_of(r, "DBSIZE"), 0);
}

/* --- the clock ------------------------------------------------------------------------------ */

static void jump(struct rig *r, int64_t ms)
{
	rig_write(r, "jump.new", rig_printf(r, "%" PRId64, ms), 0600);
	assert_int_equal(rename(rig_path(r, "jump.new"), rig_path(r, "jump")), 0);
}

#define HEALABLE "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}"

/* What is due, leased and limited goes by Redis' clock or by one that does not jump. */
static void a_clock_that_jumps_delays_and_repeats_nothing(struct rig *r)
{
	static const int64_t jumps[] = { 0, -DAY_MS, 2 * (int64_t)DAY_MS, -40 * (int64_t)DAY_MS };

	jump(r, 0);
	(void)setenv("PIPELINE_GUARD_TEST_CLOCK_FILE", rig_path(r, "jump"), 1);
	(void)receiver_start(r, NULL);
	simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", rules(r), NULL);
	(void)unsetenv("PIPELINE_GUARD_TEST_CLOCK_FILE");
	for (size_t i = 0; i < ARRAY_LEN(jumps); i++) {
		uint64_t run;

		/* Jumps while nobody may ask. */
		(void)redis_do(r, "DEL pg:{local}:breaker:127.0.0.1");
		sim_fault(r, "{\"call\":\"any\",\"times\":1,\"kind\":\"status\",\"status\":429,"
			     "\"headers\":{\"Retry-After\":\"1\"}}");
		run = sim_run(r, HEALABLE);
		WAIT(r, redis_int_of(r, "EXISTS pg:{local}:breaker:127.0.0.1") == 1);
		jump(r, jumps[i]);
		assert_string_equal(plan_result(r, run, 1), "healed");
		assert_int_equal(outcomes_of(r, run, 1), 1);
	}
	assert_int_equal(sim_total(r, "rerun_twice"), 0);
	assert_int_equal(redis_int_of(r, "ZCARD %s", DUE), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_failover_amid_the_work_loses_nothing),
		RIG_TEST(waits_while_redis_has_no_memory),
		RIG_TEST(a_group_destroyed_under_load_loses_nothing),
		RIG_TEST(a_cluster_is_refused_at_the_start),
		RIG_TEST(a_clock_that_jumps_delays_and_repeats_nothing),
	};

	return rig_main(tests);
}
