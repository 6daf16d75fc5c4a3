/*
 * Changes made in a copy of a repository: real bare repositories, real tools, the sandbox, and
 * repositories that mean harm. Where a program has to do something bad, make does it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/integration/product.h"

#define OURS "pipeline-guard/fix_lint-0123456789abcdef"

/* --- repositories -------------------------------------------------------------------------- */

static int try_git(struct rig *r, const char *folder, const char *const *args, struct proc **out)
{
	const char *argv[32] = { "/usr/bin/env", "git",
				 "-C",           folder,
				 "-c",           "user.name=Ann",
				 "-c",           "user.email=ann@example.org",
				 "-c",           "protocol.file.allow=always",
				 "-c",           "safe.directory=*" };
	const char *const env[] = { "GIT_CONFIG_NOSYSTEM=1", "GIT_EDITOR=true", NULL };
	size_t n = 12;
	struct proc *p;

	for (; *args; args++)
		argv[n++] = *args;
	p = proc_start(r, "git", argv, env);
	proc_may_die(p);
	if (out)
		*out = p;
	return proc_wait(p, PATIENCE_MS);
}
#define GIT(r, folder, ...) assert_int_equal(try_git((r), (folder), LIST(__VA_ARGS__), NULL), 0)

/* What it prints, without the newline at its end. */
#define GIT_SAYS(r, folder, ...) git_says((r), (folder), LIST(__VA_ARGS__))
static const char *git_says(struct rig *r, const char *folder, const char *const *args)
{
	struct proc *p;
	const char *text;
	size_t n;

	assert_int_equal(try_git(r, folder, args, &p), 0);
	text = proc_output(p);
	n = strlen(text);
	return rig_text(r, text, n && text[n - 1] == '\n' ? n - 1 : n);
}

