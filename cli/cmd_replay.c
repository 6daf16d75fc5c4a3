/* replay: dead letters back to work, or a saved webhook to a receiver. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include "cli/command.h"
#include "cli/data_dir.h"
#include "cli/query.h"
#include "cli/run_print.h"
#include "cli/term.h"
#include "cli/webhook_sign.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "core/http_client.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"

enum {
	PAGE = 200, /* dead letters read at once */
	FILE_MAX = 25 << 20,
	ANSWER_MS = 15000,
};

static const char usage[] =
	"usage: pipeline-guard replay [--list]\n"
	"       pipeline-guard replay ID...          put dead letters back to work\n"
	"       pipeline-guard replay --all\n"
	"       pipeline-guard replay --discard ID...\n"
	"       pipeline-guard replay --webhook FILE [--provider NAME] [--event NAME] [--url URL]\n"
	"\n"
	"Dead letters are what could not be processed. An event goes back into the stream, a\n"
	"piece of work becomes due again, and the letter is gone. A quarantined webhook was well\n"
	"signed but could not be read; only a part of it is kept, for people to look at, so it is\n"
	"sent again from the CI server, or discarded.\n"
	"\n"
	"With --webhook a saved payload is signed with the guard's own secret and sent, as "
	"GitHub,\n"
	"GitLab, Jenkins or another sender of CDEvents would: a way to try things without them.\n"
	"\n"
	"  pipeline-guard replay --list\n"
	"  pipeline-guard replay 1700000000000-0\n"
	"  pipeline-guard replay --webhook failed_run.json --event workflow_run\n"
	"  pipeline-guard replay --webhook pipeline.json --provider gitlab\n"
	"\n"
	"Exit status: 0 done (or listed), 1 some letter is not there or cannot be put back, or "
	"the\n"
	"receiver did not accept the webhook, 2 usage, 3 Redis or the receiver cannot be "
	"reached.\n";

struct request {
	bool list, all, discard;
	const char *webhook, *provider, *event, *secret_file, *url, *delivery;
};

/* --- dead letters ------------------------------------------------------------------ */

/*
 * KEYS dead events due work; ARGV id discard.
 * Returns what became of it: {word, detail}. Added first, removed last.
 */
static struct redis_script replay_script = {
	.name = "replay",
	.body = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
		"local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) "
		"if not found[1] then return {'missing', ''} end "
		"local f, fields = {}, found[1][2] "
		"for i = 1, #fields, 2 do f[fields[i]] = fields[i + 1] end "
		"local word, detail "
		"if ARGV[2] == '1' then "
		"  word, detail = 'discarded', f['reason'] or '' "
		"elseif f['event'] then "
		"  local ok, event = pcall(cjson.decode, f['event']) "
		"  local flat = {} "
		"  if ok and type(event) == 'table' then "
		"    for k, v in pairs(event) do "
		"      if type(k) == 'string' and type(v) == 'string' then "
		"        flat[#flat + 1] = k flat[#flat + 1] = v "
		"      end "
		"    end "
		"  end "
		"  if #flat == 0 then return {'unreadable', ''} end "
		"  word, detail = 'event', redis.call('XADD', KEYS[2], '*', unpack(flat)) "
		"elseif f['item'] then "
		"  word, detail = 'item', f['item'] "
		/* It may be due again by itself, and even be worked on. */
		"  if not redis.call('ZSCORE', KEYS[3], f['item']) then "
		"    redis.call('HDEL', KEYS[4], f['item']) "
		"    redis.call('ZADD', KEYS[3], now, f['item']) "
		"  end "
		"else "
		"  return {'webhook', f['delivery'] or ''} "
		"end "
		"redis.call('XDEL', KEYS[1], ARGV[1]) "
		"return {word, detail}",
};

static const struct fate {
	const char *word;
	bool yes;
	const char *text;
} fates[] = {
	{ "event", true, "is in the stream again as" },
	{ "item", true, "is due again:" },
	{ "discarded", true, "is discarded. Its reason was:" },
	{ "missing", false, "is no dead letter" },
	{ "unreadable", false,
	  "cannot be put back: its event is not readable. --discard removes it" },
	{ "webhook", false,
	  "is a quarantined webhook: let the CI server deliver it again (GitHub: Settings > "
	  "Webhooks > "
	  "Recent Deliveries), or remove it with --discard. Its delivery is" },
};

