#include "cli/query.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "cli/data_dir.h"
#include "core/audit.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/mem.h"
#include "core/settings.h"
#include "core/text.h"

enum { PARTITIONS_MAX = 32 };

/* A socket file may be left over from a machine that crashed. */
static bool somebody_listens(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes;

	if (fd < 0)
		return false;
	yes = text_copy(un.sun_path, sizeof(un.sun_path), path, strlen(path)) &&
	      connect(fd, (const struct sockaddr *)&un, sizeof(un)) == 0;
	(void)close(fd);
	return yes;
}

static int private_redis(const struct conf *conf, char url[static DATA_PATH_MAX], struct err *err)
{
	static const char *const names[] = { "pipeline-guard", "pipeline-guard-demo" };
	char folder[DATA_PATH_MAX], first[DATA_PATH_MAX] = "";

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char sock[DATA_PATH_MAX + 16];

		if (data_dir_path(conf, names[i], folder, err) < 0)
			return -1;
		if (i == 0)
			(void)text_copy(first, sizeof(first), folder, strlen(folder));
		(void)snprintf(sock, sizeof(sock), "%s/redis.sock", folder);
		if (somebody_listens(sock)) {
			(void)snprintf(url, DATA_PATH_MAX, "unix://%.1000s", sock);
			return 0;
		}
	}
	return err_set(err, ERR_TRANSIENT,
		       "no guard is running with its data in %.120s: `pipeline-guard start` starts "
		       "one; for another one set PIPELINE_GUARD_REDIS_URL or --data-dir",
		       first);
}

void query_url_shown(const char *url, char out[static 256])
{
	const char *rest = strstr(url, "://"), *at = strrchr(url, '@');

	if (!rest || !at || at < rest || text_starts(url, "unix:"))
		(void)snprintf(out, 256, "%.255s", url);
	else
		(void)snprintf(out, 256, "%.*s%.200s", (int)(rest + 3 - url), url, at + 1);
}

static int read_meta(struct query *q, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	char meta[KEY_MAX];
	int64_t partitions;
	const char *text;

	key_region(&q->ks, "meta", meta);
	if (query_ask(q, &reply, err, "HMGET", meta, "partitions", "mode", "mode_why",
		      (char *)NULL) < 0)
		return -1;
	partitions = redis_int(redis_at(reply, 0), 0);
	q->used = partitions > 0;
	if (partitions > 0 && partitions <= PARTITIONS_MAX)
		q->ks.partitions = (unsigned)partitions;
	text = redis_str(redis_at(reply, 1));
	(void)snprintf(q->mode, sizeof(q->mode), "%s", text ? text : "unknown");
	text = redis_str(redis_at(reply, 2));
	(void)snprintf(q->mode_why, sizeof(q->mode_why), "%s",
		       text ? text : "no dispatcher has run here yet");
	return 0;
}

/* As `start` has it: its key and its folder of copies. */
static int private_audit(struct conf *conf, const char *url, struct err *err)
{
	size_t n = strlen(url) - strlen("/redis.sock");
	const char *folder = url + strlen("unix://");
	char set[DATA_PATH_MAX + 48];

	n -= strlen("unix://");
	(void)snprintf(set, sizeof(set), "audit.key_file=%.*s/audit-key", (int)n, folder);
	if (!conf_secret(conf, "audit.key", 0) && access(strchr(set, '=') + 1, R_OK) == 0 &&
	    conf_set(conf, set, err) < 0)
		return -1;
	(void)snprintf(set, sizeof(set), "audit.dir=%.*s/audit", (int)n, folder);
	return conf_str(conf, "audit.dir") || access(strchr(set, '=') + 1, W_OK) < 0
		       ? 0
		       : conf_set(conf, set, err);
}

int query_open(struct conf *conf, struct query **out, struct err *err)
{
	OWNED(query_closep) struct query *q = xcalloc(1, sizeof(*q));
	const char *url = conf_str(conf, "redis.url");
	char found[DATA_PATH_MAX];

	if (settings_keyspace(conf, &q->ks, err) < 0)
		return -1;
	if (!url) {
		if (private_redis(conf, found, err) < 0 || private_audit(conf, found, err) < 0)
			return -1;
		url = found;
	}
	query_url_shown(url, q->where);
	q->base = event_base_new();
	if (!q->base)
		abort();
	if (redis_new(q->base, url, conf_int(conf, "redis.timeout"), &q->redis, err) < 0 ||
	    read_meta(q, err) < 0)
		return -1;
	*out = TAKE(q);
	return 0;
}

void query_close(struct query *q)
{
	if (!q)
		return;
	redis_free(q->redis);
	if (q->base)
		event_base_free(q->base);
	free(q);
}

int query_send(struct query *q, const struct redis_cmd *cmd, struct redisReply **out,
	       struct err *err)
{
	if (redis_call(q->redis, cmd, out, err) == 0)
		return 0;
	if (!redis_connected(q->redis))
		return err_set(err, ERR_TRANSIENT, "cannot reach Redis at %.120s: %s", q->where,
			       *redis_problem(q->redis) ? redis_problem(q->redis)
							: "no answer in time");
	return -1;
}

int query_ask(struct query *q, struct redisReply **out, struct err *err, ...)
{
	struct redis_cmd cmd;
	const char *arg;
	va_list ap;

	redis_cmd_init(&cmd);
	va_start(ap, err);
	while ((arg = va_arg(ap, const char *)))
		redis_arg(&cmd, arg);
	va_end(ap);
	return query_send(q, &cmd, out, err);
}