static void put(struct rig *r, const char *folder, const char *file, const char *text)
{
	const char *path = rig_printf(r, "%s/%s", folder, file);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	(void)fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

/* As a guard that runs as root does it: nobody's rights for what reads a repository. */
static void give_away(struct rig *r, const char *folder)
{
	const char *argv[] = { "/usr/bin/env", "chown", "-R", "65534:65534", folder, NULL };

	assert_int_equal(chmod(rig_path(r, "."), 0755), 0);
	if (geteuid() == 0)
		assert_int_equal(proc_wait(proc_start(r, "chown", argv, NULL), PATIENCE_MS), 0);
}

struct repo {
	const char *work, *bare, *sha;
	const char *set; /* what the command is told besides; NULL: nothing */
};

static void commit_all(struct rig *r, struct repo *repo)
{
	GIT(r, repo->work, "add", "-A");
	GIT(r, repo->work, "commit", "-q", "--allow-empty", "-m", "work");
	repo->sha = GIT_SAYS(r, repo->work, "rev-parse", "HEAD");
}

/* What was committed so far, on a server of its own. */
static void publish(struct rig *r, struct repo *repo)
{
	commit_all(r, repo);
	repo->bare = rig_printf(r, "%s.git", repo->work);
	GIT(r, repo->work, "clone", "-q", "--bare", ".", repo->bare);
	give_away(r, repo->bare);
}

/* ... and what was committed since. */
static void update(struct rig *r, const struct repo *repo)
{
	GIT(r, repo->bare, "fetch", "-q", repo->work, "main:main");
	give_away(r, repo->bare);
}

static struct repo repo_with(struct rig *r, const char *file, const char *text)
{
	struct repo repo = { .work = rig_path(r, "work") };

	assert_int_equal(mkdir(repo.work, 0755), 0);
	GIT(r, repo.work, "init", "-q", "-b", "main");
	put(r, repo.work, file, text);
	return repo;
}

/* A recipe of one line, run by make in the copy. */
static struct repo repo_that(struct rig *r, const char *recipe)
{
	return repo_with(r, "Makefile", rig_printf(r, "all:\n\t@%s\n", recipe));
}

/* --- the command ----------------------------------------------------------------------------- */

struct done {
	int status;
	const char *result, *detail, *commit, *refused, *output;
	int64_t files;
};

static const char *scratch(struct rig *r)
{
	const char *folder = rig_path(r, "scratch");

	if (mkdir(folder, 0755) == 0)
		give_away(r, folder);
	return folder;
}

static struct proc *start(struct rig *r, const char *request, const char *set)
{
	const char *script =
		"exec \"$0\" change-tree --set \"change.folder=$2\" ${3:+--set \"$3\"} "
		"<\"$1\"";
	const char *argv[] = { "/usr/bin/env",
			       "sh",
			       "-c",
			       script,
			       getenv("GUARD_BIN"),
			       rig_path(r, "request.json"),
			       scratch(r),
			       set ? set : "",
			       NULL };

	struct proc *p;

	rig_write(r, "request.json", request, 0600);
	p = proc_start(r, "change-tree", argv, NULL);
	proc_may_die(p);
	return p;
}

static struct done finish(struct rig *r, struct proc *p)
{
	struct done d = { .status = proc_wait(p, 2 * PATIENCE_MS), .output = proc_output(p) };
	const char *line = strstr(d.output, "{\"result\"");
	struct json_object *o;

	if (!line) {
		fail_msg("change-tree said: %s", d.output);
		abort();
	}
	o = rig_json(r, line, strcspn(line, "\n"));
	d.result = json_str(o, "result", "");
	d.detail = json_str(o, "detail", "");
	d.commit = json_str(o, "commit", "");
	d.refused = json_str(o, "refused", "");
	d.files = json_i64(o, "files", -1);
	if (strcmp(d.result, "sandbox_unavailable") == 0)
		rig_skip(r, "this host has no sandbox");
	return d;
}

static const char *request(struct rig *r, const struct repo *repo, const char *strategy,
			   const char *tool)
{
	const char *what =
		tool ? rig_printf(r, ",\"strategy\":\"%s\",\"tool\":\"%s\"", strategy, tool) : "";

	return rig_printf(
		r,
		"{\"url\":\"%s\",\"branch\":\"main\",\"sha\":\"%s\",\"new_branch\":\"" OURS
		"\",\"message\":\"mend it\\n\\nBecause.\\n\"%s}",
		repo->bare, repo->sha, what);
}

static struct done change(struct rig *r, const struct repo *repo, const char *strategy,
			  const char *tool, const char *set)
{
	return finish(r, start(r, request(r, repo, strategy, tool), set));
}

static struct done make(struct rig *r, const struct repo *repo, const char *set)
{
	return change(r, repo, "test", "make", set);
}

static void is(const struct done *d, const char *result, const char *detail)
{
	if (strcmp(d->result, result) != 0 || !strstr(d->detail, detail))
		fail_msg("%s, not %s: %s: %s", d->result, result, d->detail, d->output);
	assert_int_equal(d->status, strcmp(result, "pushed") != 0 && strcmp(result, "exists") != 0);
}

static bool is_published(struct rig *r, const struct repo *repo)
{
	return *GIT_SAYS(r, repo->bare, "branch", "--list", "pipeline-guard/*") != '\0';
}

/* Nothing of it reached the server, and nothing of it is left. */
static void is_refused(struct rig *r, const struct repo *repo, const struct done *d,
		       const char *result, const char *detail)
{
	is(d, result, detail);
	assert_false(is_published(r, repo));
	assert_int_equal(rmdir(scratch(r)), 0);
}

static const char *file_of(struct rig *r, const struct repo *repo, const char *file)
{
	return GIT_SAYS(r, repo->bare, "show", rig_printf(r, OURS ":%s", file));
}

/* "M\ta.py\nD\tb" */
static const char *differs(struct rig *r, const struct repo *repo)
{
	return GIT_SAYS(r, repo->bare, "diff", "--no-renames", "--name-status", "main", OURS);
}

static bool has(const char *program)
{
	return access(program, X_OK) == 0;
}

/* --- tools -------------------------------------------------------------------------------------
 */

static void mends(struct rig *r, const char *tool, const char *settings, const char *settings_text,
		  const char *file, const char *before, const char *after)
{
	struct repo repo = repo_with(r, file, before);
	struct done d;

	if (!has(rig_printf(r, "/usr/bin/%s", tool)) &&
	    !has(rig_printf(r, "/usr/local/bin/%s", tool)))
		rig_skip(r, rig_printf(r, "%s is not installed", tool));
	if (settings)
		put(r, repo.work, settings, settings_text);
	publish(r, &repo);
	d = change(r, &repo, "fix_lint", tool, NULL);
	is(&d, "pushed", "");
	assert_int_equal(d.files, 1);
	assert_string_equal(file_of(r, &repo, file), after);
	assert_string_equal(differs(r, &repo), rig_printf(r, "M\t%s", file));
	assert_string_equal(GIT_SAYS(r, repo.bare, "rev-parse", OURS), d.commit);
	assert_string_equal(GIT_SAYS(r, repo.bare, "rev-parse", OURS "^"), repo.sha);
	/* What is mended already is left alone. */
	GIT(r, repo.bare, "branch", "-m", OURS, "mended");
	repo.sha = d.commit;
	d = finish(r, start(r,
			    rig_printf(r,
				       "{\"url\":\"%s\",\"branch\":\"mended\",\"sha\":\"%s\","
				       "\"new_branch\":\"" OURS "\",\"message\":\"m\","
				       "\"strategy\":\"fix_lint\",\"tool\":\"%s\"}",
				       repo.bare, repo.sha, tool),
			    NULL));
	is(&d, "nothing", "nothing to change");
	assert_int_equal(rmdir(scratch(r)), 0);
}

static void black_mends(struct rig *r)
{
	mends(r, "black", NULL, NULL, "a.py", "x = {  'a':1 }\n", "x = {\"a\": 1}");
}

static void isort_mends(struct rig *r)
{
	mends(r, "isort", NULL, NULL, "a.py", "import sys\nimport os\n", "import os\nimport sys");
}

static void ruff_mends(struct rig *r)
{
	mends(r, "ruff", "ruff.toml", "", "a.py", "import os\n\nprint(1)\n", "print(1)");
}

static void eslint_mends(struct rig *r)
{
	mends(r, "eslint", ".eslintrc.json", "{\"root\":true,\"rules\":{\"no-extra-semi\":2}}",
	      "a.js", "var a = 1;;\n", "var a = 1;");
}

static void prettier_mends(struct rig *r)
{
	mends(r, "prettier", ".prettierrc", "{}", "a.js", "var a  = 1\n", "var a = 1;");
}

static void clang_format_mends(struct rig *r)
{
	mends(r, "clang-format", ".clang-format", "BasedOnStyle: LLVM\n", "a.c", "int  a ;\n",
	      "int a;");
}

static void gofmt_mends(struct rig *r)
{
	mends(r, "gofmt", "go.mod", "module a\n", "a.go", "package a\nvar  x = 1\n",
	      "package a\n\nvar x = 1");
}

static void rustfmt_mends(struct rig *r)
{
	mends(r, "rustfmt", "Cargo.toml", "", "a.rs", "fn  a(){}\n", "fn a() {}");
}

static void needs(struct rig *r, const char *program)
{
	if (!has(rig_printf(r, "/usr/bin/%s", program)))
		rig_skip(r, rig_printf(r, "%s is not installed", program));
}

static void sh(struct rig *r, const char *script)
{
	const char *argv[] = { "/bin/sh", "-ec", script, NULL };

	assert_int_equal(proc_wait(proc_start(r, "sh", argv, NULL), PATIENCE_MS), 0);
}

/* Static files are all that is asked of a registry. */
struct registry {
	struct proc *p;
	const char *folder, *url;
	const char *set; /* lets the sandbox through to it */
};

static struct registry start_registry(struct rig *r)
{
	struct registry g = { .folder = rig_path(r, "registry") };
	const char *argv[] = { "/usr/bin/env", "python3", "-u",        "-m",
			       "http.server",  "--bind",  "127.0.0.1", "--directory",
			       g.folder,       "0",       NULL };
	const char *port;

	needs(r, "python3");
	assert_int_equal(mkdir(g.folder, 0755), 0);
	g.p = proc_start(r, "registry", argv, NULL);
	proc_may_die(g.p);
	port = proc_line(g.p, "Serving HTTP on 127.0.0.1 port ");
	port = rig_text(r, port, strcspn(port, " "));
	g.url = rig_printf(r, "http://127.0.0.1:%s", port);
	g.set = rig_printf(r, "change.network_private=127.0.0.1:%s", port);
	return g;
}

/* Code that asks the registry, over the proxy: so it is seen that it ran with the network. */
static const char *told_by_node(struct rig *r, const struct registry *g)
{
	return rig_printf(r,
			  "const u = new URL(process.env.http_proxy);\nrequire('http').get({ host: "
			  "u.hostname, port: u.port, path: '%s/ran' });\n",
			  g->url);
}

static const char *told_by_python(struct rig *r, const struct registry *g)
{
	return rig_printf(r, "import urllib.request\nurllib.request.urlopen('%s/ran')\n", g->url);
}

static const char *told_by_php(struct rig *r, const struct registry *g)
{
	return rig_printf(r,
			  "<?php\n$proxy = str_replace('http', 'tcp', getenv('http_proxy'));\n"
			  "file_get_contents('%s/ran', false, stream_context_create(['http' => "
			  "['proxy' => $proxy, 'request_fulluri' => true]]));\n",
			  g->url);
}

static void nobody_ran(const struct registry *g)
{
	if (strstr(proc_output(g->p), "/ran "))
		fail_msg("code of others had the network: %s", proc_output(g->p));
}

static struct repo with_a_registry(struct rig *r)
{
	struct registry g = start_registry(r);
	struct repo repo = repo_with(r, "package.json",
				     "{\"name\":\"a\",\"version\":\"1.0.0\",\"dependencies\":"
				     "{\"b\":\"^1.0.0\"}}");

	repo.set = g.set;
	put(r, repo.work, ".npmrc", rig_printf(r, "registry=%s/\n", g.url));
	put(r, g.folder, "b",
	    rig_printf(
		    r,
		    "{\"name\":\"b\",\"dist-tags\":{\"latest\":\"1.2.3\"},\"versions\":{\"1.2.3\":"
		    "{\"name\":\"b\",\"version\":\"1.2.3\",\"dist\":{\"tarball\":\"%s/"
		    "b-1.2.3.tgz\","
		    "\"shasum\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\",\"integrity\":"
		    "\"sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7k"
		    "xvUdBeoGlODJ6+SfaPg==\"}}}}",
		    g.url));
	return repo;
}

static void writes_its_lockfile(struct rig *r, struct repo *repo, const char *tool,
				const char *file, const char *has_now)
{
	struct done d;

	publish(r, repo);
	d = change(r, repo, "refresh_lockfile", tool, repo->set);
	is(&d, "pushed", "");
	assert_string_equal(differs(r, repo), rig_printf(r, "M\t%s", file));
	assert_non_null(strstr(file_of(r, repo, file), has_now));
}

static void npm_writes_its_lockfile_anew(struct rig *r)
{
	struct repo repo;

	needs(r, "npm");
	repo = with_a_registry(r);
	put(r, repo.work, "package-lock.json",
	    "{\"name\":\"a\",\"version\":\"1.0.0\",\"lockfileVersion\":3,\"packages\":{}}");
	writes_its_lockfile(r, &repo, "npm", "package-lock.json", "b-1.2.3.tgz");
}

/* The command has the network, so no program of the repository may run in its place. */
static void npm_runs_no_program_of_the_repository(struct rig *r)
{
	struct repo repo = repo_with(r, "package.json",
				     "{\"name\":\"a\",\"version\":\"1.0.0\",\"dependencies\":"
				     "{\"b\":\"git+http://127.0.0.1:9/b.git\"}}");
	struct done d;

	needs(r, "npm");
	put(r, repo.work, "package-lock.json",
	    "{\"name\":\"a\",\"version\":\"1.0.0\",\"lockfileVersion\":3,\"packages\":{}}");
	put(r, repo.work, ".npmrc", "git=./mine\nnode-options=--require ./mine\n");
	put(r, repo.work, "mine", "#!/bin/sh\nexit 7\n");
	assert_int_equal(chmod(rig_printf(r, "%s/mine", repo.work), 0755), 0);
	publish(r, &repo);
	d = change(r, &repo, "refresh_lockfile", "npm", NULL);
	/* git's own, which finds no way there. */
	is(&d, "tool_failed", "npm ended with 128, not let to the network: ");
	assert_non_null(strstr(d.refused, "127.0.0.1 is loopback"));
}

/* What a lock file says it came from is where the next npm goes, whoever wrote it. */
static void npm_is_not_sent_inside(struct rig *r)
{
	static const char *const rows[][2] = {
		{ "http://169.254.169.254/latest/b-1.2.3.tgz", "169.254.169.254 is link-local" },
		{ "https://10.0.0.1/b-1.2.3.tgz", "10.0.0.1 is private" },
		{ "http://localhost:8080/b-1.2.3.tgz", "localhost is loopback" },
	};

	needs(r, "npm");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct repo repo = { .work = rig_printf(r, "%s-%zu", rig_path(r, "work"), i) };
		struct done d;

		assert_int_equal(mkdir(repo.work, 0755), 0);
		GIT(r, repo.work, "init", "-q", "-b", "main");
		put(r, repo.work, "package.json",
		    rig_printf(r,
			       "{\"name\":\"a\",\"version\":\"1.0.0\",\"dependencies\":"
			       "{\"b\":\"%s\"}}",
			       rows[i][0]));
		/* Nor does it have a word about the way. */
		put(r, repo.work, ".npmrc", "proxy=\nhttps-proxy=\nnoproxy=*\nfetch-retries=0\n");
		put(r, repo.work, "package-lock.json",
		    "{\"name\":\"a\",\"version\":\"1.0.0\",\"lockfileVersion\":3,\"packages\":"
		    "{}}");
		publish(r, &repo);
		d = change(r, &repo, "refresh_lockfile", "npm", NULL);
		is_refused(r, &repo, &d, "tool_failed", "npm ended with ");
		assert_case(strstr(d.refused, rows[i][1]), d.output);
	}
}

