#include "healers/security.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/http_client.h"
#include "core/net_scope.h"
#include "core/text.h"

enum { ARGS_MAX = 64, ARG_BYTES_MAX = 4096 };

static const struct conf_option options[] = {
	{ "security.threshold", CONF_INT, "50", "1", "100",
	  "Commands that the security auditor gives fewer points are not run." },
	{ "security.commands", CONF_STR, NULL, NULL, NULL,
	  "Programs that may be run besides those in docs/sandbox.md: a list of names." },
};

const struct conf_table security_conf = {
	.title = "Commands",
	.options = options,
	.n = ARRAY_LEN(options),
};

static const char *const whitelist[] = {
	"git",     "gh",     "glab",  "npm",    "pip",      "cargo",        "yarn",
	"make",    "cmake",  "ninja", "pytest", "jest",     "mocha",        "eslint",
	"black",   "flake8", "isort", "ruff",   "prettier", "clang-format", "gofmt",
	"rustfmt", "pnpm",   "go",    "bundle", "composer", "poetry",       "pip-compile",
};

/* Where only the administrator puts programs; never the PATH, nor the repository. */
static const char *const trusted_folders[] = { "/usr/bin", "/usr/local/bin", "/bin" };

/* Not even by an absolute path that is spelled out. */
static const char *const system_folders[] = {
	"/bin",  "/boot", "/dev", "/etc",  "/lib", "/lib32", "/lib64",
	"/proc", "/root", "/run", "/sbin", "/sys", "/usr",
};

/* Arguments by which a program runs what somebody else wrote, or talks to whom somebody else says.
 */
