/* Arguments and URLs come from strangers' repositories: any give a verdict within its bounds. */
#include <string.h>

#include "core/conf.h"
#include "core/mem.h"
#include "healers/security.h"
#include "tests/fuzz/fuzz.h"

enum { ARGS = 8 };

static const struct conf_table *const tables[] = { &security_conf };

/* One argument a line, the first being the program's name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct conf *conf;
	OWNED(freep) char *text = xstrndup((const char *)data, size);
	const char *argv[ARGS + 1] = { NULL };
	const struct security_command cmd = { .argv = argv, .cwd = "/tmp", .network = size % 2 };
	struct security_verdict v;
	unsigned taken = 0;
	char said[256], *p = text;
	struct err err;

	if (!conf)
		conf = conf_new(tables, 1);
	for (size_t n = 0; n < ARGS && *p; n++) {
		argv[n] = p;
		p += strcspn(p, "\n");
		if (*p)
			*p++ = '\0';
	}
	security_check(conf, &cmd, &v);
	FUZZ_ASSERT(v.score <= SECURITY_SCORE_MAX && v.n_reasons <= SECURITY_REASONS_MAX);
	for (unsigned i = 0; i < v.n_reasons; i++) {
		taken += v.reasons[i].weight;
		for (const char *c = v.reasons[i].detail; *c; c++)
			FUZZ_ASSERT((unsigned char)*c >= ' ' && *c != 127);
	}
	FUZZ_ASSERT(v.n_reasons || v.score == SECURITY_SCORE_MAX);
	FUZZ_ASSERT(taken >= SECURITY_SCORE_MAX || v.n_reasons == SECURITY_REASONS_MAX ||
		    v.score == SECURITY_SCORE_MAX - taken);
	FUZZ_ASSERT(!v.allowed || (argv[0] && !strchr(argv[0], '/')));
	security_say(&v, said, sizeof(said));
	FUZZ_ASSERT(strlen(said) < sizeof(said));
	for (size_t n = 0; argv[n]; n++)
		if (security_check_url(argv[n], &err) < 0)
			FUZZ_ASSERT(err.kind == ERR_INPUT && *err.msg);
	return 0;
}
