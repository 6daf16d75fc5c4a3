#include "dispatcher/incident_news.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/incident.h"
#include "core/log.h"
#include "core/redis.h"
#include "core/text.h"
#include "dispatcher/engine.h"
#include "dispatcher/notify_queue.h"

enum { HOUR_MS = 3600 * 1000 };

/* What an incident's news is called among the words of messages. */
static const struct {
	const char *news, *word;
} words[] = {
	{ "opened", "incident" },
	{ "reopened", "incident" },
	{ "extended", "incident_extended" },
	{ "released", "incident_released" },
	{ "closed", "incident_closed" },
};

static const char *word_of(const char *news)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i].news, news) == 0)
			return words[i].word;
	return "";
}

static const char *field(const struct redisReply *fields, const char *name)
{
	const char *text = redis_field(fields, name);

	return text ? text : "";
}

static int64_t number(const struct redisReply *fields, const char *name)
{
	int64_t n;

	return text_to_i64(field(fields, name), &n) ? n : 0;
}

static void on_removed(const struct redisReply *reply, void *arg)
{
	struct engine *e = arg;

	e->news.busy = false;
	if (!redis_is_error(reply, NULL))
		incident_news_tell(e);
}

static void end(struct engine *e)
{
	char key[KEY_MAX];

	if (e->news.failed) {
		/* The next one who looks tells it, and only to whom it was not told. */
		e->news.busy = false;
		return;
	}
	incident_news_key(&e->ks, key);
	redis_send_args(e->writer, on_removed, e, "XDEL", key, e->news.id, (char *)NULL);
}

static void on_put(const struct redisReply *reply, void *arg)
{
	struct engine *e = arg;

	if (redis_is_error(reply, NULL))
		e->news.failed = true;
	if (--e->news.asked == 0)
		end(e);
}

/*
 * One name per change, whoever tells it. An outage that comes and goes is told once an hour that it
 * went and once that it came back.
 */
static void name_of(const struct redisReply *fields, const char *id, char out[static NOTIFY_ID_MAX])
{
	const char *news = field(fields, "word");
	bool repeats = strcmp(news, "released") == 0 || strcmp(news, "reopened") == 0;

	if (repeats && strcmp(field(fields, "by"), INCIDENT_BY_ITSELF) == 0)
		(void)snprintf(out, NOTIFY_ID_MAX, "incident:%.139s:%" PRId64 ":%s:%" PRId64,
			       field(fields, "subject"), number(fields, "opened_ms"), news,
			       number(fields, "at_ms") / HOUR_MS);
	else
		(void)snprintf(out, NOTIFY_ID_MAX, "incident:%.139s:%.40s",
			       field(fields, "subject"), id);
}

static void on_news(const struct redisReply *reply, void *arg)
{
	struct engine *e = arg;
	const struct redisReply *entry = redis_at(reply, 0), *fields = redis_at(entry, 1);
	const char *id = redis_str(redis_at(entry, 0)), *by, *reason;
	char name[NOTIFY_ID_MAX];
	bool itself;

	if (!id) {
		e->news.busy = false;
		return;
	}
	by = field(fields, "by");
	reason = field(fields, "reason");
	itself = strcmp(by, INCIDENT_BY_ITSELF) == 0;
	name_of(fields, id, name);
	(void)text_copy(e->news.id, sizeof(e->news.id), id, strlen(id));
	const struct notify_event event = {
		.word = word_of(field(fields, "word")),
		.id = name,
		.subject = field(fields, "subject"),
		.title = itself ? reason : "",
		.detail = itself ? "" : reason,
		.by = itself ? "" : by,
		.repositories = number(fields, "repositories"),
		.at_ms = number(fields, "at_ms"),
	};
	e->news.failed = false;
	e->news.asked = notify_event(e, &event, on_put, e);
	if (!e->news.asked)
		end(e);
}

void incident_news_tell(struct engine *e)
{
	char key[KEY_MAX];

	if (e->news.busy)
		return;
	e->news.busy = true;
	incident_news_key(&e->ks, key);
	redis_send_args(e->writer, on_news, e, "XRANGE", key, "-", "+", "COUNT", "1", (char *)NULL);
}
