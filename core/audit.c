#include "core/audit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#include "core/audit_chain.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/keys.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/redis.h"
#include "core/text.h"

static const struct conf_option options[] = {
	{ "audit.key", CONF_SECRET, NULL, NULL, NULL,
	  "Key of the audit log's chain, the newest first during rotation; unset: `start` makes "
	  "one, "
	  "other roles write a chain that only shows accidents." },
	{ "audit.dir", CONF_STR, NULL, NULL, NULL,
	  "Folder for a copy of the audit log, a file per day; unset: `start` uses its data "
	  "folder." },
	{ "audit.keep", CONF_DURATION, "365d", "1d", "3650d", "How long audit records are kept." },
	{ "audit.max", CONF_INT, "100000", "10", "100000000",
	  "Most audit records that are kept in Redis; the oldest go first. The files have them "
	  "all." },
};

const struct conf_table audit_conf = {
	.title = "Audit",
	.options = options,
	.n = ARRAY_LEN(options),
};

enum {
	ANCHOR_EVERY = 100,
	AGAIN_MS = 1000,
	DAY_MS = 24 * 3600 * 1000,
	LINE_MAX_BYTES = 16 * 1024,
};

struct waiting {
	TAILQ_ENTRY(waiting) next;
	struct audit *audit;
	uint64_t seq;
	char mac[AUDIT_MAC_HEX + 1];
	size_t n;
	bool sent;
	char *texts[2 * AUDIT_FIELDS_MAX];
};

struct audit {
	struct redis *redis;
	const struct conf *conf;
	char writer[AUDIT_WRITER_MAX], stream[KEY_MAX], heads[KEY_MAX];
	uint64_t seq, anchored;
	char prev[AUDIT_MAC_HEX + 1];
	TAILQ_HEAD(waiting_list, waiting) waiting;
	unsigned n_waiting, in_flight;
	uint64_t dropped;
	struct event *again;
	int fd;
	int64_t day; /* of fd */
	bool file_broken;
};

/*
 * KEYS stream heads; ARGV writer seq mac at_ms first fields... What was added already, by a command
 * whose answer was lost, is not added again; and nothing comes before what an older record of the
 * writer, which is still to be sent (first = 0), would have to follow.
 */
static struct redis_script append_script = {
	.name = "audit",
	.body = "local head = redis.call('HGET', KEYS[2], ARGV[1]) "
		"local last = head and tonumber(string.match(head, '^%d+')) or 0 "
		"if tonumber(ARGV[2]) <= last then return 'known' end "
		"if tonumber(ARGV[2]) > last + 1 and ARGV[5] == '0' then "
		"  return redis.error_reply('GAP before the record') "
		"end "
		"redis.call('XADD', KEYS[1], '*', unpack(ARGV, 6)) "
		"redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4]) "
		"return 'added'",
};

/* --- the file ------------------------------------------------------------------ */

static int is_ours(const struct dirent *d)
{
	return text_starts(d->d_name, "audit-") && text_ends(d->d_name, ".jsonl");
}

