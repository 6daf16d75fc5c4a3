/* The Redis connection against a real redis-server, and the scripts of the receiver on it. */
#include "core/redis.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include "core/ci_event.h"
#include "core/enqueue.h"
#include "core/keys.h"
#include "core/mem.h"
#include "core/resolve.h"
#include "core/text.h"
#include "tests/integration/harness.h"

/* A connection on a loop of its own, and what came back. */
struct client {
	struct rig *rig;
	struct event_base *base;
	struct redis *redis;
	struct buf seen, states;
	unsigned n_seen;
};

static void on_state(bool up, void *arg)
{
	struct client *c = arg;

	buf_puts(&c->states, up ? "up " : "down ");
}

static void on_reply(const struct redisReply *reply, void *arg)
{
	struct client *c = arg;
	const char *text = redis_str(reply);

	c->n_seen++;
	if (!reply)
		buf_puts(&c->seen, "(none) ");
	else if (text)
		buf_printf(&c->seen, "%s ", text);
	else
		buf_printf(&c->seen, "%lld ", (long long)redis_int(reply, -1));
}

static void spin(struct client *c)
{
	const struct timeval tick = { .tv_usec = 5000 };

	(void)event_base_loopexit(c->base, &tick);
	(void)event_base_loop(c->base, 0);
}

#define LOOP_UNTIL(c, cond)                                        \
	do {                                                       \
		int64_t end_ = clock_mono_ms() + PATIENCE_MS;      \
		while (!(cond)) {                                  \
			if (clock_mono_ms() > end_)                \
				fail_msg("in vain for %s", #cond); \
			spin(c);                                   \
		}                                                  \
	} while (0)

static void open_url(struct client *c, struct rig *r, const char *url, int64_t timeout_ms)
{
	struct err err = { 0 };

	*c = (struct client){ .rig = r, .base = event_base_new() };
	buf_init(&c->seen, 1 << 20);
	buf_init(&c->states, 1000);
	assert_non_null(c->base);
	assert_ok(redis_new(c->base, url, timeout_ms, &c->redis, &err), &err);
	redis_on_state(c->redis, on_state, c);
}

static void open_client(struct client *c, struct rig *r, int64_t timeout_ms)
{
	open_url(c, r, redis_url(r), timeout_ms);
	LOOP_UNTIL(c, redis_connected(c->redis));
}

static void close_client(struct client *c)
{
	redis_free(c->redis);
	event_base_free(c->base);
	buf_done(&c->seen);
	buf_done(&c->states);
}

static void answers_in_the_order_of_the_commands(struct rig *r)
{
	struct client c;
	struct buf expected;

	open_client(&c, r, PATIENCE_MS);
	buf_init(&expected, 1 << 16);
	for (int i = 1; i <= 500; i++) {
		redis_send_args(c.redis, on_reply, &c, "INCR", "n", NULL);
		buf_printf(&expected, "%d ", i);
	}
	redis_send_args(c.redis, on_reply, &c, "LPUSH", "n", "x", NULL);
	redis_send_args(c.redis, on_reply, &c, "NOSUCH", NULL);
	redis_send_args(c.redis, on_reply, &c, "GET", "n", NULL);
	LOOP_UNTIL(&c, c.n_seen == 503);
	assert_memory_equal(buf_text(&c.seen), buf_text(&expected), expected.len);
	assert_non_null(strstr(buf_text(&c.seen) + expected.len,
			       "WRONGTYPE Operation against a key holding the wrong kind of value "
			       "ERR unknown command"));
	assert_string_equal(buf_text(&c.seen) + c.seen.len - 4, "500 ");
	buf_done(&expected);
	close_client(&c);
}

/* A UDP socket on loopback that takes questions and answers none. */
static int silent_name_server(char address[static 32])
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	(void)snprintf(address, 32, "127.0.0.1:%u", ntohs(sin.sin_port));
	return fd;
}

/* The longest that the loop did not come round. */
static void on_heartbeat(evutil_socket_t fd, short what, void *arg)
{
	int64_t *beat = arg, now = clock_mono_ms();

	UNUSED(fd);
	UNUSED(what);
	if (beat[0] && now - beat[0] > beat[1])
		beat[1] = now - beat[0];
	beat[0] = now;
}

