#include "core/conf.h"
#include "core/crypto.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <yaml.h>

#include "core/buf.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"

enum {
	FILE_BYTES_MAX = 1 << 20,
	SECRET_BYTES_MAX = 64 << 10,
	SECRETS_MAX = 8,
	KEY_BYTES_MAX = 96,
	DEPTH_MAX = 8,
};

/* The option of one NAME of a repeating table. */
struct named_option {
	struct conf_option option;
	const struct conf_option *row; /* in the table */
	char name[CONF_NAME_MAX];
	char key[KEY_BYTES_MAX];
};

struct value {
	const struct conf_table *table;
	struct named_option *named; /* NULL: `option` is a row of the table */
	const struct conf_option *option;
	char *text;   /* as typed; NULL: unset or a secret */
	char *origin; /* "default", "FILE:LINE", "PIPELINE_GUARD_X", "--set" */
	int64_t number;
	char *secrets[SECRETS_MAX];
	char *file; /* where the secrets were read from; NULL: nowhere */
	bool given;
};

struct conf {
	const struct conf_table *const *tables;
	size_t n_tables;
	struct value *values; /* moves when a NAME is added */
	size_t n;
};

/* --- parsing one value ----------------------------------------------------- */

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit durations[] = { { "ms", 1 },      { "s", 1000 },     { "m", 60000 },
					 { "h", 3600000 }, { "d", 86400000 }, { NULL, 0 } };
static const struct unit sizes[] = {
	{ "", 1 }, { "k", 1 << 10 }, { "m", 1 << 20 }, { "g", 1 << 30 }, { NULL, 0 }
};

static bool parse_unit(const char *text, const struct unit *units, int64_t *out)
{
	size_t digits = strspn(text, "0123456789");
	OWNED(freep) char *number = xstrndup(text, digits);
	int64_t v;

	if (!digits || !text_to_i64(number, &v))
		return false;
	for (; units->name; units++)
		if (strcasecmp(text + digits, units->name) == 0)
			return !__builtin_mul_overflow(v, units->factor, out);
	/* A plain 0 needs no unit. */
	*out = 0;
	return v == 0 && !text[digits];
}

bool conf_duration(const char *text, int64_t *out_ms)
{
	return parse_unit(text, durations, out_ms);
}

static bool parse_bool(const char *text, int64_t *out)
{
	static const char *const words[][2] = {
		{ "false", "true" }, { "no", "yes" }, { "off", "on" }, { "0", "1" }
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		for (int v = 0; v < 2; v++) {
			if (strcasecmp(words[i][v], text) == 0) {
				*out = v;
				return true;
			}
		}
	}
	return false;
}

static bool parse_number(enum conf_type type, const char *text, int64_t *out)
{
	switch (type) {
	case CONF_INT:
		return text_to_i64(text, out);
	case CONF_BOOL:
		return parse_bool(text, out);
	case CONF_DURATION:
		return conf_duration(text, out);
	case CONF_SIZE:
		return parse_unit(text, sizes, out);
	case CONF_STR:
	case CONF_SECRET:
		break;
	}
	*out = 0;
	return true;
}

static int out_of_range(const struct conf_option *o, const char *text, struct err *err)
{
	return err_set(err, ERR_CONFIG, "%s: %s is outside %s .. %s", o->key, text,
		       o->min ? o->min : "", o->max ? o->max : "");
}

static int check_number(const struct conf_option *o, const char *text, int64_t *out,
			struct err *err)
{
	static const char *const expected[] = {
		[CONF_STR] = "text",
		[CONF_INT] = "a whole number",
		[CONF_BOOL] = "true or false",
		[CONF_DURATION] = "a duration such as 250ms, 30s, 5m, 2h or 3d",
		[CONF_SIZE] = "a size such as 64k, 25m or 1g",
		[CONF_SECRET] = "text",
	};
	int64_t v, limit;