/* A registry may ask for credentials; which program has them the repository would say. */
static void cargo_with_settings_of_the_repository_is_not_run(struct rig *r)
{
	struct repo repo =
		repo_with(r, "Cargo.toml", "[package]\nname = \"a\"\nversion = \"1.0.0\"\n");
	struct done d;

	put(r, repo.work, "Cargo.lock", "version = 3\n");
	assert_int_equal(mkdir(rig_printf(r, "%s/.cargo", repo.work), 0755), 0);
	put(r, repo.work, ".cargo/config.toml",
	    "[registries.r]\ncredential-provider = [\"./mine\"]\n");
	publish(r, &repo);
	d = change(r, &repo, "refresh_lockfile", "cargo", NULL);
	is(&d, "refused", "it has .cargo");
}

static void pnpm_writes_its_lockfile_anew(struct rig *r)
{
	struct repo repo;

	needs(r, "pnpm");
	repo = with_a_registry(r);
	put(r, repo.work, "pnpm-lock.yaml", "lockfileVersion: '9.0'\n");
	put(r, repo.work, ".pnpmfile.cjs", "throw new Error('code of the repository ran')\n");
	writes_its_lockfile(r, &repo, "pnpm", "pnpm-lock.yaml", "b@1.2.3");
}

static void cargo_writes_its_lockfile_anew(struct rig *r)
{
	struct repo repo =
		repo_with(r, "Cargo.toml",
			  "[package]\nname = \"a\"\nversion = \"2.0.0\"\n"
			  "[lib]\npath = \"a.rs\"\n[dependencies]\nb = { path = \"b\" }\n");

	needs(r, "cargo");
	put(r, repo.work, "a.rs", "");
	assert_int_equal(mkdir(rig_printf(r, "%s/b", repo.work), 0755), 0);
	put(r, repo.work, "b/Cargo.toml",
	    "[package]\nname = \"b\"\nversion = \"3.0.0\"\n[lib]\npath = \"b.rs\"\n");
	put(r, repo.work, "b/b.rs", "");
	put(r, repo.work, "Cargo.lock",
	    "version = 3\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n");
	writes_its_lockfile(r, &repo, "cargo", "Cargo.lock", "version = \"3.0.0\"");
}

static void go_tidies_its_modules(struct rig *r)
{
	struct repo repo = repo_with(r, "go.mod", "module a\n\ngo 1.19\n\nreplace b => ./b\n");

	needs(r, "go");
	put(r, repo.work, "a.go", "package a\n\nimport _ \"b\"\n");
	assert_int_equal(mkdir(rig_printf(r, "%s/b", repo.work), 0755), 0);
	put(r, repo.work, "b/go.mod", "module b\n\ngo 1.19\n");
	put(r, repo.work, "b/b.go", "package b\n");
	writes_its_lockfile(r, &repo, "go", "go.mod", "require b v0.0.0");
}

/* --- yarn --- */

#define YARN_LOCK "# yarn lockfile v1\n\n\n"

/* Later ones are another program, and on a node that is not Debian's, Debian's does not start. */
static void needs_yarn_1(struct rig *r)
{
	static const char *const paths[] = { "/usr/bin/yarn", "/usr/local/bin/yarn",
					     "/usr/bin/yarnpkg", "/usr/local/bin/yarnpkg" };
	const char *argv[] = { NULL, "--version", NULL };
	struct proc *p;

	for (size_t i = ARRAY_LEN(paths); i-- > 0;)
		if (has(paths[i]))
			argv[0] = paths[i];
	if (!argv[0])
		rig_skip(r, "yarn is not installed");
	p = proc_start(r, "yarn", argv, NULL);
	proc_may_die(p);
	if (proc_wait(p, PATIENCE_MS) != 0 || !text_starts(proc_output(p), "1."))
		rig_skip(r, "yarn 1 is not installed");
}

static struct repo with_yarn(struct rig *r, const struct registry *g, const char *needed)
{
	struct repo repo =
		repo_with(r, "package.json",
			  rig_printf(r,
				     "{\"name\":\"a\",\"version\":\"1.0.0\",\"license\":\"MIT\","
				     "\"engines\":{\"node\":\"0.1\"},\"scripts\":{\"postinstall\":"
				     "\"node ran.js\"},\"dependencies\":{\"b\":\"%s\"}}",
				     needed));

	put(r, repo.work, "ran.js", told_by_node(r, g));
	repo.set = g->set;
	put(r, repo.work, ".npmrc", rig_printf(r, "registry=%s/\n", g->url));
	put(r, repo.work, "yarn.lock", YARN_LOCK);
	return repo;
}

/* A package whose scripts tell the registry that they ran. */
static void put_package(struct rig *r, const struct registry *g, const char *folder)
{
	put(r, folder, "package.json",
	    "{\"name\":\"b\",\"version\":\"1.2.3\",\"scripts\":{\"install\":\"node ran.js\","
	    "\"prepare\":\"node ran.js\"}}");
	put(r, folder, "ran.js", told_by_node(r, g));
}

static void yarn_writes_its_lockfile_anew(struct rig *r)
{
	struct registry g;
	struct repo repo;

	needs_yarn_1(r);
	g = start_registry(r);
	assert_int_equal(mkdir(rig_path(r, "package"), 0755), 0);
	put_package(r, &g, rig_path(r, "package"));
	sh(r, rig_printf(r,
			 "cd %s && tar -C %s -czf b-1.2.3.tgz package && printf '{\"name\":\"b\","
			 "\"dist-tags\":{\"latest\":\"1.2.3\"},\"versions\":{\"1.2.3\":"
			 "{\"name\":\"b\",\"version\":\"1.2.3\",\"dist\":{\"shasum\":\"%%.40s\","
			 "\"tarball\":\"%s/b-1.2.3.tgz\"}}}}' \"$(sha1sum b-1.2.3.tgz)\" >b",
			 g.folder, rig_path(r, "."), g.url));
	repo = with_yarn(r, &g, "^1.0.0");
	writes_its_lockfile(r, &repo, "yarn", "yarn.lock", "/b-1.2.3.tgz#");
	nobody_ran(&g);
}

