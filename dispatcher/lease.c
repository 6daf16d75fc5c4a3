#include "dispatcher/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/redis.h"
#include "core/text.h"
#include "dispatcher/engine.h"

enum {
	TURNS = 3, /* renewed that often within its time */
	TURN_MIN_MS = 20,
	TURN_MAX_MS = 5000, /* a lease that was handed on early is not left lying for long */
	NO_ANSWER_MS = 250,
	VALUE_MAX = ENGINE_NAME_MAX + 24,
};

struct lease {
	struct engine *e;
	char name[64], value[VALUE_MAX];
	int64_t ms, asked_at_ms; /* monotonic, of the question in flight */
	void (*changed)(bool, void *);
	void *arg;
	struct event *turn, *end;
	bool held, asking, released;
};

/* KEYS lease fence; ARGV process, ms, value we hold or "". */
static struct redis_script hold_script = {
	.name = "hold",
	.body = "local v = redis.call('GET', KEYS[1]) "
		"if v and v ~= ARGV[3] then return {0, v, redis.call('PTTL', KEYS[1])} end "
		"if not v then v = ARGV[1] .. ' ' .. redis.call('INCR', KEYS[2]) end "
		"redis.call('SET', KEYS[1], v, 'PX', ARGV[2]) "
		"return {1, v}",
};

/* KEYS lease; ARGV value. */
static struct redis_script release_script = {
	.name = "release",
	.body = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) "
		"end return 0",
};

void lease_key(const struct lease *l, char out[static KEY_MAX])
{
	char name[sizeof(l->name) + 8];

	(void)snprintf(name, sizeof(name), "lease:%s", l->name);
	key_region(&l->e->ks, name, out);
}

static void set_held(struct lease *l, bool held, const char *why)
{
	bool was = l->held;

	l->held = held;
	if (!held)
		l->value[0] = '\0';
	if (held == was)
		return;
	if (held)
		log_info("lease taken", KV("lease", l->name), KV("as", l->value));
	else
		log_warn("lease lost", KV("lease", l->name), KV("why", why));
	l->changed(held, l->arg);
}

static void turn_in(struct lease *l, int64_t ms)
{
	struct timeval tv = clock_timeval(ms > TURN_MIN_MS ? ms : TURN_MIN_MS);

	(void)evtimer_add(l->turn, &tv);
}

static int64_t turn_ms(const struct lease *l)
{
	return l->ms / TURNS < TURN_MAX_MS ? l->ms / TURNS : TURN_MAX_MS;
}

static void on_held(const struct redisReply *reply, void *arg)
{
	struct lease *l = arg;
	const char *value = redis_str(redis_at(reply, 1));
	struct timeval tv = clock_timeval(l->asked_at_ms + l->ms - clock_mono_ms());

	l->asking = false;
	if (l->released)
		return;
	if (redis_is_error(reply, NULL) || !value) {
		/* What we have ends by itself. */
		turn_in(l, NO_ANSWER_MS < turn_ms(l) ? NO_ANSWER_MS : turn_ms(l));
		return;
	}
	if (redis_int(redis_at(reply, 0), 0) != 1) {
		int64_t left = redis_int(redis_at(reply, 2), 0);

		/* Theirs may end before our turn. */
		turn_in(l, left >= 0 && left < turn_ms(l) ? left + 1 : turn_ms(l));
		(void)evtimer_del(l->end);
		set_held(l, false, value);
		return;
	}
	turn_in(l, turn_ms(l));
	(void)text_copy(l->value, sizeof(l->value), value, strlen(value));
	/* Counted from before the question: never longer than Redis does. */
	(void)evtimer_add(l->end, &tv);
	set_held(l, true, "");
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct lease *l = arg;
	char key[KEY_MAX], fence[KEY_MAX], name[sizeof(l->name) + 8];
	struct redis_cmd cmd;

	UNUSED(fd);
	UNUSED(what);
	if (l->asking || l->released)
		return;
	lease_key(l, key);
	(void)snprintf(name, sizeof(name), "fence:%s", l->name);
	key_region(&l->e->ks, name, fence);
	redis_script_cmd(&cmd, &hold_script, 2);
	redis_arg(&cmd, key);
	redis_arg(&cmd, fence);
	redis_arg(&cmd, l->e->name);
	redis_arg_i64(&cmd, l->ms);
	redis_arg(&cmd, l->value);
	l->asking = true;
	l->asked_at_ms = clock_mono_ms();
	redis_send_script(l->e->writer, &hold_script, &cmd, on_held, l);
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
	UNUSED(fd);
	UNUSED(what);
	set_held(arg, false, "not renewed in time");
}

struct lease *lease_new(struct engine *e, const char *name, int64_t ms,
			void (*changed)(bool, void *), void *arg)
{
	struct lease *l = xcalloc(1, sizeof(*l));
	struct timeval now = { 0 };

	l->e = e;
	l->ms = ms;
	l->changed = changed;
	l->arg = arg;
	(void)text_copy(l->name, sizeof(l->name), name, strlen(name));
	l->turn = evtimer_new(e->base, on_turn, l);
	l->end = evtimer_new(e->base, on_end, l);
	if (!l->turn || !l->end)
		abort();
	(void)evtimer_add(l->turn, &now);
	return l;
}

void lease_release(struct lease *l)
{
	struct redis_cmd cmd;
	char key[KEY_MAX];

	if (l->released)
		return;
	l->released = true;
	(void)evtimer_del(l->turn);
	(void)evtimer_del(l->end);
	if (!l->held)
		return;
	lease_key(l, key);
	redis_script_cmd(&cmd, &release_script, 1);
	redis_arg(&cmd, key);
	redis_arg(&cmd, l->value);
	redis_send_script(l->e->writer, &release_script, &cmd, NULL, NULL);
	l->held = false;
}

void lease_free(struct lease *l)
{
	if (!l)
		return;
	event_free(l->turn);
	event_free(l->end);
	free(l);
}

bool lease_held(const struct lease *l)
{
	return l->held;
}

const char *lease_value(const struct lease *l)
{
	return l->value;
}