	if (!parse_number(o->type, text, &v))
		return err_set(err, ERR_CONFIG, "%s: \"%.60s\" is not %s", o->key, text,
			       expected[o->type]);
	if (o->min && parse_number(o->type, o->min, &limit) && v < limit)
		return out_of_range(o, text, err);
	if (o->max && parse_number(o->type, o->max, &limit) && v > limit)
		return out_of_range(o, text, err);
	*out = v;
	return 0;
}

/* --- secrets --------------------------------------------------------------- */

static void forget_secrets(struct value *v)
{
	for (size_t i = 0; i < SECRETS_MAX; i++) {
		secret_free(v->secrets[i]);
		v->secrets[i] = NULL;
	}
}

static int check_text(const struct value *v, const char *text, struct err *err)
{
	const char *row = v->named ? v->named->row->key : v->option->key;

	if (v->table->check && v->table->check(row, text, err) < 0)
		return err_wrap(err, "%s", v->option->key);
	return 0;
}

/* Commas and line ends separate; a secret itself has neither. */
static int split_secrets(struct value *v, const char *text, struct err *err)
{
	size_t n = 0;

	forget_secrets(v);
	for (const char *p = text; *p;) {
		size_t len = strcspn(p, ",\r\n"), skip;

		for (skip = 0; skip < len && isspace((unsigned char)p[skip]);)
			skip++;
		while (len > skip && isspace((unsigned char)p[len - 1]))
			len--;
		if (len > skip) {
			if (n == SECRETS_MAX)
				return err_set(err, ERR_CONFIG, "%s: more than %d secrets",
					       v->option->key, SECRETS_MAX);
			v->secrets[n] = xstrndup(p + skip, len - skip);
			if (check_text(v, v->secrets[n++], err) < 0)
				return -1;
		}
		p += strcspn(p, ",\r\n");
		p += strspn(p, ",\r\n");
	}
	return 0;
}

static int slurp(const char *path, size_t max, char **out, size_t *len, struct err *err)
{
	OWNED(freep) char *text = xmalloc(max + 1);
	struct stat st;
	size_t n = 0;
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return err_set(err, ERR_CONFIG, "cannot open %s: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode)) {
		(void)close(fd);
		return err_set(err, ERR_CONFIG, "%s is not a file", path);
	}
	while (n <= max && (got = read(fd, text + n, max + 1 - n)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			(void)close(fd);
			return err_set(err, ERR_CONFIG, "cannot read %s: %s", path,
				       strerror(errno));
		}
		n += (size_t)got;
	}
	(void)close(fd);
	if (n > max)
		return err_set(err, ERR_CONFIG, "%s is larger than %zu KiB", path, max >> 10);
	text[n] = '\0';
	*len = n;
	*out = TAKE(text);
	return 0;
}

static int read_secret_file(struct value *v, const char *path, struct err *err)
{
	char *text = NULL;
	struct stat st;
	size_t len;
	int rc;

	if (slurp(path, SECRET_BYTES_MAX, &text, &len, err) < 0)
		return err_wrap(err, "%s_file", v->option->key);
	if (strlen(text) != len) {
		secret_free(text);
		return err_set(err, ERR_CONFIG, "%s_file: %s is not text", v->option->key, path);
	}
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & (S_IROTH | S_IWOTH)))
		log_warn("a secret can be read by everybody on this machine; chmod 600 it",
			 KV("file", path));
	rc = split_secrets(v, text, err);
	OPENSSL_cleanse(text, len);
	free(text);
	if (rc == 0 && !v->secrets[0])
		return err_set(err, ERR_CONFIG, "%s_file: %s is empty", v->option->key, path);
	return rc;
}

/* --- values ---------------------------------------------------------------- */

static struct value *find(const struct conf *conf, const char *key)
{
	for (size_t i = 0; i < conf->n; i++)
		if (strcmp(conf->values[i].option->key, key) == 0)
			return &conf->values[i];
	return NULL;
}

/* "KEY_file" of a secret. */
static struct value *find_file_of(const struct conf *conf, const char *key)
{
	char base[KEY_BYTES_MAX];
	struct value *v;