static void a_silent_name_server_does_not_hold_up_the_loop(struct rig *r)
{
	const struct timeval often = { .tv_usec = 10000 };
	int64_t beat[2] = { 0 }, began = clock_mono_ms();
	char address[32], question[512];
	struct event *heartbeat;
	struct client c;
	int fd = silent_name_server(address);

	resolve_ask(address);
	open_url(&c, r, "redis://redis.example.com:6379", PATIENCE_MS);
	heartbeat = event_new(c.base, -1, EV_PERSIST, on_heartbeat, beat);
	(void)event_add(heartbeat, &often);
	redis_send_args(c.redis, on_reply, &c, "PING", NULL);
	LOOP_UNTIL(&c, strstr(redis_problem(c.redis), "not resolved in time") != NULL);
	assert_in_range(clock_mono_ms() - began, 2900, 8000);
	assert_in_range(beat[1], 1, 1500);
	assert_true(recv(fd, question, sizeof(question), 0) > 0);
	assert_string_equal(buf_text(&c.seen), "(none) "); /* at once, and not after 3 s */
	/* Again on the way: nothing is left of it, which is what ASan looks at. */
	LOOP_UNTIL(&c, recv(fd, question, sizeof(question), 0) < 0);
	LOOP_UNTIL(&c, recv(fd, question, sizeof(question), 0) > 0);
	event_free(heartbeat);
	close_client(&c);
	(void)close(fd);
	resolve_ask(NULL);
}

static const char *free_port(struct rig *r)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	(void)close(fd);
	return rig_printf(r, "%u", ntohs(sin.sin_port));
}

static void a_name_is_resolved(struct rig *r)
{
	const char *port = free_port(r);
	const char *const argv[] = { "redis-server", "--port", port, "--bind", "127.0.0.1",
				     "-::1",         "--save", "",   NULL };
	struct proc *server = proc_start(r, "redis-tcp", argv, NULL);
	struct client c;

	open_url(&c, r, rig_printf(r, "redis://localhost:%s", port), PATIENCE_MS);
	LOOP_UNTIL(&c, redis_connected(c.redis));
	close_client(&c);
	(void)proc_stop(server);
}

static void an_unknown_name_is_said(struct rig *r)
{
	struct client c;

	open_url(&c, r, "redis://no-such-host.invalid:6379", PATIENCE_MS);
	LOOP_UNTIL(&c, text_starts(redis_problem(c.redis), "host name: "));
	close_client(&c);
}

static struct redis_script twice = {
	.name = "twice",
	.body = "return tonumber(redis.call('INCRBY', KEYS[1], ARGV[1])) * 2",
};

static void run_twice(struct client *c)
{
	struct redis_cmd cmd;

	redis_script_cmd(&cmd, &twice, 1);
	redis_arg(&cmd, "counter");
	redis_arg_i64(&cmd, 1);
	redis_send_script(c->redis, &twice, &cmd, on_reply, c);
}

/* The server knows no script at first, and again after a flush; each still runs exactly once. */
static void a_script_runs_once_whether_known_or_not(struct rig *r)
{
	struct client c;

	open_client(&c, r, PATIENCE_MS);
	for (int i = 0; i < 3; i++)
		run_twice(&c);
	LOOP_UNTIL(&c, c.n_seen == 3);
	assert_string_equal(buf_text(&c.seen), "2 4 6 ");
	run_twice(&c);
	redis_send_args(c.redis, NULL, NULL, "SCRIPT", "FLUSH", NULL);
	run_twice(&c);
	run_twice(&c);
	LOOP_UNTIL(&c, c.n_seen == 6);
	assert_string_equal(buf_text(&c.seen), "2 4 6 8 10 12 ");
	assert_string_equal(redis_text_of(r, "GET counter"), "6");
	close_client(&c);
}

static void a_slow_reply_is_none_and_the_next_connection_works(struct rig *r)
{
	struct client c;

	open_client(&c, r, 100);
	redis_send_args(c.redis, on_reply, &c, "BLPOP", "nothing", "0", NULL);
	redis_send_args(c.redis, on_reply, &c, "PING", NULL);
	LOOP_UNTIL(&c, c.n_seen == 2);
	assert_string_equal(buf_text(&c.seen), "(none) (none) ");
	assert_string_equal(redis_problem(c.redis), "no reply in time");
	LOOP_UNTIL(&c, redis_connected(c.redis));
	redis_send_args(c.redis, on_reply, &c, "ECHO", "back", NULL);
	LOOP_UNTIL(&c, c.n_seen == 3);
	assert_string_equal(buf_text(&c.seen), "(none) (none) back ");
	assert_string_equal(buf_text(&c.states), "up down up ");
	close_client(&c);
}

