/* logs: what the guard did, in words, from the feed and the outcomes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "cli/command.h"
#include "cli/query.h"
#include "cli/run_print.h"
#include "cli/term.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "web/run_view.h"

enum {
	STREAMS_MAX = 64, /* two per partition */
	BATCH = 500,
	LINES_MAX = 10000,
	BLOCK_MS = 1000,
	AGAIN_MS = 500,
	PATIENCE_MS = 60000,
};

static const char usage[] =
	"usage: pipeline-guard logs [options]\n"
	"\n"
	"What the guard saw and did, oldest first: attempts, diagnoses, re-runs, outcomes. The\n"
	"daemons' own logs are on their standard error; this is the story of the runs.\n"
	"\n"
	"  pipeline-guard logs --follow\n"
	"  pipeline-guard logs --lines 200 --run 30433642\n"
	"  pipeline-guard logs --follow --json | jq 'select(.what == \"healed\")'\n"
	"\n"
	"Exit status: 0 printed, 1 there is no such run, 3 Redis cannot be reached (--follow "
	"waits\n"
	"a minute for one that went away).\n";

struct stream {
	char key[KEY_MAX];
	char last[48];
	bool outcomes; /* else the feed */
};

struct entry {
	struct stream *stream;
	const struct redisReply *reply; /* [id, fields] */
	int64_t ms, seq;
};

struct logs {
	struct query *q;
	struct stream streams[STREAMS_MAX];
	size_t n_streams;
	bool json;
	char ref[QUERY_REF_MAX]; /* "": all */
};

/* --- one entry, in words ----------------------------------------------------------- */

struct told {
	const char *what;
	char text[640];
};

static void tell_attempt(const struct redisReply *run, const char *word, struct told *out)
{
	const char *generation = word + strlen("attempt ");
	bool now = strcmp(run_field(run, "generation"), generation) == 0;
	const char *state = *run_field(run, "conclusion") ? run_field(run, "conclusion")
							  : run_field(run, "status");
	char attempt[ATTEMPT_TEXT_MAX];

	run_view_attempt(run_field(run, "provider"), generation,
			 now ? run_number(run, "reruns") : -1, attempt);
	out->what = "attempt";
	(void)snprintf(out->text, sizeof(out->text), "%s%s%s", attempt, *attempt ? ": " : "",
		       now ? state : "over, a later one is known");
}

static void tell_diagnosis(const struct redisReply *run, struct told *out)
{
	OWNED(json_putp) struct json_object *finding = NULL;
	const char *json = run_field(run, "finding"), *reason = run_field(run, "plan_reason");
	const char *title;
	char sure[80] = "";
	struct err err;

	out->what = "diagnosed";
	if (json_parse(json, strlen(json), &finding, &err) < 0)
		finding = NULL;
	title = json_str(finding, "title", "");
	if (*json_str(finding, "rule", ""))
		(void)snprintf(sure, sizeof(sure), " (%.40s, %.0f %%)", run_field(run, "category"),
			       json_num(finding, "confidence", 0) * 100);
	(void)snprintf(out->text, sizeof(out->text), "%.200s%s%s%.60s%s%.240s",
		       *title ? title : "no known cause", sure, *reason ? "; plan: " : "",
		       *reason ? run_field(run, "strategy") : "", *reason ? ", " : "", reason);
}

/* False: another entry says it better. */
static bool tell_feed(const struct redisReply *fields, const struct redisReply *run,
		      struct told *out)
{
	const char *word = run_field(fields, "what");

	if (text_starts(word, "attempt ")) {
		tell_attempt(run, word, out);
	} else if (strcmp(word, "diagnosed") == 0) {
		tell_diagnosis(run, out);
	} else if (strcmp(word, "sent") == 0) {
		out->what = "sent";
		(void)snprintf(out->text, sizeof(out->text), "%.60s was asked for and is under way",
			       run_field(run, "strategy"));
	} else if (strcmp(word, "asked") == 0) {
		out->what = "asked";
		(void)snprintf(out->text, sizeof(out->text), "%.240s",
			       *run_field(run, "plan_reason") ? run_field(run, "plan_reason")
							      : "a person asked for it");
	} else {
		return false;
	}
	return true;
}

