#include "core/redis.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <hiredis/hiredis.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/mem.h"
#include "core/process.h"
#include "core/resolve.h"
#include "core/text.h"

enum {
	/* hiredis 0.14's reader takes quadratic time on larger feeds. */
	FEED_BYTES = 16 * 1024,
	BACKOFF_MIN_MS = 50,
	BACKOFF_MAX_MS = 5000,
	CONNECT_TIMEOUT_MS = 3000,
};

struct pending {
	struct pending *next;
	redis_fn *fn;
	void *arg;
	int64_t sent_at_ms;
	const struct redis_script *script; /* sent again as EVAL on NOSCRIPT */
	char *text;                        /* with script: the command as it was sent */
	size_t text_len;
};

struct redis {
	struct event_base *base;
	char *host, *path, *user, *password;
	int port, db;
	int64_t timeout_ms;

	struct bufferevent *bev; /* NULL while waiting to connect again */
	struct resolve *resolve; /* NULL unless the host's address is looked up */
	redisReader *reader;
	bool up;
	bool stealing; /* redis_call() takes the reply */
	unsigned failures;
	struct event *retry;    /* connect again */
	struct event *deadline; /* oldest command, or the connect */

	struct pending *head, **tail;
	struct pending *late, **late_tail; /* refused while down: called from `flush` */
	struct event *flush;

	void (*on_state)(bool, void *);
	void *on_state_arg;
	char problem[120];

	/* Inside our callbacks redis_free() only marks; the outermost one destroys. */
	unsigned depth;
	bool dead;
	bool broken;      /* AUTH or SELECT refused: give this connection up */
	unsigned n_hello; /* their replies to come */
};

/* --- URL ---------------------------------------------------------------- */

static int parse_tcp(struct redis *r, const char *rest, struct err *err)
{
	const char *at = strrchr(rest, '@');
	const char *host = at ? at + 1 : rest;
	const char *end = host + strcspn(host, "/");
	const char *colon = memchr(host, ':', (size_t)(end - host));
	uint64_t n;

	if (*host == '[')
		return err_set(err, ERR_CONFIG, "redis.url: use a host name for IPv6");
	if (at) {
		const char *sep = memchr(rest, ':', (size_t)(at - rest));

		if (!sep)
			return err_set(err, ERR_CONFIG, "redis.url: expected user:password@");
		if (sep > rest)
			r->user = xstrndup(rest, (size_t)(sep - rest));
		r->password = xstrndup(sep + 1, (size_t)(at - sep - 1));
	}
	r->host = xstrndup(host, (size_t)((colon ? colon : end) - host));
	r->port = 6379;
	if (colon) {
		OWNED(freep) char *port = xstrndup(colon + 1, (size_t)(end - colon - 1));

		if (!text_to_u64(port, &n) || n == 0 || n > 65535)
			return err_set(err, ERR_CONFIG, "redis.url: bad port");
		r->port = (int)n;
	}
	if (end[0] == '/' && end[1]) {
		if (!text_to_u64(end + 1, &n) || n > 10000)
			return err_set(err, ERR_CONFIG, "redis.url: bad database number");
		r->db = (int)n;
	}
	if (!*r->host)
		return err_set(err, ERR_CONFIG, "redis.url: no host");
	return 0;
}

static int parse_url(struct redis *r, const char *url, struct err *err)
{
	if (text_starts(url, "unix://")) {
		struct sockaddr_un un;

		r->path = xstrdup(url + strlen("unix://"));
		if (!*r->path || strlen(r->path) >= sizeof(un.sun_path))
			return err_set(err, ERR_CONFIG,
				       "redis.url: socket path must have 1 to %zu bytes",
				       sizeof(un.sun_path) - 1);
		return 0;
	}
	if (text_starts(url, "redis://"))
		return parse_tcp(r, url + strlen("redis://"), err);
	return err_set(err, ERR_CONFIG,
		       "redis.url: expected unix:///path or redis://host[:port][/db]");
}

/* --- pending commands --------------------------------------------------- */

static void pending_free(struct pending *p)
{
	free(p->text);
	free(p);
}

static struct pending *pop(struct redis *r)
{
	struct pending *p = r->head;

	if (!p)
		return NULL;
	r->head = p->next;
	if (!r->head)
		r->tail = &r->head;
	return p;
}

