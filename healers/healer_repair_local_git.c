/*
 * Puts a local git repository right: `pipeline-guard git-repair`, as a process of its own, which
 * looks again before it does anything. So this may be done twice, and needs no fence.
 */
#include "healers/healer.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/child.h"
#include "core/conf.h"
#include "core/json.h"
#include "core/settings.h"
#include "core/text.h"
#include "healers/command_report.h"

enum { OUTPUT_MAX = 256 << 10, MARGIN_MS = 10000, WHY_MAX = 240 };

struct state {
	struct child *child;
};

static void on_line(struct attempt *at, struct json_object *o, char why[static WHY_MAX])
{
	if (!command_report_audit(at, o) && !json_flag(o, "done", false))
		(void)snprintf(why, WHY_MAX, "%s", json_str(o, "detail", ""));
}

static void on_end(const struct child_end *end, void *arg)
{
	struct attempt *at = arg;
	struct state *s = at->state;
	char why[WHY_MAX] = "git-repair ended without a word";
	size_t len;

	s->child = NULL;
	for (const char *p = end->out; *p; p += len + (p[len] == '\n')) {
		OWNED(json_putp) struct json_object *o = NULL;
		struct err err;

		len = strcspn(p, "\n");
		if (json_parse(p, len, &o, &err) == 0)
			on_line(at, o, why);
	}
	if (end->late || end->over)
		at->done(at, HEAL_TEMPFAIL, -1, "git-repair took too long");
	else if (end->status == 0)
		at->done(at, HEAL_OK, -1, "put right; the next look has to agree");
	else
		at->done(at, HEAL_PERMFAIL, -1, why);
}

/* "host:/path" as dispatcher/git_finding.c names it; NULL: not one of those we look after. */
static const char *path_of(const struct attempt *at, char *out, size_t cap, struct err *err)
{
	char host[256];
	const char *list = conf_str(at->conf, "git.repositories"), *path;
	size_t n;

	settings_host(at->conf, host, sizeof(host));
	n = strlen(host);
	if (strncmp(at->run.repo, host, n) != 0 || at->run.repo[n] != ':') {
		(void)err_set(err, ERR_INPUT,
			      "it is on another machine, or its path is too long: not on %.60s",
			      host);
		return NULL;
	}
	path = at->run.repo + n + 1;
	for (; list && *list; list += n + strspn(list + n, ",\n")) {
		list += strspn(list, " ");
		n = strcspn(list, ",\n");
		if (n == strlen(path) && strncmp(list, path, n) == 0) {
			(void)text_copy(out, cap, path, n);
			return out;
		}
	}
	(void)err_set(err, ERR_INPUT, "it is not in git.repositories any more");
	return NULL;
}

static int start(struct attempt *at, struct err *err)
{
	const char *more = conf_str(at->conf, "security.commands");
	int64_t timeout_ms = conf_int(at->conf, "git.timeout");
	char self[PATH_MAX], path[PATH_MAX], sets[4][512];
	struct state *s = at->state;
	const char *argv[] = { self,    "git-repair", "--json", "--problem", at->problem,
			       "--set", sets[0],      "--set",  sets[1],     "--set",
			       sets[2], "--set",      sets[3],  path,        NULL };

	if (child_self(self, sizeof(self), err) < 0 || !path_of(at, path, sizeof(path), err))
		return -1;
	(void)snprintf(sets[0], sizeof(sets[0]), "security.threshold=%" PRId64,
		       conf_int(at->conf, "security.threshold"));
	(void)snprintf(sets[1], sizeof(sets[1]), "security.commands=%s", more ? more : "");
	(void)snprintf(sets[2], sizeof(sets[2]), "git.stale_after=%" PRId64 "ms",
		       conf_int(at->conf, "git.stale_after"));
	(void)snprintf(sets[3], sizeof(sets[3]), "git.timeout=%" PRId64 "ms", timeout_ms);
	return child_start(at->base, argv, timeout_ms + MARGIN_MS, OUTPUT_MAX, on_end, at,
			   &s->child, err);
}

static void cancel(struct attempt *at)
{
	struct state *s = at->state;

	child_cancel(s->child);
	s->child = NULL;
}

static const struct heal_target targets[] = {
	{ "scm_failure", "stale_lock", 0.9 },
	{ "scm_failure", "interrupted", 0.8 },
	{ "scm_failure", "bad_index", 0.8 },
	{ "scm_failure", "gc", 0.7 },
	{ "scm_failure", "bad_ref", 0.6 },
	{ "scm_failure", "corruption", 0.5 },
	{ NULL, NULL, 0 },
};

const struct healer healer_repair_local_git = {
	.name = "repair_local_git",
	.summary = "Removes a lock that was left behind in a local git repository, takes back a "
		   "merge or rebase that nobody ended, or restores what is damaged.",
	.risk = RISK_CHANGE,
	.targets = targets,
	.local = true,
	.because = "can be put right in the repository",
	.awaits = true,
	.scopes = "",
	.state_size = sizeof(struct state),
	.start = start,
	.cancel = cancel,
};