static const struct option_row {
	const char *program; /* "*": any */
	const char *pattern; /* of fnmatch(), letter case aside */
	unsigned weight;
	const char *why;
} option_rows[] = {
	{ "git", "--upload-pack*", 100, "runs a program" },
	{ "git", "--receive-pack*", 100, "runs a program" },
	{ "git", "--exec*", 100, "runs a program" },
	{ "git", "-x*", 60, "runs a program" },
	{ "git", "-u*", 60, "may run a program" },
	{ "git", "--config*", 100, "settings run programs" },
	{ "git", "--template*", 60, "brings hooks" },
	{ "git", "--ext-diff", 60, "runs a program" },
	{ "git", "--textconv", 60, "runs a program" },
	{ "git", "--open-files-in-pager*", 100, "runs a program" },
	{ "git", "-O*", 60, "may run a program" },
	{ "git", "--strategy=*", 60, "runs a program" },
	{ "git", "--paginate", 60, "runs a program" },
	{ "git", "-p", 60, "runs a program" },
	{ "git", "--git-dir*", 60, "another repository" },
	{ "git", "--work-tree*", 60, "another repository" },
	{ "git", "ext::*", 100, "runs a program" },
	{ "git", "fd::*", 100, "another protocol" },
	{ "git", "config", 60, "settings run programs" },
	{ "git", "run", 60, "bisect run: runs a program" },
	{ "git", "foreach", 100, "runs a program" },
	{ "git", "filter-branch", 100, "runs a program" },
	{ "git", "difftool", 100, "runs a program" },
	{ "git", "mergetool", 100, "runs a program" },
	{ "git", "credential*", 100, "reads credentials" },
	{ "git", "daemon", 100, "opens a port" },
	{ "git", "send-email", 100, "talks to others" },
	{ "gh", "auth", 100, "reads credentials" },
	{ "gh", "extension", 100, "runs a program" },
	{ "gh", "alias", 100, "runs a program" },
	{ "gh", "secret", 100, "changes secrets" },
	{ "gh", "codespace", 100, "another machine" },
	{ "gh", "--hostname*", 60, "another server" },
	{ "glab", "auth", 100, "reads credentials" },
	{ "glab", "alias", 100, "runs a program" },
	{ "glab", "variable", 100, "changes secrets" },
	{ "glab", "--hostname*", 60, "another server" },
	{ "npm", "--script-shell*", 100, "runs a program" },
	{ "npm", "--node-options*", 100, "runs code" },
	{ "npm", "--registry*", 60, "another registry" },
	{ "npm", "--userconfig*", 60, "other settings" },
	{ "npm", "--globalconfig*", 60, "other settings" },
	{ "npm", "-g", 60, "outside the repository" },
	{ "npm", "--global", 60, "outside the repository" },
	{ "npm", "publish", 100, "publishes" },
	{ "npm", "exec", 60, "runs a program" },
	{ "npm", "x", 60, "runs a program" },
	{ "npm", "test", 40, "runs a script of the repository" },
	{ "npm", "run", 40, "runs a script of the repository" },
	{ "npm", "run-script", 40, "runs a script of the repository" },
	{ "pip", "--index-url*", 60, "another registry" },
	{ "pip", "-i*", 60, "another registry" },
	{ "pip", "--extra-index-url*", 60, "another registry" },
	{ "pip", "--find-links*", 60, "another registry" },
	{ "pip", "-f*", 60, "another registry" },
	{ "pip", "--trusted-host*", 100, "no TLS" },
	{ "pip", "--proxy*", 60, "another server" },
	{ "pip", "--cert*", 60, "another server" },
	{ "pip", "*git+*", 60, "installs from a repository" },
	{ "cargo", "--config*", 100, "settings run programs" },
	{ "cargo", "-Z*", 60, "unstable" },
	{ "cargo", "run", 60, "runs a program" },
	{ "cargo", "install", 60, "outside the repository" },
	{ "cargo", "publish", 100, "publishes" },
	{ "cargo", "login", 100, "reads credentials" },
	{ "cargo", "--registry*", 60, "another registry" },
	{ "yarn", "run", 40, "runs a script of the repository" },
	{ "yarn", "exec", 60, "runs a program" },
	{ "yarn", "dlx", 100, "runs a program" },
	{ "yarn", "node", 60, "runs code" },
	{ "yarn", "publish", 100, "publishes" },
	{ "yarn", "--registry*", 60, "another registry" },
	{ "make", "SHELL*=*", 100, "runs a program" },
	{ "make", ".SHELLFLAGS*=*", 100, "runs a program" },
	{ "make", "MAKEFLAGS*=*", 100, "other settings" },
	{ "make", "--eval*", 100, "runs code" },
	{ "make", "-E*", 100, "runs code" },
	{ "cmake", "-P", 60, "runs code" },
	{ "cmake", "-E", 60, "runs a program" },
	{ "cmake", "-D*COMPILER*", 60, "runs a program" },
	{ "cmake", "-D*LAUNCHER*", 100, "runs a program" },
	{ "cmake", "-D*PROGRAM*", 60, "runs a program" },
	{ "pytest", "-p*", 60, "loads code" },
	{ "jest", "--globalSetup*", 60, "loads code" },
	{ "jest", "--globalTeardown*", 60, "loads code" },
	{ "jest", "--setupFiles*", 60, "loads code" },
	{ "jest", "--runner*", 60, "loads code" },
	{ "jest", "--testRunner*", 60, "loads code" },
	{ "mocha", "--require*", 60, "loads code" },
	{ "mocha", "-r*", 60, "loads code" },
	{ "eslint", "--rulesdir*", 60, "loads code" },
	{ "eslint", "--resolve-plugins-relative-to*", 60, "loads code" },
	{ "eslint", "--config*", 60, "settings are code" },
	{ "eslint", "-c*", 60, "settings are code" },
	{ "eslint", "--plugin*", 60, "loads code" },
	{ "eslint", "--parser*", 60, "loads code" },
	{ "eslint", "--format*", 60, "loads code" },
	{ "eslint", "-f*", 60, "loads code" },
	{ "flake8", "--config*", 60, "settings load code" },
	{ "flake8", "--append-config*", 60, "settings load code" },
	{ "black", "--config*", 40, "other settings" },
	{ "isort", "--settings*", 40, "other settings" },
	{ "isort", "--sp*", 40, "other settings" },
	{ "isort", "--formatter*", 60, "loads code" },
	{ "isort", "--sort-order*", 60, "loads code" },
	{ "isort", "--virtual-env*", 60, "outside the repository" },
	{ "isort", "--conda-env*", 60, "outside the repository" },
	{ "ruff", "--config*", 40, "other settings" },
	{ "ruff", "server", 60, "is no command" },
	{ "prettier", "--plugin*", 60, "loads code" },
	{ "prettier", "--config*", 60, "settings are code" },
	{ "prettier", "--find-config*", 40, "other settings" },
	{ "gofmt", "-cpuprofile*", 60, "writes elsewhere" },
	{ "gofmt", "-r*", 60, "rewrites the program" },
	{ "rustfmt", "--config*", 40, "other settings" },
	{ "pnpm", "--script-shell*", 100, "runs a program" },
	{ "pnpm", "--shell-emulator*", 60, "runs a program" },
	{ "pnpm", "--node-options*", 100, "runs code" },
	{ "pnpm", "--pnpmfile*", 100, "runs code" },
	{ "pnpm", "--global-pnpmfile*", 100, "runs code" },
	{ "pnpm", "--config.*", 60, "other settings" },
	{ "pnpm", "--registry*", 60, "another registry" },
	{ "pnpm", "-g", 60, "outside the repository" },
	{ "pnpm", "--global*", 60, "outside the repository" },
	{ "pnpm", "--store-dir*", 60, "outside the repository" },
	{ "pnpm", "publish", 100, "publishes" },
	{ "pnpm", "exec", 60, "runs a program" },
	{ "pnpm", "dlx", 100, "runs a program" },
	{ "pnpm", "create", 100, "runs a program" },
	{ "pnpm", "run", 40, "runs a script of the repository" },
	{ "go", "-toolexec*", 100, "runs a program" },
	{ "go", "--toolexec*", 100, "runs a program" },
	{ "go", "-exec*", 100, "runs a program" },
	{ "go", "--exec*", 100, "runs a program" },
	{ "go", "-overlay*", 60, "other sources" },
	{ "go", "-modfile*", 60, "other modules" },
	{ "go", "-insecure*", 100, "no TLS" },
	{ "go", "-*flags*", 60, "options of other programs" },
	{ "go", "generate", 100, "runs a program" },
	{ "go", "run", 60, "runs a program" },
	{ "go", "tool", 60, "runs a program" },
	{ "go", "install", 60, "outside the repository" },
	{ "go", "env", 60, "changes settings" },
	{ "bundle", "exec", 60, "runs a program" },
	{ "bundle", "plugin", 100, "loads code" },
	{ "bundle", "config", 60, "other settings" },
	{ "bundle", "console", 60, "runs code" },
	{ "bundle", "open", 60, "runs a program" },
	{ "bundle", "--gemfile*", 60, "is code" },
	{ "composer", "exec", 60, "runs a program" },
	{ "composer", "run*", 40, "runs a script of the repository" },
	{ "composer", "global", 60, "outside the repository" },
	{ "composer", "config", 60, "other settings" },
	{ "composer", "self-update", 100, "outside the repository" },
	{ "composer", "create-project", 60, "runs a script of another" },
	{ "composer", "--repository*", 60, "another registry" },
	{ "poetry", "run", 60, "runs a program" },
	{ "poetry", "shell", 100, "runs a program" },
	{ "poetry", "publish", 100, "publishes" },
	{ "poetry", "config", 60, "other settings" },
	{ "poetry", "source", 60, "another registry" },
	{ "poetry", "self", 100, "outside the repository" },
	{ "pip-compile", "--pip-args*", 100, "options of another program" },
	{ "pip-compile", "--config*", 60, "other settings" },
	{ "pip-compile", "--index-url*", 60, "another registry" },
	{ "pip-compile", "-i*", 60, "another registry" },
	{ "pip-compile", "--extra-index-url*", 60, "another registry" },
	{ "pip-compile", "--find-links*", 60, "another registry" },
	{ "pip-compile", "-f*", 60, "another registry" },
	{ "pip-compile", "--trusted-host*", 100, "no TLS" },
	{ "pip-compile", "--cert*", 60, "another server" },
	{ "pip-compile", "--client-cert*", 60, "another server" },
	/* For a shell that is not there: whoever writes that expects one. */
	{ "*", "*$(*", 60, "for a shell" },
	{ "*", "*`*", 60, "for a shell" },
	{ "*", "*/dev/tcp/*", 100, "for a shell" },
	{ "*", "*|*sh", 100, "for a shell" },
	{ "*", "*://*@*", 60, "a user name in a URL" },
	{ "*", "file:*", 60, "not of the network" },
	{ "*", "*169.254.169.254*", 100, "metadata of a cloud" },
};