static void tell_outcome(const struct redisReply *fields, struct told *out)
{
	const char *detail = run_field(fields, "detail");
	char attempt[ATTEMPT_TEXT_MAX];

	run_view_attempt_of(fields, attempt);
	out->what = run_field(fields, "result");
	(void)snprintf(out->text, sizeof(out->text), "%.60s%s%s%s%.300s",
		       run_field(fields, "strategy"), *attempt ? " for " : "", attempt,
		       *detail ? ": " : "", detail);
}

static void print_json(const struct entry *e, const struct redisReply *fields,
		       const struct redisReply *run, const char *ref, const struct told *told)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	char at[25];

	text_from_ms(at, e->ms);
	json_add_str(o, "at", at);
	json_add_i64(o, "at_ms", e->ms);
	json_add_str(o, "run", ref);
	json_add_str(o, "repo", run_field(e->stream->outcomes ? fields : run, "repo"));
	json_add_str(o, "pipeline", run_field(e->stream->outcomes ? fields : run, "pipeline"));
	json_add_str(o, "what", told->what);
	json_add_str(o, "text", told->text);
	if (e->stream->outcomes) {
		static const char *const names[] = { "plan",     "strategy",    "mode",
						     "category", "fingerprint", "detail" };

		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			json_add_str(o, names[i], run_field(fields, names[i]));
	}
	printf("%s\n", json_text(o));
}

static void print_line(const struct entry *e, const struct redisReply *fields,
		       const struct redisReply *run, const char *ref, const struct told *told)
{
	const struct redisReply *names = e->stream->outcomes ? fields : run;
	char at[25];

	text_from_ms(at, e->ms);
	printf("%s  %s", at, term_paint(told->what));
	term_put(told->what);
	printf("%s%*s ", term_plain(), (int)(strlen(told->what) < 17 ? 17 - strlen(told->what) : 0),
	       "");
	term_put(run_field(names, "repo"));
	printf(" / ");
	term_put(run_field(names, "pipeline"));
	printf(" (");
	term_put(ref);
	printf(")  ");
	term_put(told->text);
	printf("\n");
}

static int print_entry(struct logs *l, const struct entry *e, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *run = NULL;
	const struct redisReply *fields = redis_at(e->reply, 1);
	const char *ref = run_field(fields, "run");
	struct told told = { .what = "" };

	if (*l->ref && strcmp(l->ref, ref) != 0)
		return 0;
	if (!e->stream->outcomes && run_load(l->q, ref, &run, err) < 0)
		return err->kind == ERR_INPUT ? 0 : -1;
	if (e->stream->outcomes)
		tell_outcome(fields, &told);
	else if (!tell_feed(fields, run, &told))
		return 0;
	if (l->json)
		print_json(e, fields, run, ref, &told);
	else
		print_line(e, fields, run, ref, &told);
	return 0;
}

/* --- batches: several streams, in the order of their ids --------------------------- */

struct batch {
	struct entry *entries;
	size_t n;
};

static void batch_done(struct batch *b)
{
	free(b->entries);
}

static void batch_add(struct batch *b, struct stream *s, const struct redisReply *reply)
{
	const char *id = redis_str(redis_at(reply, 0));
	const char *dash = id ? strchr(id, '-') : NULL;
	struct entry e = { .stream = s, .reply = reply, .ms = query_id_ms(id) };

	if (!dash || !text_to_i64(dash + 1, &e.seq))
		return;
	b->entries = xrealloc(b->entries, (b->n + 1) * sizeof(*b->entries));
	b->entries[b->n++] = e;
}

