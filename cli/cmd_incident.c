/* incident: what is held because it fails everywhere; opened, extended and closed by hand. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/query.h"
#include "cli/term.h"
#include "core/clock.h"
#include "core/incident.h"
#include "core/json.h"
#include "core/mem.h"

static const char usage[] =
	"usage: pipeline-guard incident [options] [COMMAND [SUBJECT]]\n"
	"\n"
	"The same failure in many repositories is one outage. What fails of it is held, one run "
	"is\n"
	"tried now and then, and when that passes the rest is let go bit by bit.\n"
	"\n"
	"  list             incidents that hold something now; the default\n"
	"  open SUBJECT     hold what fails of it, although it was not noticed or did not begin\n"
	"  extend SUBJECT   let nothing be tried for so long from now\n"
	"  close SUBJECT    let what waits go bit by bit; once more, or with --now, all at once\n"
	"\n"
	"SUBJECT is host:NAME, fp:FINGERPRINT or category:NAME[/SUBCATEGORY].\n"
	"\n"
	"  pipeline-guard incident open host:registry.example.org --for 2h --reason maintenance\n"
	"\n"
	"Exit status: 0 yes, 1 no (nothing to close, one is open already), 2 usage, 3 no Redis.\n";

struct wish {
	const char *reason, *duration;
	bool now;
};

/* --- list ------------------------------------------------------------------------- */

static int read_all(struct query *q, struct json_object *out, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	char key[KEY_MAX];

	key_region(&q->ks, "incidents", key);
	if (query_ask(q, &reply, err, "HVALS", key, (char *)NULL) < 0)
		return -1;
	for (size_t i = 0; i < redis_len(reply); i++) {
		const struct redisReply *value = redis_at(reply, i);
		struct json_object *one;
		struct err ignored;

		if (redis_str(value) &&
		    json_parse(redis_str(value), redis_len(value), &one, &ignored) == 0)
			json_object_array_add(out, one);
	}
	return 0;
}

static void put_i64(struct table *t, int64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRId64, n);
	table_cell(t, text);
}

static void put_row(struct table *t, struct json_object *o, int64_t now_ms)
{
	char age[24];

	term_age(age, json_i64(o, "opened_ms", now_ms), now_ms);
	table_cell(t, json_str(o, "subject", ""));
	table_cell(t, json_str(o, "state", ""));
	table_cell(t, age);
	put_i64(t, json_i64(o, "repositories", 0));
	put_i64(t, json_i64(o, "probes", 0));
	put_i64(t, json_i64(o, "released", 0));
	table_cell(t, json_str(o, "by", ""));
	table_cell(t, json_str(o, "reason", ""));
}

static int list(const struct cli *cli, struct query *q, struct err *err)
{
	static const char *const headings[] = { "subject",      "state",  "for",
						"repositories", "tries",  "released",
						"by",           "reason", NULL };
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	struct json_object *all = json_object_new_array();
	OWNED(table_freep) struct table *t = table_new(headings);

	json_add(o, "incidents", all);
	if (read_all(q, all, err) < 0)
		return -1;
	if (cli->json) {
		printf("%s\n", json_text(o));
		return CLI_OK;
	}
	for (size_t i = 0; i < json_object_array_length(all); i++)
		put_row(t, json_object_array_get_idx(all, i), clock_wall_ms());
	if (table_rows(t))
		table_print(t);
	else
		printf("No incident: nothing is held.\n");
	return CLI_OK;
}

/* --- orders -------------------------------------------------------------------------- */

static int tell(const struct cli *cli, const struct incident_order *o, const char *word)
{
	static const char *const said[][2] = {
		{ "opened", "held from now on" },
		{ "extended", "nothing is tried until then" },
		{ "released", "what waits goes bit by bit" },
		{ "closed", "nothing is held any more" },
	};
	const char *text = incident_refusal(word);

	for (size_t i = 0; i < ARRAY_LEN(said); i++)
		if (strcmp(said[i][0], word) == 0)
			text = said[i][1];
	if (cli->json) {
		OWNED(json_putp) struct json_object *out = json_object_new_object();

		json_add_str(out, "subject", o->subject);
		json_add_str(out, "incident", word);
		json_add_bool(out, "changed", !incident_refusal(word));
		printf("%s\n", json_text(out));
	} else {
		printf("%s: %s.\n", o->subject, text ? text : word);
	}
	return incident_refusal(word) ? CLI_NO : CLI_OK;
}

static int order(const struct cli *cli, struct query *q, const struct incident_order *asked,
		 struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	struct incident_order o = *asked;
	char what[40], user[TERM_USER_MAX];
	struct incident_cmd c;
	const char *word;

	term_user(user);
	o.by = user;
	incident_cmd(&c, &q->ks, &o);
	if (query_script(q, &incident_order_script, &c.cmd, &reply, err) < 0)
		return -1;
	word = redis_str(reply);
	if (!word)
		return err_set(err, ERR_TRANSIENT, "Redis gave no answer");
	(void)snprintf(what, sizeof(what), "incident_%.20s", word);
	if (!incident_refusal(word) &&
	    query_audit(q, cli->conf, err, what,
			(const char *[]){ "subject", o.subject, "reason", o.reason, "by", user,
					  NULL }) < 0)
		return -1;
	return tell(cli, &o, word);
}

/* --- the command ------------------------------------------------------------------------ */

static int dispatch(const struct cli *cli, const struct wish *w, struct err *err)
{
	static const char *const words[] = { "open", "extend", "close" };
	const char *word = cli->argc ? cli->argv[0] : "list";
	struct incident_order o = {
		.subject = cli->argc > 1 ? cli->argv[1] : "",
		.reason = w->reason ? w->reason : "",
		.now = w->now,
	};
	OWNED(query_closep) struct query *q = NULL;

	if (cli->argc > 2)
		return err_set(err, ERR_CONFIG, "too many words; a reason is --reason \"TEXT\"");
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i], word) == 0)
			o.word = words[i];
	if (!o.word && strcmp(word, "list") != 0)
		return err_set(err, ERR_CONFIG,
			       "there is no incident %.40s: list, open, extend or close", word);
	if (o.word && (incident_subject_check(o.subject, err) < 0 ||
		       incident_for(w->duration ? w->duration : "", &o.for_ms, err) < 0))
		return -1;
	if (query_open(cli->conf, &q, err) < 0)
		return -1;
	return o.word ? order(cli, q, &o, err) : list(cli, q, err);
}

static int run(int argc, char **argv)
{
	struct wish wish = { .reason = NULL };
	const struct cli_option own[] = {
		{ .name = "for",
		  .argument = "TIME",
		  .text = &wish.duration,
		  .help = "open, extend: try nothing before; default 1h" },
		{ .name = "reason",
		  .argument = "TEXT",
		  .text = &wish.reason,
		  .help = "why, for whoever looks" },
		{ .name = "now", .flag = &wish.now, .help = "close: let all go at once" },
		{ .name = "data-dir",
		  .argument = "DIR",
		  .key = "data_dir",
		  .help = "where `start` keeps its data" },
		{ .name = NULL },
	};
	struct err err;
	struct cli cli;
	int status = cli_begin(&cmd_incident, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	status = dispatch(&cli, &wish, &err);
	if (status < 0)
		status = cli_fail(&cmd_incident, &err);
	cli_end(&cli);
	return status;
}

const struct command cmd_incident = {
	.name = "incident",
	.group = GROUP_ACT,
	.summary = "outages that hold heals back: list, open, extend, close",
	.usage = usage,
	.run = run,
};