/* What may follow `git -c`: everything else might be a program by another name. */
static const char *const git_settings[] = {
	"user.name=*",          "user.email=*",   "core.hooksPath=/dev/null",
	"core.fsmonitor=false", "gc.auto=0",      "gc.autoDetach=false",
	"commit.gpgSign=false", "advice.*=false", "maintenance.auto=false",
	"protocol.allow=never",
};

/* --- the checks ---------------------------------------------------------------------------- */

struct audit_case {
	const struct conf *conf;
	const struct security_command *cmd;
	struct security_verdict *out;
	int cwd; /* opened, -1 when it cannot be */
	unsigned taken;
};

static void object(struct audit_case *c, const char *check, unsigned weight, const char *detail,
		   const char *why)
{
	struct security_verdict *v = c->out;
	struct security_reason *r = &v->reasons[v->n_reasons];
	char text[sizeof(r->detail)];

	c->taken += weight;
	if (v->n_reasons == SECURITY_REASONS_MAX)
		return;
	(void)snprintf(text, sizeof(text), "%.70s%s%.40s", detail, *why ? " " : "", why);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = '?';
	(void)text_copy(r->detail, sizeof(r->detail), text, strlen(text));
	r->check = check;
	r->weight = weight;
	v->n_reasons++;
}

static bool listed(const char *list, const char *name)
{
	size_t n = strlen(name), len;

	for (; list && *list; list += len) {
		list += strspn(list, ", ");
		len = strcspn(list, ", ");
		if (len == n && strncmp(list, name, n) == 0)
			return true;
	}
	return false;
}

