/* spool: what waits on disk for Redis. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/data_dir.h"
#include "cli/term.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/enqueue.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "receiver/spool.h"

static const char usage[] =
	"usage: pipeline-guard spool [options]\n"
	"\n"
	"Events that receivers took while Redis did not, and that wait on disk for it. They go to\n"
	"Redis in order when it is back; a receiver that starts adopts those of one that died, so\n"
	"nothing has to be done with them by hand.\n"
	"\n"
	"  pipeline-guard spool\n"
	"  pipeline-guard spool --records --json\n"
	"\n"
	"Exit status: 0 all can be read, 1 some of it is damaged, 3 the folder cannot be read.\n";

struct look {
	bool json, records;
	int64_t now_ms;
	struct table *table;
	struct json_object *list, *each;
	uint64_t n, bytes, damaged;
	int64_t oldest_ms;
};

static void show_segment(const struct spool_segment *s, void *arg)
{
	const char *state = s->set_aside ? "damaged, kept" : s->alive ? "in use" : "waits";
	struct look *l = arg;
	char text[32];

	l->bytes += s->bytes;
	l->damaged += s->damaged_bytes;
	if (!s->set_aside) {
		l->n += s->records;
		if (s->records && (!l->oldest_ms || s->oldest_ms < l->oldest_ms))
			l->oldest_ms = s->oldest_ms;
	}
	if (l->json) {
		struct json_object *o = json_object_new_object();

		json_add_str(o, "path", s->path);
		json_add_str(o, "state", state);
		json_add_i64(o, "records", (int64_t)s->records);
		json_add_i64(o, "bytes", (int64_t)s->bytes);
		json_add_i64(o, "damaged_bytes", (int64_t)s->damaged_bytes);
		json_add_i64(o, "oldest_ms", s->oldest_ms);
		json_add_i64(o, "newest_ms", s->newest_ms);
		(void)json_object_array_add(l->list, o);
		return;
	}
	table_cell(l->table, state);
	(void)snprintf(text, sizeof(text), "%" PRIu64, s->records);
	table_cell(l->table, text);
	(void)snprintf(text, sizeof(text), "%" PRIu64, s->bytes);
	table_cell(l->table, text);
	if (s->records)
		term_age(text, s->oldest_ms, l->now_ms);
	table_cell(l->table, s->records ? text : "");
	table_cell(l->table, s->path);
}

/* What it is, its source and delivery; the rest is for Redis. */
static void show_record(const struct spool_record *r, void *arg)
{
	struct enqueue_text t[3] = { { "", 0 }, { "", 0 }, { "", 0 } };
	struct look *l = arg;
	char word[ARRAY_LEN(t)][80];
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		(void)enqueue_next_text(r->data, r->n, &at, &t[i]);
		(void)text_copy(word[i], sizeof(word[i]), t[i].data, t[i].n);
	}
	if (l->json) {
		struct json_object *o = json_object_new_object();

		json_add_str(o, "kind", word[0]);
		if (text_starts(word[0], "event")) {
			json_add_str(o, "source", word[1]);
			json_add_str(o, "delivery", word[2]);
		}
		json_add_i64(o, "at_ms", r->at_ms);
		(void)json_object_array_add(l->each, o);
		return;
	}
	if (text_starts(word[0], "event")) {
		term_put(word[1]);
		printf(" ");
		term_put(word[2]);
		printf("\n");
	} else {
		printf("(a malformed webhook)\n");
	}
}

static void print_json(struct look *l, const char *dir)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();

	json_add_str(o, "folder", dir);
	json_add_i64(o, "records", (int64_t)l->n);
	json_add_i64(o, "bytes", (int64_t)l->bytes);
	json_add_i64(o, "damaged_bytes", (int64_t)l->damaged);
	json_add_i64(o, "oldest_ms", l->oldest_ms);
	json_add(o, "segments", l->list);
	if (l->records)
		json_add(o, "each", l->each);
	else
		json_object_put(l->each);
	printf("%s\n", json_text(o));
}

static void print_text(const struct look *l, const char *dir)
{
	char age[24];

	if (table_rows(l->table))
		table_print(l->table);
	if (l->n) {
		term_age(age, l->oldest_ms, l->now_ms);
		printf("%" PRIu64 " events wait in %s, the oldest for %s\n", l->n, dir, age);
	} else {
		printf("nothing waits in %s\n", dir);
	}
	if (l->damaged)
		printf("%" PRIu64
		       " bytes could not be read; the files are kept as damaged-*.seg for you to "
		       "look at and remove\n",
		       l->damaged);
}

static int look(const struct cli *cli, const char *dir, bool records, struct err *err)
{
	static const char *const headings[] = {
		"state", "records", "bytes", "oldest", "file", NULL
	};
	struct look l = { .json = cli->json, .records = records, .now_ms = clock_wall_ms() };
	OWNED(table_freep) struct table *table = table_new(headings);

	l.table = table;
	if (l.json) {
		l.list = json_object_new_array();
		l.each = json_object_new_array();
	}
	/* No folder: no receiver has run here yet. */
	if ((access(dir, F_OK) == 0 || errno != ENOENT) &&
	    spool_look(dir, show_segment, records ? show_record : NULL, &l, err) < 0) {
		json_object_put(l.list);
		json_object_put(l.each);
		return -1;
	}
	if (l.json)
		print_json(&l, dir);
	else
		print_text(&l, dir);
	return l.damaged ? CLI_NO : CLI_OK;
}

static int run(int argc, char **argv)
{
	bool records = false;
	const struct cli_option own[] = {
		{ .name = "data-dir",
		  .argument = "DIR",
		  .key = "data_dir",
		  .help = "the data folder of the guard that is asked about" },
		{ .name = "records", .flag = &records, .help = "one line for each event" },
		{ .name = NULL },
	};
	char dir[DATA_PATH_MAX], path[DATA_PATH_MAX + 40];
	struct err err;
	struct cli cli;
	int status = cli_begin(&cmd_spool, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	if (data_dir_spool(cli.conf, dir, &err) < 0) {
		status = cli_fail(&cmd_spool, &err);
	} else {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, conf_str(cli.conf, "region"));
		status = look(&cli, path, records, &err);
		if (status < 0)
			status = cli_fail(&cmd_spool, &err);
	}
	cli_end(&cli);
	return status;
}

const struct command cmd_spool = {
	.name = "spool",
	.group = GROUP_LOOK,
	.summary = "show what waits on disk while Redis is away",
	.usage = usage,
	.run = run,
};