/* What comes by git it makes itself, with scripts and the network, so nothing comes by git. */
static void yarn_makes_no_package_of_others(struct rig *r)
{
	struct registry g;
	struct repo repo, other = { .work = rig_path(r, "other") };
	struct done d;

	needs_yarn_1(r);
	g = start_registry(r);
	assert_int_equal(mkdir(other.work, 0755), 0);
	put_package(r, &g, other.work);
	GIT(r, other.work, "init", "-q", "-b", "main");
	commit_all(r, &other);
	GIT(r, other.work, "clone", "-q", "--bare", ".", rig_printf(r, "%s/b.git", g.folder));
	GIT(r, rig_printf(r, "%s/b.git", g.folder), "update-server-info");
	repo = with_yarn(r, &g, rig_printf(r, "git+%s/b.git", g.url));
	publish(r, &repo);
	d = change(r, &repo, "refresh_lockfile", "yarn", repo.set);
	is_refused(r, &repo, &d, "tool_failed", "Exit code: 128");
	nobody_ran(&g);
}

static void yarn_with_settings_of_the_repository_is_not_run(struct rig *r)
{
	static const struct {
		const char *file, *text;
	} rows[] = {
		{ ".yarnrc", "yarn-path \"./mine.js\"\n" },
		{ ".yarnrc.yml", "yarnPath: ./mine.js\n" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct repo repo = { .work = rig_printf(r, "%s-%zu", rig_path(r, "work"), i) };
		struct done d;

		assert_int_equal(mkdir(repo.work, 0755), 0);
		GIT(r, repo.work, "init", "-q", "-b", "main");
		put(r, repo.work, "yarn.lock", YARN_LOCK);
		put(r, repo.work, rows[i].file, rows[i].text);
		publish(r, &repo);
		d = change(r, &repo, "refresh_lockfile", "yarn", NULL);
		is_refused(r, &repo, &d, "refused", rig_printf(r, "it has %s,", rows[i].file));
	}
}

/* --- poetry --- */

/* The registry has b 1.2.3, and nothing else. */
static struct repo with_poetry(struct rig *r, const struct registry *g, const char *name,
			       const char *needed)
{
	struct repo repo = { .work = rig_path(r, name), .set = g->set };

	assert_int_equal(mkdir(repo.work, 0755), 0);
	GIT(r, repo.work, "init", "-q", "-b", "main");
	put(r, repo.work, "pyproject.toml",
	    rig_printf(r,
		       "[tool.poetry]\nname = \"a\"\nversion = \"1.0.0\"\ndescription = \"\"\n"
		       "authors = [\"Ann <ann@example.org>\"]\n\n[[tool.poetry.source]]\n"
		       "name = \"r\"\nurl = \"%s/simple/\"\n\n[tool.poetry.dependencies]\n"
		       "python = \"^3.8\"\n%s\n",
		       g->url, needed));
	put(r, repo.work, "poetry.lock",
	    "package = []\n\n[metadata]\nlock-version = \"2.0\"\npython-versions = \"^3.8\"\n"
	    "content-hash = \"0000000000000000000000000000000000000000000000000000000000000000\""
	    "\n");
	return repo;
}

static struct registry registry_of_python(struct rig *r)
{
	struct registry g = start_registry(r);
	const char *info = rig_path(r, "b-1.2.3.dist-info");

	assert_int_equal(mkdir(info, 0755), 0);
	put(r, info, "METADATA", "Metadata-Version: 2.1\nName: b\nVersion: 1.2.3\n");
	put(r, info, "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n");
	put(r, info, "RECORD", "");
	sh(r, rig_printf(r,
			 "mkdir -p %s/simple/b && cd %s/simple/b && "
			 "python3 -m zipfile -c b-1.2.3-py3-none-any.whl %s",
			 g.folder, g.folder, info));
	return g;
}

#define FROM_R "b = { version = \"^1.0\", source = \"r\" }"

static void poetry_writes_its_lockfile_anew(struct rig *r)
{
	struct registry g;
	struct repo repo;

	needs(r, "poetry");
	g = registry_of_python(r);
	repo = with_poetry(r, &g, "work", FROM_R);
	/* An environment, plugins and modules that the repository brings. */
	sh(r,
	   rig_printf(r, "cd %s && mkdir -p .venv/bin .poetry/plugins/p-1.dist-info", repo.work));
	put(r, repo.work, "poetry.toml", "[virtualenvs]\ncreate = true\nin-project = true\n");
	put(r, repo.work, ".venv/pyvenv.cfg", "home = /usr/bin\n");
	put(r, repo.work, ".venv/bin/python",
	    rig_printf(r, "#!/usr/bin/python3\n%s", told_by_python(r, &g)));
	assert_int_equal(chmod(rig_printf(r, "%s/.venv/bin/python", repo.work), 0755), 0);
	put(r, repo.work, ".poetry/plugins/p.py",
	    rig_printf(r, "%sclass P: pass\n", told_by_python(r, &g)));
	put(r, repo.work, ".poetry/plugins/p-1.dist-info/METADATA",
	    "Metadata-Version: 2.1\nName: p\nVersion: 1\n");
	put(r, repo.work, ".poetry/plugins/p-1.dist-info/entry_points.txt",
	    "[poetry.application.plugin]\np = p:P\n");
	put(r, repo.work, "json.py", told_by_python(r, &g));
	writes_its_lockfile(r, &repo, "poetry", "poetry.lock", "b-1.2.3-py3-none-any.whl");
	nobody_ran(&g);
}

/* Metadata that only a build would tell: that is code, so it is not told. */
static void poetry_builds_nothing(struct rig *r)
{
	static const char setup[] =
		"from setuptools import setup\n"
		"n = 'c'\nsetup(name=n, version=str(1), install_requires=list(map(str, ['b'])))\n";
	static const char backend[] = "[build-system]\nrequires = []\nbuild-backend = \"be\"\n"
				      "backend-path = [\".\"]\n";
	static const char *const needed[] = {
		"c = { path = \"./c\" }",
		"c = { path = \"./c\" }",
		"c = { version = \"*\", source = \"r\" }",
	};
	struct registry g;

	needs(r, "poetry");
	g = registry_of_python(r);
	assert_int_equal(mkdir(rig_path(r, "c-1"), 0755), 0);
	put(r, rig_path(r, "c-1"), "setup.py", rig_printf(r, "%s%s", told_by_python(r, &g), setup));
	put(r, rig_path(r, "c-1"), "PKG-INFO", "Metadata-Version: 1.0\nName: c\nVersion: 1\n");
	sh(r, rig_printf(r, "mkdir %s/simple/c && tar -C %s -czf %s/simple/c/c-1.tar.gz c-1",
			 g.folder, rig_path(r, "."), g.folder));
	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		struct repo repo = with_poetry(r, &g, rig_printf(r, "work-%zu", i), needed[i]);
		const char *folder = rig_printf(r, "%s/c", repo.work);
		struct done d;

		assert_int_equal(mkdir(folder, 0755), 0);
		put(r, folder, i == 0 ? "setup.py" : "be.py",
		    rig_printf(r, "%s%s", told_by_python(r, &g), i == 0 ? setup : ""));
		if (i)
			put(r, folder, "pyproject.toml", backend);
		publish(r, &repo);
		d = change(r, &repo, "refresh_lockfile", "poetry", repo.set);
		is_refused(r, &repo, &d, "tool_failed", "poetry ended with 1");
		nobody_ran(&g);
	}
}

/* --- composer --- */

static const char composer_lock[] =
	"{\"content-hash\":\"00000000000000000000000000000000\",\"packages\":[{\"name\":\"x/b\","
	"\"version\":\"1.2.3\",\"dist\":{\"type\":\"zip\",\"url\":\"http://127.0.0.1/b.zip\","
	"\"reference\":\"\",\"shasum\":\"\"},\"type\":\"library\"}],\"packages-dev\":[],"
	"\"aliases\":[],\"minimum-stability\":\"stable\",\"stability-flags\":[],"
	"\"prefer-stable\":false,\"prefer-lowest\":false,\"platform\":[],\"platform-dev\":[]}\n";