static bool in_whitelist(const struct audit_case *c, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(whitelist); i++)
		if (strcmp(whitelist[i], name) == 0)
			return true;
	return listed(conf_str(c->conf, "security.commands"), name);
}

/* Executable, and nobody but root can change it. */
static bool is_trusted(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 &&
	       (st.st_mode & 0022) == 0 && (st.st_mode & 0111) != 0;
}

static bool find_trusted(const char *name, char out[static PATH_MAX])
{
	for (size_t i = 0; i < ARRAY_LEN(trusted_folders); i++) {
		(void)snprintf(out, PATH_MAX, "%s/%s", trusted_folders[i], name);
		if (is_trusted(out))
			return true;
	}
	*out = '\0';
	return false;
}

static void check_program(struct audit_case *c)
{
	const char *name = c->cmd->argv[0];

	if (!name || !*name || strchr(name, '/') || !in_whitelist(c, name)) {
		object(c, "program", 100, name ? name : "", "is not on the list");
		return;
	}
	if (find_trusted(name, c->out->program))
		return;
	/* As Debian calls it, whose yarn is something else. */
	if (strcmp(name, "yarn") == 0 && find_trusted("yarnpkg", c->out->program))
		return;
	object(c, "program", 100, name, "is not installed where only root may write");
}