static void push(struct redis *r, struct pending *p)
{
	p->next = NULL;
	*r->tail = p;
	r->tail = &p->next;
}

static void destroy(struct redis *);

static void enter(struct redis *r)
{
	r->depth++;
}

static void leave(struct redis *r)
{
	if (--r->depth == 0 && r->dead)
		destroy(r);
}

/* Gives NULL to everything in the list. */
static void refuse_all(struct redis *r, struct pending *p)
{
	while (p) {
		struct pending *next = p->next;

		if (!r->dead && p->fn)
			p->fn(NULL, p->arg);
		pending_free(p);
		p = next;
	}
}

static void flush_late(evutil_socket_t fd, short what, void *arg)
{
	struct redis *r = arg;
	struct pending *p = r->late;

	UNUSED(fd);
	UNUSED(what);
	enter(r);
	r->late = NULL;
	r->late_tail = &r->late;
	refuse_all(r, p);
	leave(r);
}

static void arm_deadline(struct redis *r)
{
	struct timeval tv;

	if (!r->head) {
		if (r->up || !r->bev)
			(void)evtimer_del(r->deadline);
		return;
	}
	if (evtimer_pending(r->deadline, NULL))
		return;
	tv = clock_timeval(r->head->sent_at_ms + r->timeout_ms - clock_mono_ms() + 1);
	(void)evtimer_add(r->deadline, &tv);
}

/* --- connection --------------------------------------------------------- */

static void schedule_retry(struct redis *r)
{
	unsigned shift = r->failures < 7 ? r->failures : 7;
	int64_t cap = (int64_t)BACKOFF_MIN_MS << shift;
	struct timeval tv;

	if (cap > BACKOFF_MAX_MS)
		cap = BACKOFF_MAX_MS;
	/* The first try comes at once; then full jitter, so that a fleet does not come back in
	 * step. */
	tv = clock_timeval(r->failures ? BACKOFF_MIN_MS / 2 + random_below((unsigned)cap) : 0);
	r->failures++;
	(void)evtimer_add(r->retry, &tv);
}

/* Only from within enter(): the callbacks it makes may free the connection. */
static void disconnect(struct redis *r, const char *why)
{
	struct pending *lost = r->head;
	bool was_up = r->up;

	if (why)
		(void)text_copy(r->problem, sizeof(r->problem), why, strlen(why));
	resolve_free(TAKE(r->resolve));
	if (r->bev)
		bufferevent_free(r->bev);
	r->bev = NULL;
	r->up = r->broken = false;
	r->n_hello = 0;
	redisReaderFree(r->reader);
	r->reader = NULL;
	r->head = NULL;
	r->tail = &r->head;
	(void)evtimer_del(r->deadline);
	schedule_retry(r);
	if (was_up && r->on_state)
		r->on_state(false, r->on_state_arg);
	refuse_all(r, lost);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct redis *r = arg;

	UNUSED(fd);
	UNUSED(what);
	enter(r);
	if (r->up && r->head && clock_mono_ms() - r->head->sent_at_ms < r->timeout_ms)
		arm_deadline(r);
	else if (!r->up)
		disconnect(r, r->resolve ? "its host name was not resolved in time"
					 : "connecting took too long");
	else if (r->head)
		disconnect(r, "no reply in time");
	leave(r);
}

/* The same keys and arguments again, with the body where the digest was. */
static void resend_with_body(struct redis *r, struct pending *p)
{
	static const char sha_head[] = "$7\r\nEVALSHA\r\n$40\r\n";
	const size_t sha_len = sizeof(sha_head) - 1 + 40 + 2;
	size_t first = (size_t)((char *)memchr(p->text, '\n', p->text_len) - p->text) + 1;
	struct evbuffer *out = bufferevent_get_output(r->bev);

	(void)evbuffer_add(out, p->text, first);
	(void)evbuffer_add_printf(out, "$4\r\nEVAL\r\n$%zu\r\n%s\r\n", strlen(p->script->body),
				  p->script->body);
	(void)evbuffer_add(out, p->text + first + sha_len, p->text_len - first - sha_len);
	p->script = NULL;
	p->sent_at_ms = clock_mono_ms();
	push(r, p);
}

