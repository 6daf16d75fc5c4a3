#include "core/incident.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/conf.h"
#include "core/finding.h"

/*
 * KEYS incidents seen news; ARGV 1 word, 2 subject, 3 for_ms, 4 reason, 5 by, 6 now ("1"), 7 most
 *
 * A close releases what waits under the budget; of what is being released already, or at once, it
 * ends the incident. What was seen before does not open it again.
 */
struct redis_script incident_order_script = {
	.name = "incident_order",
	.body = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / "
		"1000) " INCIDENT_NEWS_LUA
		"local ok, r = pcall(cjson.decode, redis.call('HGET', KEYS[1], ARGV[2]) or '') "
		"if not ok or type(r) ~= 'table' then r = nil end "
		"local said "
		"if ARGV[1] == 'open' then "
		"  if r then return 'exists' end "
		"  if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[7]) then return 'full' end "
		"  r = {subject = ARGV[2], state = 'open', by = ARGV[5], reason = ARGV[4], "
		"    opened_ms = now, since_ms = now, last_ms = now, repositories = 0, probes = 0, "
		"    probe_ms = 0, next_probe_ms = 0, canary = '', canary_until_ms = 0, "
		"    released = 0, until_ms = now + ARGV[3]} "
		"  said = 'opened' "
		"elseif not r then return 'none' "
		"elseif ARGV[1] == 'extend' then "
		"  if r.state ~= 'open' then r.state, r.since_ms, r.canary = 'open', now, '' end "
		"  r.until_ms = now + ARGV[3] "
		"  said = 'extended' "
		"else "
		"  redis.call('DEL', KEYS[2]) "
		"  if r.state == 'releasing' or ARGV[6] == '1' then "
		"    redis.call('HDEL', KEYS[1], ARGV[2]) "
		"    incident_news(KEYS[3], 'closed', r, ARGV[5], ARGV[4]) "
		"    return 'closed' "
		"  end "
		"  r.state, r.released_ms, r.next_release_ms = 'releasing', now, now "
		"  r.last_ms, r.canary, r.until_ms = now, '', 0 "
		"  said = 'released' "
		"end "
		"redis.call('HSET', KEYS[1], ARGV[2], cjson.encode(r)) "
		"incident_news(KEYS[3], said, r, ARGV[5], ARGV[4]) "
		"return said",
};

static bool all_of(const char *s, bool (*fits)(int ch))
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!fits((unsigned char)*s))
			return false;
	return true;
}

static bool is_hex(int ch)
{
	return isdigit(ch) || (ch >= 'a' && ch <= 'f');
}

static bool is_host(int ch)
{
	return isdigit(ch) || (ch >= 'a' && ch <= 'z') || ch == '-' || ch == '.';
}

static bool is_name(int ch)
{
	return isdigit(ch) || (ch >= 'a' && ch <= 'z') || ch == '_' || ch == '-';
}

static bool is_category(const char *text)
{
	char name[64];
	size_t n = strcspn(text, "/");

	if (n >= sizeof(name))
		return false;
	memcpy(name, text, n);
	name[n] = '\0';
	return finding_category_known(name) && (!text[n] || all_of(text + n + 1, is_name));
}

int incident_subject_check(const char *subject, struct err *err)
{
	if (strlen(subject) < INCIDENT_SUBJECT_MAX &&
	    ((strncmp(subject, "fp:", 3) == 0 && strlen(subject) == 3 + 16 &&
	      all_of(subject + 3, is_hex)) ||
	     (strncmp(subject, "host:", 5) == 0 && strlen(subject) <= 5 + INCIDENT_HOST_MAX &&
	      all_of(subject + 5, is_host)) ||
	     (strncmp(subject, "category:", 9) == 0 && is_category(subject + 9))))
		return 0;
	return err_set(err, ERR_CONFIG,
		       "\"%.60s\" is no subject: host:NAME in small letters, fp:FINGERPRINT of 16 "
		       "hex digits, or category:NAME[/SUBCATEGORY]",
		       subject);
}

void incident_news_key(const struct keyspace *ks, char key[static KEY_MAX])
{
	key_region(ks, "incident:news", key);
}

void incident_cmd(struct incident_cmd *c, const struct keyspace *ks, const struct incident_order *o)
{
	char name[INCIDENT_SUBJECT_MAX + 24];

	key_region(ks, "incidents", c->key);
	(void)snprintf(name, sizeof(name), "incident:seen:%s", o->subject);
	key_region(ks, name, c->seen);
	incident_news_key(ks, c->news);
	redis_script_cmd(&c->cmd, &incident_order_script, 3);
	redis_arg(&c->cmd, c->key);
	redis_arg(&c->cmd, c->seen);
	redis_arg(&c->cmd, c->news);
	redis_arg(&c->cmd, o->word);
	redis_arg(&c->cmd, o->subject);
	redis_arg_i64(&c->cmd, o->for_ms > 0 ? o->for_ms : INCIDENT_FOR_MS);
	redis_arg(&c->cmd, o->reason);
	redis_arg(&c->cmd, o->by);
	redis_arg(&c->cmd, o->now ? "1" : "0");
	redis_arg_i64(&c->cmd, INCIDENTS_MAX);
}

const char *incident_refusal(const char *word)
{
	static const char *const refusals[][2] = {
		{ "exists", "there is such an incident already: extend or close it" },
		{ "none", "there is no such incident" },
		{ "full", "there are too many incidents already: close some" },
	};

	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		if (strcmp(refusals[i][0], word) == 0)
			return refusals[i][1];
	return NULL;
}

int incident_for(const char *duration, int64_t *for_ms, struct err *err)
{
	*for_ms = 0;
	if (*duration &&
	    (!conf_duration(duration, for_ms) || *for_ms <= 0 || *for_ms > INCIDENT_FOR_MAX_MS))
		return err_set(err, ERR_CONFIG, "\"%.40s\" is no time from 1ms to 7d, such as 2h",
			       duration);
	return 0;
}
