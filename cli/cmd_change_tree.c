/*
 * change-tree: makes one change in a copy of a repository and pushes it as a new branch. What to
 * do comes as JSON on standard input (healers/change_tree.c), because there is a password in it;
 * what was done goes out as lines of JSON. For healers to run.
 */
#include <errno.h>
#include <grp.h>
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
#include "core/json.h"
#include "core/mem.h"
#include "healers/change.h"
#include "healers/change_tool.h"
#include "healers/command_report.h"
#include "healers/tree.h"

static const char usage[] =
	"usage: pipeline-guard change-tree [options] <REQUEST\n"
	"\n"
	"Makes a change in a copy of a repository and pushes it as a new branch. Strategies run "
	"this;\n"
	"what to do is a JSON object on standard input: url, user, password, branch, sha, "
	"new_branch,\n"
	"message, strategy, tool (without one the commit is taken back), and limits: max_files,\n"
	"max_lines, ci_files, fewer_tests.\n"
	"\n"
	"Exit status: 0 pushed, or there already, 1 not.\n";

enum { REQUEST_MAX = 256 << 10, NOBODY = 65534 };

static int read_request(struct json_object **out, struct err *err)
{
	OWNED(freep) char *text = xmalloc(REQUEST_MAX + 1);
	size_t n = fread(text, 1, REQUEST_MAX + 1, stdin);

	if (n > REQUEST_MAX)
		return err_set(err, ERR_INPUT, "the request is too long");
	return json_parse(text, n, out, err);
}

static bool is_url(const char *url)
{
	return strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0 || url[0] == '/';
}

static int fill(struct json_object *o, struct tree_request *r, struct err *err)
{
	const char *tool = json_str(o, "tool", NULL);

	*r = (struct tree_request){
		.url = json_str(o, "url", ""),
		.user = json_str(o, "user", NULL),
		.password = json_str(o, "password", NULL),
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

/* Whatever reads a stranger's repository has nobody's rights; the sandbox wants that, too. */
static int stop_being_root(struct err *err)
{
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
			       setresuid(NOBODY, NOBODY, NOBODY) < 0))
		return err_set(err, ERR_CONFIG, "cannot stop being root: %s", strerror(errno));
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

static int run(int argc, char **argv)
{
	static const struct cli_option none[] = { { .name = NULL } };
	OWNED(json_putp) struct json_object *o = NULL;
	struct tree_request r;
	struct err err;
	struct cli cli;
	int status = cli_begin(&cmd_change_tree, none, argc, argv, &cli);

	if (status >= 0)
		return status;
	(void)umask(022);
	if (read_request(&o, &err) < 0 || fill(o, &r, &err) < 0 || stop_being_root(&err) < 0) {
		status = cli_fail(&cmd_change_tree, &err);
	} else {
		/* After the change of user, which would forget it. */
		if (!isatty(STDOUT_FILENO))
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		status = change(&cli, &r);
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
