/* audit: what was done, by whom and why; and whether somebody changed that. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/query.h"
#include "cli/term.h"
#include "core/audit_chain.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"

static const char usage[] =
	"usage: pipeline-guard audit [options] COMMAND\n"
	"\n"
	"  show            what was done, oldest first (--limit N: the newest N)\n"
	"  export          all of it as JSON lines\n"
	"  verify          whether a record was changed, taken out or moved\n"
	"\n"
	"  pipeline-guard audit show --limit 20\n"
	"  pipeline-guard audit verify --files /var/lib/pipeline-guard/audit\n"
	"  pipeline-guard audit verify --anchors dispatcher.log\n"
	"\n"
	"Records form a chain per writer under a key (audit.key). verify names each record that "
	"does\n"
	"not fit. That the newest ones were cut off shows only against something that is kept\n"
	"elsewhere: the daily files (--files), or anchors in a log (--anchors).\n"
	"\n"
	"Exit status: 0 yes, 1 something is wrong, 2 usage, or records without a key, which prove\n"
	"nothing, 3 Redis cannot be reached.\n";

enum { PAGE = 500, FAULTS_SHOWN = 200, LINE_BYTES = 64 * 1024 };

/* --- reading --------------------------------------------------------------------- */

struct stored {
	const char *id; /* "" for a line of a file */
	struct audit_record record;
	const char *mac;
};
typedef int entry_fn(const struct stored *, void *arg);

static void read_pairs(const struct redisReply *fields, struct stored *e)
{
	e->record.n = 0;
	e->mac = NULL;
	for (size_t i = 0; i + 1 < redis_len(fields); i += 2) {
		const char *name = redis_str(redis_at(fields, i));
		const char *value = redis_str(redis_at(fields, i + 1));

		if (!name || !value)
			continue;
		if (strcmp(name, "mac") == 0)
			e->mac = value;
		else if (e->record.n < AUDIT_FIELDS_MAX)
			e->record.pairs[e->record.n++] = (struct audit_pair){ name, value };
	}
}

static int each_entry(struct query *q, entry_fn *fn, void *arg, struct err *err)
{
	char stream[KEY_MAX], from[64] = "-", count[16];

	key_region(&q->ks, "audit", stream);
	(void)snprintf(count, sizeof(count), "%d", PAGE);
	for (;;) {
		OWNED(redis_reply_freep) struct redisReply *page = NULL;
		size_t n;

		if (query_ask(q, &page, err, "XRANGE", stream, from, "+", "COUNT", count,
			      (char *)NULL) < 0)
			return -1;
		n = redis_len(page);
		for (size_t i = 0; i < n; i++) {
			struct stored e = { .id = redis_str(redis_at(redis_at(page, i), 0)) };

			read_pairs(redis_at(redis_at(page, i), 1), &e);
			if (e.id && fn(&e, arg) < 0)
				return -1;
		}
		if (n < PAGE)
			return 0;
		(void)snprintf(from, sizeof(from), "(%.60s",
			       redis_str(redis_at(redis_at(page, n - 1), 0)));
	}
}

static struct json_object *entry_json(const struct stored *e)
{
	struct json_object *o = json_object_new_object();

	if (*e->id)
		json_add_str(o, "id", e->id);
	for (size_t i = 0; i < e->record.n; i++)
		json_add_str(o, e->record.pairs[i].name, e->record.pairs[i].value);
	json_add_str(o, "mac", e->mac ? e->mac : "");
	return o;
}

/* --- show, export ------------------------------------------------------------------ */

static int export_entry(const struct stored *e, void *arg)
{
	OWNED(json_putp) struct json_object *o = entry_json(e);

	UNUSED(arg);
	printf("%s\n", json_text(o));
	return 0;
}

static void put_field(const char *before, const char *value)
{
	if (!value || !*value)
		return;
	printf("%s", before);
	term_put(value);
}