/* Hands out one reply, which it owns. */
static void deliver(struct redis *r, redisReply *reply)
{
	struct pending *p = pop(r);

	/* A server that takes connections only to refuse them must not be tried without a pause. */
	if (!redis_is_error(reply, NULL))
		r->failures = 0;
	if (!p) {
		/* "max number of clients reached" comes like this. */
		disconnect(r,
			   redis_is_error(reply, NULL) ? reply->str : "a reply nobody asked for");
		freeReplyObject(reply);
		return;
	}
	if (p->script && redis_is_error(reply, "NOSCRIPT")) {
		freeReplyObject(reply);
		resend_with_body(r, p);
		return;
	}
	r->stealing = false;
	/* A replica now, for ever perhaps: whoever took over is found by connecting again. */
	if (redis_is_error(reply, "READONLY"))
		redis_break(r, "the server turned read-only");
	if (p->fn)
		p->fn(reply, p->arg);
	if (!r->stealing)
		freeReplyObject(reply);
	r->stealing = false;
	pending_free(p);
}

/* False when there is no connection to go on reading from. */
static bool drain_replies(struct redis *r)
{
	for (;;) {
		void *reply = NULL;

		if (redisReaderGetReply(r->reader, &reply) != REDIS_OK) {
			disconnect(r, "not the Redis protocol");
			return false;
		}
		if (!reply)
			return true;
		deliver(r, reply);
		if (r->broken && !r->dead)
			disconnect(r, NULL);
		if (r->dead || !r->bev)
			return false;
	}
}

static void read_all(struct redis *r)
{
	for (;;) {
		struct evbuffer *in = bufferevent_get_input(r->bev);
		struct evbuffer_iovec v;
		size_t n;

		if (evbuffer_peek(in, -1, NULL, &v, 1) < 1 || v.iov_len == 0)
			break;
		n = v.iov_len < FEED_BYTES ? v.iov_len : FEED_BYTES;
		if (redisReaderFeed(r->reader, v.iov_base, n) != REDIS_OK) {
			disconnect(r, "not the Redis protocol");
			return;
		}
		(void)evbuffer_drain(in, n);
		if (!drain_replies(r))
			return;
	}
	(void)evtimer_del(r->deadline);
	arm_deadline(r);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct redis *r = arg;

	UNUSED(bev);
	enter(r);
	if (r->bev && !r->dead)
		read_all(r);
	leave(r);
}

static void ready(struct redis *r)
{
	(void)evtimer_del(r->deadline);
	r->up = true;
	if (r->on_state)
		r->on_state(true, r->on_state_arg);
}

/* Nothing else is sent before: without its SELECT a command would run in the wrong database. */
static void on_hello(const redisReply *reply, void *arg)
{
	struct redis *r = arg;

	if (!reply || r->broken)
		return;
	if (redis_is_error(reply, NULL)) {
		(void)text_copy(r->problem, sizeof(r->problem), reply->str, reply->len);
		r->broken = true;
		r->failures = 6;
	} else if (--r->n_hello == 0) {
		ready(r);
	}
}

/*
 * Digits without sprintf(), which would be a tenth of what an event costs the receiver: it has
 * numbers in its fields and a length in front of each argument.
 */
static char *put_digits(char *at, uint64_t n)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	memcpy(at, digits + i, sizeof(digits) - i);
	return at + sizeof(digits) - i;
}

/* "*3\r\n" */
static char *put_length(char *at, char kind, size_t n)
{
	*at++ = kind;
	at = put_digits(at, n);
	*at++ = '\r';
	*at++ = '\n';
	return at;
}

static char *format_command(const struct redis_cmd *cmd, size_t *n)
{
	enum { LENGTH_MAX = 23, LINE_END = 2 };
	size_t max = LENGTH_MAX;
	char *text, *at;

	for (int i = 0; i < cmd->argc; i++)
		max += LENGTH_MAX + cmd->len[i] + LINE_END;
	text = xmalloc(max);
	at = put_length(text, '*', (size_t)cmd->argc);
	for (int i = 0; i < cmd->argc; i++) {
		at = put_length(at, '$', cmd->len[i]);
		if (cmd->len[i])
			memcpy(at, cmd->argv[i], cmd->len[i]);
		at += cmd->len[i];
		*at++ = '\r';
		*at++ = '\n';
	}
	*n = (size_t)(at - text);
	return text;
}