static bool below(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return strncmp(path, folder, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static bool is_system(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(system_folders); i++)
		if (below(path, system_folders[i]))
			return true;
	return strspn(path, "/.") == strlen(path);
}

static void check_cwd(struct audit_case *c)
{
	const char *cwd = c->cmd->cwd;

	c->cwd = -1;
	if (!cwd || cwd[0] != '/' || !realpath(cwd, c->out->cwd)) {
		c->out->cwd[0] = '\0';
		object(c, "folder", 100, cwd ? cwd : "", "is no folder");
	} else if (is_system(c->out->cwd)) {
		object(c, "system_folder", 100, c->out->cwd, "");
	} else {
		c->cwd = open(c->out->cwd, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (c->cwd < 0)
			object(c, "folder", 100, cwd, "cannot be opened");
	}
}

/* "..", counted: also where the path does not exist yet. */
static bool climbs_out(const char *path)
{
	int depth = 0;
	size_t n;

	for (; *path && depth >= 0; path += n + strspn(path + n, "/")) {
		n = strcspn(path, "/");
		if (n == 2 && path[0] == '.' && path[1] == '.')
			depth--;
		else if (n && !(n == 1 && path[0] == '.'))
			depth++;
	}
	return depth < 0;
}

/* Through a symbolic link, or nobody can say. */
static bool leads_out(int folder, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	long fd = syscall(SYS_openat2, folder, path, &how, sizeof(how));

	if (fd >= 0) {
		(void)close((int)fd);
		return false;
	}
	return errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG;
}

static void check_path(struct audit_case *c, const char *path)
{
	const char *cwd = c->out->cwd;

	if (path[0] == '~') {
		object(c, "path_escape", 60, path, "");
		return;
	}
	if (path[0] == '/') {
		if (strcmp(path, "/dev/null") == 0)
			return;
		if (*cwd && below(path, cwd)) {
			path += strlen(cwd);
			path += strspn(path, "/");
		} else {
			if (is_system(path))
				object(c, "system_folder", 100, path, "");
			else
				object(c, "path_escape", 60, path, "is outside the folder");
			return;
		}
	}
	if (climbs_out(path))
		object(c, "path_escape", 60, path, "leads out of the folder");
	else if (*path && c->cwd >= 0 && leads_out(c->cwd, path))
		object(c, "symlink_escape", 60, path, "leads out of the folder");
}

static void check_url(struct audit_case *c, const char *url)
{
	struct err err;

	if (!c->cmd->network)
		object(c, "network", 60, url, "and no network was declared");
	if (security_check_url(url, &err) < 0)
		object(c, "url", 60, url, err.msg);
}

/* "ssh-user@host:path" and "host:path", as git and pip take them. */
static bool is_remote(const char *s)
{
	size_t n = strcspn(s, ":/");

	return s[n] == ':' && n > 1 && memchr(s, '@', n);
}

static void check_value(struct audit_case *c, const char *value)
{
	if (strstr(value, "://"))
		check_url(c, value);
	else if (is_remote(value))
		object(c, "url", 60, value, "is a remote over ssh");
	else
		check_path(c, value);
}

static void check_characters(struct audit_case *c, const char *arg)
{
	size_t n = strnlen(arg, ARG_BYTES_MAX + 1);

	if (n > ARG_BYTES_MAX) {
		object(c, "argument", 100, "one", "is over 4096 bytes");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)arg[i] < ' ' || arg[i] == 127) {
			object(c, "control_character", 60, arg, "");
			return;
		}
	}
}

static bool git_setting_ok(const char *arg)
{
	for (size_t i = 0; arg && i < ARRAY_LEN(git_settings); i++)
		if (fnmatch(git_settings[i], arg, FNM_CASEFOLD) == 0)
			return true;
	return false;
}

