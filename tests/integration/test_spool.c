/*
 * The receiver while Redis is away, hangs, is full or is another one: what was
 * answered 2xx is in the stream in the end, exactly once and in order.
 */
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "core/json.h"
#include "core/mem.h"
#include "tests/integration/product.h"

static int64_t events(struct rig *r)
{
	return redis_int_of(r, "XLEN %s", EVENTS);
}

static int post(struct rig *r, const char *delivery)
{
	const char *body = run_body(r, &(struct run_hook){ .run_id = 7 });
	struct answer a = webhook_post_text(r, "workflow_run", delivery, body);

	if (a.status == 202)
		assert_string_equal(answer_str(&a, "status"), "accepted");
	return a.status;
}

static void post_many(struct rig *r, const char *prefix, int n, int status)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(post(r, rig_printf(r, "%s-%d", prefix, i)), status);
}

/* Deliveries in the stream, in order, each followed by a comma. */
static const char *stream(struct rig *r)
{
	const struct redisReply *all = redis_do(r, "XRANGE %s - +", EVENTS);
	OWNED(buf_done) struct buf text;

	buf_init(&text, 4 << 20);
	for (size_t i = 0; i < all->elements; i++) {
		const struct redisReply *fields = all->element[i]->element[1];

		for (size_t k = 0; k + 1 < fields->elements; k += 2)
			if (strcmp(fields->element[k]->str, "delivery") == 0)
				buf_printf(&text, "%s,", fields->element[k + 1]->str);
	}
	return rig_text(r, buf_text(&text), text.len);
}

static const char *expected(struct rig *r, const char *prefix, int n)
{
	OWNED(buf_done) struct buf text;

	buf_init(&text, 1 << 20);
	for (int i = 0; i < n; i++)
		buf_printf(&text, "%s-%d,", prefix, i);
	return rig_text(r, buf_text(&text), text.len);
}

static bool ready(struct rig *r)
{
	return http_get(r, receiver_port(r), "/ready").status == 200;
}

/* One that receiver_port() knows. */
static int free_port(struct rig *r)
{
	assert_int_equal(proc_stop(receiver_start(r, NULL)), 0);
	return receiver_port(r);
}

static int64_t metric(struct rig *r, const char *name)
{
	struct answer a = http_get(r, receiver_admin_port(r), "/metrics");
	const char *at = strstr(a.body, rig_printf(r, "\npipeline_guard_%s ", name));

	return at ? strtoll(strchr(at + 1, ' '), NULL, 10) : 0;
}

static void takes_events_while_redis_is_dead(struct rig *r)
{
	enum { N = 40 };

	(void)receiver_start(r, "redis.timeout=300ms", NULL);
	post_many(r, "a", 1, 202);
	redis_kill(r);
	for (int i = 1; i < N; i++)
		assert_int_equal(post(r, rig_printf(r, "a-%d", i)), 202);
	assert_true(ready(r));
	assert_true(metric(r, "spool_bytes") > 0);
	redis_start(r);
	WAIT(r, events(r) == N);
	assert_string_equal(stream(r), expected(r, "a", N));
	WAIT(r, metric(r, "spool_bytes") == 0);
	/* And straight on. */
	assert_int_equal(post(r, "after"), 202);
	assert_int_equal(events(r), N + 1);
	assert_int_equal(metric(r, "events_spooled_total"), N - 1);
}

static void takes_events_while_redis_hangs(struct rig *r)
{
	enum { N = 10 };

	(void)receiver_start(r, "redis.timeout=300ms", NULL);
	proc_signal(redis_proc(r), SIGSTOP);
	post_many(r, "h", N, 202);
	proc_signal(redis_proc(r), SIGCONT);
	WAIT(r, events(r) >= N && metric(r, "spool_bytes") == 0);
	/* The first was with Redis and in the spool: it is there once. */
	assert_int_equal(events(r), N);
	assert_string_equal(stream(r), expected(r, "h", N));
}

