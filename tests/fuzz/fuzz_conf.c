/*
 * A configuration file: taken, or refused with a place and a reason. A refused value never
 * counts, and no secret gets into a message or a listing.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/log.h"
#include "core/mem.h"
#include "tests/fuzz/fuzz.h"

static const struct conf_option options[] = {
	{ "name", CONF_STR, "anna", NULL, NULL, "A text." },
	{ "count", CONF_INT, "3", "1", "32", "A number." },
	{ "flag", CONF_BOOL, "false", NULL, NULL, "A flag." },
	{ "wait", CONF_DURATION, "3s", "50ms", "60s", "A duration." },
	{ "room", CONF_SIZE, "1m", "1k", "1g", "A size." },
	{ "part.token", CONF_SECRET, NULL, NULL, NULL, "A secret." },
	{ "part.inner.depth", CONF_INT, "1", "0", "9", "Two levels down." },
};
static const struct conf_table table = { .title = "Fuzz",
					 .options = options,
					 .n = ARRAY_LEN(options) };
static const struct conf_table *const tables[] = { &table };

static void check_value(const struct conf_table *t, const struct conf_option *o, const char *value,
			const char *origin, void *arg)
{
	FUZZ_ASSERT(t == &table && origin && *origin);
	if (o->type == CONF_SECRET)
		FUZZ_ASSERT(!value || strcmp(value, "(set)") == 0);
	UNUSED(arg);
}

static void check_conf(const struct conf *conf)
{
	int64_t count = conf_int(conf, "count"), wait = conf_int(conf, "wait");
	int64_t room = conf_int(conf, "room"), depth = conf_int(conf, "part.inner.depth");

	FUZZ_ASSERT(count >= 1 && count <= 32 && wait >= 50 && wait <= 60000);
	FUZZ_ASSERT(room >= 1 << 10 && room <= 1 << 30 && depth >= 0 && depth <= 9);
	FUZZ_ASSERT(conf_str(conf, "name") && !conf_str(conf, "part.token"));
	for (size_t i = 0; i < 9; i++) {
		const char *s = conf_secret(conf, "part.token", i);

		FUZZ_ASSERT(!s || (*s && !strpbrk(s, ",\r\n")));
		/* No holes: who walks the list stops at the first that is missing. */
		FUZZ_ASSERT(!s || i == 0 || conf_secret(conf, "part.token", i - 1));
	}
	conf_each(conf, check_value, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWNED(conf_freep) struct conf *conf = conf_new(tables, ARRAY_LEN(tables));
	OWNED(freep) char *path = NULL;
	struct err err = { 0 };
	int fd = memfd_create("conf", MFD_CLOEXEC);

	/* A file that names a secret's file would have us read what is on this machine. */
	if (fd < 0 || memmem(data, size, "_file", 5)) {
		(void)close(fd);
		return 0;
	}
	log_init("fuzz", LEVEL_ERROR, true);
	FUZZ_ASSERT(write(fd, data, size) == (ssize_t)size);
	path = xasprintf("/proc/self/fd/%d", fd);
	if (conf_load_file(conf, path, &err) < 0)
		FUZZ_ASSERT(err.kind == ERR_CONFIG && strstr(err.msg, path) == err.msg);
	check_conf(conf);
	(void)close(fd);
	return 0;
}