static void check_option(struct audit_case *c, const char *arg)
{
	const char *name = c->cmd->argv[0];

	for (size_t i = 0; i < ARRAY_LEN(option_rows); i++) {
		const struct option_row *row = &option_rows[i];
		/* Short options differ by case; a setting's name does not. */
		int flags = row->pattern[0] == '-' && row->pattern[1] != '-' &&
					    strlen(row->pattern) <= 3
				    ? 0
				    : FNM_CASEFOLD;

		if ((strcmp(row->program, "*") == 0 || strcmp(row->program, name) == 0) &&
		    fnmatch(row->pattern, arg, flags) == 0) {
			object(c, "option", row->weight, arg, row->why);
			return;
		}
	}
}

/* Where the path begins in "--file=PATH", "-CPATH", "NAME=PATH"; the whole of any other. */
static const char *value_of(const char *arg)
{
	const char *equals = strchr(arg, '=');

	if (equals && (arg[0] == '-' || !memchr(arg, '/', (size_t)(equals - arg))))
		return equals + 1;
	if (arg[0] != '-')
		return arg;
	return arg[1] && arg[1] != '-' && arg[2] ? arg + 2 : NULL;
}

static void check_arguments(struct audit_case *c)
{
	const char *const *argv = c->cmd->argv;
	const char *value;
	size_t i;

	for (i = 1; argv[0] && argv[i] && i <= ARGS_MAX; i++) {
		check_characters(c, argv[i]);
		if (strcmp(argv[0], "git") == 0 && strcmp(argv[i], "-c") == 0) {
			if (!git_setting_ok(argv[i + 1]))
				object(c, "option", 100, argv[i + 1] ? argv[i + 1] : "-c",
				       "is a setting that may run a program");
			i += argv[i + 1] != NULL;
			continue;
		}
		check_option(c, argv[i]);
		value = value_of(argv[i]);
		if (value && strnlen(value, ARG_BYTES_MAX + 1) <= ARG_BYTES_MAX)
			check_value(c, value);
	}
	if (argv[0] && i > ARGS_MAX && argv[i])
		object(c, "argument", 100, "more than 64", "");
}

void security_check(const struct conf *conf, const struct security_command *cmd,
		    struct security_verdict *out)
{
	struct audit_case c = { .conf = conf, .cmd = cmd, .out = out };

	*out = (struct security_verdict){ 0 };
	check_program(&c);
	check_cwd(&c);
	check_arguments(&c);
	if (c.cwd >= 0)
		(void)close(c.cwd);
	out->score = c.taken < SECURITY_SCORE_MAX ? SECURITY_SCORE_MAX - c.taken : 0;
	out->allowed = *out->program && *out->cwd &&
		       out->score >= (unsigned)conf_int(conf, "security.threshold");
}

void security_say(const struct security_verdict *v, char *out, size_t cap)
{
	size_t n = 0;

	(void)snprintf(out, cap, "nothing to object to");
	for (unsigned i = 0; i < v->n_reasons && n < cap; i++) {
		const struct security_reason *r = &v->reasons[i];
		int wrote = snprintf(out + n, cap - n, "%s%s: %s (-%u)", i ? ", " : "", r->check,
				     r->detail, r->weight);

		n += wrote > 0 ? (size_t)wrote : 0;
	}
}

int security_check_url(const char *url, struct err *err)
{
	struct http_origin o;
	const char *scope;
	uint64_t port;

	for (const char *p = url; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 127 || *p == '\\')
			return err_set(err, ERR_INPUT, "the URL has characters that no URL has");
	if (http_origin_of(url, &o, err) < 0)
		return -1;
	scope = net_host_not_public(o.host);
	if (scope)
		return err_set(err, ERR_INPUT, "%.60s is %s", o.host, scope);
	if (!text_to_u64(o.port, &port) || (port != 80 && port != 443 && port < 1024))
		return err_set(err, ERR_INPUT, "%.60s:%s is no port of a web server", o.host,
			       o.port);
	return 0;
}