static void takes_events_while_redis_is_full(struct rig *r)
{
	(void)receiver_start(r, NULL);
	post_many(r, "f", 1, 202);
	(void)redis_do(r, "CONFIG SET maxmemory 1");
	for (int i = 1; i < 5; i++)
		assert_int_equal(post(r, rig_printf(r, "f-%d", i)), 202);
	assert_int_equal(events(r), 1);
	(void)redis_do(r, "CONFIG SET maxmemory 0");
	WAIT(r, events(r) == 5);
	assert_string_equal(stream(r), expected(r, "f", 5));
}

static void takes_events_while_redis_is_read_only(struct rig *r)
{
	(void)receiver_start(r, NULL);
	post_many(r, "o", 1, 202);
	(void)redis_do(r, "REPLICAOF 127.0.0.1 1");
	for (int i = 1; i < 5; i++)
		assert_int_equal(post(r, rig_printf(r, "o-%d", i)), 202);
	(void)redis_do(r, "REPLICAOF NO ONE");
	WAIT(r, events(r) == 5 && metric(r, "spool_bytes") == 0);
	assert_string_equal(stream(r), expected(r, "o", 5));
}

/* What the command says while events wait; `status` its exit status. */
static struct json_object *spool_says(struct rig *r, int status)
{
	const char *const argv[] = { "spool",
				     "--json",
				     "--records",
				     "--set",
				     rig_printf(r, "receiver.spool_dir=%s", rig_path(r, "spool")),
				     NULL };
	struct proc *p = guard_start(r, "spool-command", argv, NULL);

	proc_may_die(p);
	assert_int_equal(proc_wait(p, PATIENCE_MS), status);
	return rig_json(r, proc_output(p), strlen(proc_output(p)));
}

static void people_can_see_what_waits(struct rig *r)
{
	struct json_object *o = spool_says(r, 0);

	assert_int_equal(json_i64(o, "records", -1), 0);
	(void)receiver_start(r, "redis.timeout=300ms", NULL);
	redis_kill(r);
	post_many(r, "p", 3, 202);
	o = spool_says(r, 0);
	assert_int_equal(json_i64(o, "records", -1), 3);
	assert_string_equal(json_str(o, "segments.0.state", ""), "in use");
	assert_string_equal(json_str(o, "each.2.delivery", ""), "p-2");
	redis_start(r);
	WAIT(r, events(r) == 3);
	WAIT(r, json_i64(spool_says(r, 0), "records", -1) == 0);
}

static void starts_without_redis(struct rig *r)
{
	redis_kill(r);
	(void)receiver_start(r, "redis.timeout=300ms", NULL);
	post_many(r, "s", 3, 202);
	redis_start(r);
	WAIT(r, events(r) == 3);
}

static void a_dead_receivers_events_are_adopted(struct rig *r)
{
	struct proc *receiver = receiver_start(r, "redis.timeout=300ms", NULL);

	redis_kill(r);
	post_many(r, "k", 5, 202);
	proc_kill(receiver);
	redis_start(r);
	assert_int_equal(events(r), 0);
	receiver = receiver_start(r, NULL);
	WAIT(r, events(r) == 5);
	assert_string_equal(stream(r), expected(r, "k", 5));
	assert_int_equal(proc_stop(receiver), 0);
}

static void a_drained_receiver_leaves_its_spool_to_the_next(struct rig *r)
{
	struct proc *receiver = receiver_start(r, "redis.timeout=300ms", NULL);

	redis_kill(r);
	post_many(r, "t", 3, 202);
	assert_int_equal(proc_stop(receiver), 0);
	redis_start(r);
	(void)receiver_start(r, NULL);
	WAIT(r, events(r) == 3);
}

static void malformed_events_wait_too(struct rig *r)
{
	struct answer a;

	(void)receiver_start(r, "redis.timeout=300ms", NULL);
	redis_kill(r);
	a = webhook_post_text(r, "workflow_run", "m-1", "{\"action\":\"completed\"");
	assert_int_equal(a.status, 202);
	assert_string_equal(answer_str(&a, "status"), "quarantined");
	redis_start(r);
	WAIT(r, redis_int_of(r, "XLEN %s", DEAD) == 1);
	assert_string_equal(redis_last_field(r, DEAD, "delivery"), "m-1");
}