#define PHP_PACKAGE(name, version)                                                \
	"\"" version "\":{\"name\":\"" name "\",\"version\":\"" version           \
	"\",\"require\":{\"ext-none\":\"*\"},\"dist\":{\"type\":\"zip\",\"url\":" \
	"\"http://127.0.0.1/b.zip\",\"shasum\":\"\"}}"

static struct registry registry_of_php(struct rig *r)
{
	struct registry g = start_registry(r);

	put(r, g.folder, "packages.json",
	    "{\"packages\":{\"x/b\":{" PHP_PACKAGE("x/b", "1.2.3") "," PHP_PACKAGE(
		    "x/b", "1.3.0") "},\"x/c\":{" PHP_PACKAGE("x/c", "1.0.0") "}}}");
	return g;
}

static struct repo with_composer(struct rig *r, const struct registry *g, const char *needed,
				 const char *repository)
{
	struct repo repo = repo_with(
		r, "composer.json",
		rig_printf(r,
			   "{\"name\":\"a/a\",\"require\":{%s},\"config\":{\"secure-http\":false,"
			   "\"allow-plugins\":true},\"repositories\":[%s,{\"packagist.org\":"
			   "false}],\"scripts\":{\"pre-update-cmd\":\"php ran.php\","
			   "\"pre-command-run\":\"php ran.php\"}}",
			   needed, repository));

	repo.set = g->set;
	put(r, repo.work, "ran.php", told_by_php(r, g));
	put(r, repo.work, "composer.lock", composer_lock);
	return repo;
}

/* A plugin that is there already, in the folder of what is installed. */
static void put_plugin(struct rig *r, const struct registry *g, const char *folder)
{
	sh(r, rig_printf(r, "cd %s && mkdir -p vendor/composer vendor/x/p", folder));
	put(r, folder, "vendor/composer/installed.json",
	    "{\"packages\":[{\"name\":\"x/p\",\"version\":\"1.0.0\",\"version_normalized\":"
	    "\"1.0.0.0\",\"type\":\"composer-plugin\",\"require\":{\"composer-plugin-api\":"
	    "\"^2.0\"},\"extra\":{\"class\":\"P\"},\"autoload\":{\"classmap\":[\"P.php\"]},"
	    "\"install-path\":\"../x/p\"}],\"dev\":true,\"dev-package-names\":[]}");
	put(r, folder, "vendor/x/p/P.php", rig_printf(r, "%sclass P {}\n", told_by_php(r, g)));
}

/* What is missing is added; what is there stays as it is, also where there is something newer. */
static void composer_writes_its_lockfile_anew(struct rig *r)
{
	struct registry g;
	struct repo repo;

	needs(r, "composer");
	g = registry_of_php(r);
	repo = with_composer(r, &g, "\"x/b\":\"^1.0\",\"x/c\":\"^1.0\"",
			     rig_printf(r, "{\"type\":\"composer\",\"url\":\"%s\"}", g.url));
	put_plugin(r, &g, repo.work);
	writes_its_lockfile(r, &repo, "composer", "composer.lock", "\"name\": \"x/c\"");
	assert_non_null(strstr(file_of(r, &repo, "composer.lock"), "\"version\": \"1.2.3\""));
	nobody_ran(&g);
}

/* ... unless it is asked for another version of it. */
static void composer_takes_another_version_where_it_must(struct rig *r)
{
	struct registry g;
	struct repo repo;

	needs(r, "composer");
	g = registry_of_php(r);
	repo = with_composer(r, &g, "\"x/b\":\"^1.3\"",
			     rig_printf(r, "{\"type\":\"composer\",\"url\":\"%s\"}", g.url));
	writes_its_lockfile(r, &repo, "composer", "composer.lock", "\"version\": \"1.3.0\"");
	nobody_ran(&g);
}

/* A folder that says it is a repository has settings, and those name programs. */
static void composer_looks_into_no_repository_of_the_repository(struct rig *r)
{
	struct registry g;
	struct repo repo;
	struct done d;

	needs(r, "composer");
	g = registry_of_php(r);
	repo = with_composer(r, &g, "\"x/b\":\"^1.3\"", "{\"type\":\"vcs\",\"url\":\"./x\"}");
	GIT(r, repo.work, "init", "-q", "--bare", "-b", "main", "x");
	sh(r, rig_printf(r,
			 "cd %s/x && git hash-object -w --stdin <config && mkdir -p "
			 "refs/heads && touch refs/heads/keep",
			 repo.work));
	publish(r, &repo);
	d = change(r, &repo, "refresh_lockfile", "composer", repo.set);
	is_refused(r, &repo, &d, "tool_failed", "No driver found");

	sh(r, rig_printf(r, "mkdir %s/x/.hg && touch %s/x/.hg/hgrc", repo.work, repo.work));
	commit_all(r, &repo);
	update(r, &repo);
	d = change(r, &repo, "refresh_lockfile", "composer", repo.set);
	is_refused(r, &repo, &d, "refused", "it has x/.hg,");
}

/* --- bundler --- */

/* A Gemfile is a program: it runs, and reaches nobody. */
static void bundler_writes_its_lockfile_anew(struct rig *r)
{
	struct registry g;
	struct repo repo;

	needs(r, "bundle");
	g = start_registry(r);
	repo = repo_with(
		r, "Gemfile",
		rig_printf(r,
			   "source 'https://rubygems.org'\ngem 'b'\nrequire 'net/http'\nbegin\n"
			   "  proxy, u = URI(ENV['http_proxy'] || '%s'), URI('%s/ran')\n"
			   "  Net::HTTP.start(u.host, u.port, proxy.host, proxy.port) { |h| "
			   "h.get(u.path) }\nrescue SystemCallError\nend\n"
			   "File.write('a.txt', 'new')\n",
			   g.url, g.url));
	repo.set = g.set; /* which counts for commands that have the network */
	put(r, repo.work, "a.txt", "old\n");
	put(r, repo.work, "Gemfile.lock",
	    "GEM\n  remote: https://rubygems.org/\n  specs:\n\nPLATFORMS\n  ruby\n\n"
	    "DEPENDENCIES\n");
	sh(r, rig_printf(r, "mkdir -p %s/vendor/cache", repo.work));
	put(r, rig_path(r, "."), "b.gemspec",
	    "Gem::Specification.new { |s| s.name = 'b'; s.version = '1.2.3'; s.summary = 'b'; "
	    "s.authors = ['Ann'] }\n");
	sh(r, rig_printf(r, "cd %s && gem build b.gemspec && mv b-1.2.3.gem %s/vendor/cache",
			 rig_path(r, "."), repo.work));
	writes_its_lockfile(r, &repo, "bundler", "Gemfile.lock", "b (1.2.3)");
	nobody_ran(&g);
}

/* --- snapshots --- */

/* The tests have no network, whatever the command before them had. */
static void npm_updates_snapshots(struct rig *r)
{
	struct repo repo = repo_with(
		r, "package.json",
		"{\"name\":\"a\",\"version\":\"1.0.0\",\"scripts\":{\"test\":\"node test.js\"}}");
	struct done d;

	needs(r, "npm");
	put(r, repo.work, "package-lock.json",
	    "{\"name\":\"a\",\"version\":\"1.0.0\",\"lockfileVersion\":3,\"packages\":"
	    "{\"\":{\"name\":\"a\",\"version\":\"1.0.0\"}}}");
	put(r, repo.work, "test.js",
	    "const fs = require('fs'), os = require('os');\n"
	    "if (!process.argv.includes('-u')) process.exit(1);\n"
	    "fs.writeFileSync('a.snap', Object.keys(os.networkInterfaces()).join() + '\\n');\n"
	    "fs.writeFileSync('b.snap', 'new\\n');\n"
	    "fs.writeFileSync('test.js', 'nothing is tested\\n');\n");
	put(r, repo.work, "a.snap", "old\n");
	publish(r, &repo);
	d = change(r, &repo, "update_snapshots", "npm", NULL);
	is(&d, "pushed", "");
	assert_string_equal(differs(r, &repo), "M\ta.snap\nA\tb.snap");
	assert_string_equal(file_of(r, &repo, "a.snap"), "lo");
}