static int show_entry(const struct stored *e, void *arg)
{
	static const char *const told[] = { "plan",   "run",     "repo", "strategy", "result",
					    "policy", "verdict", "by",   "asked_by", "peer" };
	const struct audit_record *r = &e->record;
	const char *at = audit_field(r, "at_ms"), *why = audit_field(r, "reason");
	char when[25] = "";

	UNUSED(arg);
	if (at)
		text_from_ms(when, strtoll(at, NULL, 10));
	printf("%.19sZ ", when);
	put_field("", audit_field(r, "what"));
	for (size_t i = 0; i < ARRAY_LEN(told); i++) {
		if (!audit_field(r, told[i]))
			continue;
		printf(" %s=", told[i]);
		term_put(audit_field(r, told[i]));
	}
	put_field(": ", why ? why : audit_field(r, "detail"));
	printf("\n");
	return 0;
}

static int cmd_show(const struct cli *cli, struct query *q, int64_t limit, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *page = NULL;
	char stream[KEY_MAX], count[24];
	entry_fn *fn = cli->json ? export_entry : show_entry;

	if (limit == 0)
		return each_entry(q, fn, NULL, err);
	key_region(&q->ks, "audit", stream);
	(void)snprintf(count, sizeof(count), "%" PRId64, limit);
	if (query_ask(q, &page, err, "XREVRANGE", stream, "+", "-", "COUNT", count, (char *)NULL) <
	    0)
		return -1;
	for (size_t i = redis_len(page); i-- > 0;) {
		struct stored e = { .id = redis_str(redis_at(redis_at(page, i), 0)) };

		read_pairs(redis_at(redis_at(page, i), 1), &e);
		if (e.id)
			(void)fn(&e, NULL);
	}
	return 0;
}

/* --- verify --------------------------------------------------------------------------- */

/* One writer, found by its name. */
struct writer {
	char name[AUDIT_WRITER_MAX];
	struct audit_check check;
	bool seen;
	/* Up to where its records were trimmed, as records say that are good. */
	struct audit_through *trimmed;
	size_t n_trimmed;
};

struct verify {
	const char *keys[AUDIT_KEYS_MAX];
	size_t n_keys;
	void *writers; /* tsearch */
	int64_t keep_from_ms;
	bool of_files; /* one that is too old is gone, and no record says so */
	uint64_t records, writers_n, faults, unkeyed;
	uint64_t without_key;     /* anybody could have made them */
	struct json_object *list; /* of faults */
	bool json;
	const char *place;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct writer *)a)->name, ((const struct writer *)b)->name);
}

static struct writer *writer_of(struct verify *v, const char *name)
{
	struct writer *w = xcalloc(1, sizeof(*w)), **found;

	(void)text_copy(w->name, sizeof(w->name), name, strlen(name));
	found = tsearch(w, &v->writers, by_name);
	if (!found)
		abort();
	if (*found != w)
		free(w);
	else
		v->writers_n++;
	return *found;
}

static void writer_free(void *p)
{
	struct writer *w = p;

	free(w->trimmed);
	free(w);
}

static void fault(struct verify *v, const char *where, const char *writer, uint64_t seq,
		  const char *what)
{
	struct json_object *o;

	if (++v->faults > FAULTS_SHOWN)
		return;
	if (!v->json) {
		term_put(where);
		printf(": record %" PRIu64 " of ", seq);
		term_put(writer);
		printf(" %s\n", what);
		return;
	}
	o = json_object_new_object();
	json_add_str(o, "where", where);
	json_add_str(o, "writer", writer);
	json_add_i64(o, "seq", (int64_t)seq);
	json_add_str(o, "fault", what);
	json_object_array_add(v->list, o);
}

static const char *const fault_words[] = {
	[AUDIT_GOOD] = NULL,
	[AUDIT_REPEATED] = NULL,
	[AUDIT_CHANGED] = "was changed, or was not made by a guard",
	[AUDIT_NO_KEY] = NULL,
	[AUDIT_MISSING] = "comes after records that are missing",
	[AUDIT_MOVED] = "is not in its place",
	[AUDIT_FOREIGN] = "does not follow the record before it",
};

/*
 * The first record that is there of a writer follows what was trimmed, and only that: a record that
 * somebody took out is named by none.
 */
static void begin_after_trimmed(struct writer *w, const struct audit_record *r, uint64_t seq)
{
	const char *prev = audit_field(r, "prev");

	for (size_t i = 0; prev && i < w->n_trimmed; i++) {
		const struct audit_through *t = &w->trimmed[i];

		if (t->seq + 1 != seq || strcmp(t->mac, prev) != 0)
			continue;
		w->check.seq = t->seq;
		(void)text_copy(w->check.mac, sizeof(w->check.mac), t->mac, strlen(t->mac));
	}
}