static void comes_back_after_the_server_was_killed(struct rig *r)
{
	struct client c;

	open_client(&c, r, PATIENCE_MS);
	redis_send_args(c.redis, on_reply, &c, "BLPOP", "nothing", "0", NULL);
	spin(&c);
	redis_kill(r);
	LOOP_UNTIL(&c, c.n_seen == 1);
	redis_send_args(c.redis, on_reply, &c, "PING", NULL);
	LOOP_UNTIL(&c, c.n_seen == 2);
	assert_string_equal(buf_text(&c.seen), "(none) (none) ");
	redis_start(r);
	LOOP_UNTIL(&c, redis_connected(c.redis));
	redis_send_args(c.redis, on_reply, &c, "ECHO", "back", NULL);
	LOOP_UNTIL(&c, c.n_seen == 3);
	assert_string_equal(buf_text(&c.seen), "(none) (none) back ");
	assert_string_equal(buf_text(&c.states), "up down up ");
	close_client(&c);
}

/* What was outstanding when the connection broke is never sent by us again. */
static void nothing_is_sent_twice(struct rig *r)
{
	struct client c;
	int64_t made;

	open_client(&c, r, PATIENCE_MS);
	for (int round = 1; round <= 5; round++) {
		unsigned before = c.n_seen;

		for (int i = 0; i < 100; i++)
			redis_send_args(c.redis, on_reply, &c, "INCR", "n", NULL);
		spin(&c);
		(void)redis_do(r, "CLIENT KILL TYPE normal SKIPME yes");
		LOOP_UNTIL(&c, c.n_seen == before + 100);
		LOOP_UNTIL(&c, redis_connected(c.redis));
	}
	made = redis_int_of(r, "INCR n") - 1;
	assert_in_range(made, 0, 500);
	assert_int_equal(c.n_seen, 500);
	close_client(&c);
}

static void on_large(const struct redisReply *reply, void *arg)
{
	struct client *c = arg;

	c->n_seen++;
	buf_printf(&c->seen, "%zu ", redis_len(reply));
}

static void large_values_go_both_ways(struct rig *r)
{
	enum { N = 1 << 20 };
	OWNED(freep) char *value = xmalloc(N);
	struct redis_cmd cmd;
	struct client c;

	memset(value, 'v', N);
	open_client(&c, r, PATIENCE_MS);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "SET");
	redis_arg(&cmd, "large");
	redis_arg_n(&cmd, value, N);
	redis_send(c.redis, &cmd, on_reply, &c);
	for (int i = 0; i < 4; i++)
		redis_send_args(c.redis, on_large, &c, "GET", "large", NULL);
	LOOP_UNTIL(&c, c.n_seen == 5);
	assert_string_equal(buf_text(&c.seen), "OK 1048576 1048576 1048576 1048576 ");
	close_client(&c);
}

/* As deep as stream replies are: streams, entries, fields. */
static void nested_replies_are_taken_apart(struct rig *r)
{
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	struct redis_cmd cmd;
	struct client c;
	struct err err = { 0 };
	const struct redisReply *entry;

	(void)redis_do(r, "XADD s 1-1 a 1 b 2");
	(void)redis_do(r, "XADD s 1-2 a 3");
	open_client(&c, r, PATIENCE_MS);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "XREAD");
	redis_arg(&cmd, "STREAMS");
	redis_arg(&cmd, "s");
	redis_arg(&cmd, "0");
	assert_ok(redis_call(c.redis, &cmd, &reply, &err), &err);
	assert_int_equal(redis_len(reply), 1);
	assert_int_equal(redis_len(redis_at(redis_at(reply, 0), 1)), 2);
	entry = redis_at(redis_at(redis_at(reply, 0), 1), 0);
	assert_string_equal(redis_str(redis_at(entry, 0)), "1-1");
	assert_string_equal(redis_field(redis_at(entry, 1), "b"), "2");
	close_client(&c);
}

static void a_call_waits_for_its_reply(struct rig *r)
{
	struct redisReply *reply = NULL;
	struct redis_cmd cmd;
	struct client c;
	struct err err = { 0 };

	/* Not connected yet: it waits for that too. */
	open_url(&c, r, redis_url(r), 2000);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "INCR");
	redis_arg(&cmd, "n");
	assert_ok(redis_call(c.redis, &cmd, &reply, &err), &err);
	assert_int_equal(redis_int(reply, 0), 1);
	redis_reply_free(reply);
	reply = NULL;
	cmd.argc = 1;
	assert_int_equal(redis_call(c.redis, &cmd, &reply, &err), -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
	assert_non_null(strstr(err.msg, "redis: ERR wrong number of arguments"));
	assert_null(reply);
	close_client(&c);
	open_client(&c, r, 100);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "BLPOP");
	redis_arg(&cmd, "nothing");
	redis_arg(&cmd, "0");
	assert_int_equal(redis_call(c.redis, &cmd, &reply, &err), -1);
	assert_non_null(strstr(err.msg, "no answer in time"));
	close_client(&c);
}

