#include "dispatcher/rule_set.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/crypto.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/rule_cache.h"
#include "dispatcher/yaml_complaint.h"

struct rule_file {
	struct rule_spec *rules;
	unsigned rules_count;
};

/* Who is told of faults; NULL: the first one ends the loading. */
struct checker {
	rule_fault_fn *tell;
	void *arg;
};

static const cyaml_strval_t classes[] = {
	{ "cause", RULE_CAUSE },
	{ "consequence", RULE_CONSEQUENCE },
	{ "hint", RULE_HINT },
	{ "step_failed", RULE_STEP_FAILED },
	{ "step_passed", RULE_STEP_PASSED },
	{ "log_passed", RULE_LOG_PASSED },
	{ "benign", RULE_BENIGN },
	{ "test", RULE_TEST },
	{ "retried", RULE_RETRIED },
};

/* The library's own reading takes every word that it does not know for true. */
static const cyaml_strval_t truths[] = { { "false", false }, { "true", true } };

static const cyaml_strval_t facts[] = {
	{ "no_failed_step", FACT_NO_FAILED_STEP },
	{ "timed_out", FACT_TIMED_OUT },
	{ "cancelled", FACT_CANCELLED },
	{ "github", FACT_GITHUB },
	{ "gitlab", FACT_GITLAB },
	{ "jenkins", FACT_JENKINS },
};

static const cyaml_schema_value_t text_value = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 2000),
};

#define TEXT(key, flags, member, max) \
	CYAML_FIELD_STRING_PTR(key, flags, struct rule_spec, member, 1, max)
#define TEXTS(key, member, max)                                                               \
	CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct rule_spec, \
			     member, &text_value, 1, max)

static const cyaml_schema_field_t rule_fields[] = {
	TEXT("id", CYAML_FLAG_DEFAULT, id, RULE_ID_MAX),
	CYAML_FIELD_ENUM("class", CYAML_FLAG_STRICT | CYAML_FLAG_OPTIONAL, struct rule_spec, class,
			 classes, ARRAY_LEN(classes)),
	TEXT("category", CYAML_FLAG_OPTIONAL, category, 40),
	TEXT("subcategory", CYAML_FLAG_OPTIONAL, subcategory, 40),
	CYAML_FIELD_FLOAT("confidence", CYAML_FLAG_OPTIONAL, struct rule_spec, confidence),
	CYAML_FIELD_ENUM("transient", CYAML_FLAG_STRICT | CYAML_FLAG_OPTIONAL, struct rule_spec,
			 transient, truths, ARRAY_LEN(truths)),
	CYAML_FIELD_FLAGS("requires", CYAML_FLAG_STRICT | CYAML_FLAG_OPTIONAL, struct rule_spec,
			  requires, facts, ARRAY_LEN(facts)),
	TEXT("title", CYAML_FLAG_OPTIONAL, title, 160),
	TEXT("command", CYAML_FLAG_OPTIONAL, command, 2000),
	TEXT("regex", CYAML_FLAG_OPTIONAL, regex, 2000),
	TEXT("capture", CYAML_FLAG_OPTIONAL, capture, 1000),
	TEXT("follow", CYAML_FLAG_OPTIONAL, follow, 1000),
	CYAML_FIELD_STRING_PTR("separator", CYAML_FLAG_OPTIONAL, struct rule_spec, separator, 0, 8),
	TEXT("framework", CYAML_FLAG_OPTIONAL, framework, 24),
	TEXTS("positive", positive, RULE_SAMPLES_MAX),
	TEXTS("negative", negative, RULE_SAMPLES_MAX),
	TEXTS("suggestions", suggestions, 4),
	TEXT("link", CYAML_FLAG_OPTIONAL, link, 300),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t rule_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct rule_spec, rule_fields),
};

static const cyaml_schema_field_t file_fields[] = {
	CYAML_FIELD_SEQUENCE("rules", CYAML_FLAG_POINTER, struct rule_file, rules, &rule_value, 1,
			     RULES_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t file_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct rule_file, file_fields),
};

void rule_set_free(struct rule_set *set)
{
	cyaml_config_t config = yaml_config(NULL);

	if (!set)
		return;
	for (size_t i = 0; i < set->n; i++)
		rule_done(&set->rules[i]);
	for (size_t i = 0; i < set->n_files; i++)
		(void)cyaml_free(&config, &file_value, set->files[i], 0);
	for (size_t i = 0; set->names && i < set->n_files; i++)
		free(set->names[i]);
	free(set->names);
	free(set->rules);
	free(set->files);
	free(set);
}