/* With p, remembers the text of the command there. */
static void write_command(struct redis *r, const struct redis_cmd *cmd, struct pending *p)
{
	size_t n;
	char *text = format_command(cmd, &n);

	(void)bufferevent_write(r->bev, text, n);
	if (p && p->script) {
		p->text = text;
		p->text_len = n;
	} else {
		free(text);
	}
}

static struct pending *pending_new(redis_fn *fn, void *arg)
{
	struct pending *p = xcalloc(1, sizeof(*p));

	p->fn = fn;
	p->arg = arg;
	p->sent_at_ms = clock_mono_ms();
	return p;
}

static void say_hello(struct redis *r)
{
	struct redis_cmd cmd;

	if (r->password) {
		redis_cmd_init(&cmd);
		redis_arg(&cmd, "AUTH");
		if (r->user)
			redis_arg(&cmd, r->user);
		redis_arg(&cmd, r->password);
		write_command(r, &cmd, NULL);
		push(r, pending_new(on_hello, r));
		r->n_hello++;
	}
	if (r->db) {
		redis_cmd_init(&cmd);
		redis_arg(&cmd, "SELECT");
		redis_arg_i64(&cmd, r->db);
		write_command(r, &cmd, NULL);
		push(r, pending_new(on_hello, r));
		r->n_hello++;
	}
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct redis *r = arg;
	int error = EVUTIL_SOCKET_ERROR();

	UNUSED(bev);
	enter(r);
	if (!(what & BEV_EVENT_CONNECTED)) {
		disconnect(r, what & BEV_EVENT_EOF || !error ? "closed by the server"
							     : strerror(error));
	} else {
		say_hello(r);
		if (!r->n_hello)
			ready(r);
	}
	leave(r);
}

/* A failure that is known at once has closed nothing yet; deferred callbacks may still come. */
static void connect_to(struct redis *r, const struct sockaddr *addr, socklen_t len)
{
	if (bufferevent_socket_connect(r->bev, addr, (int)len) < 0 && r->bev)
		disconnect(r, strerror(errno));
}

static void on_resolved(const struct sockaddr *addr, socklen_t len, const char *why, void *arg)
{
	struct redis *r = arg;
	char text[sizeof(r->problem)];

	enter(r);
	if (!addr) {
		(void)snprintf(text, sizeof(text), "host name: %s", why);
		disconnect(r, text);
	} else {
		connect_to(r, addr, len);
		resolve_free(TAKE(r->resolve));
	}
	leave(r);
}