/* --- a server with a password, on a port ----------------------------------------------- */

static void authenticates_and_selects(struct rig *r)
{
	static const struct {
		const char *why, *user, *database, *problem; /* NULL: fine */
	} rows[] = {
		{ "password alone", ":p@ss", "/3", NULL },
		{ "user and password", "default:p@ss", "/3", NULL },
		{ "wrong password", ":pass", "/3", "WRONGPASS" },
		{ "unknown user", "anna:p@ss", "/3", "WRONGPASS" },
		{ "no such database", ":p@ss", "/99", "DB index is out of range" },
	};
	const char *port = free_port(r);
	const char *const argv[] = { "redis-server",  "--port", port,     "--bind", "127.0.0.1",
				     "--requirepass", "p@ss",   "--save", "",       NULL };
	struct proc *server = proc_start(r, "redis-auth", argv, NULL);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct client c;

		open_url(&c, r,
			 rig_printf(r, "redis://%s@127.0.0.1:%s%s", rows[i].user, port,
				    rows[i].database),
			 PATIENCE_MS);
		LOOP_UNTIL(&c, redis_connected(c.redis) ||
				       (rows[i].problem &&
					strstr(redis_problem(c.redis), rows[i].problem)));
		assert_case(redis_connected(c.redis) == !rows[i].problem, rows[i].why);
		if (!rows[i].problem) {
			redis_send_args(c.redis, on_reply, &c, "CLIENT", "INFO", NULL);
			LOOP_UNTIL(&c, c.n_seen == 1);
			assert_case(strstr(buf_text(&c.seen), " db=3 ") != NULL, rows[i].why);
		} else {
			assert_case(c.states.len == 0, rows[i].why);
		}
		close_client(&c);
	}
	proc_kill(server);
}

/* --- the receiver's scripts ------------------------------------------------------------- */

static struct ci_event example(void)
{
	return (struct ci_event){
		.provider = "github",
		.source = "github",
		.delivery = "d-1",
		.kind = CI_RUN,
		.status = CI_COMPLETED,
		.repo_id = 186853002,
		.repo = "octo/hello",
		.run_id = 30433642,
		.generation = 1,
	};
}

struct outcome {
	struct client *client;
	enum enqueue_result result;
	char id[64];
	bool done;
};

static void on_enqueued(const struct redisReply *reply, void *arg)
{
	struct outcome *o = arg;
	const char *id;

	o->result = enqueue_result(reply, &id);
	(void)snprintf(o->id, sizeof(o->id), "%s", id);
	o->done = true;
}

static struct outcome enqueue(struct client *c, struct ci_event ev)
{
	const struct keyspace ks = { "local", 1 };
	struct outcome o = { .client = c };
	OWNED(buf_done) struct buf record;
	struct err err;

	buf_init(&record, ENQUEUE_RECORD_MAX);
	enqueue_record(&ev, 3600 * 1000, &record);
	assert_ok(enqueue_send(c->redis, &ks, record.data, record.len, on_enqueued, &o, &err),
		  &err);
	LOOP_UNTIL(c, o.done);
	return o;
}

static void an_event_is_appended_once_per_delivery(struct rig *r)
{
	struct ci_event ev = example();
	struct outcome first, second, other;
	struct client c;

	open_client(&c, r, PATIENCE_MS);
	first = enqueue(&c, ev);
	second = enqueue(&c, ev);
	assert_int_equal(first.result, ENQUEUE_ACCEPTED);
	assert_int_equal(second.result, ENQUEUE_DUPLICATE);
	assert_string_equal(first.id, second.id);
	/* The same number of another source is another delivery. */
	(void)snprintf(ev.source, sizeof(ev.source), "other");
	other = enqueue(&c, ev);
	assert_int_equal(other.result, ENQUEUE_ACCEPTED);
	assert_string_not_equal(first.id, other.id);
	assert_int_equal(redis_int_of(r, "XLEN pg:{local:0}:events"), 2);
	assert_string_equal(redis_text_of(r, "GET pg:{local:0}:seen:github:d-1"), first.id);
	assert_in_range(redis_int_of(r, "PTTL pg:{local:0}:seen:github:d-1"), 3500 * 1000,
			3600 * 1000);
	close_client(&c);
}

