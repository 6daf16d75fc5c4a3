/* notify: who is told, and whether it gets there. */
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include "cli/command.h"
#include "cli/term.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "core/http_client.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "dispatcher/notify.h"

static const char usage[] =
	"usage: pipeline-guard notify list|test [CHANNEL] [options]\n"
	"\n"
	"Channels are where people are told of heals and of what needs them: notify.NAME.* in the\n"
	"configuration. docs/notifications.md has an example of each.\n"
	"\n"
	"  list             the channels, and what each is told\n"
	"  test [CHANNEL]   send a sample to one of them, or to all, now; it says that it is a "
	"test\n"
	"\n"
	"Exit status: 0 done; 1 a channel refused the sample; 2 wrong usage or configuration; 3 a\n"
	"channel was not reached.\n";

static void add_channel(struct table *t, struct json_object *list, const struct notify *n,
			const struct notify_channel *c)
{
	static const char *const keys[] = { "events", "repos", "min_severity", "digest",
					    "per_minute" };
	struct json_object *o = json_object_new_object();
	char host[256];

	notify_host(n, c, host);
	table_cell(t, c->name);
	table_cell(t, c->type->name);
	table_cell(t, host);
	json_add_str(o, "channel", c->name);
	json_add_str(o, "type", c->type->name);
	json_add_str(o, "host", host);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *text = notify_option(n, c, keys[i]);

		table_cell(t, *text ? text : "all");
		json_add_str(o, keys[i], text);
	}
	json_object_array_add(list, o);
}

static int list(const struct cli *cli, const struct notify *n)
{
	static const char *const headings[] = { "channel", "type",       "host",
						"events",  "repos",      "least",
						"digest",  "per minute", NULL };
	OWNED(json_putp) struct json_object *all = json_object_new_array();
	OWNED(table_freep) struct table *t = table_new(headings);
	const struct notify_channel *c;

	for (size_t i = 0; (c = notify_channel_at(n, i)); i++)
		add_channel(t, all, n, c);
	if (cli->json)
		printf("%s\n", json_text(all));
	else
		table_print(t);
	return CLI_OK;
}

/* --- test ----------------------------------------------------------------------------- */

struct trial {
	struct event_base *base;
	enum notify_fate fate;
	bool answered;
	char why[160];
};

static void on_answer(const struct http_reply *reply, void *arg)
{
	struct trial *trial = arg;

	trial->answered = reply->status != 0;
	trial->fate = notify_judge(reply, trial->why);
	(void)event_base_loopbreak(trial->base);
}

static void try_one(struct trial *trial, struct http_client *http, const struct notify *n,
		    const struct notify_channel *c)
{
	OWNED(json_putp) struct json_object *sample = notify_sample(clock_wall_ms());
	char random[33], id[40];

	random_hex(random, 16);
	(void)snprintf(id, sizeof(id), "pg_%s", random);
	(void)notify_send(n, c, http, &sample, 1, 0, id, on_answer, trial);
	(void)event_base_dispatch(trial->base);
}

static int status_of(const struct trial *trial)
{
	if (trial->fate == NOTIFY_DELIVERED)
		return CLI_OK;
	return trial->answered ? CLI_NO : CLI_UNREACHABLE;
}

static int test(const struct cli *cli, const struct notify *n, const char *only)
{
	static const char *const headings[] = { "channel", "result", "answer", NULL };
	OWNED(json_putp) struct json_object *all = json_object_new_array();
	OWNED(table_freep) struct table *t = table_new(headings);
	struct trial trial = { .base = event_base_new() };
	const struct notify_channel *c;
	struct http_client *http;
	int status = CLI_OK;

	if (!trial.base)
		abort();
	http = http_client_new(trial.base, "pipeline-guard");
	for (size_t i = 0; (c = notify_channel_at(n, i)); i++) {
		struct json_object *o = json_object_new_object();
		int one;

		/* What is shown on a run takes a run. */
		if ((only && strcmp(c->name, only) != 0) || c->type->on_run) {
			json_object_put(o);
			continue;
		}
		try_one(&trial, http, n, c);
		one = status_of(&trial);
		status = one > status ? one : status;
		table_cell(t, c->name);
		table_cell(t, one == CLI_OK ? "delivered" : "failed");
		table_cell(t, trial.why);
		json_add_str(o, "channel", c->name);
		json_add_bool(o, "delivered", one == CLI_OK);
		json_add_str(o, "answer", trial.why);
		json_object_array_add(all, o);
	}
	http_client_free(http);
	event_base_free(trial.base);
	if (cli->json)
		printf("%s\n", json_text(all));
	else
		table_print(t);
	return status;
}

static int dispatch(const struct cli *cli, struct err *err)
{
	OWNED(notify_freep) struct notify *n = NULL;
	const char *word = cli->argc ? cli->argv[0] : "",
		   *only = cli->argc > 1 ? cli->argv[1] : NULL;
	bool testing = strcmp(word, "test") == 0;

	if ((!testing && strcmp(word, "list") != 0) || cli->argc > (testing ? 2 : 1))
		return err_set(err, ERR_CONFIG, "`notify list` or `notify test [CHANNEL]`");
	if (notify_new(cli->conf, &n, err) < 0)
		return -1;
	if (only && !notify_channel_find(n, only))
		return err_set(err, ERR_CONFIG,
			       "there is no channel \"%.40s\": `notify list` has them", only);
	if (!notify_channel_at(n, 0))
		return err_set(err, ERR_CONFIG,
			       "no channel is configured: docs/notifications.md has examples");
	return testing ? test(cli, n, only) : list(cli, n);
}

static int run(int argc, char **argv)
{
	struct err err = { .kind = ERR_NONE };
	struct cli cli;
	int status = cli_begin(&cmd_notify, NULL, argc, argv, &cli);

	if (status >= 0)
		return status;
	status = dispatch(&cli, &err);
	if (status < 0)
		status = cli_fail(&cmd_notify, &err);
	cli_end(&cli);
	return status;
}

const struct command cmd_notify = {
	.name = "notify",
	.group = GROUP_LOOK,
	.summary = "who is told of what; send a sample",
	.usage = usage,
	.run = run,
};