	if (!text_ends(key, "_file") ||
	    !text_copy(base, sizeof(base), key, strlen(key) - strlen("_file")))
		return NULL;
	v = find(conf, base);
	return v && v->option->type == CONF_SECRET ? v : NULL;
}

static int assign(struct value *v, bool from_file, const char *text, const char *origin,
		  struct err *err)
{
	int64_t number = 0;

	if (v->option->type != CONF_SECRET) {
		if (check_number(v->option, text, &number, err) < 0 || check_text(v, text, err) < 0)
			return -1;
		free(v->text);
		v->text = xstrdup(text);
		v->number = number;
	} else if ((from_file ? read_secret_file(v, text, err) : split_secrets(v, text, err)) < 0) {
		return -1;
	}
	free(v->file);
	v->file = from_file ? xstrdup(text) : NULL;
	free(v->origin);
	v->origin = xstrdup(origin);
	v->given = strcmp(origin, "default") != 0;
	return 0;
}

/* A default that does not parse is a bug in its table. */
static void set_default(struct value *v)
{
	struct err err;

	if (v->option->def && assign(v, false, v->option->def, "default", &err) < 0) {
		fprintf(stderr, "pipeline-guard: bad default: %s\n", err.msg);
		abort();
	}
}

/* --- repeating tables ------------------------------------------------------ */

/* "sources." of "sources.NAME.key"; 0 when the key is of no such section. */
static size_t section_prefix(const struct conf_table *t, const char *key)
{
	size_t n = t->section ? strlen(t->section) : 0;

	return n && strncmp(key, t->section, n) == 0 && key[n] == '.' ? n + 1 : 0;
}

static bool name_known(const struct conf *conf, const struct conf_table *t, const char *name)
{
	for (size_t i = 0; i < conf->n; i++)
		if (conf->values[i].table == t && conf->values[i].named &&
		    strcmp(conf->values[i].named->name, name) == 0)
			return true;
	return false;
}

static void add_name(struct conf *conf, const struct conf_table *t, const char *name)
{
	conf->values = xrealloc(conf->values, (conf->n + t->n) * sizeof(*conf->values));
	for (size_t i = 0; i < t->n; i++) {
		struct value *v = &conf->values[conf->n++];
		struct named_option *o = xcalloc(1, sizeof(*o));

		(void)text_copy(o->name, sizeof(o->name), name, strlen(name));
		if (snprintf(o->key, sizeof(o->key), "%s.%s.%s", t->section, name,
			     t->options[i].key) >= KEY_BYTES_MAX)
			abort();
		o->row = &t->options[i];
		o->option = t->options[i];
		o->option.key = o->key;
		*v = (struct value){ .table = t, .named = o, .option = &o->option };
		set_default(v);
	}
}

static int use_name(struct conf *conf, const struct conf_table *t, const char *name, size_t n,
		    struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	char own[CONF_NAME_MAX];
	size_t names = 0;

	if (!n || !text_copy(own, sizeof(own), name, n) || strspn(own, allowed) != n ||
	    own[0] == '-' || own[n - 1] == '-')
		return err_set(err, ERR_CONFIG,
			       "%s.%.*s: a name has 1 to %d lower-case letters, digits and dashes",
			       t->section, (int)(n < 60 ? n : 60), name, CONF_NAME_MAX - 1);
	if (name_known(conf, t, own))
		return 0;
	while (conf_section_name(conf, t->section, names))
		names++;
	if (names >= CONF_NAMES_MAX)
		return err_set(err, ERR_CONFIG, "%s: more than %d names", t->section,
			       CONF_NAMES_MAX);
	add_name(conf, t, own);
	return 0;
}

/* "sources.NAME" or "sources.NAME.key" makes the options of NAME exist. */
static int use_name_in(struct conf *conf, const char *key, struct err *err)
{
	for (size_t i = 0; i < conf->n_tables; i++) {
		size_t prefix = section_prefix(conf->tables[i], key);

		if (prefix)
			return use_name(conf, conf->tables[i], key + prefix,
					strcspn(key + prefix, "."), err);
	}
	return 0;
}

