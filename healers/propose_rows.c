/* The strategies that propose a change, one row each. */
#include "healers/edit.h"
#include "healers/healer.h"
#include "healers/propose.h"

/* What is the same in all of them. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define PROPOSES(name_)                                                                  \
	.name = (name_), .risk = RISK_CHANGE, .resumes = true, .acts_on_provider = true, \
	.done_as = "proposed", .scopes = "contents: write, pull requests: write",        \
	.state_size = PROPOSE_STATE_BYTES, .start = propose_start, .cancel = propose_cancel
/* NOLINTEND(bugprone-macro-parentheses) */

static const struct heal_target slow[] = {
	{ "timeout", NULL, 0.3 },
	{ "test_failure", NULL, 0.3 },
	{ NULL, NULL, 0 },
};

const struct healer healer_bump_timeout = {
	PROPOSES("bump_timeout"),
	.edit = &edit_bump_timeout,
	.summary =
		"Proposes to double a limit of time that was exceeded, where it is written down.",
	.targets = slow,
	.because = "may only need more time",
	.advice = "If the test hangs rather than being slow, close this and look there.",
	.in_vain = "the limit that was exceeded is not in a file that may be changed, or not just "
		   "once",
};

static const struct heal_target registries[] = {
	{ "network_failure", NULL, 0.3 },
	{ "rate_limit", NULL, 0.3 },
	{ "dependency_failure", NULL, 0.2 },
	{ NULL, NULL, 0 },
};

const struct healer healer_use_mirror = {
	PROPOSES("use_mirror"),
	.edit = &edit_use_mirror,
	.summary = "Proposes to fetch packages from the mirror that the policy has of a registry.",
	.targets = registries,
	.because = "can be avoided with the mirror of that registry",
	.advice = "Lock files that name the registry are left as they are.",
	.in_vain = "no file names the registry that failed, or the policy has no mirror of it",
};

static const struct heal_target flaky[] = {
	{ "test_failure", "flaky", 0.3 },
	{ NULL, NULL, 0 },
};

const struct healer healer_quarantine_test = {
	PROPOSES("quarantine_test"),
	.edit = &edit_quarantine_test,
	.summary =
		"Proposes to let a flaky test run without failing the run; only when a person asks "
		"for it.",
	.targets = flaky,
	.asks_always = true,
	.because = "can be put in quarantine until it is mended",
	.advice = "The test still runs and is reported. Take the mark away when it is mended.",
	.in_vain = "it is no single test of pytest that could be marked",
};

static const struct heal_target style[] = {
	{ "lint_failure", NULL, 0.6 },
	{ NULL, NULL, 0 },
};

const struct healer healer_fix_lint = {
	PROPOSES("fix_lint"),
	.in_tree = true,
	.takes_long = true,
	.does = "Tidy up with",
	.summary = "Proposes what the formatter or linter that complained makes of the code.",
	.targets = style,
	.because = "can be put right by the tool that complains",
	.advice = "The tool ran over the whole repository, in the version that the guard has.",
	.in_vain = "no tool that complains is known here",
};

static const struct heal_target locks[] = {
	{ "dependency_failure", NULL, 0.3 },
	{ NULL, NULL, 0 },
};

const struct healer healer_refresh_lockfile = {
	PROPOSES("refresh_lockfile"),
	.in_tree = true,
	.takes_long = true,
	.does = "Renew the lock file with",
	.summary = "Proposes a lock file made anew from what the project asks for.",
	.targets = locks,
	.because = "may only need its lock file made anew",
	.advice = "Look at which versions changed.",
	.in_vain = "no package manager that complains is known here",
};

static const struct heal_target expectations[] = {
	{ "test_failure", NULL, 0.3 },
	{ NULL, NULL, 0 },
};

const struct healer healer_update_snapshots = {
	PROPOSES("update_snapshots"),
	.in_tree = true,
	.takes_long = true,
	.does = "Renew snapshots with",
	.summary = "Proposes snapshots as the tests make them now; only when a person asks for it.",
	.targets = expectations,
	.asks_always = true,
	.because = "may be as intended, and the snapshots old",
	.advice = "Look at every snapshot: what is wrong in one is expected from then on.",
	.in_vain = "no test runner with snapshots is known here",
};

const struct healer healer_revert_commit = {
	PROPOSES("revert_commit"),
	.in_tree = true,
	.takes_long = true,
	.summary = "Proposes to take back the commit that failed; only when a person asks for it.",
	.asks_always = true,
	.because = "began with this commit",
	.advice = "Close this if the commit is not the cause, or can be mended sooner.",
	.in_vain = "the commit cannot be taken back",
};