static void says_503_when_the_spool_is_full(struct rig *r)
{
	int taken = 0, status = 202;

	(void)receiver_start(r, "redis.timeout=300ms", "receiver.spool_max=200k", NULL);
	redis_kill(r);
	while (status == 202 && taken < 1000)
		if ((status = post(r, rig_printf(r, "x-%d", taken))) == 202)
			taken++;
	assert_int_equal(status, 503);
	assert_true(taken > 50);
	WAIT(r, !ready(r));
	redis_start(r);
	WAIT(r, events(r) == taken);
	assert_string_equal(stream(r), expected(r, "x", taken));
	WAIT(r, ready(r));
	assert_int_equal(post(r, "after"), 202);
}

/* A limit on the size of files stands for the full disk: a large write comes back short, then
 * fails; a small one fits. */
static void says_503_to_what_the_disk_does_not_take(struct rig *r)
{
	const char *const argv[] = {
		"sh",
		"-c",
		"trap '' XFSZ; ulimit -f 30; exec \"$@\"",
		"sh",
		getenv("GUARD_BIN"),
		"receiver",
		"--listen",
		rig_printf(r, "127.0.0.1:%d", receiver_port(r)),
		"--admin-listen",
		"none",
		"--set",
		rig_printf(r, "redis.url=%s", redis_url(r)),
		"--set",
		rig_printf(r, "receiver.spool_dir=%s", rig_path(r, "spool")),
		"--set",
		"redis.timeout=300ms",
		"--set",
		"log_level=error",
		"--set",
		rig_printf(r, "github.webhook_secret_file=%s", rig_path(r, "secret")),
		NULL,
	};
	const char *big = rig_printf(r, "{\"action\":\"%040000d", 0);

	/* To have a port that receiver_port() knows. */
	assert_int_equal(proc_stop(receiver_start(r, NULL)), 0);
	struct proc *p;
	const char *again[ARRAY_LEN(argv)];

	memcpy(again, argv, sizeof(argv));
	again[7] = rig_printf(r, "127.0.0.1:%d", receiver_port(r));
	p = proc_start(r, "full", again, NULL);
	(void)proc_line(p, "receiver ready ");
	redis_kill(r);
	post_many(r, "d", 8, 202);
	assert_int_equal(webhook_post_text(r, "workflow_run", "big", big).status, 503);
	for (int i = 8; i < 12; i++)
		assert_int_equal(post(r, rig_printf(r, "d-%d", i)), 202);
	redis_start(r);
	WAIT(r, events(r) >= 12);
	assert_string_equal(stream(r), expected(r, "d", 12));
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
}

/* The new server has none of what the old one acknowledged. */
static void tells_another_redis_what_the_last_one_acknowledged(struct rig *r)
{
	(void)receiver_start(r, "redis.timeout=300ms", NULL);
	post_many(r, "w", 6, 202);
	assert_int_equal(events(r), 6);
	(void)redis_do(r, "FLUSHALL");
	redis_kill(r);
	redis_start(r);
	WAIT(r, events(r) == 6);
	assert_string_equal(stream(r), expected(r, "w", 6));
	assert_int_equal(metric(r, "events_resent_total"), 6);
}

static void the_same_redis_is_told_nothing_twice(struct rig *r)
{
	(void)receiver_start(r, "redis.timeout=300ms", NULL);
	post_many(r, "n", 6, 202);
	redis_kill(r);
	redis_start(r); /* its replication id is new, its data is not */
	WAIT(r, metric(r, "events_resent_total") == 6 && metric(r, "spool_bytes") == 0);
	assert_int_equal(events(r), 6);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	UNUSED(st);
	UNUSED(type);
	UNUSED(ftw);
	return remove(path);
}

/* In the first record of the first segment that is found. */
static int flip_in_segment(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	int fd;

	UNUSED(st);
	UNUSED(ftw);
	if (type != FTW_F || !strstr(path, ".seg"))
		return 0;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "#", 1, 200), 1);
	(void)close(fd);
	return 1;
}

static void flip_a_byte_below(struct rig *r, const char *folder)
{
	assert_int_equal(nftw(rig_path(r, folder), flip_in_segment, 8, FTW_PHYS), 1);
}

static int post_malformed(struct rig *r, const char *delivery)
{
	return webhook_post_text(r, "workflow_run", delivery, "{\"action\":\"completed\"").status;
}

