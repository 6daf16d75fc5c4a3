/*
 * One event = one line = one constant message + key/values:
 *
 *	log_info("webhook accepted", KV("repo", ev.repo), KV("run", ev.run_id));
 *
 * Never a payload, a header value or a token. Values are escaped, so hostile
 * text cannot forge a line. Libraries return errors; whoever decides logs once.
 */
#ifndef GUARD_CORE_LOG_H
#define GUARD_CORE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base.h"

enum log_level { LEVEL_ERROR, LEVEL_WARN, LEVEL_INFO, LEVEL_DEBUG };

struct log_kv {
	const char *key; /* NULL ends the list */
	const char *str; /* NULL: use num */
	int64_t num;
	bool is_unsigned;
};

/* `role` ("receiver", ...) is written into every line; text is for people, else JSON. */
void log_init(const char *role, enum log_level, bool text);
bool log_level_from_text(const char *s, enum log_level *out);
bool log_enabled(enum log_level);

static inline struct log_kv kv_str(const char *key, const char *s)
{
	return (struct log_kv){ .key = key, .str = s ? s : "" };
}
static inline struct log_kv kv_i64(const char *key, long long n)
{
	return (struct log_kv){ .key = key, .num = n };
}
static inline struct log_kv kv_u64(const char *key, unsigned long long n)
{
	return (struct log_kv){ .key = key, .num = (int64_t)n, .is_unsigned = true };
}

/* clang-format off */
#define KV(key, val)                      \
	_Generic((val),                   \
		char *: kv_str,           \
		const char *: kv_str,     \
		int: kv_i64,              \
		long: kv_i64,             \
		long long: kv_i64,        \
		unsigned: kv_u64,         \
		unsigned long: kv_u64,    \
		unsigned long long: kv_u64)((key), (val))
/* clang-format on */
#define KV_END ((struct log_kv){ .key = NULL })

#define log_debug(...) log_at(LEVEL_DEBUG, __VA_ARGS__, KV_END)
#define log_info(...)  log_at(LEVEL_INFO, __VA_ARGS__, KV_END)
#define log_warn(...)  log_at(LEVEL_WARN, __VA_ARGS__, KV_END)
#define log_error(...) log_at(LEVEL_ERROR, __VA_ARGS__, KV_END)
#define log_at(level, msg, ...) \
	log_write((level), __func__, "" msg, (const struct log_kv[]){ __VA_ARGS__ })

void log_write(enum log_level, const char *func, const char *msg, const struct log_kv *);

#endif