/* XADD fails: then there must be no mark that would turn the next delivery into a duplicate. */
static void a_failed_append_leaves_no_mark(struct rig *r)
{
	struct outcome o;
	struct client c;

	(void)redis_do(r, "SET pg:{local:0}:events %s", "not a stream");
	open_client(&c, r, PATIENCE_MS);
	o = enqueue(&c, example());
	assert_int_equal(o.result, ENQUEUE_FAILED);
	assert_non_null(strstr(o.id, "WRONGTYPE"));
	assert_int_equal(redis_int_of(r, "EXISTS pg:{local:0}:seen:github:d-1"), 0);
	(void)redis_do(r, "DEL pg:{local:0}:events");
	assert_int_equal(enqueue(&c, example()).result, ENQUEUE_ACCEPTED);
	redis_kill(r);
	o = enqueue(&c, example());
	assert_int_equal(o.result, ENQUEUE_FAILED);
	assert_non_null(strstr(o.id, "no connection"));
	close_client(&c);
}

/* Of a newer release, or damaged: people get it, in a form that can be turned back. */
static void a_record_nobody_can_read_becomes_a_dead_letter(struct rig *r)
{
	static const struct keyspace ks = { "local", 1 };
	static const char *const records[] = { "", "nonsense", "\x07\0\0\0event/9" };
	static const size_t lengths[] = { 0, 8, 11 };
	struct outcome o = { 0 };
	struct client c;
	struct err err;

	open_client(&c, r, PATIENCE_MS);
	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		assert_int_equal(
			enqueue_send(c.redis, &ks, records[i], lengths[i], on_enqueued, &o, &err),
			-1);
		assert_int_equal(err.kind, ERR_INPUT);
	}
	enqueue_unreadable(c.redis, &ks, records[2], lengths[2], err.msg, on_enqueued, &o);
	LOOP_UNTIL(&c, o.done);
	assert_int_equal(o.result, ENQUEUE_ACCEPTED);
	assert_string_equal(redis_last_field(r, "pg:{local:0}:dead", "body_base64"),
			    "BwAAAGV2ZW50Lzk=");
	close_client(&c);
}

static void on_dropped(const struct redisReply *reply, void *arg)
{
	struct client *c = arg;

	buf_printf(&c->seen, "%lld ", (long long)enqueue_dropped(reply));
	c->n_seen++;
}

/* One more at a time, each with a body of its own. */
static void die(struct client *c, unsigned n)
{
	static const struct keyspace ks = { "local", 1 };
	struct dead_webhook dead = { .provider = "github", .reason = "cut off", .at_ms = 1 };
	unsigned before = c->n_seen;
	struct err err;

	for (unsigned i = 0; i < n; i++) {
		OWNED(buf_done) struct buf record;
		char body[16];

		dead.body_len = (size_t)snprintf(body, sizeof(body), "%u", before + i);
		dead.body = body;
		buf_init(&record, ENQUEUE_RECORD_MAX);
		enqueue_record_dead(&dead, &record);
		assert_ok(enqueue_send(c->redis, &ks, record.data, record.len, on_dropped, c, &err),
			  &err);
	}
	LOOP_UNTIL(c, c->n_seen == before + n);
}

/* A sender with a valid secret cannot make them grow without end. */
static void the_oldest_dead_letters_go(struct rig *r)
{
	struct client c;
	int64_t kept, dropped = 0;

	(void)redis_do(r, "CONFIG SET stream-node-max-entries 5");
	for (int i = 1; i <= 10; i++) /* in 1970 */
		(void)redis_do(r, "XADD pg:{local:0}:dead %d-0 reason old", i);
	open_client(&c, r, PATIENCE_MS);
	enqueue_dead_limits(20, 3600 * 1000);
	die(&c, 20);
	assert_int_equal(redis_int_of(r, "XLEN pg:{local:0}:dead"), 20);
	die(&c, 80);
	kept = redis_int_of(r, "XLEN pg:{local:0}:dead");
	assert_in_range(kept, 20, 24);
	assert_string_equal(redis_last_field(r, "pg:{local:0}:dead", "body"), "99");
	for (const char *s = buf_text(&c.seen); *s; s += strcspn(s, " ") + 1)
		dropped += strtoll(s, NULL, 10);
	assert_int_equal(dropped, 110 - kept);
	close_client(&c);
}