static int add_rule(struct rule_set *set, const struct rule_spec *spec, struct err *err)
{
	for (size_t i = 0; i < set->n; i++)
		if (strcmp(set->rules[i].spec->id, spec->id) == 0)
			return err_set(err, ERR_CONFIG, "rule %s: the id is used twice", spec->id);
	if (set->n == RULES_MAX)
		return err_set(err, ERR_CONFIG, "more than %d rules", RULES_MAX);
	return set->proven ? rule_init_proven(&set->rules[set->n++], spec, err)
			   : rule_init(&set->rules[set->n++], spec, err);
}

/* True when the line is `id: WANT`, as an item or a key, quoted or not. */
static bool is_id_line(const char *line, size_t n, const char *want)
{
	static const char dash[] = "- ", key[] = "id:";
	size_t at = 0, len = strlen(want);

	while (at < n && line[at] == ' ')
		at++;
	if (n - at > strlen(dash) && memcmp(line + at, dash, strlen(dash)) == 0)
		at += strlen(dash);
	if (n - at < strlen(key) || memcmp(line + at, key, strlen(key)) != 0)
		return false;
	at += strlen(key);
	while (at < n && strchr(" '\"", line[at]))
		at++;
	return n - at >= len && memcmp(line + at, want, len) == 0 &&
	       (at + len == n || strchr(" '\"#\r", line[at + len]));
}

/* Where the rule is in its file, for people; 0 when it is written in an unusual way. */
static unsigned line_of(const struct rule_file *file, unsigned index, const char *yaml, size_t n)
{
	const char *id = file->rules[index].id;
	unsigned line = 1, before = 0;

	for (unsigned i = 0; i < index; i++)
		before += strcmp(file->rules[i].id, id) == 0;
	for (size_t at = 0; at < n; line++) {
		const char *end = memchr(yaml + at, '\n', n - at);
		size_t len = end ? (size_t)(end - yaml) - at : n - at;

		if (is_id_line(yaml + at, len, id) && before-- == 0)
			return line;
		at += len + 1;
	}
	return 0;
}

/* The rule at fault is left out of a set that is checked. */
static void tell_fault(struct rule_set *set, const struct checker *check, const char *name,
		       unsigned line, const struct rule_spec *spec, const struct err *err)
{
	check->tell(name, line, err->msg, check->arg);
	if (set->n && set->rules[set->n - 1].spec == spec)
		rule_done(&set->rules[--set->n]);
}

static int add_rules(struct rule_set *set, const struct rule_file *file, const char *name,
		     const char *yaml, size_t n, const struct checker *check, struct err *err)
{
	for (unsigned i = 0; i < file->rules_count; i++) {
		unsigned line = check ? line_of(file, i, yaml, n) : 0;

		if (add_rule(set, &file->rules[i], err) == 0) {
			set->rules[set->n - 1].file = check ? set->names[set->n_files - 1] : NULL;
			set->rules[set->n - 1].line = line;
			continue;
		}
		if (!check)
			return err_wrap(err, "%s:%u", name, line_of(file, i, yaml, n));
		tell_fault(set, check, name, line, &file->rules[i], err);
	}
	return 0;
}

static int add_file(struct rule_set *set, const char *name, const char *yaml, size_t n,
		    const struct checker *check, struct err *err)
{
	struct yaml_complaint why = { .text = "" };
	cyaml_config_t config = yaml_config(&why);
	struct rule_file *file = NULL;
	cyaml_err_t rc;

	rc = cyaml_load_data((const uint8_t *)yaml, n, &config, &file_value, (cyaml_data_t **)&file,
			     NULL);
	if (rc != CYAML_OK)
		return err_set(err, ERR_CONFIG, "%s: %s", name,
			       why.text[0] ? why.text : cyaml_strerror(rc));
	if (!file) /* nothing but comments */
		return err_set(err, ERR_CONFIG, "%s: no rules in it", name);
	set->files[set->n_files] = file;
	if (check)
		set->names[set->n_files] = xstrdup(name);
	set->n_files++;
	return add_rules(set, file, name, yaml, n, check, err);
}

static struct rule_set *set_new(size_t files)
{
	struct rule_set *set = xcalloc(1, sizeof(*set));

	set->rules = xcalloc(RULES_MAX, sizeof(*set->rules));
	set->files = xcalloc(files, sizeof(struct rule_file *));
	set->names = xcalloc(files, sizeof(char *));
	return set;
}

int rule_set_parse(const char *name, const char *yaml, size_t n, struct rule_set **out,
		   struct err *err)
{
	OWNED(rule_set_freep) struct rule_set *set = set_new(1);

	if (add_file(set, name, yaml, n, NULL, err) < 0)
		return -1;
	*out = TAKE(set);
	return 0;
}