int query_script(struct query *q, struct redis_script *script, const struct redis_cmd *cmd,
		 struct redisReply **out, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *loaded = NULL;

	if (query_ask(q, &loaded, err, "SCRIPT", "LOAD", script->body, (char *)NULL) < 0)
		return err_wrap(err, "%s", script->name);
	return query_send(q, cmd, out, err);
}

void query_wait(struct query *q, int64_t ms)
{
	struct timeval tv = clock_timeval(ms);

	(void)event_base_loopexit(q->base, &tv);
	(void)event_base_dispatch(q->base);
}

int64_t query_id_ms(const char *id)
{
	char ms[24];
	int64_t at;

	if (!id || !text_copy(ms, sizeof(ms), id, strcspn(id, "-")) || !text_to_i64(ms, &at))
		return 0;
	return at;
}

bool query_is_ref(const char *text)
{
	const char *repo = strchr(text, ':');
	const char *run = repo ? strchr(repo + 1, ':') : NULL;

	return run && repo > text && run > repo + 1 && run[1] &&
	       strspn(repo + 1, "0123456789") == (size_t)(run - repo - 1) &&
	       strspn(run + 1, "0123456789") == strlen(run + 1);
}

/* --- which run --------------------------------------------------------------------- */

/* A page such as https://github.com/owner/name/actions/runs/123/attempts/2, or just 123. */
static bool page_number(const char *what, char number[static 24])
{
	const char *runs = strstr(what, "/runs/");
	const char *digits = runs ? runs + strlen("/runs/") : what;
	size_t n = strspn(digits, "0123456789");

	if (n == 0 || n > 20 || (runs ? digits[n] && !strchr("/?#", digits[n]) : digits[n] != '\0'))
		return false;
	return text_copy(number, 24, digits, n);
}

static bool ends_with_number(const char *ref, const char *number)
{
	const char *colon = strrchr(ref, ':');

	return colon && strcmp(colon + 1, number) == 0;
}

static int look_in(struct query *q, unsigned partition, const char *number, unsigned *found,
		   char ref[static QUERY_REF_MAX], struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	char key[KEY_MAX];

	key_part(&q->ks, partition, "runs", key);
	if (query_ask(q, &reply, err, "ZREVRANGE", key, "0", "-1", (char *)NULL) < 0)
		return -1;
	for (size_t i = 0; i < redis_len(reply); i++) {
		const char *member = redis_str(redis_at(reply, i));

		if (!member || !ends_with_number(member, number))
			continue;
		if ((*found)++ == 0)
			(void)text_copy(ref, QUERY_REF_MAX, member, strlen(member));
	}
	return 0;
}

int query_find_run(struct query *q, const char *what, char ref[static QUERY_REF_MAX],
		   struct err *err)
{
	const char *last = strrchr(what, ':');
	char number[24];
	unsigned found = 0;

	(void)text_copy(ref, QUERY_REF_MAX, what, strlen(what));
	if (query_is_ref(what))
		return 0;
	if (last && (size_t)(last - what) < QUERY_REF_MAX) {
		/* A plan is a reference and a generation. */
		ref[last - what] = '\0';
		if (query_is_ref(ref))
			return 0;
	}
	if (!page_number(what, number))
		return err_set(
			err, ERR_CONFIG,
			"\"%.60s\" names no run: give SOURCE:REPOSITORY-ID:RUN-ID as `status` "
			"shows it, the run's number, or the address of its page",
			what);
	for (unsigned p = 0; p < q->ks.partitions; p++)
		if (look_in(q, p, number, &found, ref, err) < 0)
			return -1;
	if (found == 0)
		return err_set(err, ERR_INPUT, "no run %s is known here", number);
	if (found > 1)
		return err_set(err, ERR_INPUT,
			       "%u runs have the number %s: say which, as SOURCE:REPOSITORY-ID:%s",
			       found, number, number);
	return 0;
}

int query_stop(struct query *q, char why[static 200], struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	char key[KEY_MAX];
	const char *text;

	key_region(&q->ks, "stop", key);
	if (query_ask(q, &reply, err, "GET", key, (char *)NULL) < 0)
		return -1;
	text = redis_str(reply);
	(void)snprintf(why, 200, "%s", !text ? "" : *text ? text : "no reason was given");
	return 0;
}

enum { AUDIT_WAIT_MS = 5000, AUDIT_POLL_MS = 5, AUDIT_ARGS = 8 };

int query_audit(struct query *q, const struct conf *conf, struct err *err, const char *what,
		const char *const *pairs)
{
	OWNED(audit_freep) struct audit *a = audit_new(q->base, q->redis, &q->ks, conf, "cli");
	const char *arg[AUDIT_ARGS] = { NULL };
	int64_t end = clock_mono_ms() + AUDIT_WAIT_MS;

	for (size_t i = 0; i < AUDIT_ARGS && pairs[i]; i++)
		arg[i] = pairs[i];
	audit_write(a, what, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5], arg[6], arg[7],
		    (char *)NULL);
	while (audit_waiting(a) && clock_mono_ms() < end)
		query_wait(q, AUDIT_POLL_MS);
	return audit_waiting(a) ? err_set(err, ERR_TRANSIENT,
					  "it was done, but the audit log does not answer")
				: 0;
}
