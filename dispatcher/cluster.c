#include "dispatcher/cluster.h"

#include <stdio.h>

#include "core/finding.h"
#include "core/redis.h"
#include "dispatcher/fingerprint.h"
#include "dispatcher/work.h"

enum {
	CLUSTERS_MAX = 2000, /* the one that was not seen for longest goes */
	CLUSTER_TTL_S = 35 * 24 * 3600,
	REPOS_MAX = 16, /* names kept of each */
};

/*
 * KEYS clusters cluster
 * ARGV 1 fingerprint, 2 most, 3 ttl_s, 4 prefix of clusters, 5 most names, 6 repository, then pairs
 * The key of one that goes is known only here; it has the hash tag of the others.
 */
static struct redis_script count_script = {
	.name = "cluster_count",
	.body = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
		"redis.call('ZADD', KEYS[1], now, ARGV[1]) "
		"redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3] * 1000) "
		"redis.call('EXPIRE', KEYS[1], ARGV[3]) "
		"if redis.call('HINCRBY', KEYS[2], 'count', 1) == 1 then "
		"  redis.call('HSET', KEYS[2], 'first_seen_ms', now) "
		"end "
		"local repos = redis.call('HGET', KEYS[2], 'repos') or '' "
		"local _, n = string.gsub(repos, '\\n', '') "
		"if not string.find(repos, ARGV[6] .. '\\n', 1, true) then "
		"  if n < tonumber(ARGV[5]) then repos = repos .. ARGV[6] .. '\\n' "
		"  else redis.call('HSET', KEYS[2], 'more_repos', 1) end "
		"end "
		"redis.call('HSET', KEYS[2], 'last_seen_ms', now, 'repos', repos, "
		"unpack(ARGV, 7)) "
		"redis.call('EXPIRE', KEYS[2], ARGV[3]) "
		"while redis.call('ZCARD', KEYS[1]) > tonumber(ARGV[2]) do "
		"  local old = redis.call('ZRANGE', KEYS[1], 0, 0)[1] "
		"  redis.call('ZREM', KEYS[1], old) "
		"  redis.call('DEL', ARGV[4] .. old) "
		"end "
		"return 'ok'",
};

/* The line that says most: of a failure without a rule, what its fingerprint was made of. */
static const char *example_of(const struct finding *f)
{
	const char *lines[FINDING_EVIDENCE_MAX];

	if (f->n_evidence == 0)
		return f->n_failed_tests ? f->failed_tests[0] : f->title;
	for (size_t i = 0; i < f->n_evidence; i++)
		lines[i] = f->evidence[i].text;
	return *f->rule ? lines[0] : lines[fingerprint_telling(lines, f->n_evidence)];
}

void cluster_count(const struct task *t, const struct finding *f)
{
	const struct keyspace *ks = &t->e->ks;
	char clusters[KEY_MAX], cluster[KEY_MAX], prefix[KEY_MAX], name[64];
	struct redis_cmd cmd;

	if (!*f->fingerprint)
		return;
	key_region(ks, "clusters", clusters);
	key_region(ks, "cluster:", prefix);
	(void)snprintf(name, sizeof(name), "cluster:%s", f->fingerprint);
	key_region(ks, name, cluster);
	redis_script_cmd(&cmd, &count_script, 2);
	redis_arg(&cmd, clusters);
	redis_arg(&cmd, cluster);
	redis_arg(&cmd, f->fingerprint);
	redis_arg_i64(&cmd, CLUSTERS_MAX);
	redis_arg_i64(&cmd, CLUSTER_TTL_S);
	redis_arg(&cmd, prefix);
	redis_arg_i64(&cmd, REPOS_MAX);
	redis_arg(&cmd, t->run.repo);
	redis_arg(&cmd, "category");
	redis_arg(&cmd, f->category);
	redis_arg(&cmd, "subcategory");
	redis_arg(&cmd, f->subcategory);
	redis_arg(&cmd, "rule");
	redis_arg(&cmd, f->rule);
	redis_arg(&cmd, "title");
	redis_arg(&cmd, f->title);
	redis_arg(&cmd, "example");
	redis_arg(&cmd, example_of(f));
	redis_arg(&cmd, "run");
	redis_arg(&cmd, t->ref);
	redis_send_script(t->e->writer, &count_script, &cmd, NULL, NULL);
}