static int64_t dead(struct rig *r)
{
	return redis_int_of(r, "XLEN %s", DEAD);
}

/* Neither when another server is told, nor when one that hung has taken it after all. */
static void a_dead_letter_is_not_doubled(struct rig *r)
{
	(void)receiver_start(r, "redis.timeout=300ms", NULL);
	assert_int_equal(post_malformed(r, "q-1"), 202);
	assert_int_equal(dead(r), 1);
	redis_kill(r);
	redis_start(r);
	WAIT(r, metric(r, "events_resent_total") == 1 && metric(r, "spool_bytes") == 0);
	assert_int_equal(dead(r), 1);
	proc_signal(redis_proc(r), SIGSTOP);
	assert_int_equal(post_malformed(r, "q-2"), 202);
	proc_signal(redis_proc(r), SIGCONT);
	WAIT(r, dead(r) >= 2 && metric(r, "spool_bytes") == 0);
	assert_int_equal(dead(r), 2);
	/* Two that look the same are two. */
	assert_int_equal(post_malformed(r, "q-2"), 202);
	assert_int_equal(dead(r), 3);
}

/* Whatever somebody did to the mark of a delivery: it stops nobody, and nothing comes twice. */
static void a_mark_of_another_type_does_not_stop_the_spool(struct rig *r)
{
	(void)receiver_start(r, "redis.timeout=300ms", NULL);
	(void)redis_do(r, "LPUSH pg:{local:0}:seen:github:y-0 x");
	(void)redis_do(r, "LPUSH pg:{local:0}:seen:github:y-2 x");
	post_many(r, "y", 1, 202);
	WAIT(r, events(r) == 1);
	redis_kill(r);
	for (int i = 1; i < 5; i++)
		assert_int_equal(post(r, rig_printf(r, "y-%d", i)), 202);
	redis_start(r);
	WAIT(r, events(r) >= 5 && metric(r, "spool_bytes") == 0);
	assert_string_equal(stream(r), expected(r, "y", 5));
	assert_int_equal(webhook_post_text(r, "workflow_run", "y-2",
					   run_body(r, &(struct run_hook){ .run_id = 7 }))
				 .status,
			 202);
	assert_int_equal(events(r), 5);
}

/* A user who may not write the mark: the entry is in the stream, and no retry adds another. */
static void a_mark_that_cannot_be_written_doubles_nothing(struct rig *r)
{
	(void)redis_do(r, "ACL SETUSER default -set");
	(void)receiver_start(r, "redis.timeout=300ms", NULL);
	post_many(r, "z", 3, 202);
	assert_int_equal(events(r), 3);
	assert_true(STAYS_FALSE(r, events(r) > 3, 1500));
	assert_int_equal(metric(r, "spool_bytes"), 0);
}

/* A missing right for one delivery stands for whatever a server may have against one record. */
static void what_is_refused_alone_neither_stops_the_rest_nor_gets_lost(struct rig *r)
{
	(void)receiver_start(r, "redis.timeout=300ms", NULL);
	(void)redis_do(r, "ACL SETUSER default resetkeys ~pg:{local}:meta ~pg:{local:0}:events "
			  "~pg:{local:0}:seen:github:u-[1-9]");
	post_many(r, "u", 6, 202);
	WAIT(r, events(r) == 5);
	post_many(r, "u", 1, 202);
	assert_int_equal(post(r, "u-6"), 202);
	WAIT(r, events(r) == 6);
	assert_string_equal(stream(r), "u-1,u-2,u-3,u-4,u-5,u-6,");
	assert_true(metric(r, "spool_bytes") > 0);
	(void)redis_do(r, "ACL SETUSER default allkeys");
	WAIT(r, events(r) == 7 && metric(r, "spool_bytes") == 0);
	assert_string_equal(stream(r), "u-1,u-2,u-3,u-4,u-5,u-6,u-0,");
}

static void without_a_spool_another_redis_is_told_as_well(struct rig *r)
{
	(void)receiver_start(r, "redis.timeout=300ms", "receiver.spool_max=0", NULL);
	post_many(r, "v", 6, 202);
	(void)redis_do(r, "FLUSHALL");
	redis_kill(r);
	redis_start(r);
	WAIT(r, events(r) == 6);
	assert_string_equal(stream(r), expected(r, "v", 6));
	assert_int_equal(metric(r, "events_resent_total"), 6);
}