/* Of the two that one script wrote, the feed's entry comes first: it says less. */
static int oldest_first(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->ms != y->ms)
		return x->ms < y->ms ? -1 : 1;
	if (x->stream->outcomes != y->stream->outcomes)
		return x->stream->outcomes ? 1 : -1;
	return (x->seq > y->seq) - (x->seq < y->seq);
}

/* Told from the run as it is now, earlier entries of one attempt would all say the same. */
static bool said_again_later(const struct batch *b, size_t at)
{
	const struct redisReply *mine = redis_at(b->entries[at].reply, 1);

	if (b->entries[at].stream->outcomes)
		return false;
	for (size_t i = at + 1; i < b->n; i++) {
		const struct redisReply *later = redis_at(b->entries[i].reply, 1);

		if (!b->entries[i].stream->outcomes &&
		    strcmp(run_field(mine, "run"), run_field(later, "run")) == 0 &&
		    strcmp(run_field(mine, "what"), run_field(later, "what")) == 0)
			return true;
	}
	return false;
}

static int print_batch(struct logs *l, struct batch *b, size_t most, struct err *err)
{
	size_t skip = b->n > most ? b->n - most : 0;

	if (b->n)
		qsort(b->entries, b->n, sizeof(*b->entries), oldest_first);
	for (size_t i = skip; i < b->n; i++)
		if (!said_again_later(b, i) && print_entry(l, &b->entries[i], err) < 0)
			return -1;
	(void)fflush(stdout);
	return 0;
}

static void remember(struct stream *s, const struct redisReply *reply)
{
	const char *id = redis_str(redis_at(reply, 0));

	if (id)
		(void)text_copy(s->last, sizeof(s->last), id, strlen(id));
}

static int print_past(struct logs *l, int64_t lines, struct err *err)
{
	OWNED(batch_done) struct batch b = { 0 };
	struct redisReply *replies[STREAMS_MAX] = { 0 };
	char count[24];
	int status = 0;

	/* Those of one run are rare among all: look through everything that is kept. */
	(void)snprintf(count, sizeof(count), "%" PRId64,
		       *l->ref ? (int64_t)LINES_MAX
		       : lines ? lines
			       : 1);
	for (size_t i = 0; i < l->n_streams && status == 0; i++) {
		status = query_ask(l->q, &replies[i], err, "XREVRANGE", l->streams[i].key, "+", "-",
				   "COUNT", count, (char *)NULL);
		if (redis_len(replies[i]) > 0)
			remember(&l->streams[i], redis_at(replies[i], 0));
		for (size_t k = 0; k < redis_len(replies[i]); k++)
			batch_add(&b, &l->streams[i], redis_at(replies[i], k));
	}
	if (status == 0 && lines)
		status = print_batch(l, &b, *l->ref ? LINES_MAX : (size_t)lines, err);
	for (size_t i = 0; i < l->n_streams; i++)
		redis_reply_free(replies[i]);
	return status;
}

static struct stream *stream_of(struct logs *l, const char *key)
{
	for (size_t i = 0; key && i < l->n_streams; i++)
		if (strcmp(l->streams[i].key, key) == 0)
			return &l->streams[i];
	return NULL;
}

/* --- following --------------------------------------------------------------------- */

static int read_on(struct logs *l, int64_t block_ms, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	OWNED(batch_done) struct batch b = { 0 };
	struct redis_cmd cmd;

	redis_cmd_init(&cmd);
	redis_arg(&cmd, "XREAD");
	redis_arg(&cmd, "COUNT");
	redis_arg_i64(&cmd, BATCH);
	redis_arg(&cmd, "BLOCK");
	redis_arg_i64(&cmd, block_ms);
	redis_arg(&cmd, "STREAMS");
	for (size_t i = 0; i < l->n_streams; i++)
		redis_arg(&cmd, l->streams[i].key);
	for (size_t i = 0; i < l->n_streams; i++)
		redis_arg(&cmd, l->streams[i].last);
	if (query_send(l->q, &cmd, &reply, err) < 0)
		return -1;
	for (size_t i = 0; i < redis_len(reply); i++) {
		const struct redisReply *entries = redis_at(redis_at(reply, i), 1);
		struct stream *s = stream_of(l, redis_str(redis_at(redis_at(reply, i), 0)));

		for (size_t k = 0; s && k < redis_len(entries); k++) {
			batch_add(&b, s, redis_at(entries, k));
			remember(s, redis_at(entries, k));
		}
	}
	return print_batch(l, &b, b.n, err);
}

