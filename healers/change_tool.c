#include "healers/change_tool.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "core/finding.h"
#include "healers/sandbox.h"

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

#define PYTHON  "*.py", "*.pyi"
#define SCRIPT  "*.js", "*.jsx", "*.mjs", "*.cjs", "*.ts", "*.tsx", "*.mts", "*.cts", "*.vue"
#define C_FILES "*.c", "*.h", "*.cc", "*.hh", "*.cpp", "*.hpp", "*.cxx", "*.hxx", "*.m", "*.proto"

/* Commands: one that finds its files, one that is told them, one that has the network. */
#define FIND(ok, ...)                                               \
	{                                                           \
		{                                                   \
			.argv = LIST(__VA_ARGS__), .ok_until = (ok) \
		}                                                   \
	}
#define NAME(files_, ...)                                          \
	{                                                          \
		{                                                  \
			.argv = LIST(__VA_ARGS__), .files = files_ \
		}                                                  \
	}
#define FETCH(env_, ...) .argv = LIST(__VA_ARGS__), .network = true, .env = env_

/*
 * What a command that has the network does is not for the repository to choose, so nothing of it
 * is run there: neither by its settings nor by what it depends on.
 */
/* .npmrc may name a program as git, options of node that load code, another pnpm. */
#define NPM_ENV                                                             \
	LIST("npm_config_git=git", "npm_config_node_options=--no-warnings", \
	     "npm_config_manage_package_manager_versions=false")
/* A package that it fetches with git it makes itself, scripts and all, whatever it is told. */
#define YARN_ENV LIST("YARN_IGNORE_PATH=1", "GIT_ALLOW_PROTOCOL=none")
/*
 * Packages without metadata are built to get them, in an environment that it makes: it cannot make
 * one. That of the repository would be asked which Python it has.
 */
#define POETRY_ENV                                                                     \
	LIST("POETRY_VIRTUALENVS_CREATE=false", "POETRY_VIRTUALENVS_IN_PROJECT=false", \
	     "VIRTUALENV_CREATOR=none", "PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring")
/* rustup's cargo is whichever rust-toolchain.toml says, by its path, too. */
#define CARGO_ENV LIST("RUSTUP_TOOLCHAIN=stable")
/* Its folders may be repositories of git, whose settings name programs. */
#define COMPOSER_ENV                                              \
	LIST("COMPOSER_ROOT_VERSION=1.0.0", "GIT_CONFIG_COUNT=1", \
	     "GIT_CONFIG_KEY_0=safe.bareRepository", "GIT_CONFIG_VALUE_0=explicit")
#define COMPOSER_OPTIONS                                                                     \
	"--no-interaction", "--no-plugins", "--no-scripts", "--no-install", "--no-progress", \
		"--no-audit", "--ignore-platform-req=ext-*", "--ignore-platform-req=lib-*"