static bool is_without_key(const struct audit_record *r)
{
	const char *key = audit_field(r, "key");
	char id[AUDIT_KEY_ID_HEX + 1];

	audit_key_id("", id);
	return key && strcmp(key, id) == 0;
}

static int verify_entry(const struct stored *e, void *arg)
{
	struct verify *v = arg;
	const char *name = audit_field(&e->record, "writer");
	const char *seq = audit_field(&e->record, "seq");
	const char *where = *e->id ? e->id : v->place;
	struct writer *w;
	enum audit_fault f;
	bool excused;

	v->records++;
	if (!name || !seq) {
		fault(v, where, "nobody", 0, "is no audit record");
		return 0;
	}
	w = writer_of(v, name);
	if (!w->seen)
		begin_after_trimmed(w, &e->record, strtoull(seq, NULL, 10));
	f = audit_check(&w->check, &e->record, e->mac, v->keys, v->n_keys);
	excused = f == AUDIT_MISSING && v->of_files && !w->seen;
	w->seen = true;
	v->unkeyed += f == AUDIT_NO_KEY;
	v->without_key += f != AUDIT_NO_KEY && is_without_key(&e->record);
	if (fault_words[f] && !excused)
		fault(v, where, name, strtoull(seq, NULL, 10), fault_words[f]);
	return 0;
}

static size_t keyed(const struct verify *v)
{
	/* The last one is none: what anybody could have made excuses nothing. */
	return v->n_keys > 1 ? v->n_keys - 1 : 1;
}

static bool is_vouched_for(const struct verify *v, const struct audit_through *t)
{
	char id[AUDIT_KEY_ID_HEX + 1];
	bool found = false;

	for (size_t i = 0; i < keyed(v); i++) {
		audit_key_id(v->keys[i], id);
		found = found || strcmp(id, t->key) == 0;
	}
	return found;
}

/* What was trimmed is told by a record that comes after; it has to be a good one. */
static int find_trimmed(const struct stored *e, void *arg)
{
	struct verify *v = arg;
	struct audit_through t;
	struct writer *w;

	if (!e->mac || !audit_genuine(&e->record, e->mac, v->keys, keyed(v)))
		return 0;
	for (size_t i = 0; i < e->record.n; i++) {
		if (!audit_through_read(&e->record, i, &t))
			continue;
		w = writer_of(v, t.writer);
		w->trimmed = xrealloc(w->trimmed, (w->n_trimmed + 1) * sizeof(*w->trimmed));
		w->trimmed[w->n_trimmed++] = t;
	}
	return 0;
}

/*
 * How far the chain of a writer was seen, or trimmed. `surely`: by a record that was made with a
 * key, as what is kept elsewhere asks.
 */
static uint64_t reached(const struct verify *v, const struct writer *w, bool surely)
{
	uint64_t seq = w->check.seq;

	for (size_t i = 0; i < w->n_trimmed; i++)
		if (w->trimmed[i].seq > seq && (!surely || is_vouched_for(v, &w->trimmed[i])))
			seq = w->trimmed[i].seq;
	return seq;
}

/* Redis keeps the newest number of each writer beside the stream. */
static int verify_heads(struct query *q, struct verify *v, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *heads = NULL;
	char key[KEY_MAX];

	key_region(&q->ks, "audit:heads", key);
	if (query_ask(q, &heads, err, "HGETALL", key, (char *)NULL) < 0)
		return -1;
	for (size_t i = 0; i + 1 < redis_len(heads); i += 2) {
		const char *name = redis_str(redis_at(heads, i));
		const char *head = redis_str(redis_at(heads, i + 1));
		uint64_t seq = head ? strtoull(head, NULL, 10) : 0;

		if (name && seq > reached(v, writer_of(v, name), false))
			fault(v, "the end", name, seq, "is missing");
	}
	return 0;
}

/* --- what is kept elsewhere -------------------------------------------------------------- */