static void a_dead_webhook_keeps_its_story(struct rig *r)
{
	static const struct keyspace ks = { "local", 4 };
	const struct dead_webhook dead = {
		.provider = "github",
		.source = "github",
		.topic = "workflow_run",
		.delivery = "d-9",
		.reason = "json: cut off",
		.body = "{\"a\":\0\"b",
		.body_len = 8,
		.at_ms = INT64_C(1785319289000),
	};
	OWNED(buf_done) struct buf record;
	struct client c;
	struct err err;

	open_client(&c, r, PATIENCE_MS);
	buf_init(&record, ENQUEUE_RECORD_MAX);
	enqueue_record_dead(&dead, &record);
	assert_ok(enqueue_send(c.redis, &ks, record.data, record.len, on_reply, &c, &err), &err);
	LOOP_UNTIL(&c, c.n_seen == 1);
	assert_string_equal(redis_last_field(r, "pg:{local:0}:dead", "reason"), "json: cut off");
	assert_string_equal(redis_last_field(r, "pg:{local:0}:dead", "topic"), "workflow_run");
	assert_string_equal(redis_last_field(r, "pg:{local:0}:dead", "delivery"), "d-9");
	assert_string_equal(redis_last_field(r, "pg:{local:0}:dead", "at_ms"), "1785319289000");
	assert_int_equal(
		redis_int_of(r, "EVAL %s 1 pg:{local:0}:dead",
			     "local e = redis.call('XRANGE', KEYS[1], '-', '+')[1][2] "
			     "for i = 1, #e, 2 do if e[i] == 'body' then return #e[i+1] end "
			     "end"),
		8);
	close_client(&c);
}

struct layout {
	struct keyspace ks;
	struct err err;
	int rc;
	bool done;
};

static void on_claimed(const struct redisReply *reply, void *arg)
{
	struct layout *l = arg;

	l->rc = enqueue_layout(reply, &l->ks, &l->err);
	l->done = true;
}

static struct layout claim(struct client *c, unsigned partitions)
{
	struct layout l = { .ks = { "local", partitions } };

	enqueue_claim(c->redis, &l.ks, on_claimed, &l);
	LOOP_UNTIL(c, l.done);
	return l;
}

/* Whoever comes first decides; an other layout would split a repository over two streams. */
static void the_first_claim_decides(struct rig *r)
{
	struct layout l;
	struct client c;

	open_client(&c, r, PATIENCE_MS);
	assert_int_equal(claim(&c, 4).rc, 0);
	assert_int_equal(claim(&c, 4).rc, 0);
	l = claim(&c, 8);
	assert_int_equal(l.rc, -1);
	assert_int_equal(l.err.kind, ERR_CONFIG);
	assert_non_null(
		strstr(l.err.msg, "has version 1 and 4 partitions, configured are 1 and 8"));
	(void)redis_do(r, "HSET pg:{local}:meta v 2");
	l = claim(&c, 4);
	assert_int_equal(l.err.kind, ERR_CONFIG);
	assert_string_equal(redis_text_of(r, "HGET pg:{local}:meta partitions"), "4");
	redis_kill(r);
	l = claim(&c, 4);
	assert_int_equal(l.rc, -1);
	assert_int_equal(l.err.kind, ERR_TRANSIENT);
	close_client(&c);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(answers_in_the_order_of_the_commands),
		RIG_TEST(a_script_runs_once_whether_known_or_not),
		RIG_TEST(a_slow_reply_is_none_and_the_next_connection_works),
		RIG_TEST(comes_back_after_the_server_was_killed),
		RIG_TEST(nothing_is_sent_twice),
		RIG_TEST(large_values_go_both_ways),
		RIG_TEST(nested_replies_are_taken_apart),
		RIG_TEST(a_call_waits_for_its_reply),
		RIG_TEST(authenticates_and_selects),
		RIG_TEST(a_silent_name_server_does_not_hold_up_the_loop),
		RIG_TEST(a_name_is_resolved),
		RIG_TEST(an_unknown_name_is_said),
		RIG_TEST(an_event_is_appended_once_per_delivery),
		RIG_TEST(a_failed_append_leaves_no_mark),
		RIG_TEST(a_record_nobody_can_read_becomes_a_dead_letter),
		RIG_TEST(the_oldest_dead_letters_go),
		RIG_TEST(a_dead_webhook_keeps_its_story),
		RIG_TEST(the_first_claim_decides),
	};

	return rig_main(tests);
}