static int follow(struct logs *l, const struct conf *conf, struct err *err)
{
	/* A reply that is later than redis.timeout counts as none. */
	int64_t half = conf_int(conf, "redis.timeout") / 2, lost_at_ms = 0;

	for (;;) {
		if (read_on(l, half < BLOCK_MS ? half : BLOCK_MS, err) == 0) {
			lost_at_ms = 0;
			continue;
		}
		if (!lost_at_ms) {
			lost_at_ms = clock_mono_ms();
			fprintf(stderr, "pipeline-guard logs: %s; waiting for it\n", err->msg);
		}
		if (clock_mono_ms() - lost_at_ms > PATIENCE_MS)
			return -1;
		query_wait(l->q, AGAIN_MS);
	}
}

/* --- the command ------------------------------------------------------------------- */

static void add_streams(struct logs *l)
{
	static const char *const names[] = { "feed", "outcomes" };

	for (unsigned p = 0; p < l->q->ks.partitions; p++) {
		for (size_t i = 0; i < ARRAY_LEN(names) && l->n_streams < STREAMS_MAX; i++) {
			struct stream *s = &l->streams[l->n_streams++];

			key_part(&l->q->ks, p, names[i], s->key);
			s->outcomes = i == 1;
			(void)text_copy(s->last, sizeof(s->last), "0-0", 3);
		}
	}
}

static int show(const struct cli *cli, const char *what, int64_t lines, bool following,
		struct err *err)
{
	OWNED(query_closep) struct query *q = NULL;
	OWNED(redis_reply_freep) struct redisReply *run = NULL;
	OWNED(freep) struct logs *l = xcalloc(1, sizeof(*l));

	if (query_open(cli->conf, &q, err) < 0)
		return -1;
	l->q = q;
	l->json = cli->json;
	if (what &&
	    (query_find_run(q, what, l->ref, err) < 0 || run_load(q, l->ref, &run, err) < 0))
		return -1;
	add_streams(l);
	if (print_past(l, lines, err) < 0)
		return -1;
	return following ? follow(l, cli->conf, err) : CLI_OK;
}

static int run(int argc, char **argv)
{
	const char *what = NULL;
	bool following = false;
	int64_t lines = 20;
	const struct cli_option own[] = {
		{ .name = "follow", .flag = &following, .help = "go on as things happen" },
		{ .name = "run",
		  .argument = "RUN",
		  .text = &what,
		  .help = "only what concerns one run" },
		{ .name = "lines",
		  .argument = "N",
		  .number = &lines,
		  .help = "how many entries of the past to read; default 20" },
		{ .name = "data-dir",
		  .argument = "DIR",
		  .key = "data_dir",
		  .help = "where `start` keeps its data" },
		{ .name = NULL },
	};
	struct err err;
	struct cli cli;
	int status = cli_begin(&cmd_logs, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	if (cli.argc > 0)
		err_format(&err, ERR_CONFIG, "\"%.60s\"? One run is chosen with --run",
			   cli.argv[0]);
	else if (lines > LINES_MAX)
		err_format(&err, ERR_CONFIG, "--lines: %d at most", LINES_MAX);
	else
		status = show(&cli, what, lines, following, &err);
	if (status < 0)
		status = cli_fail(&cmd_logs, &err);
	cli_end(&cli);
	return status;
}

const struct command cmd_logs = {
	.name = "logs",
	.group = GROUP_LOOK,
	.summary = "what the guard saw and did, in words",
	.usage = usage,
	.run = run,
};
