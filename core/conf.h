/*
 * Configuration: every module has one table of options; the same rows parse
 * the YAML file, PIPELINE_GUARD_* variables and --set, validate, print
 * `config` and generate docs/configuration.md.
 *
 * A key is dotted and lower case ("redis.url"). In the file dots are nesting;
 * as a variable it is PIPELINE_GUARD_REDIS_URL. For a secret, the variable
 * PIPELINE_GUARD_<KEY>_FILE or the key "<key>_file" names a file to read it from.
 * Some tables repeat: "sources.NAME.auth" for every NAME (struct conf_table).
 * Later wins: default, file, environment, --set (secrets are refused there: argv is public).
 */
#ifndef GUARD_CORE_CONF_H
#define GUARD_CORE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

enum conf_type {
	CONF_STR,
	CONF_INT,
	CONF_BOOL,     /* true/false, yes/no, on/off */
	CONF_DURATION, /* "250ms" "30s" "5m" "2h" "3d"; stored in ms */
	CONF_SIZE,     /* "64k" "25m" "1g", 1024-based; stored in bytes */
	CONF_SECRET,   /* comma-separated list during rotation; never printed */
};

struct conf_option {
	const char *key;
	enum conf_type type;
	const char *def;       /* as it would be typed; NULL: unset */
	const char *min, *max; /* as they would be typed; NULL: no limit */
	const char *help;      /* one sentence for the manual */
};

/* Whether text is good for an option; called for each secret of a list, so never quote it then. */
typedef int conf_check_fn(const char *key, const char *text, struct err *);

struct conf_table {
	const char *title; /* heading in the manual */
	const struct conf_option *options;
	size_t n;
	/*
	 * Not NULL: the options exist once per NAME that is mentioned somewhere, as
	 * "<section>.NAME.<key>" and PIPELINE_GUARD_<SECTION>_NAME_<KEY>. A name has lower-case
	 * letters, digits and dashes, a dash is '_' in variables, and no key may end in "_" and
	 * another key: so a variable has one meaning.
	 */
	const char *section;
	conf_check_fn *check; /* NULL: types and limits say it all; gets the key as in `options` */
};

struct conf;

/* Tables must outlive the conf. */
struct conf *conf_new(const struct conf_table *const *tables, size_t n_tables);
void conf_free(struct conf *);
DEFINE_OWNED(struct conf, conf_free)

/* At most 1 MiB of YAML without aliases; an option may be given once. */
int conf_load_file(struct conf *, const char *path, struct err *) MUST_CHECK;
/* Variables that name no option are one warning, not an error. PIPELINE_GUARD_TEST_* is not ours.
 */
int conf_load_env(struct conf *, struct err *) MUST_CHECK;
int conf_set(struct conf *, const char *assignment, struct err *) MUST_CHECK; /* "key=value" */

/* Getters; a key that is in no table is a bug and aborts. */
const char *conf_str(const struct conf *, const char *key); /* NULL when unset */
int64_t conf_int(const struct conf *, const char *key);     /* ints, ms, bytes */
bool conf_bool(const struct conf *, const char *key);
bool conf_is_set(const struct conf *, const char *key); /* by somebody, not by default */

/* Reads the files that secrets came from again: all of them, or on failure none. */
int conf_reload_secrets(struct conf *, struct err *) MUST_CHECK;

/* The i-th secret of the list, NULL past the end. Borrowed until secrets are reloaded. */
const char *conf_secret(const struct conf *, const char *key, size_t i);

enum { CONF_NAME_MAX = 32, CONF_NAMES_MAX = 64 };
/* The i-th NAME mentioned of a section, NULL past the end. */
const char *conf_section_name(const struct conf *, const char *section, size_t i);
/* Where the value comes from: "FILE:LINE", "PIPELINE_GUARD_X", "--set", "default" or "unset". */
const char *conf_origin(const struct conf *, const char *key);

/* Calls fn for every option in table order; `value` is "(set)" or NULL for secrets. */
typedef void conf_each_fn(const struct conf_table *, const struct conf_option *, const char *value,
			  const char *origin, void *arg);
void conf_each(const struct conf *, conf_each_fn *, void *arg);
/* What there is to set: options of repeating tables once, as "sources.NAME.auth", without values.
 */
void conf_describe(const struct conf *, conf_each_fn *, void *arg);

/* "250ms", "2h", "0"; false when it is none. */
bool conf_duration(const char *text, int64_t *out_ms);

#endif