static const struct fate *fate_find(const char *word)
{
	for (size_t i = 0; word && i < ARRAY_LEN(fates); i++)
		if (strcmp(fates[i].word, word) == 0)
			return &fates[i];
	return NULL;
}

static void print_fate(const struct cli *cli, const char *id, const struct fate *f,
		       const char *detail)
{
	if (cli->json) {
		OWNED(json_putp) struct json_object *o = json_object_new_object();

		json_add_str(o, "id", id);
		json_add_bool(o, "done", f->yes);
		json_add_str(o, "fate", f->word);
		json_add_str(o, "detail", detail);
		printf("%s\n", json_text(o));
		return;
	}
	printf("%s ", id);
	term_put(f->text);
	if (detail && *detail) {
		printf(" ");
		term_put(detail);
	}
	printf("\n");
}

/* *fate: what became of it; "missing" when it is in another partition. */
static int replay_in(struct query *q, unsigned partition, const char *id, bool discard,
		     struct redisReply **out, struct err *err)
{
	static const char *const names[] = { "dead", "events", "due", "work" };
	char key[ARRAY_LEN(names)][KEY_MAX];
	struct redis_cmd cmd;

	redis_script_cmd(&cmd, &replay_script, ARRAY_LEN(names));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		key_part(&q->ks, partition, names[i], key[i]);
		redis_arg(&cmd, key[i]);
	}
	redis_arg(&cmd, id);
	redis_arg(&cmd, discard ? "1" : "0");
	return query_script(q, &replay_script, &cmd, out, err);
}

/* "1700000000000-0", with "P/" in front where there are several partitions. */
static int parse_id(const struct query *q, const char *text, unsigned *from, unsigned *to,
		    const char **id, struct err *err)
{
	const char *slash = strchr(text, '/'), *digits = slash ? slash + 1 : text;
	size_t n = strspn(digits, "0123456789");
	char number[12];
	uint64_t p = 0;

	if (n == 0 || digits[n] != '-' || !digits[n + 1] ||
	    digits[n + 1 + strspn(digits + n + 1, "0123456789")])
		return err_set(err, ERR_CONFIG, "\"%.60s\" is no id; `replay --list` shows them",
			       text);
	*from = 0;
	*to = q->ks.partitions;
	*id = digits;
	if (!slash)
		return 0;
	if (!text_copy(number, sizeof(number), text, (size_t)(slash - text)) ||
	    !text_to_u64(number, &p) || p >= q->ks.partitions)
		return err_set(err, ERR_CONFIG, "\"%.60s\": there is no such partition", text);
	*from = (unsigned)p;
	*to = *from + 1;
	return 0;
}

static int replay_one(struct query *q, const struct cli *cli, const char *text, bool discard,
		      struct err *err)
{
	const struct fate *fate = fate_find("missing");
	unsigned from, to;
	const char *id;

	if (parse_id(q, text, &from, &to, &id, err) < 0)
		return -1;
	for (unsigned p = from; p < to; p++) {
		OWNED(redis_reply_freep) struct redisReply *reply = NULL;

		if (replay_in(q, p, id, discard, &reply, err) < 0)
			return -1;
		fate = fate_find(redis_str(redis_at(reply, 0)));
		if (!fate)
			return err_set(err, ERR_BUG, "unexpected answer of the script");
		if (strcmp(fate->word, "missing") != 0) {
			print_fate(cli, text, fate, redis_str(redis_at(reply, 1)));
			return fate->yes ? CLI_OK : CLI_NO;
		}
	}
	print_fate(cli, text, fate, "");
	return CLI_NO;
}

/* fn returns an exit status, or -1; the worst one wins. */
typedef int letter_fn(struct query *, const struct cli *, unsigned partition,
		      const struct redisReply *letter, void *arg, struct err *);

static int each_letter(struct query *q, const struct cli *cli, letter_fn *fn, void *arg,
		       struct err *err)
{
	int worst = CLI_OK;