static void connect_now(struct redis *r)
{
	struct timeval tv = clock_timeval(CONNECT_TIMEOUT_MS);

	r->reader = redisReaderCreate();
	r->bev = bufferevent_socket_new(r->base, -1,
					BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (!r->reader || !r->bev)
		abort();
	bufferevent_setcb(r->bev, on_read, NULL, on_event, r);
	(void)bufferevent_enable(r->bev, EV_READ | EV_WRITE);
	(void)evtimer_add(r->deadline, &tv);
	if (r->path) {
		struct sockaddr_un un = { .sun_family = AF_UNIX };

		(void)text_copy(un.sun_path, sizeof(un.sun_path), r->path, strlen(r->path));
		connect_to(r, (struct sockaddr *)&un, sizeof(un));
	} else {
		r->resolve = resolve_new(r->base, r->host, r->port, on_resolved, r);
	}
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct redis *r = arg;

	UNUSED(fd);
	UNUSED(what);
	enter(r);
	if (!r->bev)
		connect_now(r);
	leave(r);
}

/* --- public ------------------------------------------------------------- */

int redis_new(struct event_base *base, const char *url, int64_t timeout_ms, struct redis **out,
	      struct err *err)
{
	OWNED(redis_freep) struct redis *r = xcalloc(1, sizeof(*r));

	r->base = base;
	r->timeout_ms = timeout_ms;
	r->tail = &r->head;
	r->late_tail = &r->late;
	if (parse_url(r, url, err) < 0)
		return -1;
	process_ignore_sigpipe();
	r->retry = evtimer_new(base, on_retry, r);
	r->deadline = evtimer_new(base, on_deadline, r);
	r->flush = evtimer_new(base, flush_late, r);
	if (!r->retry || !r->deadline || !r->flush)
		abort();
	schedule_retry(r);
	*out = TAKE(r);
	return 0;
}

static void free_event(struct event *ev)
{
	if (ev)
		event_free(ev);
}

static void free_list(struct pending *p)
{
	while (p) {
		struct pending *next = p->next;

		pending_free(p);
		p = next;
	}
}

static void destroy(struct redis *r)
{
	resolve_free(r->resolve);
	if (r->bev)
		bufferevent_free(r->bev);
	redisReaderFree(r->reader);
	free_event(r->retry);
	free_event(r->deadline);
	free_event(r->flush);
	free_list(r->head);
	free_list(r->late);
	free(r->host);
	free(r->path);
	free(r->user);
	secret_free(r->password);
	free(r);
}

void redis_free(struct redis *r)
{
	if (!r)
		return;
	r->dead = true;
	r->on_state = NULL;
	if (r->depth == 0)
		destroy(r);
}

void redis_break(struct redis *r, const char *why)
{
	enum { FAILURES = 3 }; /* not at once: it may answer the same again */

	(void)text_copy(r->problem, sizeof(r->problem), why, strlen(why));
	if (r->failures < FAILURES)
		r->failures = FAILURES;
	r->broken = true;
}

bool redis_connected(const struct redis *r)
{
	return r->up;
}

const char *redis_problem(const struct redis *r)
{
	return r->problem;
}

void redis_on_state(struct redis *r, void (*fn)(bool, void *), void *arg)
{
	r->on_state = fn;
	r->on_state_arg = arg;
}

void redis_cmd_init(struct redis_cmd *cmd)
{
	cmd->argc = 0;
	cmd->numbers = 0;
}

void redis_arg_n(struct redis_cmd *cmd, const char *s, size_t n)
{
	if (cmd->argc >= REDIS_ARGS_MAX)
		abort();
	cmd->argv[cmd->argc] = s;
	cmd->len[cmd->argc++] = n;
}

void redis_arg(struct redis_cmd *cmd, const char *s)
{
	redis_arg_n(cmd, s ? s : "", s ? strlen(s) : 0);
}

void redis_arg_i64(struct redis_cmd *cmd, int64_t n)
{
	char *text, *end;

	if (cmd->numbers >= REDIS_NUMBERS_MAX)
		abort();
	end = text = cmd->number[cmd->numbers++];
	if (n < 0)
		*end++ = '-';
	end = put_digits(end, n < 0 ? -(uint64_t)n : (uint64_t)n);
	*end = '\0';
	redis_arg_n(cmd, text, (size_t)(end - text));
}

/* Takes p over: sends, or remembers to refuse it in the next loop turn. */
static void submit(struct redis *r, const struct redis_cmd *cmd, struct pending *p)
{
	struct timeval now = { 0 };

	if (r->up) {
		write_command(r, cmd, p);
		push(r, p);
		arm_deadline(r);
		return;
	}
	p->next = NULL;
	*r->late_tail = p;
	r->late_tail = &p->next;
	(void)evtimer_add(r->flush, &now);
}

void redis_send(struct redis *r, const struct redis_cmd *cmd, redis_fn *fn, void *arg)
{
	submit(r, cmd, pending_new(fn, arg));
}

void redis_send_args(struct redis *r, redis_fn *fn, void *arg, ...)
{
	struct redis_cmd cmd;
	const char *s;
	va_list ap;

	redis_cmd_init(&cmd);
	va_start(ap, arg);
	while ((s = va_arg(ap, const char *)))
		redis_arg(&cmd, s);
	va_end(ap);
	redis_send(r, &cmd, fn, arg);
}

void redis_script_cmd(struct redis_cmd *cmd, struct redis_script *script, int n_keys)
{
	/* Redis names scripts by SHA-1; this is an identifier, not a protection. */
	if (!script->sha[0])
		sha1_hex(script->body, strlen(script->body), script->sha);
	redis_cmd_init(cmd);
	redis_arg(cmd, "EVALSHA");
	redis_arg(cmd, script->sha);
	redis_arg_i64(cmd, n_keys);
}

void redis_send_script(struct redis *r, struct redis_script *script, const struct redis_cmd *cmd,
		       redis_fn *fn, void *arg)
{
	struct pending *p = pending_new(fn, arg);

	p->script = script;
	submit(r, cmd, p);
}

struct call {
	struct redis *redis;
	struct event_base *base;
	const struct redisReply *reply;
	bool done;
};

static void on_call(const struct redisReply *reply, void *arg)
{
	struct call *c = arg;

	c->reply = reply;
	c->redis->stealing = reply != NULL;
	c->done = true;
	(void)event_base_loopbreak(c->base);
}

static void on_call_deadline(evutil_socket_t fd, short what, void *arg)
{
	UNUSED(fd);
	UNUSED(what);
	(void)event_base_loopbreak(arg);
}

/* Gives a fresh connection its chance before a command is refused. */
static void wait_until_up(struct redis *r)
{
	int64_t until = clock_mono_ms() + r->timeout_ms;
	struct timeval tick = clock_timeval(20);
	struct event *wake = event_new(r->base, -1, EV_PERSIST, on_call_deadline, r->base);

	if (!wake)
		abort();
	(void)evtimer_add(wake, &tick);
	while (!r->up && clock_mono_ms() < until)
		if (event_base_loop(r->base, EVLOOP_ONCE) < 0)
			break;
	event_free(wake);
}

int redis_call(struct redis *r, const struct redis_cmd *cmd, struct redisReply **out,
	       struct err *err)
{
	struct call call = { .redis = r, .base = r->base };
	union {
		const struct redisReply *in;
		struct redisReply *out;
	} take;

	if (!r->up)
		wait_until_up(r);
	redis_send(r, cmd, on_call, &call);
	while (!call.done)
		if (event_base_loop(r->base, EVLOOP_ONCE) < 0)
			return err_set(err, ERR_BUG, "redis: event loop failed");
	if (!call.reply)
		return err_set(err, ERR_TRANSIENT, "redis: no connection, or no answer in time%s%s",
			       *r->problem ? ": " : "", r->problem);
	take.in = call.reply;
	if (take.in->type == REDIS_REPLY_ERROR) {
		err_format(err, ERR_TRANSIENT, "redis: %s", take.in->str);
		freeReplyObject(take.out);
		return -1;
	}
	*out = take.out;
	return 0;
}

void redis_reply_free(struct redisReply *reply)
{
	freeReplyObject(reply);
}

bool redis_is_error(const struct redisReply *reply, const char *prefix)
{
	if (!reply)
		return !prefix;
	return reply->type == REDIS_REPLY_ERROR && (!prefix || text_starts(reply->str, prefix));
}

bool redis_is_cluster(const struct redisReply *reply)
{
	static const char *const errors[] = { "CLUSTER", "MOVED ", "ASK ", "CROSSSLOT" };

	for (size_t i = 0; i < ARRAY_LEN(errors); i++)
		if (redis_is_error(reply, errors[i]))
			return true;
	return false;
}

const char *redis_str(const struct redisReply *reply)
{
	if (!reply)
		return NULL;
	switch (reply->type) {
	case REDIS_REPLY_STRING:
	case REDIS_REPLY_STATUS:
	case REDIS_REPLY_ERROR:
		return reply->str;
	default:
		return NULL;
	}
}

size_t redis_len(const struct redisReply *reply)
{
	if (!reply)
		return 0;
	if (reply->type == REDIS_REPLY_ARRAY)
		return reply->elements;
	return redis_str(reply) ? (size_t)reply->len : 0;
}

int64_t redis_int(const struct redisReply *reply, int64_t otherwise)
{
	int64_t v;

	if (reply && reply->type == REDIS_REPLY_INTEGER)
		return reply->integer;
	if (reply && reply->type == REDIS_REPLY_STRING && text_to_i64(reply->str, &v))
		return v;
	return otherwise;
}

const struct redisReply *redis_at(const struct redisReply *reply, size_t i)
{
	if (!reply || reply->type != REDIS_REPLY_ARRAY || i >= reply->elements)
		return NULL;
	return reply->element[i];
}

const char *redis_field(const struct redisReply *reply, const char *name)
{
	for (size_t i = 0; i + 1 < redis_len(reply); i += 2) {
		const char *key = redis_str(redis_at(reply, i));

		if (key && strcmp(key, name) == 0)
			return redis_str(redis_at(reply, i + 1));
	}
	return NULL;
}

const char *redis_why(const struct redisReply *reply)
{
	if (!reply)
		return "no connection, or no answer in time";
	return reply->type == REDIS_REPLY_ERROR ? reply->str : "unexpected kind of reply";
}
