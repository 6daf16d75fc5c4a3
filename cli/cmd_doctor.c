/* doctor: what this machine lacks of what strategies need. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "cli/command.h"
#include "cli/term.h"
#include "core/conf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/process.h"
#include "healers/change_tool.h"
#include "healers/healer.h"
#include "healers/sandbox.h"
#include "healers/security.h"

static const char usage[] =
	"usage: pipeline-guard doctor [options]\n"
	"\n"
	"What this machine has of what strategies need: a sandbox, tried with a program that does\n"
	"nothing, and the programs that mend a repository. Run it where the dispatcher runs, as "
	"the\n"
	"same user. A dispatcher asks it when it starts and on SIGHUP, and suggests nothing that\n"
	"could not run.\n"
	"\n"
	"Exit status: 0 there is a sandbox, 1 there is none, 2 usage.\n";

enum { PROGRAMS_MAX = 40, PROBE_MS = 20000, OUTPUT_MAX = 4 << 10, PROCESSES = 16 };
#define PROBE_BYTES (INT64_C(1) << 30)
#define PROBE_FILES 100000

struct program {
	const char *name, *strategies[4];
	unsigned n;
	char path[64]; /* "": not installed */
};

struct report {
	char why[200]; /* there is no sandbox; "": there is one */
	struct program programs[PROGRAMS_MAX];
	size_t n;
};

/* --- the sandbox -------------------------------------------------------------------------------
 */

static void on_end(const struct sandbox_end *e, void *arg)
{
	struct report *r = arg;
	const char *text = e->out + strspn(e->out, " \n");

	if (e->fate != SANDBOX_EXITED || e->status != 0)
		(void)snprintf(r->why, sizeof(r->why), "%s%s%.*s", sandbox_fate_name(e->fate),
			       *text ? ": " : "", (int)strcspn(text, "\n"), text);
}

static void try_in(struct report *r, const char *folder)
{
	static const char *const argv[] = { "/usr/bin/true", NULL };
	const struct sandbox_options o = {
		.argv = argv,
		.folder = folder,
		.timeout_ms = PROBE_MS,
		.max_output = OUTPUT_MAX,
		.max_disk_bytes = PROBE_BYTES,
		.max_files = PROBE_FILES,
		.max_file_bytes = PROBE_BYTES,
		.max_memory_bytes = PROBE_BYTES,
		.max_processes = PROCESSES,
	};
	struct event_base *base = event_base_new();
	struct sandbox *s;
	struct err err;

	if (!base)
		abort();
	if (sandbox_start(base, &o, on_end, r, &s, &err) < 0)
		(void)snprintf(r->why, sizeof(r->why), "%s: %.160s",
			       sandbox_fate_name(SANDBOX_UNAVAILABLE), err.msg);
	else
		(void)event_base_dispatch(base);
	event_base_free(base);
}

static void try_sandbox(const struct conf *conf, struct report *r)
{
	OWNED(freep)
	char *made = xasprintf("%s/pipeline-guard-doctor-XXXXXX", conf_str(conf, "change.folder"));
	OWNED(freep) char *folder = NULL;

	/* Without symbolic links: the sandbox wants it so. */
	if (mkdtemp(made))
		folder = realpath(made, NULL);
	if (folder)
		try_in(r, folder);
	else
		(void)snprintf(r->why, sizeof(r->why), "%s: no folder can be made in change.folder",
			       sandbox_fate_name(SANDBOX_UNAVAILABLE));
	(void)rmdir(made);
}

/* --- programs ----------------------------------------------------------------------------------
 */

static void find(const struct conf *conf, struct program *p)
{
	const char *argv[] = { p->name, NULL };
	const struct security_command cmd = { .argv = argv, .cwd = "/var/tmp" };
	struct security_verdict v;

	security_check(conf, &cmd, &v);
	(void)snprintf(p->path, sizeof(p->path), "%.63s", v.program);
}

static void add(const struct conf *conf, struct report *r, const char *name, const char *strategy)
{
	struct program *p = r->programs;

	while (p < r->programs + r->n && strcmp(p->name, name) != 0)
		p++;
	if (p == r->programs + PROGRAMS_MAX)
		return;
	if (p == r->programs + r->n) {
		r->n++;
		p->name = name;
		find(conf, p);
	}
	for (unsigned i = 0; i < p->n; i++)
		if (strcmp(p->strategies[i], strategy) == 0)
			return;
	if (p->n < ARRAY_LEN(p->strategies))
		p->strategies[p->n++] = strategy;
}

static void look(const struct conf *conf, struct report *r)
{
	add(conf, r, "git", healer_repair_local_git.name);
	for (const struct change_tool *t = change_tools; t->name; t++)
		for (size_t i = 0; i < CHANGE_TOOL_COMMANDS_MAX && t->commands[i].argv; i++)
			if (healer_find(t->strategy))
				add(conf, r, t->commands[i].argv[0], t->strategy);
	try_sandbox(conf, r);
}

/* --- telling -----------------------------------------------------------------------------------
 */

static void print_json(const struct report *r)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	struct json_object *sandbox = json_object_new_object(), *list = json_object_new_array();

	json_add_bool(sandbox, "works", !*r->why);
	json_add_str(sandbox, "why", r->why);
	json_add(o, "sandbox", sandbox);
	for (size_t i = 0; i < r->n; i++) {
		const struct program *p = &r->programs[i];
		struct json_object *one = json_object_new_object();
		struct json_object *strategies = json_object_new_array();

		for (unsigned k = 0; k < p->n; k++)
			json_object_array_add(strategies, json_object_new_string(p->strategies[k]));
		json_add_str(one, "name", p->name);
		json_add_str(one, "path", p->path);
		json_add(one, "strategies", strategies);
		json_object_array_add(list, one);
	}
	json_add(o, "programs", list);
	printf("%s\n", json_text(o));
}

static void print_people(const struct report *r)
{
	static const char *const headings[] = { "program", "where", "for", NULL };
	OWNED(table_freep) struct table *t = table_new(headings);

	for (size_t i = 0; i < r->n; i++) {
		const struct program *p = &r->programs[i];
		char strategies[160];
		size_t n = 0;

		for (unsigned k = 0; k < p->n && n < sizeof(strategies); k++)
			n += (size_t)snprintf(strategies + n, sizeof(strategies) - n, "%s%s",
					      k ? " " : "", p->strategies[k]);
		table_cell(t, p->name);
		table_cell(t, *p->path ? p->path : "not installed");
		table_cell(t, strategies);
	}
	table_print(t);
	printf("\nsandbox: ");
	term_put(*r->why ? r->why : "works");
	printf("\n");
}

static int run(int argc, char **argv)
{
	static const struct cli_option none[] = { { .name = NULL } };
	OWNED(freep) struct report *r = xcalloc(1, sizeof(*r));
	struct err err;
	struct cli cli;
	int status = cli_begin(&cmd_doctor, none, argc, argv, &cli);

	if (status >= 0)
		return status;
	if (cli.argc) {
		err_format(&err, ERR_CONFIG, "it takes no argument");
		status = cli_fail(&cmd_doctor, &err);
	} else if (process_be_nobody(&err) < 0) { /* as change-tree, which runs those programs */
		status = cli_fail(&cmd_doctor, &err);
	} else {
		look(cli.conf, r);
		if (cli.json)
			print_json(r);
		else
			print_people(r);
		status = *r->why ? CLI_NO : CLI_OK;
	}
	cli_end(&cli);
	return status;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.group = GROUP_LOOK,
	.summary = "what this machine lacks of what strategies need",
	.usage = usage,
	.run = run,
};
