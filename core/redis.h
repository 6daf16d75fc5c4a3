/*
 * One Redis connection on the event loop: hiredis formats and parses, the
 * transport is a libevent bufferevent (unix socket or TCP), so the commands of
 * one loop turn leave in one write.
 *
 * It reconnects by itself with jittered backoff. A command is never sent twice:
 * when the connection breaks, or a reply takes longer than the timeout, every
 * outstanding callback gets NULL, and the caller decides.
 */
#ifndef GUARD_CORE_REDIS_H
#define GUARD_CORE_REDIS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct event_base;
struct redisReply; /* from <hiredis/hiredis.h>; see the accessors below */
struct redis;

/*
 * Called exactly once per command, always from the loop. The reply is NULL
 * when there was none; it may be an error reply. Valid until the call returns.
 */
typedef void redis_fn(const struct redisReply *, void *arg);

/*
 * url: "unix:///path" or "redis://[user:password@]host[:port][/db]". From here on the process
 * ignores SIGPIPE, unless it has a handler of its own.
 */
int redis_new(struct event_base *, const char *url, int64_t timeout_ms, struct redis **out,
	      struct err *) MUST_CHECK;
/* Outstanding callbacks are dropped, not called. */
void redis_free(struct redis *);
DEFINE_OWNED(struct redis, redis_free)

/*
 * From within a reply's callback: gives this connection up when the callback
 * returns, and makes a new one after a moment. For a server that turned into a replica.
 */
void redis_break(struct redis *, const char *why);

bool redis_connected(const struct redis *);
/* Called with true after each connect once AUTH and SELECT were accepted, false after each loss. */
void redis_on_state(struct redis *, void (*fn)(bool up, void *arg), void *arg);
/* Why the last connection was lost or not made; "" when there was no trouble. Borrowed. */
const char *redis_problem(const struct redis *);

/*
 * A command under construction. Strings are borrowed until redis_send() returns;
 * numbers are kept inside. More than REDIS_ARGS_MAX arguments is a bug and aborts.
 */
enum { REDIS_ARGS_MAX = 128, REDIS_NUMBERS_MAX = 24 };
struct redis_cmd {
	int argc;
	int numbers;
	const char *argv[REDIS_ARGS_MAX];
	size_t len[REDIS_ARGS_MAX];
	char number[REDIS_NUMBERS_MAX][24];
};

void redis_cmd_init(struct redis_cmd *);
void redis_arg(struct redis_cmd *, const char *s); /* NULL counts as "" */
void redis_arg_n(struct redis_cmd *, const char *s, size_t n);
void redis_arg_i64(struct redis_cmd *, int64_t n);

/* fn may be NULL. While disconnected fn gets NULL in the next loop turn. */
void redis_send(struct redis *, const struct redis_cmd *, redis_fn *, void *arg);
/* The same from a NULL-terminated list of strings. */
void redis_send_args(struct redis *, redis_fn *, void *arg, ...) __attribute__((sentinel));

/*
 * A Lua script. redis_script_cmd() starts an EVALSHA command to which the
 * caller adds its keys and then its arguments; redis_send_script() falls back to EVAL
 * when the server does not know the script (restart, failover, SCRIPT FLUSH).
 */
struct redis_script {
	const char *name; /* for logs */
	const char *body;
	char sha[41]; /* filled in at first use */
};
void redis_script_cmd(struct redis_cmd *, struct redis_script *, int n_keys);
void redis_send_script(struct redis *, struct redis_script *, const struct redis_cmd *, redis_fn *,
		       void *arg);

/*
 * Redis Cluster: a dispatcher's keys have several hash tags, and one connection reaches one node.
 * The first script of a daemon begins with this, and refuses it before anything is written.
 */
#define REDIS_REFUSES_CLUSTER                                                        \
	"local info = redis.pcall('INFO', 'cluster') "                               \
	"if type(info) == 'string' and string.find(info, 'cluster_enabled:1') then " \
	"  return redis.error_reply('CLUSTER mode is on') "                          \
	"end "
/* That refusal, or an error that only a cluster gives. */
bool redis_is_cluster(const struct redisReply *);
#define REDIS_CLUSTER_WHY                                                                         \
	"Redis Cluster is not supported by this release: give the address of one server, or one " \
	"that leads to the master"

/* Runs the loop until the reply is there; for commands, not for daemons. Free with
 * redis_reply_free(). */
int redis_call(struct redis *, const struct redis_cmd *, struct redisReply **out,
	       struct err *) MUST_CHECK;
void redis_reply_free(struct redisReply *);
DEFINE_OWNED(struct redisReply, redis_reply_free)

/* Accessors that accept NULL and replies of any type. */
bool redis_is_error(const struct redisReply *,
		    const char *prefix);          /* prefix NULL: any error or NULL */
const char *redis_str(const struct redisReply *); /* strings, status, errors; else NULL */
size_t redis_len(const struct redisReply *);      /* bytes of a string, elements of an array */
int64_t redis_int(const struct redisReply *, int64_t otherwise); /* integers and decimal strings */
const struct redisReply *redis_at(const struct redisReply *, size_t i); /* NULL past the end */
/* In a flat [name, value, name, value] array, as HGETALL and stream entries have. */
const char *redis_field(const struct redisReply *, const char *name);
/* What to say about a reply that is NULL or an error. */
const char *redis_why(const struct redisReply *);

#endif
