#include "core/cluster_view.h"

#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/redis.h"

static int64_t number(const struct redisReply *hash, const char *field)
{
	const char *text = redis_field(hash, field);

	return text ? strtoll(text, NULL, 10) : 0;
}

/* One name on each line. */
static struct json_object *names(const char *text)
{
	struct json_object *list = json_object_new_array();

	while (text && *text) {
		size_t n = strcspn(text, "\n");

		if (n)
			json_object_array_add(list, json_object_new_string_len(text, (int)n));
		text += n + (text[n] == '\n');
	}
	return list;
}

struct json_object *cluster_json(const char *fingerprint, const struct redisReply *hash)
{
	static const char *const texts[] = {
		"category", "subcategory", "rule", "title", "example", "run",
	};
	struct json_object *o;

	if (number(hash, "count") <= 0)
		return NULL;
	o = json_object_new_object();
	json_add_str(o, "fingerprint", fingerprint);
	json_add_i64(o, "count", number(hash, "count"));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		json_add_str(o, texts[i], redis_field(hash, texts[i]));
	json_add_i64(o, "first_seen_ms", number(hash, "first_seen_ms"));
	json_add_i64(o, "last_seen_ms", number(hash, "last_seen_ms"));
	json_add(o, "repositories", names(redis_field(hash, "repos")));
	json_add_bool(o, "more_repositories", number(hash, "more_repos") != 0);
	return o;
}