	for (unsigned p = 0; p < q->ks.partitions; p++) {
		char key[KEY_MAX], from[64] = "-", count[12];
		size_t n;

		key_part(&q->ks, p, "dead", key);
		(void)snprintf(count, sizeof(count), "%d", PAGE);
		do {
			OWNED(redis_reply_freep) struct redisReply *page = NULL;

			if (query_ask(q, &page, err, "XRANGE", key, from, "+", "COUNT", count,
				      (char *)NULL) < 0)
				return -1;
			n = redis_len(page);
			for (size_t i = 0; i < n; i++) {
				int status = fn(q, cli, p, redis_at(page, i), arg, err);

				if (status < 0)
					return -1;
				worst = status > worst ? status : worst;
			}
			if (n)
				(void)snprintf(from, sizeof(from), "(%s",
					       redis_str(redis_at(redis_at(page, n - 1), 0)));
		} while (n == PAGE);
	}
	return worst;
}

static int replay_letter(struct query *q, const struct cli *cli, unsigned partition,
			 const struct redisReply *letter, void *arg, struct err *err)
{
	const bool *discard = arg;
	char id[80];

	(void)snprintf(id, sizeof(id), "%u/%.60s", partition, redis_str(redis_at(letter, 0)));
	return replay_one(q, cli, id, *discard, err);
}

/* What it is, and which run it is about, as far as it says. */
static void describe(const struct redisReply *fields, const char **kind, char what[static 200])
{
	OWNED(json_putp) struct json_object *event = NULL;
	const char *text = run_field(fields, "event");
	struct err err;

	what[0] = '\0';
	if (*text) {
		*kind = "event";
		if (json_parse(text, strlen(text), &event, &err) == 0)
			(void)snprintf(what, 200, "%.100s run %.20s", json_str(event, "repo", "?"),
				       json_str(event, "run_id", "?"));
	} else if (*run_field(fields, "item")) {
		*kind = "work";
		(void)snprintf(what, 200, "%.190s", run_field(fields, "item"));
	} else {
		*kind = "webhook";
		(void)snprintf(what, 200, "%.24s %.24s delivery %.64s", run_field(fields, "source"),
			       run_field(fields, "topic"), run_field(fields, "delivery"));
	}
}

static int list_letter(struct query *q, const struct cli *cli, unsigned partition,
		       const struct redisReply *letter, void *arg, struct err *err)
{
	const struct redisReply *fields = redis_at(letter, 1);
	const char *entry = redis_str(redis_at(letter, 0)), *kind;
	char id[80], what[200], age[24], at[25];
	struct table *t = arg;

	UNUSED(err);
	if (q->ks.partitions > 1)
		(void)snprintf(id, sizeof(id), "%u/%.60s", partition, entry);
	else
		(void)snprintf(id, sizeof(id), "%.60s", entry);
	describe(fields, &kind, what);
	if (cli->json) {
		OWNED(json_putp) struct json_object *o = json_object_new_object();

		text_from_ms(at, query_id_ms(entry));
		json_add_str(o, "id", id);
		json_add_str(o, "at", at);
		json_add_str(o, "kind", kind);
		json_add_str(o, "what", what);
		json_add_str(o, "reason", run_field(fields, "reason"));
		for (size_t i = 0; i + 1 < redis_len(fields); i += 2)
			if (strcmp(redis_str(redis_at(fields, i)), "body") == 0)
				json_add_str(o, "body", redis_str(redis_at(fields, i + 1)));
		printf("%s\n", json_text(o));
		return CLI_OK;
	}
	term_age(age, query_id_ms(entry), clock_wall_ms());
	table_cell(t, id);
	table_cell(t, age);
	table_cell(t, kind);
	table_cell(t, what);
	table_cell(t, run_field(fields, "reason"));
	return CLI_OK;
}

static int list(struct query *q, const struct cli *cli, struct err *err)
{
	static const char *const headings[] = { "ID", "AGE", "KIND", "WHAT", "REASON", NULL };
	OWNED(table_freep) struct table *t = table_new(headings);

	if (each_letter(q, cli, list_letter, t, err) < 0)
		return -1;
	if (!cli->json && table_rows(t) == 0)
		printf("No dead letters.\n");
	else if (!cli->json)
		table_print(t);
	return CLI_OK;
}

