#include "healers/change_tool.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "core/finding.h"

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

#define PYTHON  "*.py", "*.pyi"
#define SCRIPT  "*.js", "*.jsx", "*.mjs", "*.cjs", "*.ts", "*.tsx", "*.mts", "*.cts", "*.vue"
#define C_FILES "*.c", "*.h", "*.cc", "*.hh", "*.cpp", "*.hpp", "*.cxx", "*.hxx", "*.m", "*.proto"

#define FIND(ok, ...)                                      \
	{                                                  \
		{                                          \
			LIST(__VA_ARGS__), NULL, false, ok \
		}                                          \
	}
#define NAME(files, ...)                                   \
	{                                                  \
		{                                          \
			LIST(__VA_ARGS__), files, false, 0 \
		}                                          \
	}
#define FETCH(...)                                       \
	{                                                \
		{                                        \
			LIST(__VA_ARGS__), NULL, true, 0 \
		}                                        \
	}

const struct change_tool change_tools[] = {
	{ "fix_lint", "black", "black|would reformat", LIST("*.py", "pyproject.toml", "setup.cfg"),
	  FIND(0, "black", "--quiet", "."), LIST(PYTHON), false, false, NULL },
	{ "fix_lint", "isort", "isort|imports are incorrectly sorted",
	  LIST("*.py", "pyproject.toml", "setup.cfg"), FIND(0, "isort", "--quiet", "."),
	  LIST(PYTHON), false, false, NULL },
	/* 1: something is left that it cannot mend. */
	{ "fix_lint", "ruff", "ruff", LIST("pyproject.toml", "ruff.toml", ".ruff.toml"),
	  FIND(1, "ruff", "check", "--fix", "--quiet", "--no-cache", "."), LIST(PYTHON), false,
	  false, NULL },
	{ "fix_lint", "eslint", "eslint", LIST(".eslintrc*", "eslint.config.*", "package.json"),
	  FIND(1, "eslint", "--fix", "--quiet", "."), LIST(SCRIPT), false, false, NULL },
	{ "fix_lint", "prettier", "prettier|code style issues",
	  LIST(".prettierrc*", "prettier.config.*", "package.json"),
	  FIND(1, "prettier", "--write", "--list-different", "."),
	  LIST(SCRIPT, "*.css", "*.scss", "*.less", "*.html", "*.json", "*.md", "*.yml", "*.yaml",
	       "*.graphql"),
	  false, false, NULL },
	{ "fix_lint", "clang-format", "clang-format|clang-formatted|Wclang-format-violations",
	  LIST(".clang-format", "_clang-format"),
	  NAME(LIST(C_FILES), "clang-format", "-i", "--style=file"), LIST(C_FILES), false, false,
	  NULL },
	{ "fix_lint", "gofmt", "gofmt|goimports|gofumpt", LIST("go.mod", "*.go"),
	  NAME(LIST("*.go"), "gofmt", "-w"), LIST("*.go"), false, false, NULL },
	{ "fix_lint", "rustfmt", "rustfmt|cargo fmt|cargo-fmt",
	  LIST("Cargo.toml", "rustfmt.toml", ".rustfmt.toml"),
	  NAME(LIST("*.rs"), "rustfmt", "--quiet", "--edition", "2021"), LIST("*.rs"), false, false,
	  NULL },

	{ "refresh_lockfile", "npm", "package-lock.json", LIST("package-lock.json"),
	  FETCH("npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit",
		"--no-fund"),
	  LIST("package-lock.json"), false, true, NULL },
	/* Its settings may name a file of code, which then runs: here that is left out. */
	{ "refresh_lockfile", "pnpm",
	  "pnpm-lock.yaml|ERR_PNPM_OUTDATED_LOCKFILE|ERR_PNPM_LOCKFILE_CONFIG_MISMATCH",
	  LIST("pnpm-lock.yaml"),
	  FETCH("pnpm", "install", "--lockfile-only", "--ignore-scripts", "--ignore-pnpmfile",
		"--no-frozen-lockfile"),
	  LIST("pnpm-lock.yaml"), false, true, NULL },
	/* Settings of a repository name programs that give out credentials, and git. */
	{ "refresh_lockfile", "cargo", "Cargo.lock|lock file needs to be updated",
	  LIST("Cargo.lock"), FETCH("cargo", "update", "--quiet", "--workspace"),
	  LIST("Cargo.lock"), false, true, ".cargo" },
	{ "refresh_lockfile", "go", "go.sum|go mod tidy|updates to go.mod needed", LIST("go.mod"),
	  FETCH("go", "mod", "tidy"), LIST("go.mod", "go.sum"), true, true, NULL },

	/* The packages come from the network; their scripts, and the tests, have none. */
	{ "update_snapshots",
	  "npm",
	  "snapshot|snapshots|toMatchSnapshot",
	  LIST("package-lock.json"),
	  { { LIST("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"), NULL, true, 0 },
	    { LIST("npm", "test", "--", "-u"), NULL, false, 0 } },
	  LIST("*.snap"),
	  true,
	  true,
	  NULL },

#ifdef GUARD_TEST_HOOKS
	/* Whatever the repository of a test says; never in a release. */
	{ "test", "make", "make", LIST("Makefile"), FIND(0, "make", "--silent"), LIST("*"), true,
	  false, NULL },
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