static void closep(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

static void endp(char **line)
{
	free(*line);
}

typedef void line_fn(struct verify *, struct json_object *);

static int each_line(struct verify *v, const char *path, line_fn *fn, struct err *err)
{
	OWNED(closep) FILE *f = fopen(path, "re");
	OWNED(endp) char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	if (!f)
		return err_set(err, ERR_CONFIG, "%s: %s", path, strerror(errno));
	while ((n = getline(&line, &cap, f)) > 0) {
		OWNED(json_putp) struct json_object *o = NULL;
		struct err ignored;

		if (n < LINE_BYTES && json_parse(line, (size_t)n, &o, &ignored) == 0)
			fn(v, o);
	}
	return 0;
}

/* The chain has to have come so far at least, through this very record. */
static void check_head(struct verify *v, const char *writer, uint64_t seq)
{
	const struct writer *w = writer_of(v, writer);

	if (seq > reached(v, w, true))
		fault(v, v->place, writer, seq, "is not in Redis any more");
}

static void on_anchor(struct verify *v, struct json_object *o)
{
	if (strcmp(json_str(o, "msg", ""), "audit anchor") == 0 &&
	    text_iso8601_ms(json_str(o, "at", "")) >= v->keep_from_ms)
		check_head(v, json_str(o, "writer", ""), (uint64_t)json_i64(o, "seq", 0));
}

static void on_copy(struct verify *v, struct json_object *o)
{
	uint64_t seq = strtoull(json_str(o, "seq", "0"), NULL, 10);
	int64_t at_ms = strtoll(json_str(o, "at_ms", "0"), NULL, 10);

	if (at_ms >= v->keep_from_ms)
		check_head(v, json_str(o, "writer", ""), seq);
}

/* The files are a chain of their own. */
static void on_file_line(struct verify *v, struct json_object *o)
{
	struct stored e = { .id = "", .mac = json_str(o, "mac", NULL) };

	json_object_object_foreach(o, name, value)
	{
		if (strcmp(name, "mac") != 0 && e.record.n < AUDIT_FIELDS_MAX)
			e.record.pairs[e.record.n++] =
				(struct audit_pair){ name, json_object_get_string(value) };
	}
	(void)verify_entry(&e, v);
}

static int is_day(const struct dirent *d)
{
	return text_starts(d->d_name, "audit-") && text_ends(d->d_name, ".jsonl");
}

static int each_file(struct verify *v, const char *folder, line_fn *fn, struct err *err)
{
	struct dirent **names;
	int n = scandir(folder, &names, is_day, alphasort), rc = 0;

	if (n < 0)
		return err_set(err, ERR_CONFIG, "%s: %s", folder, strerror(errno));
	for (int i = 0; i < n; i++) {
		OWNED(freep) char *path = xasprintf("%s/%s", folder, names[i]->d_name);

		v->place = names[i]->d_name;
		if (rc == 0)
			rc = each_line(v, path, fn, err);
		v->place = "";
		free(names[i]);
	}
	free(names);
	return rc;
}

static void verify_init(struct verify *v, const struct cli *cli)
{
	*v = (struct verify){
		.json = cli->json,
		.list = json_object_new_array(),
		.place = "",
		.keep_from_ms = clock_wall_ms() - conf_int(cli->conf, "audit.keep"),
	};
	for (size_t i = 0; i < AUDIT_KEYS_MAX - 1 && conf_secret(cli->conf, "audit.key", i); i++)
		v->keys[v->n_keys++] = conf_secret(cli->conf, "audit.key", i);
	/* Records of writers without a key can be checked as well, for what that is worth. */
	v->keys[v->n_keys++] = "";
}

static void verify_done(struct verify *v)
{
	tdestroy(v->writers, writer_free);
	json_object_put(v->list);
}

/* Its findings are added to those of `v`. */
static int verify_files(const struct cli *cli, struct verify *v, const char *folder,
			struct err *err)
{
	struct verify files;
	int rc;

	verify_init(&files, cli);
	files.of_files = true;
	rc = each_file(&files, folder, on_file_line, err);
	for (size_t i = 0; i < json_object_array_length(files.list); i++)
		json_object_array_add(v->list,
				      json_object_get(json_object_array_get_idx(files.list, i)));
	v->faults += files.faults;
	v->unkeyed += files.unkeyed;
	v->without_key += files.without_key;
	verify_done(&files);
	return rc < 0 ? rc : each_file(v, folder, on_copy, err);
}

static void verify_tell(const struct verify *v, const char *key)
{
	bool proven = !v->faults && !v->unkeyed && !v->without_key;

	printf("%" PRIu64 " records of %" PRIu64 " writers: %s%" PRIu64 " fault%s\n", v->records,
	       v->writers_n, proven ? "good, " : "", v->faults, v->faults == 1 ? "" : "s");
	if (v->unkeyed)
		printf("%" PRIu64 " records were made with a key that is not known here.\n",
		       v->unkeyed);
	if (v->without_key)
		printf("%" PRIu64
		       " records were made without a key: only their order and form were checked, "
		       "and whoever can write to the log can make such records.\n",
		       v->without_key);
	if (!key)
		printf("No audit.key is configured here.\n");
}

static void verify_say(const struct verify *v, const char *key)
{
	OWNED(json_putp) struct json_object *o = NULL;

	if (!v->json) {
		verify_tell(v, key);
		return;
	}
	o = json_object_new_object();
	json_add_i64(o, "records", (int64_t)v->records);
	json_add_i64(o, "writers", (int64_t)v->writers_n);
	json_add_i64(o, "faults", (int64_t)v->faults);
	json_add_i64(o, "unknown_key", (int64_t)v->unkeyed);
	json_add_i64(o, "without_key", (int64_t)v->without_key);
	json_add_bool(o, "keyed", key != NULL);
	json_add(o, "list", json_object_get(v->list));
	printf("%s\n", json_text(o));
}

static int cmd_verify(const struct cli *cli, struct query *q, const char *files,
		      const char *anchors, struct err *err)
{
	struct verify v;
	int rc;

	verify_init(&v, cli);
	rc = each_entry(q, find_trimmed, &v, err);
	if (rc == 0)
		rc = each_entry(q, verify_entry, &v, err);
	if (rc == 0)
		rc = verify_heads(q, &v, err);
	if (rc == 0 && files)
		rc = verify_files(cli, &v, files, err);
	if (rc == 0 && anchors) {
		v.place = anchors;
		rc = each_line(&v, anchors, on_anchor, err);
	}
	if (rc == 0) {
		verify_say(&v, conf_secret(cli->conf, "audit.key", 0));
		rc = v.faults || v.unkeyed ? CLI_NO : v.without_key ? CLI_USAGE : CLI_OK;
	}
	verify_done(&v);
	return rc;
}

/* --- the command ------------------------------------------------------------------------- */

static int dispatch(const struct cli *cli, int64_t limit, const char *files, const char *anchors,
		    struct err *err)
{
	const char *name = cli->argc == 1 ? cli->argv[0] : "";
	OWNED(query_closep) struct query *q = NULL;

	if (strcmp(name, "show") != 0 && strcmp(name, "export") != 0 && strcmp(name, "verify") != 0)
		return err_set(err, ERR_CONFIG, "say show, export or verify");
	if (query_open(cli->conf, &q, err) < 0)
		return -1;
	if (strcmp(name, "verify") == 0)
		return cmd_verify(cli, q, files, anchors, err);
	if (strcmp(name, "export") == 0)
		return each_entry(q, export_entry, NULL, err);
	return cmd_show(cli, q, limit, err);
}

static int run(int argc, char **argv)
{
	const char *files = NULL, *anchors = NULL;
	int64_t limit = 0;
	const struct cli_option own[] = {
		{ .name = "limit",
		  .argument = "N",
		  .number = &limit,
		  .help = "show: only the newest N" },
		{ .name = "files",
		  .argument = "DIR",
		  .text = &files,
		  .help = "verify: the daily files too, and that Redis has what they have" },
		{ .name = "anchors",
		  .argument = "LOG",
		  .text = &anchors,
		  .help = "verify: that Redis has what this log (JSON) anchors" },
		{ .name = "data-dir",
		  .argument = "DIR",
		  .key = "data_dir",
		  .help = "where `start` keeps its data" },
		{ .name = NULL },
	};
	struct err err;
	struct cli cli;
	int status = cli_begin(&cmd_audit, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	status = dispatch(&cli, limit, files, anchors, &err);
	if (status < 0)
		status = cli_fail(&cmd_audit, &err);
	cli_end(&cli);
	return status;
}

const struct command cmd_audit = {
	.name = "audit",
	.group = GROUP_LOOK,
	.summary = "what was done, by whom and why, and whether that was changed",
	.usage = usage,
	.run = run,
};