static int letters(const struct cli *cli, struct request *want, struct err *err)
{
	OWNED(query_closep) struct query *q = NULL;
	int worst = CLI_OK;

	if (want->all && cli->argc)
		return err_set(err, ERR_CONFIG, "either --all, or ids");
	if (query_open(cli->conf, &q, err) < 0)
		return -1;
	if (want->all)
		return each_letter(q, cli, replay_letter, &want->discard, err);
	if (want->discard && !cli->argc)
		return err_set(err, ERR_CONFIG, "discard what? Give ids, or --all");
	if (want->list || !cli->argc)
		return list(q, cli, err);
	for (int i = 0; i < cli->argc; i++) {
		int status = replay_one(q, cli, cli->argv[i], want->discard, err);

		if (status < 0)
			return -1;
		worst = status > worst ? status : worst;
	}
	return worst;
}

/* --- a saved webhook --------------------------------------------------------------- */

static void closep(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static int read_file(const char *path, char **out, size_t *len, struct err *err)
{
	OWNED(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	OWNED(freep) char *data = NULL;
	struct stat st;
	ssize_t n;
	size_t at = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, ERR_CONFIG, "%.150s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
		return err_set(err, ERR_CONFIG, "%.150s: not a file of at most 25 MiB", path);
	data = xmalloc((size_t)st.st_size + 1);
	while (at < (size_t)st.st_size && (n = read(fd, data + at, (size_t)st.st_size - at)) != 0) {
		if (n < 0 && errno != EINTR)
			return err_set(err, ERR_CONFIG, "%.150s: %s", path, strerror(errno));
		at += n > 0 ? (size_t)n : 0;
	}
	data[at] = '\0';
	*len = at;
	*out = TAKE(data);
	return 0;
}

/* Given, else configured, else the one that `start` made. */
static int webhook_secret(const struct conf *conf, const struct webhook_sender *sender,
			  const char *file, char **out, struct err *err)
{
	static const char *const names[] = { "pipeline-guard", "pipeline-guard-demo" };
	const char *configured = webhook_sender_secret(sender, conf);
	const char *generated = webhook_sender_file(sender);
	char path[DATA_PATH_MAX + 32], folder[DATA_PATH_MAX];
	size_t n;

	if (!file && configured) {
		*out = xstrdup(configured);
		return 0;
	}
	for (size_t i = 0; !file && generated && i < ARRAY_LEN(names); i++) {
		if (data_dir_path(conf, names[i], folder, err) < 0)
			return -1;
		(void)snprintf(path, sizeof(path), "%s/%s", folder, generated);
		if (access(path, R_OK) == 0)
			file = path;
	}
	if (!file)
		return err_set(err, ERR_CONFIG,
			       "no webhook secret of %s: name its file with --secret-file",
			       webhook_sender_name(sender));
	if (read_file(file, out, &n, err) < 0)
		return -1;
	(*out)[strcspn(*out, "\r\n")] = '\0';
	if (!**out)
		return err_set(err, ERR_CONFIG, "%.150s: the secret is empty", file);
	return 0;
}

struct sending {
	const struct cli *cli;
	struct event_base *base;
	int status;
	struct err err;
};

static void first_line(const char *text)
{
	OWNED(freep) char *line = xstrndup(text, strcspn(text, "\r\n"));

	term_put(line);
	printf("\n");
}

static void on_answer(const struct http_reply *reply, void *arg)
{
	struct sending *s = arg;

	(void)event_base_loopbreak(s->base);
	if (reply->status == 0) {
		s->status = -1;
		err_format(&s->err, ERR_TRANSIENT, "no answer: %.180s",
			   reply->error ? reply->error : "?");
		return;
	}
	s->status = reply->status / 100 == 2 ? CLI_OK : CLI_NO;
	if (s->cli->json) {
		OWNED(json_putp) struct json_object *o = json_object_new_object();

		json_add_i64(o, "status", reply->status);
		json_add_str(o, "answer", reply->body);
		printf("%s\n", json_text(o));
	} else {
		printf("%d ", reply->status);
		first_line(reply->body);
	}
}

static void free_headers(char **headers)
{
	for (; *headers; headers++)
		secret_free(*headers);
}

static int prepare_webhook(const struct cli *cli, const struct request *want, char **body,
			   char **headers, struct http_call_options *o, struct err *err)
{
	const char *provider = want->provider ? want->provider : "github";
	const struct webhook_sender *sender = webhook_sender_find(provider);
	struct saved_webhook w = { .event = want->event, .delivery = want->delivery };
	OWNED(secret_freep) char *secret = NULL;
	int rc;

	if (!sender)
		return err_set(err, ERR_CONFIG,
			       "--provider is github, gitlab, jenkins or generic, not \"%.40s\"",
			       provider);
	if (!want->event && webhook_sender_event(sender))
		return err_set(err, ERR_CONFIG, "--event says what the payload is: %s",
			       webhook_sender_event(sender));
	if (read_file(want->webhook, body, &w.body_len, err) < 0 ||
	    webhook_secret(cli->conf, sender, want->secret_file, &secret, err) < 0)
		return -1;
	w.body = *body;
	rc = webhook_sign(sender, &w, secret, headers, err);
	for (size_t i = 0; headers[i]; i++)
		o->headers[i] = headers[i];
	o->body = *body;
	o->body_len = w.body_len;
	return rc;
}

static int send_webhook(const struct cli *cli, const struct request *want, struct err *err)
{
	OWNED(freep) char *body = NULL, *url = NULL;
	char *headers[WEBHOOK_HEADERS_MAX + 1] = { 0 };
	struct http_call_options o = { .method = "POST", .timeout_ms = ANSWER_MS };
	struct sending s = { .cli = cli };
	struct http_client *client;

	if (prepare_webhook(cli, want, &body, headers, &o, err) < 0) {
		free_headers(headers);
		return -1;
	}
	url = want->url ? xstrdup(want->url)
			: xasprintf("http://%s/webhooks/%s", conf_str(cli->conf, "listen"),
				    want->provider ? want->provider : "github");
	o.url = url;
	s.base = event_base_new();
	if (!s.base)
		abort();
	client = http_client_new(s.base, "pipeline-guard-replay");
	(void)http_call_start(client, &o, on_answer, &s);
	(void)event_base_dispatch(s.base);
	http_client_free(client);
	event_base_free(s.base);
	free_headers(headers);
	*err = s.err;
	return s.status;
}

/* --- the command ------------------------------------------------------------------- */

static int run(int argc, char **argv)
{
	struct request want = { 0 };
	const struct cli_option own[] = {
		{ .name = "list",
		  .flag = &want.list,
		  .help = "show the dead letters (the default)" },
		{ .name = "all", .flag = &want.all, .help = "every dead letter" },
		{ .name = "discard",
		  .flag = &want.discard,
		  .help = "remove instead of putting back" },
		{ .name = "webhook",
		  .argument = "FILE",
		  .text = &want.webhook,
		  .help = "send this payload" },
		{ .name = "provider",
		  .argument = "NAME",
		  .text = &want.provider,
		  .help = "as whom: github (the default), gitlab, jenkins, generic" },
		{ .name = "event",
		  .argument = "NAME",
		  .text = &want.event,
		  .help = "the sender's name for it: workflow_run, \"Job Hook\"" },
		{ .name = "url",
		  .argument = "URL",
		  .text = &want.url,
		  .help = "where to; default the configured listener" },
		{ .name = "secret-file",
		  .argument = "FILE",
		  .text = &want.secret_file,
		  .help = "what to sign with; default the configured or generated secret" },
		{ .name = "delivery",
		  .argument = "ID",
		  .text = &want.delivery,
		  .help = "delivery id; default a new one, so it is no duplicate" },
		{ .name = "data-dir",
		  .argument = "DIR",
		  .key = "data_dir",
		  .help = "where `start` keeps its data" },
		{ .name = NULL },
	};
	struct err err;
	struct cli cli;
	int status = cli_begin(&cmd_replay, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	status = want.webhook ? send_webhook(&cli, &want, &err) : letters(&cli, &want, &err);
	if (status < 0)
		status = cli_fail(&cmd_replay, &err);
	cli_end(&cli);
	return status;
}

const struct command cmd_replay = {
	.name = "replay",
	.group = GROUP_ACT,
	.summary = "dead letters: list, put back, discard; or send a saved webhook",
	.usage = usage,
	.run = run,
};
