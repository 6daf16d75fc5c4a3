#include "core/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/text.h"

enum { LINE_MAX_BYTES = 16 * 1024 };

static const char *const names[] = { "error", "warn", "info", "debug" };
static const char *log_role = "pipeline-guard";
static enum log_level threshold = LEVEL_INFO;
static bool as_text;

void log_init(const char *role, enum log_level level, bool text)
{
	log_role = role;
	threshold = level;
	as_text = text;
}

bool log_level_from_text(const char *s, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], s) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

bool log_enabled(enum log_level level)
{
	return level <= threshold;
}

static void put_value(struct buf *b, const struct log_kv *kv)
{
	if (kv->str)
		buf_json(b, kv->str, strlen(kv->str));
	else if (kv->is_unsigned)
		buf_printf(b, "%" PRIu64, (uint64_t)kv->num);
	else
		buf_printf(b, "%" PRId64, kv->num);
}

static void format(struct buf *line, enum log_level level, const char *func, const char *msg,
		   const struct log_kv *kv)
{
	char at[25];

	text_from_ms(at, clock_wall_ms());
	if (as_text) {
		buf_printf(line, "%s %-5s %s: %s", at, names[level], log_role, msg);
		for (; kv->key; kv++) {
			buf_printf(line, " %s=", kv->key);
			put_value(line, kv);
		}
		buf_putc(line, '\n');
	} else {
		buf_printf(line,
			   "{\"at\":\"%s\",\"level\":\"%s\",\"role\":\"%s\",\"fn\":\"%s\",\"msg\":",
			   at, names[level], log_role, func);
		buf_json(line, msg, strlen(msg));
		for (; kv->key; kv++) {
			buf_printf(line, ",\"%s\":", kv->key);
			put_value(line, kv);
		}
		buf_puts(line, "}\n");
	}
}

void log_write(enum log_level level, const char *func, const char *msg, const struct log_kv *kv)
{
	static const struct log_kv too_long[] = { { .key = "left_out", .str = "values too long" },
						  { .key = NULL } };
	OWNED(buf_done) struct buf line;

	if (!log_enabled(level))
		return;
	buf_init(&line, LINE_MAX_BYTES);
	format(&line, level, func, msg, kv);
	/* A stranger's long text must not make the event disappear. */
	if (line.overflow) {
		buf_reset(&line);
		format(&line, level, func, msg, too_long);
	}
	/* One write per line, so that the lines of several processes do not mix. */
	(void)!write(STDERR_FILENO, line.data, line.len);
}