/* "github" when there is "github.token"; also "sources" and "sources.NAME". */
static bool is_section(const struct conf *conf, const char *key)
{
	size_t n = strlen(key);

	for (size_t i = 0; i < conf->n_tables; i++)
		if (conf->tables[i]->section && strcmp(conf->tables[i]->section, key) == 0)
			return true;
	for (size_t i = 0; i < conf->n; i++)
		if (strncmp(conf->values[i].option->key, key, n) == 0 &&
		    conf->values[i].option->key[n] == '.')
			return true;
	return false;
}

/* Levenshtein distance of short names, for "did you mean". */
static size_t distance(const char *a, const char *b)
{
	size_t n = strlen(b), row[KEY_BYTES_MAX + 1];

	if (n > KEY_BYTES_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

static int unknown_key(const struct conf *conf, const char *key, struct err *err)
{
	const char *nearest = NULL;
	size_t best = 5;

	for (size_t i = 0; i < conf->n; i++) {
		size_t d = distance(key, conf->values[i].option->key);

		if (d < best) {
			best = d;
			nearest = conf->values[i].option->key;
		}
	}
	return err_set(err, ERR_CONFIG, "unknown option \"%.80s\"%s%s%s", key,
		       nearest ? "; did you mean \"" : "; `pipeline-guard config` lists all",
		       nearest ? nearest : "", nearest ? "\"?" : "");
}

static int set_key(struct conf *conf, const char *key, const char *text, const char *origin,
		   struct err *err)
{
	struct value *v = find(conf, key);

	if (v)
		return assign(v, false, text, origin, err);
	v = find_file_of(conf, key);
	if (v)
		return assign(v, true, text, origin, err);
	return unknown_key(conf, key, err);
}

/* --- YAML ------------------------------------------------------------------ */

struct reader {
	struct conf *conf;
	yaml_document_t doc;
	const char *path;
};

static int at_mark(const struct reader *r, const yaml_node_t *node, struct err *err)
{
	return err_wrap(err, "%s:%zu:%zu", r->path, node->start_mark.line + 1,
			node->start_mark.column + 1);
}

static int read_node(struct reader *r, const char *key, const yaml_node_t *node, unsigned depth,
		     struct err *err);

/* "key:" and "key: ~" say nothing, as YAML means it; the option must exist all the same. */
static bool is_null(const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value;

	return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static bool is_text(const yaml_node_t *scalar)
{
	return strlen((const char *)scalar->data.scalar.value) == scalar->data.scalar.length;
}

static int set_from_file(struct reader *r, const char *key, const char *text,
			 const yaml_node_t *node, struct err *err)
{
	OWNED(freep) char *origin = xasprintf("%s:%zu", r->path, node->start_mark.line + 1);
	const struct value *v;
	size_t n = strlen(r->path);

	if (use_name_in(r->conf, key, err) < 0)
		return at_mark(r, node, err);
	v = find(r->conf, key);
	if (!v)
		v = find_file_of(r->conf, key);
	/* Which of two lines counts would be a guess. */
	if (v && v->given && strncmp(v->origin, r->path, n) == 0 && v->origin[n] == ':') {
		err_format(err, ERR_CONFIG, "%s: given before, in line %s", key, v->origin + n + 1);
		return at_mark(r, node, err);
	}
	if (set_key(r->conf, key, text, origin, err) < 0)
		return at_mark(r, node, err);
	return 0;
}

static int read_scalar(struct reader *r, const char *key, const yaml_node_t *node, struct err *err)
{
	const char *text = (const char *)node->data.scalar.value;

	if (!is_text(node)) {
		err_format(err, ERR_CONFIG, "%s: not text", key);
		return at_mark(r, node, err);
	}
	if (!is_null(node))
		return set_from_file(r, key, text, node, err);
	if (use_name_in(r->conf, key, err) < 0)
		return at_mark(r, node, err);
	if (find(r->conf, key) || find_file_of(r->conf, key) || is_section(r->conf, key))
		return 0;
	(void)unknown_key(r->conf, key, err);
	return at_mark(r, node, err);
}

static int read_mapping(struct reader *r, const char *prefix, const yaml_node_t *node,
			unsigned depth, struct err *err)
{
	const yaml_node_pair_t *pair = node->data.mapping.pairs.start;

	for (; pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *name = yaml_document_get_node(&r->doc, pair->key);
		const yaml_node_t *value = yaml_document_get_node(&r->doc, pair->value);
		char key[KEY_BYTES_MAX];
		int n;

		if (name->type != YAML_SCALAR_NODE || !is_text(name)) {
			err_format(err, ERR_CONFIG, "a key must be a plain word");
			return at_mark(r, name, err);
		}
		n = snprintf(key, sizeof(key), "%s%s%s", prefix, *prefix ? "." : "",
			     (const char *)name->data.scalar.value);
		if (n < 0 || (size_t)n >= sizeof(key)) {
			err_format(err, ERR_CONFIG, "the key is too long");
			return at_mark(r, name, err);
		}
		if (value->type == YAML_SCALAR_NODE ? read_scalar(r, key, value, err) < 0
						    : read_node(r, key, value, depth + 1, err) < 0)
			return -1;
	}
	return 0;
}

/* A list of plain values, as secrets are given during rotation. */
static int read_sequence(struct reader *r, const char *key, const yaml_node_t *node,
			 struct err *err)
{
	const yaml_node_item_t *item = node->data.sequence.items.start;
	OWNED(secret_freep) char *all = xstrdup("");

	for (; item < node->data.sequence.items.top; item++) {
		const yaml_node_t *value = yaml_document_get_node(&r->doc, *item);
		char *longer;

		if (value->type != YAML_SCALAR_NODE) {
			err_format(err, ERR_CONFIG, "%s: a list of plain values was expected", key);
			return at_mark(r, value, err);
		}
		if (!is_text(value)) {
			err_format(err, ERR_CONFIG, "%s: not text", key);
			return at_mark(r, value, err);
		}
		longer = xasprintf("%s%s%s", all, *all ? "," : "",
				   (const char *)value->data.scalar.value);
		secret_free(all);
		all = longer;
	}
	return set_from_file(r, key, all, node, err);
}

static int read_node(struct reader *r, const char *key, const yaml_node_t *node, unsigned depth,
		     struct err *err)
{
	if (depth > DEPTH_MAX) {
		err_format(err, ERR_CONFIG, "nested too deeply");
		return at_mark(r, node, err);
	}
	if (node->type == YAML_MAPPING_NODE)
		return read_mapping(r, key, node, depth, err);
	if (node->type == YAML_SEQUENCE_NODE && *key)
		return read_sequence(r, key, node, err);
	err_format(err, ERR_CONFIG, "options were expected here, as \"key: value\"");
	return at_mark(r, node, err);
}

/*
 * Aliases could make a small file a huge one, and nobody needs them here. Only the first
 * document is read, so options in a second one would be ignored without a word.
 */
static int check_stream(const char *path, const char *text, size_t n, struct err *err)
{
	yaml_parser_t parser;
	yaml_event_t event;
	unsigned documents = 0;
	bool done = false;
	int rc = 0;

	if (!yaml_parser_initialize(&parser))
		abort();
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
	while (!done && rc == 0) {
		if (!yaml_parser_parse(&parser, &event)) {
			rc = err_set(err, ERR_CONFIG, "%s:%zu:%zu: %s", path,
				     parser.problem_mark.line + 1, parser.problem_mark.column + 1,
				     parser.problem ? parser.problem : "not YAML");
			break;
		}
		if (event.type == YAML_ALIAS_EVENT)
			rc = err_set(err, ERR_CONFIG, "%s:%zu:%zu: aliases are not allowed", path,
				     event.start_mark.line + 1, event.start_mark.column + 1);
		if (event.type == YAML_DOCUMENT_START_EVENT && documents++)
			rc = err_set(err, ERR_CONFIG, "%s:%zu:%zu: only one document is allowed",
				     path, event.start_mark.line + 1, event.start_mark.column + 1);
		done = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return rc;
}

int conf_load_file(struct conf *conf, const char *path, struct err *err)
{
	struct reader r = { .conf = conf, .path = path };
	OWNED(freep) char *text = NULL;
	yaml_parser_t parser;
	yaml_node_t *root;
	size_t n;
	int rc = 0;

	if (slurp(path, FILE_BYTES_MAX, &text, &n, err) < 0 || check_stream(path, text, n, err) < 0)
		return -1;
	if (!yaml_parser_initialize(&parser))
		abort();
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
	if (!yaml_parser_load(&parser, &r.doc)) {
		yaml_parser_delete(&parser);
		return err_set(err, ERR_CONFIG, "%s: not YAML", path);
	}
	root = yaml_document_get_root_node(&r.doc);
	/* An empty file, or one of comments only, changes nothing. */
	if (root && !(root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0))
		rc = read_node(&r, "", root, 0, err);
	yaml_document_delete(&r.doc);
	yaml_parser_delete(&parser);
	OPENSSL_cleanse(text, n);
	return rc;
}

/* --- environment and command line ------------------------------------------ */

#define ENV_PREFIX "PIPELINE_GUARD_"

static bool env_name(const char *key, const char *suffix, char *out, size_t cap)
{
	int n = snprintf(out, cap, ENV_PREFIX "%s%s", key, suffix);

	if (n < 0 || (size_t)n >= cap)
		return false;
	for (char *p = out + strlen(ENV_PREFIX); *p; p++)
		*p = *p == '.' || *p == '-' ? '_' : (char)toupper((unsigned char)*p);
	return true;
}

static int load_variable(struct value *v, const char *suffix, struct err *err)
{
	char name[KEY_BYTES_MAX + 32];
	const char *text;

	if (!env_name(v->option->key, suffix, name, sizeof(name)))
		return 0;
	text = getenv(name);
	/* Compose files and charts often pass an empty variable for "not set". */
	if (!text || !*text)
		return 0;
	if (assign(v, *suffix != '\0', text, name, err) < 0)
		return err_wrap(err, "%s", name);
	return 0;
}

/* PIPELINE_GUARD_<words> that somebody other than an option reads. */
static bool other_variable(const char *name, size_t n)
{
	static const char *const others[] = { "CONFIG", "SIMULATOR", "METRICS_FD", "METRICS_SLOT" };

	if (strncmp(name, "TEST_", strlen("TEST_")) == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (strlen(others[i]) == n && strncmp(others[i], name, n) == 0)
			return true;
	return false;
}

static bool variable_known(const struct conf *conf, const char *name, size_t n)
{
	char mine[KEY_BYTES_MAX + 32];

	for (size_t i = 0; i < conf->n; i++) {
		const struct conf_option *o = conf->values[i].option;

		if (env_name(o->key, "", mine, sizeof(mine)) && strlen(mine) == n &&
		    strncmp(mine, name, n) == 0)
			return true;
		if (o->type == CONF_SECRET && env_name(o->key, "_FILE", mine, sizeof(mine)) &&
		    strlen(mine) == n && strncmp(mine, name, n) == 0)
			return true;
	}
	return false;
}

/* Not an error: the variable of a newer release must not stop an older one. */
static void warn_about_unknown_variables(const struct conf *conf)
{
	OWNED(buf_done) struct buf names;

	buf_init(&names, 1024);
	for (char **e = environ; *e; e++) {
		size_t n = strcspn(*e, "="), prefix = strlen(ENV_PREFIX);

		if (n <= prefix || strncmp(*e, ENV_PREFIX, prefix) != 0 ||
		    other_variable(*e + prefix, n - prefix) || variable_known(conf, *e, n))
			continue;
		buf_puts(&names, names.len ? " " : "");
		buf_append(&names, *e, n);
	}
	if (names.len)
		log_warn("variables that name no option are ignored",
			 KV("variables", buf_text(&names)));
}

/* Length of NAME in "NAME_KEY" or "NAME_KEY_FILE" (n bytes), 0 when KEY is no option of the table.
 */
static size_t name_in_variable(const struct conf_table *t, const char *s, size_t n)
{
	static const char *const suffixes[] = { "", "_FILE" };
	char end[KEY_BYTES_MAX];

	for (size_t i = 0; i < 2 * t->n; i++) {
		const struct conf_option *o = &t->options[i / 2];
		int len = snprintf(end, sizeof(end), "_%s%s", o->key, suffixes[i % 2]);

		if (len < 0 || (size_t)len >= n || (i % 2 && o->type != CONF_SECRET))
			continue;
		if (strncasecmp(s + n - len, end, (size_t)len) == 0)
			return n - (size_t)len;
	}
	return 0;
}

/* The NAME of a variable such as PIPELINE_GUARD_SOURCES_BUILD_FARM_PROVIDER, n bytes long. */
static int use_name_of_variable(struct conf *conf, const struct conf_table *t, const char *prefix,
				const char *variable, size_t n, struct err *err)
{
	size_t skip = strlen(prefix), len;
	char name[KEY_BYTES_MAX];

	if (n <= skip || strncmp(variable, prefix, skip) != 0)
		return 0;
	len = name_in_variable(t, variable + skip, n - skip);
	if (!len)
		return 0;
	(void)text_copy(name, sizeof(name), variable + skip, len);
	for (char *p = name; *p; p++)
		*p = *p == '_' ? '-' : (char)tolower((unsigned char)*p);
	if (use_name(conf, t, name, strlen(name), err) < 0)
		return err_wrap(err, "%.*s", (int)n, variable);
	return 0;
}

static int use_names_of_variables(struct conf *conf, const struct conf_table *t, struct err *err)
{
	char prefix[KEY_BYTES_MAX + 32];

	if (!env_name(t->section, "_", prefix, sizeof(prefix)))
		return 0;
	for (char **e = environ; *e; e++) {
		size_t n = strcspn(*e, "=");

		/* Empty is "not set", as for every variable. */
		if ((*e)[n] == '=' && (*e)[n + 1] &&
		    use_name_of_variable(conf, t, prefix, *e, n, err) < 0)
			return -1;
	}
	return 0;
}

int conf_load_env(struct conf *conf, struct err *err)
{
	for (size_t i = 0; i < conf->n_tables; i++)
		if (conf->tables[i]->section &&
		    use_names_of_variables(conf, conf->tables[i], err) < 0)
			return -1;
	warn_about_unknown_variables(conf);
	for (size_t i = 0; i < conf->n; i++) {
		struct value *v = &conf->values[i];

		if (v->option->type == CONF_SECRET && load_variable(v, "_FILE", err) < 0)
			return -1;
		if (load_variable(v, "", err) < 0)
			return -1;
	}
	return 0;
}

int conf_set(struct conf *conf, const char *assignment, struct err *err)
{
	const char *eq = strchr(assignment, '=');
	char key[KEY_BYTES_MAX];
	struct value *v;

	if (!eq || eq == assignment ||
	    !text_copy(key, sizeof(key), assignment, (size_t)(eq - assignment)))
		return err_set(err, ERR_CONFIG, "--set expects key=value, not \"%.60s\"",
			       assignment);
	if (use_name_in(conf, key, err) < 0)
		return -1;
	v = find(conf, key);
	if (v && v->option->type == CONF_SECRET)
		return err_set(err, ERR_CONFIG,
			       "%s is a secret and argv is public: use --set %s_file=PATH", key,
			       key);
	return set_key(conf, key, eq + 1, "--set", err);
}

/* --- life and reading ------------------------------------------------------ */

struct conf *conf_new(const struct conf_table *const *tables, size_t n_tables)
{
	struct conf *conf = xcalloc(1, sizeof(*conf));
	size_t n = 0, k = 0;

	conf->tables = tables;
	conf->n_tables = n_tables;
	for (size_t i = 0; i < n_tables; i++)
		n += tables[i]->section ? 0 : tables[i]->n;
	conf->values = xcalloc(n, sizeof(*conf->values));
	conf->n = n;
	for (size_t i = 0; i < n_tables; i++) {
		for (size_t j = 0; !tables[i]->section && j < tables[i]->n; j++, k++) {
			conf->values[k].table = tables[i];
			conf->values[k].option = &tables[i]->options[j];
			set_default(&conf->values[k]);
		}
	}
	return conf;
}

int conf_reload_secrets(struct conf *conf, struct err *err)
{
	struct value *fresh = xcalloc(conf->n, sizeof(*fresh));
	int rc = 0;

	for (size_t i = 0; i < conf->n && rc == 0; i++) {
		fresh[i] = (struct value){ .table = conf->values[i].table,
					   .named = conf->values[i].named,
					   .option = conf->values[i].option };
		if (conf->values[i].file)
			rc = read_secret_file(&fresh[i], conf->values[i].file, err);
	}
	for (size_t i = 0; i < conf->n; i++) {
		struct value *v = &conf->values[i];

		if (rc == 0 && v->file) {
			forget_secrets(v);
			memcpy(v->secrets, fresh[i].secrets, sizeof(v->secrets));
		} else {
			forget_secrets(&fresh[i]);
		}
	}
	free(fresh);
	return rc;
}

void conf_free(struct conf *conf)
{
	if (!conf)
		return;
	for (size_t i = 0; i < conf->n; i++) {
		free(conf->values[i].text);
		free(conf->values[i].origin);
		free(conf->values[i].file);
		forget_secrets(&conf->values[i]);
		free(conf->values[i].named);
	}
	free(conf->values);
	free(conf);
}

static const struct value *xfind(const struct conf *conf, const char *key)
{
	const struct value *v = find(conf, key);

	if (!v) {
		fprintf(stderr, "pipeline-guard: no option table has \"%s\"\n", key);
		abort();
	}
	return v;
}

const char *conf_str(const struct conf *conf, const char *key)
{
	return xfind(conf, key)->text;
}

int64_t conf_int(const struct conf *conf, const char *key)
{
	return xfind(conf, key)->number;
}

bool conf_bool(const struct conf *conf, const char *key)
{
	return xfind(conf, key)->number != 0;
}

bool conf_is_set(const struct conf *conf, const char *key)
{
	return xfind(conf, key)->given;
}

const char *conf_secret(const struct conf *conf, const char *key, size_t i)
{
	const struct value *v = xfind(conf, key);

	return i < SECRETS_MAX ? v->secrets[i] : NULL;
}

const char *conf_section_name(const struct conf *conf, const char *section, size_t i)
{
	for (size_t k = 0; k < conf->n; k++) {
		const struct value *v = &conf->values[k];

		/* The first option of each name. */
		if (v->named && strcmp(v->table->section, section) == 0 &&
		    v->named->row == v->table->options && i-- == 0)
			return v->named->name;
	}
	return NULL;
}

const char *conf_origin(const struct conf *conf, const char *key)
{
	const struct value *v = xfind(conf, key);

	return v->origin ? v->origin : "unset";
}

void conf_describe(const struct conf *conf, conf_each_fn *fn, void *arg)
{
	for (size_t i = 0; i < conf->n_tables; i++) {
		const struct conf_table *t = conf->tables[i];

		for (size_t j = 0; j < t->n; j++) {
			struct conf_option o = t->options[j];
			OWNED(freep)
			char *key = xasprintf("%s.NAME.%s", t->section ? t->section : "", o.key);

			if (t->section)
				o.key = key;
			fn(t, &o, NULL, "unset", arg);
		}
	}
}

void conf_each(const struct conf *conf, conf_each_fn *fn, void *arg)
{
	for (size_t i = 0; i < conf->n; i++) {
		const struct value *v = &conf->values[i];
		const char *text = v->text;

		if (v->option->type == CONF_SECRET)
			text = v->secrets[0] ? "(set)" : NULL;
		fn(v->table, v->option, text, v->origin ? v->origin : "unset", arg);
	}
}