/* --- what is pushed ------------------------------------------------------------------------------
 */

static void a_commit_is_ours_and_made_once(struct rig *r)
{
	struct repo repo = repo_that(r, "echo new >>a.txt");
	struct done d, again;
	const char *commit;

	put(r, repo.work, "a.txt", "old\n");
	assert_int_equal(chmod(rig_printf(r, "%s/a.txt", repo.work), 0755), 0);
	publish(r, &repo);
	d = make(r, &repo, "change.author_name=Robot");
	is(&d, "pushed", "");
	commit = GIT_SAYS(r, repo.bare, "show", "--format=%an|%cn|%ae|%B|", "--summary", OURS);
	assert_non_null(
		strstr(commit, "Robot|Robot|pipeline-guard@localhost|mend it\n\nBecause.\n|"));
	/* It stays a program. */
	assert_non_null(strstr(GIT_SAYS(r, repo.bare, "ls-tree", OURS, "a.txt"), "100755"));
	again = make(r, &repo, NULL);
	is(&again, "exists", OURS);
	assert_string_equal(again.commit, d.commit);
	assert_string_equal(GIT_SAYS(r, repo.bare, "rev-parse", "main"), repo.sha);
}

static void files_come_and_go(struct rig *r)
{
	struct repo repo = repo_that(r, "rm old.txt; mkdir -p d; echo new >d/new.txt");

	put(r, repo.work, "old.txt", "old\n");
	publish(r, &repo);
	{
		struct done d = make(r, &repo, NULL);

		is(&d, "pushed", "");
	}
	assert_string_equal(differs(r, &repo), "A\td/new.txt\nD\told.txt");
}

static void a_branch_that_moved_is_left_alone(struct rig *r)
{
	struct repo repo = repo_that(r, "echo new >a.txt");
	struct done d;

	publish(r, &repo);
	repo.sha = "0123456789012345678901234567890123456789";
	d = make(r, &repo, NULL);
	is_refused(r, &repo, &d, "stale", "main is no longer at 0123456789");
}

/* The folder that the program of a child works in, once it says that it has begun. */
static const char *wait_until_begun(struct rig *r, struct proc *p)
{
	const char *begun = rig_printf(r, "ls %s/*/work/begun", scratch(r));
	const char *argv[] = { "/usr/bin/env", "sh", "-c", begun, NULL };
	int64_t end = clock_mono_ms() + PATIENCE_MS;
	struct proc *ls;

	do {
		if (!proc_running(p) || clock_mono_ms() > end)
			fail_msg("it did not begin: %s: %s", finish(r, p).result, proc_output(p));
		ls = proc_start(r, "ls", argv, NULL);
		proc_may_die(ls);
	} while (proc_wait(ls, PATIENCE_MS) != 0);
	begun = proc_output(ls);
	return rig_text(r, begun, strlen(begun) - strlen("/begun\n"));
}