/* Names sort by day, so those that are too old come first. */
static void drop_old_files(const struct audit *a, const char *folder, int64_t now_ms)
{
	char oldest[25], keep[48], path[1200];
	struct dirent **names;
	int n = scandir(folder, &names, is_ours, alphasort);

	text_from_ms(oldest, now_ms - conf_int(a->conf, "audit.keep") - DAY_MS);
	(void)snprintf(keep, sizeof(keep), "audit-%.10s.jsonl", oldest);
	for (int i = 0; i < n; i++) {
		if (strcmp(names[i]->d_name, keep) < 0) {
			(void)snprintf(path, sizeof(path), "%.900s/%.255s", folder,
				       names[i]->d_name);
			(void)unlink(path);
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

static void open_file(struct audit *a, int64_t now_ms)
{
	const char *folder = conf_str(a->conf, "audit.dir");
	char path[1100], today[25];

	if (a->fd >= 0 && now_ms / DAY_MS == a->day)
		return;
	if (a->fd >= 0)
		(void)close(a->fd);
	a->fd = -1;
	a->day = now_ms / DAY_MS;
	if (!folder)
		return;
	text_from_ms(today, now_ms);
	(void)mkdir(folder, 0700);
	(void)snprintf(path, sizeof(path), "%.900s/audit-%.10s.jsonl", folder, today);
	a->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (a->fd < 0)
		log_error("the audit file cannot be opened", KV("path", path),
			  KV("why", strerror(errno)));
	else
		drop_old_files(a, folder, now_ms);
}

/* One write per line: writers share the file. */
static void write_file(struct audit *a, const struct audit_record *r, const char *mac,
		       int64_t now_ms)
{
	OWNED(buf_done) struct buf line;

	open_file(a, now_ms);
	if (a->fd < 0)
		return;
	buf_init(&line, LINE_MAX_BYTES);
	buf_putc(&line, '{');
	for (size_t i = 0; i < r->n; i++) {
		buf_json(&line, r->pairs[i].name, strlen(r->pairs[i].name));
		buf_putc(&line, ':');
		buf_json(&line, r->pairs[i].value, strlen(r->pairs[i].value));
		buf_putc(&line, ',');
	}
	buf_printf(&line, "\"mac\":\"%s\"}\n", mac);
	if (!line.overflow && write(a->fd, line.data, line.len) == (ssize_t)line.len) {
		a->file_broken = false;
	} else if (!a->file_broken) {
		a->file_broken = true;
		log_error("the audit file cannot be written", KV("why", strerror(errno)));
	}
}

/* --- the stream -------------------------------------------------------------------- */

static void waiting_free(struct waiting *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->texts[i]);
	free(w);
}

static void on_added(const struct redisReply *reply, void *arg)
{
	struct audit *a = arg;
	struct waiting *w = TAILQ_FIRST(&a->waiting);
	struct timeval tv = clock_timeval(AGAIN_MS);

	/* Answers come in the order of the commands. After the first that failed, all are sent
	 * again. */
	a->in_flight--;
	if (redis_is_error(reply, NULL) || !w || !w->sent) {
		TAILQ_FOREACH(w, &a->waiting, next)
		w->sent = false;
		(void)evtimer_add(a->again, &tv);
		return;
	}
	TAILQ_REMOVE(&a->waiting, w, next);
	a->n_waiting--;
	waiting_free(w);
}

static void send_one(struct audit *a, struct waiting *w)
{
	struct redis_cmd cmd;

	redis_script_cmd(&cmd, &append_script, 2);
	redis_arg(&cmd, a->stream);
	redis_arg(&cmd, a->heads);
	redis_arg(&cmd, a->writer);
	redis_arg_i64(&cmd, (int64_t)w->seq);
	redis_arg(&cmd, w->mac);
	redis_arg_i64(&cmd, clock_wall_ms());
	redis_arg(&cmd, w == TAILQ_FIRST(&a->waiting) ? "1" : "0");
	for (size_t i = 0; i < w->n; i++)
		redis_arg(&cmd, w->texts[i]);
	redis_arg(&cmd, "mac");
	redis_arg(&cmd, w->mac);
	w->sent = true;
	a->in_flight++;
	redis_send_script(a->redis, &append_script, &cmd, on_added, a);
}

static void send_waiting(struct audit *a)
{
	struct waiting *w;

	TAILQ_FOREACH(w, &a->waiting, next)
	if (!w->sent)
		send_one(a, w);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct audit *a = arg;
	struct timeval tv = clock_timeval(AGAIN_MS);

	UNUSED(fd);
	UNUSED(what);
	/* The answers of the last round first: they say nothing about this one. */
	if (a->in_flight || !redis_connected(a->redis))
		(void)evtimer_add(a->again, &tv);
	else
		send_waiting(a);
}

static void enqueue(struct audit *a, const struct audit_record *r, const char *mac)
{
	struct waiting *w;

	if (a->n_waiting >= AUDIT_WAITING_MAX) {
		if (a->dropped++ == 0)
			log_error("audit records are lost to Redis: too many wait for it",
				  KV("writer", a->writer), KV("seq", a->seq));
		return;
	}
	w = xcalloc(1, sizeof(*w));
	w->seq = a->seq;
	(void)text_copy(w->mac, sizeof(w->mac), mac, strlen(mac));
	for (size_t i = 0; i < r->n; i++) {
		w->texts[w->n++] = xstrdup(r->pairs[i].name);
		w->texts[w->n++] = xstrdup(r->pairs[i].value);
	}
	TAILQ_INSERT_TAIL(&a->waiting, w, next);
	a->n_waiting++;
	if (!evtimer_pending(a->again, NULL))
		send_one(a, w);
}

/* --- records ---------------------------------------------------------------------------- */

void audit_anchor(struct audit *a)
{
	if (a->anchored == a->seq)
		return;
	a->anchored = a->seq;
	log_info("audit anchor", KV("writer", a->writer), KV("seq", a->seq), KV("mac", a->prev));
}

static void add(struct audit_record *r, const char *name, const char *value)
{
	if (r->n < AUDIT_FIELDS_MAX)
		r->pairs[r->n++] = (struct audit_pair){ name, value };
}

void audit_write_pairs(struct audit *a, const char *what, const char *const *pairs)
{
	char seq[24], at[24], key_id[AUDIT_KEY_ID_HEX + 1], mac[AUDIT_MAC_HEX + 1];
	char values[AUDIT_FIELDS_MAX][AUDIT_VALUE_MAX];
	const char *key = conf_secret(a->conf, "audit.key", 0);
	struct audit_record r = { .n = 0 };
	int64_t now = clock_wall_ms();

	audit_key_id(key ? key : "", key_id);
	(void)snprintf(seq, sizeof(seq), "%" PRIu64, ++a->seq);
	(void)snprintf(at, sizeof(at), "%" PRId64, now);
	add(&r, "v", "1");
	add(&r, "writer", a->writer);
	add(&r, "seq", seq);
	add(&r, "at_ms", at);
	add(&r, "key", key_id);
	add(&r, "what", what);
	for (; pairs[0] && r.n + 1 < AUDIT_FIELDS_MAX; pairs += 2) {
		if (!pairs[1] || !*pairs[1])
			continue;
		(void)text_copy(values[r.n], AUDIT_VALUE_MAX, pairs[1], strlen(pairs[1]));
		add(&r, pairs[0], values[r.n]);
	}
	add(&r, "prev", a->prev);
	audit_mac(key ? key : "", &r, mac);
	write_file(a, &r, mac, now);
	enqueue(a, &r, mac);
	(void)text_copy(a->prev, sizeof(a->prev), mac, strlen(mac));
	if (a->seq % ANCHOR_EVERY == 0)
		audit_anchor(a);
}

void audit_write(struct audit *a, const char *what, ...)
{
	const char *pairs[2 * AUDIT_FIELDS_MAX + 1] = { NULL };
	va_list ap;

	va_start(ap, what);
	for (size_t i = 0; i < 2 * AUDIT_FIELDS_MAX; i += 2) {
		pairs[i] = va_arg(ap, const char *);
		if (!pairs[i])
			break;
		pairs[i + 1] = va_arg(ap, const char *);
	}
	va_end(ap);
	audit_write_pairs(a, what, pairs);
}

const char *audit_position(const struct audit *a, uint64_t *seq)
{
	*seq = a->seq;
	return a->writer;
}

/* --- life --------------------------------------------------------------------------------- */

struct audit *audit_new(struct event_base *base, struct redis *redis, const struct keyspace *ks,
			const struct conf *conf, const char *role)
{
	struct audit *a = xcalloc(1, sizeof(*a));
	char host[48] = "", unique[9];

	(void)gethostname(host, sizeof(host) - 1);
	random_hex(unique, 4);
	(void)snprintf(a->writer, sizeof(a->writer), "%s-%s-%d-%s", role, *host ? host : "host",
		       (int)getpid(), unique);
	a->redis = redis;
	a->conf = conf;
	a->fd = -1;
	TAILQ_INIT(&a->waiting);
	key_region(ks, "audit", a->stream);
	key_region(ks, "audit:heads", a->heads);
	a->again = evtimer_new(base, on_again, a);
	if (!a->again)
		abort();
	return a;
}

void audit_free(struct audit *a)
{
	struct waiting *w;

	if (!a)
		return;
	while ((w = TAILQ_FIRST(&a->waiting))) {
		TAILQ_REMOVE(&a->waiting, w, next);
		waiting_free(w);
	}
	event_free(a->again);
	if (a->fd >= 0)
		(void)close(a->fd);
	free(a);
}

unsigned audit_waiting(const struct audit *a)
{
	return a->n_waiting;
}