static void closep(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

enum { HEAD_MAX = 300 }; /* of a file: its name and size */

/* A file in the text of all of them. */
struct source {
	char *name;
	size_t at, n;
};

struct sources {
	struct source files[RULE_FILES_MAX];
	size_t n;
	struct buf text;
};

static void sources_done(struct sources *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->files[i].name);
	buf_done(&s->text);
}

static int read_file(struct sources *s, const char *dir, const char *name, struct err *err)
{
	OWNED(freep) char *path = xasprintf("%s/%s", dir, name);
	OWNED(freep) char *text = xmalloc(RULE_FILE_BYTES_MAX);
	OWNED(closep) FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return err_set(err, ERR_CONFIG, "%s: %s", path, strerror(errno));
	n = fread(text, 1, RULE_FILE_BYTES_MAX, f);
	if (ferror(f) || n == RULE_FILE_BYTES_MAX)
		return err_set(err, ERR_CONFIG, "%s: unreadable or larger than %d bytes", path,
			       RULE_FILE_BYTES_MAX);
	if (s->n == RULE_FILES_MAX)
		return err_set(err, ERR_CONFIG, "more than %d files", RULE_FILES_MAX);
	/* Which bytes are whose file's is part of the text. */
	buf_printf(&s->text, "%s %zu\n", name, n);
	s->files[s->n++] = (struct source){ xstrdup(name), s->text.len, n };
	buf_append(&s->text, text, n);
	return 0;
}

static int is_rule_file(const struct dirent *d)
{
	return d->d_name[0] != '.' && text_ends(d->d_name, ".yaml");
}

static int read_dir(struct sources *s, const char *dir, const struct checker *check,
		    struct err *err)
{
	struct dirent **names;
	int n = scandir(dir, &names, is_rule_file, alphasort);
	int rc = 0;

	if (n < 0)
		return err_set(err, ERR_CONFIG, "%s: %s", dir, strerror(errno));
	for (int i = 0; i < n; i++) {
		if (rc == 0)
			rc = read_file(s, dir, names[i]->d_name, err);
		if (rc < 0 && check) {
			check->tell(names[i]->d_name, 0, err->msg, check->arg);
			rc = 0;
		}
		free(names[i]);
	}
	free(names);
	return rc;
}

static int add_files(struct rule_set *set, const struct sources *s, const struct checker *check,
		     struct err *err)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct source *f = &s->files[i];

		if (add_file(set, f->name, s->text.data + f->at, f->n, check, err) == 0)
			continue;
		if (!check)
			return -1;
		check->tell(f->name, 0, err->msg, check->arg);
	}
	return 0;
}

/* Of all that decides what a proof says. */
static void proof_key(struct buf *text, unsigned char key[static SHA256_BYTES])
{
	char engine[64] = "";

	(void)pcre2_config(PCRE2_CONFIG_VERSION, engine);
	buf_printf(text, "%s %d\n", engine, RULE_PROOF);
	sha256(text->data, text->len, key);
}

static int load_dir(const char *dir, const char *cache_folder, const struct checker *check,
		    struct rule_set **out, struct err *err)
{
	OWNED(rule_set_freep) struct rule_set *set = set_new(RULE_FILES_MAX);
	OWNED(rule_cache_entry_done) struct rule_cache_entry known = { .data = NULL };
	OWNED(sources_done) struct sources from = { .n = 0 };
	OWNED(freep)
	char *folder = cache_folder ? xasprintf("%s/proven", cache_folder) : NULL;
	unsigned char key[SHA256_BYTES];

	buf_init(&from.text, RULE_FILES_MAX * ((size_t)RULE_FILE_BYTES_MAX + HEAD_MAX));
	if (read_dir(&from, dir, check, err) < 0)
		return err_wrap(err, "rules");
	proof_key(&from.text, key);
	set->proven = folder && rule_cache_read(folder, key, &known);
	if (add_files(set, &from, check, err) < 0)
		return err_wrap(err, "rules");
	if (!set->n && !check)
		return err_set(err, ERR_CONFIG, "rules: %s: no rules there", dir);
	if (folder && !set->proven)
		(void)rule_cache_write(folder, key, &(struct rule_cache_entry){ .data = "" });
	*out = TAKE(set);
	return 0;
}

int rule_set_load(const char *dir, struct rule_set **out, struct err *err)
{
	return load_dir(dir, NULL, NULL, out, err);
}

int rule_set_load_cached(const char *dir, const char *cache_folder, struct rule_set **out,
			 struct err *err)
{
	return load_dir(dir, cache_folder, NULL, out, err);
}

int rule_set_check(const char *dir, rule_fault_fn *tell, void *arg, struct rule_set **out,
		   struct err *err)
{
	const struct checker check = { tell, arg };

	return load_dir(dir, NULL, &check, out, err);
}
