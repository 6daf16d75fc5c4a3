/*
 * change-tree: makes one change in a copy of a repository and pushes it as a new branch. What to
 * do comes on standard input (healers/change_tree.c), because there is a password in it;
 * what was done goes out as lines of JSON. For healers to run.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/process.h"
#include "healers/change.h"
#include "healers/change_tool.h"
#include "healers/command_report.h"
#include "healers/tree.h"

static const char usage[] =
	"usage: pipeline-guard change-tree [options] <REQUEST\n"
	"\n"
	"Makes a change in a copy of a repository and pushes it as a new branch. Strategies run "
	"this;\n"
	"what to do is a line of JSON on standard input: url, user, branch, sha, new_branch, "
	"message,\n"
	"strategy, tool (without one the commit is taken back), and limits: max_files, max_lines,\n"
	"ci_files, fewer_tests. The password is on the line after it.\n"
	"\n"
	"Exit status: 0 pushed, or there already, 1 not.\n";

enum { REQUEST_MAX = 256 << 10 };

/* The password is the caller's to wipe; "" when there is none. */
static int read_request(struct json_object **out, char **password, struct err *err)
{
	OWNED(freep) char *text = xcalloc(1, REQUEST_MAX + 2);
	size_t n, line;
	int rc;

	/* Else the library has a copy of it, too. */
	(void)setvbuf(stdin, NULL, _IONBF, 0);
	n = fread(text, 1, REQUEST_MAX + 1, stdin);
	line = strcspn(text, "\n");
	if (n > REQUEST_MAX)
		rc = err_set(err, ERR_INPUT, "the request is too long");
	else
		rc = json_parse(text, line, out, err);
	*password = xstrdup(text[line] ? text + line + 1 : "");
	explicit_bzero(text, n);
	return rc;
}

static bool is_url(const char *url)
{
	return strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0 || url[0] == '/';
}

static int fill(struct json_object *o, const char *password, struct tree_request *r,
		struct err *err)
{
	const char *tool = json_str(o, "tool", NULL);

	*r = (struct tree_request){
		.url = json_str(o, "url", ""),
		.user = json_str(o, "user", NULL),
		.password = *password ? password : NULL,
		.branch = json_str(o, "branch", ""),
		.sha = json_str(o, "sha", ""),
		.new_branch = json_str(o, "new_branch", ""),
		.message = json_str(o, "message", ""),
		.max_files = (unsigned)json_i64(o, "max_files", 0),
		.max_lines = (unsigned)json_i64(o, "max_lines", 0),
		.ci_files = json_flag(o, "ci_files", false),
		.fewer_tests = json_flag(o, "fewer_tests", false),
	};
	if (!is_url(r->url) || !*r->branch || !*r->sha || !*r->message)
		return err_set(err, ERR_INPUT, "url, branch, sha and message are needed");
	if (!change_is_our_branch(r->new_branch) || strcmp(r->new_branch, r->branch) == 0)
		return err_set(err, ERR_INPUT, "new_branch is no branch of ours");
	if (tool) {
		r->tool = change_tool_find(json_str(o, "strategy", ""), tool);
		if (!r->tool)
			return err_set(err, ERR_INPUT, "there is no such tool");
	}
	return 0;
}

static void on_command(const char *command, const struct security_verdict *v, void *arg)
{
	UNUSED(arg);
	command_report(command, v);
}

static int change(const struct cli *cli, struct tree_request *r)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	struct tree_end end;

	r->deadline_ms = clock_mono_ms() + conf_int(cli->conf, "change.timeout");
	tree_change(cli->conf, r, on_command, NULL, &end);
	json_add_str(o, "result", tree_result_name(end.result));
	json_add_str(o, "detail", end.detail);
	json_add_str(o, "commit", end.commit);
	json_add_str(o, "refused", end.refused);
	json_add_i64(o, "files", end.n_files);
	json_add_i64(o, "lines", end.n_lines);
	printf("%s\n", json_text(o));
	return end.result == TREE_PUSHED || end.result == TREE_EXISTS ? CLI_OK : CLI_NO;
}

static int answer_request(const struct cli *cli)
{
	OWNED(json_putp) struct json_object *o = NULL;
	OWNED(secret_freep) char *password = NULL;
	struct tree_request r;
	struct err err;

	if (read_request(&o, &password, &err) < 0 || fill(o, password, &r, &err) < 0)
		return cli_fail(&cmd_change_tree, &err);
	return change(cli, &r);
}

static int sweep(const struct cli *cli)
{
	tree_sweep(cli->conf);
	return CLI_OK;
}

static int run(int argc, char **argv)
{
	bool only_sweep = false;
	const struct cli_option own[] = {
		{ .name = "sweep",
		  .flag = &only_sweep,
		  .help = "only remove what a killed one left behind in change.folder" },
		{ .name = NULL },
	};
	struct err err;
	struct cli cli;
	int status = cli_begin(&cmd_change_tree, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	(void)umask(022);
	/* The sandbox wants that, too. */
	if (process_be_nobody(&err) < 0) {
		status = cli_fail(&cmd_change_tree, &err);
	} else {
		/* After the change of user, which would forget it. */
		if (!isatty(STDOUT_FILENO))
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		status = only_sweep ? sweep(&cli) : answer_request(&cli);
	}
	cli_end(&cli);
	return status;
}

const struct command cmd_change_tree = {
	.name = "change-tree",
	.group = GROUP_NONE,
	.summary = "make a change in a copy of a repository (run by strategies)",
	.usage = usage,
	.run = run,
};