/* Who may not ask for the replication id takes whoever answers for another one. */
static void a_server_that_does_not_say_who_it_is_is_told_each_time(struct rig *r)
{
	(void)redis_do(r, "ACL SETUSER default -info");
	(void)receiver_start(r, "redis.timeout=300ms", NULL);
	post_many(r, "i", 6, 202);
	(void)redis_do(r, "FLUSHALL");
	(void)redis_do(r, "CLIENT KILL TYPE normal");
	WAIT(r, events(r) == 6);
	assert_string_equal(stream(r), expected(r, "i", 6));
}

/* What cannot be put on disk at that moment is not forgotten. */
static void another_redis_is_told_when_the_disk_works_again(struct rig *r)
{
	struct proc *receiver = receiver_start(r, "redis.timeout=300ms", NULL);
	const char *spool = rig_path(r, "spool");

	post_many(r, "j", 6, 202);
	assert_int_equal(rename(spool, rig_path(r, "away")), 0);
	assert_int_equal(nftw(rig_path(r, "away"), remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	rig_write(r, "spool", "in the way", 0600);
	(void)redis_do(r, "FLUSHALL");
	redis_kill(r);
	redis_start(r);
	WAIT(r, strstr(proc_output(receiver), "the spool cannot be written"));
	assert_int_equal(events(r), 0);
	assert_int_equal(unlink(spool), 0);
	WAIT(r, events(r) == 6);
	assert_string_equal(stream(r), expected(r, "j", 6));
}

/* Every tenth of a second, under load. */
static void a_connection_that_breaks_all_the_time_loses_nothing(struct rig *r)
{
	enum { N = 300 };
	int64_t next_ms = 0;

	(void)receiver_start(r, "redis.timeout=300ms", NULL);
	for (int i = 0; i < N; i++) {
		if (clock_mono_ms() >= next_ms) {
			(void)redis_do(r, "CLIENT KILL TYPE normal");
			next_ms = clock_mono_ms() + 100;
		}
		assert_int_equal(post(r, rig_printf(r, "l-%d", i)), 202);
	}
	WAIT(r, events(r) == N && metric(r, "spool_bytes") == 0);
	assert_string_equal(stream(r), expected(r, "l", N));
}

/* More connections than descriptors: they cannot keep an event from being written down. */
static void strangers_do_not_take_the_last_descriptor(struct rig *r)
{
	enum { STRANGERS = 300 };
	const char *const argv[] = { "sh",
				     "-c",
				     "ulimit -n 200; exec \"$@\"",
				     "sh",
				     getenv("GUARD_BIN"),
				     "receiver",
				     "--listen",
				     rig_printf(r, "127.0.0.1:%d", free_port(r)),
				     "--admin-listen",
				     "none",
				     "--set",
				     rig_printf(r, "redis.url=%s", redis_url(r)),
				     "--set",
				     rig_printf(r, "receiver.spool_dir=%s", rig_path(r, "spool")),
				     "--set",
				     "redis.timeout=300ms",
				     "--set",
				     rig_printf(r, "github.webhook_secret_file=%s",
						rig_path(r, "secret")),
				     NULL };
	struct dialog *strangers[STRANGERS];

	(void)proc_line(proc_start(r, "few", argv, NULL), "receiver ready ");
	redis_kill(r);
	for (int i = 0; i < STRANGERS; i++)
		strangers[i] = dialog_open(r, receiver_port(r));
	post_many(r, "e", 3, 202);
	for (int i = 0; i < STRANGERS; i++)
		dialog_close(strangers[i]);
	redis_start(r);
	WAIT(r, events(r) == 3);
}

static void damage_is_told(struct rig *r)
{
	struct proc *receiver = receiver_start(r, "redis.timeout=300ms", NULL);

	proc_may_die(receiver);
	redis_kill(r);
	post_many(r, "b", 3, 202);
	proc_kill(receiver);
	flip_a_byte_below(r, "spool");
	redis_start(r);
	receiver = receiver_start(r, NULL);
	WAIT(r, events(r) == 2);
	WAIT(r, strstr(proc_output(receiver), "a part of the spool cannot be read"));
}

/* --- at random ------------------------------------------------------------------------- */

enum { CHAOS = 240 };

struct chaos {
	struct rig *r;
	struct proc *receiver;
	unsigned seed;
	bool redis_up, redis_stopped;
	bool taken[CHAOS];
};

static unsigned draw(struct chaos *c, unsigned below)
{
	c->seed = c->seed * 1103515245 + 12345;
	return (c->seed >> 16) % below;
}

static struct proc *start_again(struct rig *r)
{
	return receiver_start(r, "redis.timeout=200ms", NULL);
}

/* Sends a webhook and kills the receiver at once, a moment later, or after its answer. */
static void kill_in_the_middle(struct chaos *c, int i)
{
	struct rig *r = c->r;
	const char *body = run_body(r, &(struct run_hook){ .run_id = 7 });
	size_t n = strlen(body);
	const char *request = rig_printf(
		r,
		"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
		"X-GitHub-Event: workflow_run\r\nX-GitHub-Delivery: c-%d\r\n%sContent-Length: "
		"%zu\r\n\r\n%s",
		i, signature_line(r, WEBHOOK_SECRET, body, n), n, body);
	struct dialog *d = dialog_open(r, receiver_port(r));

	(void)dialog_send(d, request, strlen(request));
	c->taken[i] = dialog_answer(d, (int)draw(c, 6)).status == 202;
	proc_kill(c->receiver);
	dialog_close(d);
	c->receiver = start_again(r);
}

static void let_redis_be(struct chaos *c)
{
	if (c->redis_stopped)
		proc_signal(redis_proc(c->r), SIGCONT);
	c->redis_stopped = false;
	if (!c->redis_up)
		redis_start(c->r);
	c->redis_up = true;
}

static void trouble(struct chaos *c)
{
	switch (draw(c, 30)) {
	case 0:
		if (c->redis_up && !c->redis_stopped) {
			redis_kill(c->r);
			c->redis_up = false;
		}
		break;
	case 1:
		if (c->redis_up && !c->redis_stopped) {
			proc_signal(redis_proc(c->r), SIGSTOP);
			c->redis_stopped = true;
		}
		break;
	case 2:
	case 3:
	case 4:
		let_redis_be(c);
		break;
	default:
		break;
	}
}

static void count_in_stream(struct rig *r, int times[static CHAOS])
{
	const char *p = stream(r);

	memset(times, 0, CHAOS * sizeof(int));
	for (; *p; p = strchr(p, ',') + 1)
		if (strncmp(p, "c-", 2) == 0)
			times[strtol(p + 2, NULL, 10)]++;
}

static bool all_taken_are_there(struct chaos *c)
{
	int times[CHAOS];

	count_in_stream(c->r, times);
	for (int i = 0; i < CHAOS; i++)
		if (c->taken[i] && times[i] == 0)
			return false;
	return true;
}

static void nothing_accepted_is_lost_or_doubled_whatever_dies(struct rig *r)
{
	struct chaos c = { .r = r, .seed = 20261125, .redis_up = true };
	int times[CHAOS], accepted = 0;

	c.receiver = start_again(r);
	for (int i = 0; i < CHAOS; i++) {
		trouble(&c);
		if (draw(&c, 12) == 0) {
			kill_in_the_middle(&c, i);
		} else {
			const char *body = run_body(r, &(struct run_hook){ .run_id = 7 });

			c.taken[i] =
				webhook_post_text(r, "workflow_run", rig_printf(r, "c-%d", i), body)
					.status == 202;
		}
		accepted += c.taken[i];
	}
	let_redis_be(&c);
	WAIT(r, all_taken_are_there(&c) && metric(r, "spool_bytes") == 0);
	count_in_stream(r, times);
	for (int i = 0; i < CHAOS; i++)
		assert_true(times[i] <= 1);
	/* Most were taken: the trouble was Redis', and the spool is there for that. */
	assert_true(accepted > CHAOS * 3 / 4);
}

/* --- at random, with the simulator as the sender ------------------------------------------ */

/* What the simulator sent and was answered, against what is in the stream. */
struct ledger {
	size_t sent, answered, wrong; /* answered 202, and not there exactly once */
};

static unsigned times_in(const char *stream_text, const char *guid)
{
	size_t n = strlen(guid);
	unsigned times = 0;

	for (const char *p = stream_text; (p = strstr(p, guid)); p += n)
		times += p[n] == ',';
	return times;
}

static struct ledger compare(struct rig *r)
{
	struct answer a = http_get(r, simulator_port(r), "/_sim/deliveries");
	struct json_object *list = json_at(a.json, "deliveries");
	const char *text = stream(r);
	struct ledger l = { 0 };

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *d = json_object_array_get_idx(list, i);

		/* 200 is for what is of no use to us, such as its ping. */
		l.sent++;
		if (json_i64(d, "status", 0) != 202)
			continue;
		l.answered++;
		l.wrong += times_in(text, json_str(d, "guid", "?")) != 1;
	}
	return l;
}

static bool all_told(struct rig *r, int64_t runs)
{
	struct answer a = http_get(r, simulator_port(r), "/_sim/summary");

	return json_i64(a.json, "runs", 0) >= runs && json_i64(a.json, "running", -1) == 0 &&
	       json_i64(a.json, "webhooks_waiting", -1) == 0;
}

static void the_simulators_ledger_agrees_whatever_dies(struct rig *r)
{
	enum { RUNS = 120, ROUNDS = 40 };
	struct chaos c = { .r = r, .seed = 4711, .redis_up = true };
	struct ledger l;

	c.receiver = start_again(r);
	(void)simulator_start(r, "--rate", "30", "--count", rig_printf(r, "%d", RUNS));
	for (int i = 0; i < ROUNDS; i++) {
		int64_t until = clock_mono_ms() + 100;

		trouble(&c);
		if (draw(&c, 8) == 0) {
			proc_kill(c.receiver);
			c.receiver = start_again(r);
		}
		while (clock_mono_ms() < until)
			rig_tick(r);
	}
	let_redis_be(&c);
	WAIT(r, all_told(r, RUNS));
	WAIT(r, metric(r, "spool_bytes") == 0);
	WAIT(r, compare(r).wrong == 0);
	l = compare(r);
	/* While the receiver was being started again nobody answered, and the sender does not
	 * repeat. */
	assert_true(l.sent > (size_t)3 * RUNS);
	assert_true(l.answered > l.sent / 4);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(takes_events_while_redis_is_dead),
		RIG_TEST(takes_events_while_redis_hangs),
		RIG_TEST(takes_events_while_redis_is_full),
		RIG_TEST(takes_events_while_redis_is_read_only),
		RIG_TEST(people_can_see_what_waits),
		RIG_TEST(starts_without_redis),
		RIG_TEST(a_dead_receivers_events_are_adopted),
		RIG_TEST(a_drained_receiver_leaves_its_spool_to_the_next),
		RIG_TEST(malformed_events_wait_too),
		RIG_TEST(says_503_when_the_spool_is_full),
		RIG_TEST(says_503_to_what_the_disk_does_not_take),
		RIG_TEST(tells_another_redis_what_the_last_one_acknowledged),
		RIG_TEST(the_same_redis_is_told_nothing_twice),
		RIG_TEST(what_is_refused_alone_neither_stops_the_rest_nor_gets_lost),
		RIG_TEST(without_a_spool_another_redis_is_told_as_well),
		RIG_TEST(a_server_that_does_not_say_who_it_is_is_told_each_time),
		RIG_TEST(another_redis_is_told_when_the_disk_works_again),
		RIG_TEST(a_connection_that_breaks_all_the_time_loses_nothing),
		RIG_TEST(strangers_do_not_take_the_last_descriptor),
		RIG_TEST(damage_is_told),
		RIG_TEST(a_dead_letter_is_not_doubled),
		RIG_TEST(a_mark_of_another_type_does_not_stop_the_spool),
		RIG_TEST(a_mark_that_cannot_be_written_doubles_nothing),
		RIG_TEST(nothing_accepted_is_lost_or_doubled_whatever_dies),
		RIG_TEST(the_simulators_ledger_agrees_whatever_dies),
	};

	return rig_main(tests);
}