const struct change_tool change_tools[] = {
	{ "fix_lint", "black", "black|would reformat", LIST("*.py", "pyproject.toml", "setup.cfg"),
	  FIND(0, "black", "--quiet", "."), .paths = LIST(PYTHON) },
	{ "fix_lint", "isort", "isort|imports are incorrectly sorted",
	  LIST("*.py", "pyproject.toml", "setup.cfg"), FIND(0, "isort", "--quiet", "."),
	  .paths = LIST(PYTHON) },
	/* 1: something is left that it cannot mend. */
	{ "fix_lint", "ruff", "ruff", LIST("pyproject.toml", "ruff.toml", ".ruff.toml"),
	  FIND(1, "ruff", "check", "--fix", "--quiet", "--no-cache", "."), .paths = LIST(PYTHON) },
	{ "fix_lint", "eslint", "eslint", LIST(".eslintrc*", "eslint.config.*", "package.json"),
	  FIND(1, "eslint", "--fix", "--quiet", "."), .paths = LIST(SCRIPT) },
	{ "fix_lint", "prettier", "prettier|code style issues",
	  LIST(".prettierrc*", "prettier.config.*", "package.json"),
	  FIND(1, "prettier", "--write", "--list-different", "."),
	  .paths = LIST(SCRIPT, "*.css", "*.scss", "*.less", "*.html", "*.json", "*.md", "*.yml",
			"*.yaml", "*.graphql") },
	{ "fix_lint", "clang-format", "clang-format|clang-formatted|Wclang-format-violations",
	  LIST(".clang-format", "_clang-format"),
	  NAME(LIST(C_FILES), "clang-format", "-i", "--style=file"), .paths = LIST(C_FILES) },
	{ "fix_lint", "gofmt", "gofmt|goimports|gofumpt", LIST("go.mod", "*.go"),
	  NAME(LIST("*.go"), "gofmt", "-w"), .paths = LIST("*.go") },
	{ "fix_lint", "rustfmt", "rustfmt|cargo fmt|cargo-fmt",
	  LIST("Cargo.toml", "rustfmt.toml", ".rustfmt.toml"),
	  NAME(LIST("*.rs"), "rustfmt", "--quiet", "--edition", "2021"), .paths = LIST("*.rs") },

	{ "refresh_lockfile",
	  "npm",
	  "package-lock.json",
	  LIST("package-lock.json"),
	  { { FETCH(NPM_ENV, "npm", "install", "--package-lock-only", "--ignore-scripts",
		    "--no-audit", "--no-fund") } },
	  .paths = LIST("package-lock.json"),
	  .home = true },
	/* Its settings may name a file of code, which then runs: here that is left out. */
	{ "refresh_lockfile",
	  "pnpm",
	  "pnpm-lock.yaml|ERR_PNPM_OUTDATED_LOCKFILE|ERR_PNPM_LOCKFILE_CONFIG_MISMATCH",
	  LIST("pnpm-lock.yaml"),
	  { { FETCH(NPM_ENV, "pnpm", "install", "--lockfile-only", "--ignore-scripts",
		    "--ignore-pnpmfile", "--no-frozen-lockfile") } },
	  .paths = LIST("pnpm-lock.yaml"),
	  .home = true },
	/* Yarn 1. Later ones have settings that are code, and complain in other words. */
	{ "refresh_lockfile",
	  "yarn",
	  "yarn.lock|needs to be updated, but yarn",
	  LIST("yarn.lock"),
	  { { FETCH(YARN_ENV, "yarn", "install", "--ignore-scripts", "--ignore-engines",
		    "--non-interactive", "--no-progress", "--no-bin-links") } },
	  .paths = LIST("yarn.lock"),
	  .home = true,
	  .not_with = LIST(".yarnrc", ".yarnrc.yml") },
	/* Settings of a repository name programs that give out credentials, and git. */
	{ "refresh_lockfile",
	  "cargo",
	  "Cargo.lock|lock file needs to be updated",
	  LIST("Cargo.lock"),
	  { { FETCH(CARGO_ENV, "cargo", "update", "--quiet", "--workspace") } },
	  .paths = LIST("Cargo.lock"),
	  .home = true,
	  .not_with = LIST(".cargo") },
	{ "refresh_lockfile",
	  "go",
	  "go.sum|go mod tidy|updates to go.mod needed",
	  LIST("go.mod"),
	  { { FETCH(NULL, "go", "mod", "tidy") } },
	  .paths = LIST("go.mod", "go.sum"),
	  .adds = true,
	  .home = true },
	/* Before 2.0 it takes an option to leave the versions as they are; later ones do so. */
	{ "refresh_lockfile",
	  "poetry",
	  "poetry.lock",
	  LIST("poetry.lock"),
	  { { FETCH(POETRY_ENV, "poetry", "--no-plugins", "--no-interaction", "lock",
		    "--no-update"),
	      .or_next = true },
	    { FETCH(POETRY_ENV, "poetry", "--no-plugins", "--no-interaction", "lock") } },
	  .paths = LIST("poetry.lock"),
	  .home = true },
	/* Told to update a package that no lock file has, it adds what is missing and no more. */
	{ "refresh_lockfile",
	  "composer",
	  "composer.lock|changes in composer.json|present in the lock file",
	  LIST("composer.lock"),
	  { { FETCH(COMPOSER_ENV, "composer", "update", "php", COMPOSER_OPTIONS), .or_next = true },
	    { FETCH(COMPOSER_ENV, "composer", "update", COMPOSER_OPTIONS) } },
	  .paths = LIST("composer.lock"),
	  .home = true,
	  .not_with = LIST(".hg", "*/.hg") },
	/* The Gemfile is a program: no network for it, so for gems that are in vendor/cache. */
	{ "refresh_lockfile",
	  "bundler",
	  "Gemfile.lock|deployment mode after changing|your gemfile changed",
	  LIST("vendor"),
	  { { .argv = LIST("bundle", "install", "--local", "--no-cache"),
	      .env = LIST("BUNDLE_PATH=" SANDBOX_HOME "/gems") } },
	  .paths = LIST("Gemfile.lock"),
	  .home = true },

	/* The packages come from the network; their scripts, and the tests, have none. */
	{ "update_snapshots",
	  "npm",
	  "snapshot|snapshots|toMatchSnapshot",
	  LIST("package-lock.json"),
	  { { FETCH(NPM_ENV, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund") },
	    { .argv = LIST("npm", "test", "--", "-u") } },
	  .paths = LIST("*.snap"),
	  .adds = true,
	  .home = true },

#ifdef GUARD_TEST_HOOKS
	/* Whatever the repository of a test says; never in a release. */
	{ "test", "make", "make", LIST("Makefile"), FIND(0, "make", "--silent"), .paths = LIST("*"),
	  .adds = true },
#endif
	{ .name = NULL },
};

const struct change_tool *change_tool_find(const char *strategy, const char *name)
{
	for (const struct change_tool *t = change_tools; t->name; t++)
		if (strcmp(t->strategy, strategy) == 0 && strcmp(t->name, name) == 0)
			return t;
	return NULL;
}

static bool is_word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* As a word of its own: "black" is not in "blacklist". */
static bool says(const char *text, const char *word, size_t n)
{
	for (const char *p = text; *p; p++)
		if (strncasecmp(p, word, n) == 0 && (p == text || !is_word_char(p[-1])) &&
		    !is_word_char(p[n]))
			return true;
	return false;
}

static bool speaks_of(const struct change_tool *t, const char *text)
{
	size_t n;

	for (const char *w = t->words; *w; w += n + (w[n] == '|')) {
		n = strcspn(w, "|");
		if (says(text, w, n))
			return true;
	}
	return false;
}

/* In the order in which they tell: the line that decided, the others, the job's name. */
const struct change_tool *change_tool_for(const char *strategy, const struct finding *f)
{
	const char *texts[FINDING_EVIDENCE_MAX + 2];
	size_t n = 0;

	texts[n++] = f->rule;
	for (size_t i = 0; i < f->n_evidence; i++)
		texts[n++] = f->evidence[i].text;
	texts[n++] = f->job;
	for (size_t i = 0; i < n; i++)
		for (const struct change_tool *t = change_tools; t->name; t++)
			if (strcmp(t->strategy, strategy) == 0 && speaks_of(t, texts[i]))
				return t;
	return NULL;
}
