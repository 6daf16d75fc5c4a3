/* git-watch: what is wrong with local repositories. The monitor runs it as a process of its own. */
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/term.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/json.h"
#include "core/mem.h"
#include "dispatcher/git_look.h"
#include "dispatcher/git_notes.h"

static const char usage[] =
	"usage: pipeline-guard git-watch [options] REPOSITORY...\n"
	"\n"
	"Looks at local git repositories and says what is wrong: locks that were left behind, "
	"merges\n"
	"and rebases that were not ended, conflicts, a detached HEAD, branches that diverged from\n"
	"their upstream or are behind it, damaged objects, references and index. Only looks.\n"
	"The monitor runs this for the repositories in git.repositories.\n"
	"\n"
	"  pipeline-guard git-watch .\n"
	"  pipeline-guard git-watch --json --stale-after 0s /srv/git/*.git\n"
	"\n"
	"Exit status: 0 nothing is wrong, 1 something is.\n";

enum { NICE = 10 };

struct watch {
	const char *path;
	bool json;
	unsigned found;
	struct table *table;
};

static void print_line(struct json_object *o)
{
	printf("%s\n", json_text(o));
	(void)fflush(stdout);
}

static void on_found(const struct git_found *f, void *arg)
{
	struct watch *w = arg;

	w->found++;
	if (w->json) {
		OWNED(json_putp) struct json_object *o = json_object_new_object();

		json_add_str(o, "path", w->path);
		json_add_str(o, "problem", f->problem);
		json_add_str(o, "subject", f->subject);
		json_add_str(o, "detail", f->detail);
		print_line(o);
		return;
	}
	table_cell(w->table, w->path);
	table_cell(w->table, f->problem);
	table_cell(w->table, f->detail);
}

static void on_note(const struct git_note *n, void *arg)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	struct watch *w = arg;

	json_add_str(o, "path", w->path);
	json_add_str(o, "hook", n->hook);
	json_add_i64(o, "exit", n->status);
	json_add_i64(o, "at_ms", n->at_ms);
	json_add_i64(o, "seconds", n->seconds);
	json_add_str(o, "sha", n->sha);
	json_add_str(o, "file", n->file);
	print_line(o);
}

static void look(struct watch *w, const struct git_look_options *opt)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	char gitdir[PATH_MAX];
	struct git_facts facts;
	struct err err;

	git_look(w->path, opt, &facts, on_found, w);
	if (!w->json)
		return;
	if (git_folder(w->path, gitdir, sizeof(gitdir), &err) == 0)
		git_notes(gitdir, on_note, w);
	/* The last word on this repository: what was not named before is not wrong. */
	json_add_str(o, "path", w->path);
	json_add_bool(o, "looked", true);
	json_add_bool(o, "deep", !opt->quick);
	json_add_bool(o, "bare", facts.bare);
	json_add_str(o, "branch", facts.branch);
	json_add_str(o, "sha", facts.sha);
	print_line(o);
}

static void print_people(const struct watch *w, int n)
{
	if (table_rows(w->table))
		table_print(w->table);
	else
		printf("Nothing is wrong with %s.\n", n == 1 ? w->path : "them");
}

static int watch(const struct cli *cli, bool quick)
{
	static const char *const headings[] = { "repository", "problem", "what", NULL };
	OWNED(table_freep) struct table *table = table_new(headings);
	const struct git_look_options opt = {
		.now_ms = clock_wall_ms(),
		.settle_ms = conf_int(cli->conf, "git.stale_after"),
		.quick = quick,
	};
	struct watch w = { .json = cli->json, .table = table };

	for (int i = 0; i < cli->argc; i++) {
		w.path = cli->argv[i];
		look(&w, &opt);
	}
	if (!w.json)
		print_people(&w, cli->argc);
	return w.found ? CLI_NO : CLI_OK;
}

static int run(int argc, char **argv)
{
	bool quick = false;
	const struct cli_option own[] = {
		{ .name = "stale-after",
		  .argument = "TIME",
		  .key = "git.stale_after",
		  .help = "younger locks, merges and conflicts are somebody's work" },
		{ .name = "quick", .flag = &quick, .help = "do not read objects" },
		{ .name = NULL },
	};
	struct err err;
	struct cli cli;
	int status = cli_begin(&cmd_git_watch, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	/* Whoever runs this to its deadline may die first; and nothing is in a hurry here. */
	if (!isatty(STDOUT_FILENO))
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setpriority(PRIO_PROCESS, 0, NICE);
	if (cli.argc < 1) {
		err_format(&err, ERR_CONFIG, "which repository?");
		status = cli_fail(&cmd_git_watch, &err);
	} else {
		status = watch(&cli, quick);
	}
	cli_end(&cli);
	return status;
}

const struct command cmd_git_watch = {
	.name = "git-watch",
	.group = GROUP_LOOK,
	.summary = "say what is wrong with local git repositories",
	.usage = usage,
	.run = run,
};
