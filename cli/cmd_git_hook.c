/* git-hook: puts the wrapper around a repository's hooks, and takes it away. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/git_hook_script.h"
#include "cli/term.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/git_notes.h"

static const char usage[] = "usage: pipeline-guard git-hook install REPOSITORY [HOOK...]\n"
			    "       pipeline-guard git-hook remove REPOSITORY [HOOK...]\n"
			    "\n"
			    "Git keeps no results of hooks. This puts a small script in their "
			    "place that runs the hook\n"
			    "that was there, notes how it ended in a file for the monitor, and "
			    "gives git the hook's own\n"
			    "exit status. The hook stays beside it as HOOK.local; `remove` puts it "
			    "back. Without names all\n"
			    "hooks of the repository are meant.\n"
			    "\n"
			    "  pipeline-guard git-hook install /srv/git/app\n"
			    "  pipeline-guard git-hook install /srv/git/app pre-push\n"
			    "\n"
			    "Exit status: 0 done, 1 it cannot be done.\n";

static const char mark[] = "# pipeline-guard: runs the hook that was here";

struct hook_paths {
	char hook[PATH_MAX], local[PATH_MAX], fresh[PATH_MAX];
};

static int paths_of(const char *folder, const char *name, struct hook_paths *p, struct err *err)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

	if (!n || name[n] || n > 40)
		return err_set(err, ERR_INPUT, "\"%.40s\" is no name of a hook", name);
	if (snprintf(p->hook, PATH_MAX, "%s%s", folder, name) >= PATH_MAX ||
	    snprintf(p->local, PATH_MAX, "%s%s.local", folder, name) >= PATH_MAX ||
	    snprintf(p->fresh, PATH_MAX, "%s.%s.new", folder, name) >= PATH_MAX)
		return err_set(err, ERR_INPUT, "%.100s: its path is too long", folder);
	return 0;
}

static bool is_wrapper(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char head[256];
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, head, sizeof(head) - 1);
	(void)close(fd);
	head[n > 0 ? n : 0] = '\0';
	return strstr(head, mark) != NULL;
}

static int write_wrapper(const char *path, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0755);
	size_t len = strlen(git_hook_script);
	bool ok = fd >= 0 && write(fd, git_hook_script, len) == (ssize_t)len && fsync(fd) == 0;

	if (fd >= 0 && close(fd) < 0)
		ok = false;
	return ok ? 0 : err_set(err, ERR_INPUT, "%.150s: %s", path, strerror(errno));
}

/* At no moment is there no hook: the old one gets a second name before its first is taken. */
static int install_one(const char *folder, const char *name, struct err *err)
{
	struct hook_paths p;

	if (paths_of(folder, name, &p, err) < 0)
		return -1;
	if (!is_wrapper(p.hook) && access(p.hook, F_OK) == 0) {
		if (link(p.hook, p.local) < 0)
			return err_set(err, ERR_INPUT, "%.150s: %s", p.local, strerror(errno));
	}
	if (write_wrapper(p.fresh, err) < 0)
		return -1;
	if (rename(p.fresh, p.hook) < 0)
		return err_set(err, ERR_INPUT, "%.150s: %s", p.hook, strerror(errno));
	return 0;
}

static int remove_one(const char *folder, const char *name, struct err *err)
{
	struct hook_paths p;

	if (paths_of(folder, name, &p, err) < 0)
		return -1;
	if (!is_wrapper(p.hook))
		return err_set(err, ERR_INPUT, "%.150s is not ours", p.hook);
	if (access(p.local, F_OK) == 0 ? rename(p.local, p.hook) < 0 : unlink(p.hook) < 0)
		return err_set(err, ERR_INPUT, "%.150s: %s", p.hook, strerror(errno));
	return 0;
}

typedef int each_fn(const char *folder, const char *name, struct err *);

static int one(const char *folder, const char *name, each_fn *fn, struct err *err)
{
	if (fn(folder, name, err) < 0)
		return -1;
	term_put(name);
	printf("\n");
	return 0;
}

/* Hooks that git would run: executable, and without a dot in the name. */
static int all(const char *folder, bool wrapped, each_fn *fn, struct err *err)
{
	struct dirent **list = NULL;
	int n = scandir(folder, &list, NULL, alphasort), done = 0, rc = 0;

	for (int i = 0; i < n; i++) {
		OWNED(freep) char *path = xasprintf("%s%s", folder, list[i]->d_name);
		struct stat st;

		if (rc == 0 && !strchr(list[i]->d_name, '.') && stat(path, &st) == 0 &&
		    S_ISREG(st.st_mode) && (st.st_mode & S_IXUSR) && is_wrapper(path) == wrapped) {
			rc = one(folder, list[i]->d_name, fn, err);
			done++;
		}
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	if (rc == 0 && !done)
		return err_set(err, ERR_INPUT, "%.150s has no hook to %s", folder,
			       wrapped ? "put back" : "wrap: name one");
	return rc;
}

static int act(const struct cli *cli, struct err *err)
{
	bool removing;
	char folder[PATH_MAX];
	each_fn *fn;

	if (cli->argc < 2)
		return err_set(err, ERR_CONFIG, "install or remove, and the repository");
	removing = strcmp(cli->argv[0], "remove") == 0;
	if (!removing && strcmp(cli->argv[0], "install") != 0)
		return err_set(err, ERR_CONFIG, "\"%.40s\" is neither install nor remove",
			       cli->argv[0]);
	if (git_hooks_folder(cli->argv[1], folder, sizeof(folder), err) < 0)
		return -1;
	(void)mkdir(folder, 0777); /* as git makes it, by the umask */
	fn = removing ? remove_one : install_one;
	if (cli->argc == 2)
		return all(folder, removing, fn, err);
	for (int i = 2; i < cli->argc; i++)
		if (one(folder, cli->argv[i], fn, err) < 0)
			return -1;
	return 0;
}

static int run(int argc, char **argv)
{
	const struct cli_option own[] = { { .name = NULL } };
	struct err err;
	struct cli cli;
	int status = cli_begin(&cmd_git_hook, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	status = act(&cli, &err) < 0 ? cli_fail(&cmd_git_hook, &err) : CLI_OK;
	cli_end(&cli);
	return status;
}

const struct command cmd_git_hook = {
	.name = "git-hook",
	.group = GROUP_OTHER,
	.summary = "have results of a repository's hooks reported, or no longer",
	.usage = usage,
	.run = run,
};