/* ... also when it moves while the program runs. */
static void a_branch_that_moves_meanwhile_is_left_alone(struct rig *r)
{
	struct repo repo = repo_that(
		r, "echo new >a.txt; touch begun; while [ ! -e go ]; do sleep 0.05; done");
	const char *folder;
	struct proc *p;
	struct done d;
	int fd;

	publish(r, &repo);
	p = start(r, request(r, &repo, "test", "make"), NULL);
	folder = wait_until_begun(r, p);
	GIT(r, repo.work, "commit", "-q", "--allow-empty", "-m", "moved");
	update(r, &repo);
	fd = open(rig_printf(r, "%s/go", folder), O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	d = finish(r, p);
	is_refused(r, &repo, &d, "stale", "main is no longer at");
}

/* What cannot be read or run is not, and is still there in what is pushed. */
static void whatever_is_in_it_survives(struct rig *r)
{
	static const char *const names[] = {
		"new\nline.txt",   "\x1b[31mred", "-rf",     "$(touch pwned)",
		"a`touch pwned`b", "\xff\xfe",    "a b;c&d", "...",
		"\u202egpj.exe",   "CON",         "*",       "~",
	};
	struct repo repo = repo_that(r, "echo new >>a.txt");
	struct done d;

	put(r, repo.work, "a.txt", "old\n");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		put(r, repo.work, names[i], "x\n");
	assert_int_equal(symlink("/etc/passwd", rig_printf(r, "%s/passwd", repo.work)), 0);
	assert_int_equal(symlink("..", rig_printf(r, "%s/up", repo.work)), 0);
	assert_int_equal(symlink("nowhere", rig_printf(r, "%s/dangling", repo.work)), 0);
	assert_int_equal(mkdir(rig_printf(r, "%s/hooks", repo.work), 0755), 0);
	put(r, repo.work, "hooks/post-checkout", "#!/bin/sh\ntouch /tmp/pwned\n");
	put(r, repo.work, ".gitattributes",
	    "*.bin filter=lfs diff=lfs merge=lfs -text\n*.txt text eol=crlf\n");
	put(r, repo.work, "big.bin",
	    "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n");
	put(r, repo.work, ".gitmodules",
	    "[submodule \"s\"]\n\tpath = s\n\turl = ext::sh -c touch% /tmp/pwned\n");
	commit_all(r, &repo);
	GIT(r, repo.work, "update-index", "--add", "--cacheinfo",
	    rig_printf(r, "160000,%s,s", repo.sha));
	GIT(r, repo.work, "commit", "-q", "-m", "submodule");
	publish(r, &repo);
	d = make(r, &repo, NULL);
	is(&d, "pushed", "");
	assert_string_equal(differs(r, &repo), "M\ta.txt");
	assert_string_equal(file_of(r, &repo, "a.txt"), "old\nnew");
	assert_int_not_equal(access("/tmp/pwned", F_OK), 0);
}

/* --- taking back ---------------------------------------------------------------------------------
 */

static void a_commit_is_taken_back(struct rig *r)
{
	struct repo repo = repo_with(r, "a.txt", "good\n");
	struct done d;

	commit_all(r, &repo);
	put(r, repo.work, "a.txt", "bad\n");
	put(r, repo.work, "b.txt", "bad\n");
	publish(r, &repo);
	d = change(r, &repo, NULL, NULL, NULL);
	is(&d, "pushed", "");
	assert_string_equal(differs(r, &repo), "M\ta.txt\nD\tb.txt");
	assert_string_equal(file_of(r, &repo, "a.txt"), "good");
}

static void so_is_a_merge(struct rig *r)
{
	struct repo repo = repo_with(r, "a.txt", "good\n");
	struct done d;

	commit_all(r, &repo);
	GIT(r, repo.work, "switch", "-q", "-c", "side");
	put(r, repo.work, "side.txt", "bad\n");
	commit_all(r, &repo);
	GIT(r, repo.work, "switch", "-q", "main");
	put(r, repo.work, "main.txt", "good\n");
	commit_all(r, &repo);
	GIT(r, repo.work, "merge", "-q", "--no-ff", "-m", "merged", "side");
	repo.sha = GIT_SAYS(r, repo.work, "rev-parse", "HEAD");
	repo.bare = rig_path(r, "merged.git");
	GIT(r, repo.work, "clone", "-q", "--bare", ".", repo.bare);
	give_away(r, repo.bare);
	d = change(r, &repo, NULL, NULL, NULL);
	is(&d, "pushed", "");
	assert_string_equal(differs(r, &repo), "D\tside.txt");
}

static void not_everything_is_taken_back(struct rig *r)
{
	struct repo repo = repo_with(r, "a.txt", "good\n");
	struct done d;

	publish(r, &repo);
	d = change(r, &repo, NULL, NULL, NULL);
	is_refused(r, &repo, &d, "refused", "it is the first commit");
	put(r, repo.work, "test_a.py", "def test_a():\n");
	commit_all(r, &repo);
	update(r, &repo);
	d = change(r, &repo, NULL, NULL, NULL);
	is_refused(r, &repo, &d, "refused", "test_a.py: is a test");
	assert_int_equal(symlink("a.txt", rig_printf(r, "%s/link", repo.work)), 0);
	commit_all(r, &repo);
	update(r, &repo);
	d = change(r, &repo, NULL, NULL, NULL);
	is_refused(r, &repo, &d, "refused", "link is a link");
}

/* --- limits --------------------------------------------------------------------------------------
 */

static void fill(struct rig *r, const struct repo *repo, const char *how)
{
	sh(r, rig_printf(r, "cd %s && %s", repo->work, how));
}

static void a_repository_over_the_cap_is_not_copied(struct rig *r)
{
	struct repo repo = repo_that(r, "echo new >a.txt");
	struct done d;

	fill(r, &repo, "head -c 3M /dev/urandom >big");
	publish(r, &repo);
	d = make(r, &repo, "change.max_repository=2m");
	is_refused(r, &repo, &d, "too_large", "what has to be fetched is over 2 MiB");
	/* No program: on a disk that others write to, too, it would be ended for that. */
	put(r, repo.work, "small", "x\n");
	commit_all(r, &repo);
	update(r, &repo);
	d = change(r, &repo, NULL, NULL, "change.max_repository=4m");
	is(&d, "pushed", "");
}

/* Four objects, 216,000 links: each would take its place on the disk. */
static void nor_is_one_of_ever_so_many_links(struct rig *r)
{
	struct repo repo = repo_that(r, "echo new >a.txt");
	struct done d;

	publish(r, &repo);
	fill(r, &repo,
	     "t=$(printf x | git hash-object -w --stdin); m='120000 blob'; for n in 1 2 3; do "
	     "t=$(for i in $(seq 60); do printf \"$m $t\\t$i\\n\"; done | git mktree); "
	     "m='040000 tree'; done; git update-ref refs/heads/main $(git -c user.name=a -c "
	     "user.email=a@example.org commit-tree -m links -p main $t)");
	repo.sha = GIT_SAYS(r, repo.work, "rev-parse", "main");
	update(r, &repo);
	d = make(r, &repo, NULL);
	is_refused(r, &repo, &d, "too_large", "more than 200000");
}

/* A file with a hole takes no room on the disk, and all of it in memory. */
static void what_differs_is_not_held_beyond_the_cap(struct rig *r)
{
	struct repo repo = repo_that(r, "for i in $$(seq 500); do truncate -s 8M $$i.txt; done");
	struct done d;

	publish(r, &repo);
	d = make(r, &repo, NULL);
	is_refused(r, &repo, &d, "refused", "what differs is over 8 MiB");
}

/* Little to fetch, much to write: 3 MiB of nothing, and one file in two thousand places. */
static void nor_is_one_that_grows(struct rig *r)
{
	struct repo repo = repo_that(r, "echo new >a.txt");
	struct done d;

	fill(r, &repo, "head -c 3M /dev/zero >big");
	publish(r, &repo);
	d = make(r, &repo, "change.max_repository=2m");
	is_refused(r, &repo, &d, "too_large", "its files are over 2 MiB");
	fill(r, &repo,
	     "rm big; mkdir d; head -c 2k /dev/zero >d/x; for i in $(seq 2000); do "
	     "cp d/x d/$i; done");
	commit_all(r, &repo);
	update(r, &repo);
	d = make(r, &repo, "change.max_repository=2m");
	is_refused(r, &repo, &d, "too_large", "its files are over 2 MiB");
}

static void what_a_change_may_not_do_is_refused(struct rig *r)
{
	static const struct {
		const char *recipe, *detail;
	} rows[] = {
		{ "mkdir -p .github/workflows; echo x >.github/workflows/ci.yml",
		  "says what the CI server runs" },
		{ "echo '* @ann' >CODEOWNERS", "is never changed by us" },
		{ "rm test_a.py", "is a test" },
		{ "echo @pytest.mark.skip >test_a.py; echo 'def test_a():' >>test_a.py",
		  "would skip a test" },
		{ "printf 'key = ghp_%s\\n' abcdefghij0123456789abcdefghij0123 >a.txt",
		  "looks like a secret" },
		{ "for i in $$(seq 60); do echo $$i >f$$i; done", "60 files differ, and 50 may" },
		{ "seq 2000 >a.txt", "more than 1000 lines differ" },
		{ "for i in $$(seq 1100); do echo $$i >f$$i; done", "more than 1000 files differ" },
		{ "head -c 9M /dev/zero >a.txt", "is over 8 MiB" },
		{ "printf 'a\\0b' >a.txt", "is not text" },
		/* Ways of having somebody else's files published. */
		{ "rm a.txt; ln -s /etc/passwd a.txt", "a.txt is no file any more" },
		{ "rm -r d; ln -s /etc d", "d/passwd is no file any more" },
		{ "rm a.txt; mkdir a.txt", "a.txt is no file any more" },
		{ "printf x >>big.bin", "is a pointer of Git LFS" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct repo repo = { .work = rig_printf(r, "%s-%zu", rig_path(r, "work"), i) };
		struct done d;

		assert_int_equal(mkdir(repo.work, 0755), 0);
		assert_int_equal(mkdir(rig_printf(r, "%s/d", repo.work), 0755), 0);
		GIT(r, repo.work, "init", "-q", "-b", "main");
		put(r, repo.work, "Makefile", rig_printf(r, "all:\n\t@%s\n", rows[i].recipe));
		put(r, repo.work, "test_a.py", "def test_a():\n");
		put(r, repo.work, "a.txt", "a\n");
		put(r, repo.work, "d/passwd", "a\n");
		put(r, repo.work, "big.bin", "version https://git-lfs.github.com/spec/v1\n");
		publish(r, &repo);
		d = make(r, &repo, NULL);
		is_refused(r, &repo, &d, "refused", rows[i].detail);
	}
}

static void a_program_that_goes_wild_is_ended(struct rig *r)
{
	static const struct {
		const char *recipe, *set, *detail;
	} rows[] = {
		{ "while :; do :; done", "change.timeout=6s", "make was ended: too_late" },
		{ "yes | head -c 1M", NULL, "make was ended: too_much_output" },
		{ "echo 'cannot parse a.py'; exit 3", NULL, "cannot parse a.py" },
		{ "f() { f | f & f; }; f", "change.timeout=8s", "make" },
		{ "i=0; while head -c 900k /dev/zero >f$$i; do i=$$((i+1)); done",
		  "change.max_repository=1m", "make" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct repo repo = { .work = rig_printf(r, "%s-%zu", rig_path(r, "work"), i) };
		struct done d;

		assert_int_equal(mkdir(repo.work, 0755), 0);
		GIT(r, repo.work, "init", "-q", "-b", "main");
		put(r, repo.work, "Makefile", rig_printf(r, "all:\n\t@%s\n", rows[i].recipe));
		publish(r, &repo);
		d = make(r, &repo, rows[i].set);
		is_refused(r, &repo, &d, "tool_failed", rows[i].detail);
	}
}

/* --- over HTTP
 * ------------------------------------------------------------------------------------ */

/* A repository of the simulator's with a Makefile in it. */
static struct repo served(struct rig *r)
{
	struct repo repo = { .work = NULL };
	struct answer a;

	(void)simulator_start(r, NULL);
	sim_post(r, "/_sim/repos", "{\"repo\":\"octo/app\",\"git\":true}");
	sim_post(r, "/_sim/commits",
		 "{\"repo\":\"octo/app\",\"branch\":\"main\",\"message\":\"m\",\"files\":"
		 "{\"Makefile\":\"all:\\n\\t@echo new >new.txt\\n\"}}");
	a = http_ask(r, simulator_port(r), "GET", "/_sim/repos?repo=octo/app", "", "", 0);
	repo.bare = answer_str(&a, "path");
	repo.sha = answer_str(&a, "branches.main");
	return repo;
}

static struct done change_there(struct rig *r, const struct repo *repo, const char *password)
{
	const char *text = rig_printf(r,
				      "{\"url\":\"%s/octo/app.git\",\"user\":\"x-access-token\","
				      "\"branch\":\"main\",\"sha\":\"%s\","
				      "\"new_branch\":\"" OURS "\",\"message\":\"mend it\","
				      "\"strategy\":\"test\",\"tool\":\"make\"}\n%s",
				      simulator_url(r), repo->sha, password);
	struct done d = finish(r, start(r, text, NULL));

	/* It reads it from there, and from nowhere else: the token may be in no file. */
	assert_int_equal(unlink(rig_path(r, "request.json")), 0);
	assert_null(strstr(d.output, password));
	return d;
}

static void a_branch_is_pushed_with_a_password(struct rig *r)
{
	struct repo repo = served(r);
	struct done d = change_there(r, &repo, API_TOKEN);

	is(&d, "pushed", "");
	assert_string_equal(differs(r, &repo), "A\tnew.txt");
	d = change_there(r, &repo, API_TOKEN);
	is(&d, "exists", "");
}

static void a_server_that_does_not_let_us_is_believed(struct rig *r)
{
	struct repo repo = served(r);
	struct done d = change_there(r, &repo, "wrong-password");

	is_refused(r, &repo, &d, "denied", "connecting");
	sim_post(r, "/_sim/repos", "{\"repo\":\"octo/app\",\"access\":\"read\"}");
	d = change_there(r, &repo, API_TOKEN);
	is_refused(r, &repo, &d, "denied", "connecting");
	sim_post(r, "/_sim/repos", "{\"repo\":\"octo/app\",\"access\":\"none\"}");
	d = change_there(r, &repo, API_TOKEN);
	is_refused(r, &repo, &d, "denied", "connecting");
}

/* Of what may be over soon it is said so; a push that arrived is found by the next try. */
static void trouble_on_the_way_is_no_verdict(struct rig *r)
{
	static const char *const faults[] = {
		"{\"call\":\"push\",\"kind\":\"status\",\"times\":9}",
		"{\"call\":\"push\",\"kind\":\"drop\",\"times\":9}",
		"{\"call\":\"push\",\"kind\":\"garbage\",\"times\":9}",
		"{\"call\":\"push\",\"kind\":\"truncate\",\"times\":9}",
	};
	struct repo repo = served(r);
	struct done d;

	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		sim_fault(r, faults[i]);
		d = change_there(r, &repo, API_TOKEN);
		is_refused(r, &repo, &d, "unreachable", "");
		sim_no_faults(r);
	}
	/* It would be the password that goes to another host. */
	sim_fault(r, "{\"call\":\"push\",\"kind\":\"redirect\",\"times\":9,\"location\":"
		     "\"http://localhost:9/octo/app.git/info/refs?service=git-upload-pack\"}");
	d = change_there(r, &repo, API_TOKEN);
	is_refused(r, &repo, &d, "unreachable", "redirect");
	sim_no_faults(r);
	d = change_there(r, &repo, API_TOKEN);
	is(&d, "pushed", "");
}

/* --- scratch -------------------------------------------------------------------------------------
 */

static void nothing_of_it_is_left(struct rig *r)
{
	struct repo repo =
		repo_that(r, "for i in $$(seq 300); do mkdir deep; cd deep; done; touch x; cd /; "
			     "mkdir -p shut/in; touch shut/in/x; chmod 0 shut/in shut");
	struct done d;

	put(r, repo.work, "Makefile",
	    "all:\n\t@p=$$PWD; for i in $$(seq 300); do mkdir deep; cd deep; done; touch x; cd "
	    "$$p; "
	    "mkdir -p shut/in; touch shut/in/x; chmod 0 shut/in shut\n");
	publish(r, &repo);
	d = make(r, &repo, NULL);
	is_refused(r, &repo, &d, "nothing", "");
}

static void what_a_killed_one_left_is_removed_by_the_next(struct rig *r)
{
	struct repo repo = repo_that(r, "touch begun; while :; do sleep 1; done");
	struct proc *p;
	struct done d;

	publish(r, &repo);
	p = start(r, request(r, &repo, "test", "make"), NULL);
	(void)wait_until_begun(r, p);
	proc_kill(p);
	assert_int_not_equal(rmdir(scratch(r)), 0);
	repo.sha = "0123456789012345678901234567890123456789";
	d = make(r, &repo, NULL);
	is_refused(r, &repo, &d, "stale", "");
}

static void nonsense_is_refused(struct rig *r)
{
	static const char *const rows[] = {
		"",
		"[]",
		"{\"url\":\"ext::sh\",\"branch\":\"a\",\"sha\":\"0\",\"message\":\"m\","
		"\"new_branch\":\"" OURS "\"}",
		"{\"url\":\"/x\",\"branch\":\"a\",\"sha\":\"0\",\"message\":\"m\",\"new_branch\":"
		"\"main\"}",
		"{\"url\":\"/x\",\"branch\":\"a\",\"sha\":\"0\",\"message\":\"m\",\"new_branch\":"
		"\"" OURS "\",\"tool\":\"sh\",\"strategy\":\"fix_lint\"}",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct proc *p = start(r, rows[i], NULL);

		assert_int_equal(proc_wait(p, PATIENCE_MS), 1);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(black_mends),
		RIG_TEST(isort_mends),
		RIG_TEST(ruff_mends),
		RIG_TEST(eslint_mends),
		RIG_TEST(prettier_mends),
		RIG_TEST(clang_format_mends),
		RIG_TEST(gofmt_mends),
		RIG_TEST(rustfmt_mends),
		RIG_TEST(npm_writes_its_lockfile_anew),
		RIG_TEST(npm_runs_no_program_of_the_repository),
		RIG_TEST(npm_is_not_sent_inside),
		RIG_TEST(cargo_with_settings_of_the_repository_is_not_run),
		RIG_TEST(pnpm_writes_its_lockfile_anew),
		RIG_TEST(cargo_writes_its_lockfile_anew),
		RIG_TEST(go_tidies_its_modules),
		RIG_TEST(yarn_writes_its_lockfile_anew),
		RIG_TEST(yarn_makes_no_package_of_others),
		RIG_TEST(yarn_with_settings_of_the_repository_is_not_run),
		RIG_TEST(poetry_writes_its_lockfile_anew),
		RIG_TEST(poetry_builds_nothing),
		RIG_TEST(composer_writes_its_lockfile_anew),
		RIG_TEST(composer_takes_another_version_where_it_must),
		RIG_TEST(composer_looks_into_no_repository_of_the_repository),
		RIG_TEST(bundler_writes_its_lockfile_anew),
		RIG_TEST(npm_updates_snapshots),
		RIG_TEST(a_commit_is_ours_and_made_once),
		RIG_TEST(files_come_and_go),
		RIG_TEST(a_branch_that_moved_is_left_alone),
		RIG_TEST(a_branch_that_moves_meanwhile_is_left_alone),
		RIG_TEST(whatever_is_in_it_survives),
		RIG_TEST(a_commit_is_taken_back),
		RIG_TEST(so_is_a_merge),
		RIG_TEST(not_everything_is_taken_back),
		RIG_TEST(a_repository_over_the_cap_is_not_copied),
		RIG_TEST(nor_is_one_of_ever_so_many_links),
		RIG_TEST(what_differs_is_not_held_beyond_the_cap),
		RIG_TEST(nor_is_one_that_grows),
		RIG_TEST(what_a_change_may_not_do_is_refused),
		RIG_TEST(a_program_that_goes_wild_is_ended),
		RIG_TEST(a_branch_is_pushed_with_a_password),
		RIG_TEST(a_server_that_does_not_let_us_is_believed),
		RIG_TEST(trouble_on_the_way_is_no_verdict),
		RIG_TEST(nothing_of_it_is_left),
		RIG_TEST(what_a_killed_one_left_is_removed_by_the_next),
		RIG_TEST(nonsense_is_refused),
	};

	if (!has("/usr/bin/git")) {
		(void)fprintf(stderr, "skipped: needs git\n");
		return EXIT_SKIP;
	}
	return rig_main(tests);
}
