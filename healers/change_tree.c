#include "healers/change_tree.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit.h"
#include "core/child.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/text.h"
#include "healers/change_tool.h"
#include "healers/command_report.h"
#include "healers/healer.h"

enum { OUTPUT_MAX = 256 << 10, MARGIN_MS = 10000, SWEEP_MS = 10 * 60 * 1000 };

/* Handed on as they are here: the child reads no file of ours. */
static const char *const handed_on[] = {
	"security.threshold",     "security.commands",     "change.max_files",
	"change.max_lines",       "change.max_repository", "change.timeout",
	"change.author_name",     "change.author_email",   "change.ci_files",
	"change.fewer_tests",     "change.folder",         "change.network_hosts",
	"change.network_private",
};

static const char *const names[] = {
	[TREE_PUSHED] = "pushed",           [TREE_EXISTS] = "exists",
	[TREE_NOTHING] = "nothing",         [TREE_STALE] = "stale",
	[TREE_TOO_LARGE] = "too_large",     [TREE_REFUSED] = "refused",
	[TREE_BLOCKED] = "blocked",         [TREE_NO_SANDBOX] = "sandbox_unavailable",
	[TREE_TOOL_FAILED] = "tool_failed", [TREE_DENIED] = "denied",
	[TREE_UNREACHABLE] = "unreachable", [TREE_BROKEN] = "broken",
};

const char *tree_result_name(enum tree_result r)
{
	return (size_t)r < ARRAY_LEN(names) ? names[r] : "?";
}

struct change_tree {
	struct attempt *at;
	struct child *child;
	const char *tool;
	change_tree_fn *fn;
	void *arg;
};

static void on_line(struct change_tree *c, struct json_object *o, struct tree_end *end)
{
	const char *word = json_str(o, "result", ""), *commit = json_str(o, "commit", "");
	const char *detail = json_str(o, "detail", ""), *refused = json_str(o, "refused", "");

	if (command_report_audit(c->at, o))
		return;
	for (enum tree_result r = TREE_PUSHED; r <= TREE_BROKEN; r++)
		if (strcmp(word, tree_result_name(r)) == 0)
			end->result = r;
	end->n_files = (unsigned)json_i64(o, "files", 0);
	end->n_lines = (unsigned)json_i64(o, "lines", 0);
	(void)text_copy(end->commit, sizeof(end->commit), commit, strlen(commit));
	(void)text_copy(end->detail, sizeof(end->detail), detail, strlen(detail));
	(void)text_copy(end->refused, sizeof(end->refused), refused, strlen(refused));
}

/* Of a tool that tried to get where it may not. */
static void audit_refused(const struct attempt *at, const char *tool, const char *refused)
{
	audit_write(at->audit, "network", "repo", at->run.repo, "strategy", at->healer->name,
		    "tool", tool, "verdict", "refused", "why", refused, (char *)NULL);
	metrics_add("security_violations_total", "reason=\"network\"", 1);
}

static void on_end(const struct child_end *e, void *arg)
{
	struct change_tree *c = arg;
	struct tree_end end = { .result = TREE_BROKEN };
	size_t len;

	(void)snprintf(end.detail, sizeof(end.detail), "%s",
		       e->late ? "it took longer than change.timeout"
			       : "change-tree ended without a word");
	for (const char *p = e->out; *p; p += len + (p[len] == '\n')) {
		OWNED(json_putp) struct json_object *o = NULL;
		struct err err;

		len = strcspn(p, "\n");
		if (json_parse(p, len, &o, &err) == 0)
			on_line(c, o, &end);
	}
	if (*end.refused)
		audit_refused(c->at, c->tool, end.refused);
	c->fn(&end, c->arg);
	free(c);
}

static struct json_object *request_json(const struct tree_request *r)
{
	struct json_object *o = json_object_new_object();

	json_add_str(o, "url", r->url);
	json_add_str(o, "user", r->user);
	json_add_str(o, "branch", r->branch);
	json_add_str(o, "sha", r->sha);
	json_add_str(o, "new_branch", r->new_branch);
	json_add_str(o, "message", r->message);
	json_add_i64(o, "max_files", r->max_files);
	json_add_i64(o, "max_lines", r->max_lines);
	json_add_bool(o, "ci_files", r->ci_files);
	json_add_bool(o, "fewer_tests", r->fewer_tests);
	if (r->tool) {
		json_add_str(o, "strategy", r->tool->strategy);
		json_add_str(o, "tool", r->tool->name);
	}
	return o;
}

/* Behind the JSON, on a line of its own: json-c leaves copies of what it had. */
static char *with_password(struct json_object *o, const char *password)
{
	const char *text = json_text(o);
	size_t n = strlen(text), m = password ? strlen(password) : 0;
	char *all = xmalloc(n + m + 2);

	memcpy(all, text, n);
	all[n] = '\n';
	if (m)
		memcpy(all + n + 1, password, m);
	all[n + 1 + m] = '\0';
	return all;
}

/* As `--set` takes it: durations and sizes in their smallest unit. */
static char *setting(const struct conf *conf, const char *key)
{
	static const char *const numbers[] = { "security.threshold", "change.max_files",
					       "change.max_lines", "change.max_repository" };
	const char *text;

	if (strcmp(key, "change.timeout") == 0)
		return xasprintf("%s=%" PRId64 "ms", key, conf_int(conf, key));
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (strcmp(key, numbers[i]) == 0)
			return xasprintf("%s=%" PRId64, key, conf_int(conf, key));
	if (strcmp(key, "change.ci_files") == 0 || strcmp(key, "change.fewer_tests") == 0)
		return xasprintf("%s=%s", key, conf_bool(conf, key) ? "true" : "false");
	text = conf_str(conf, key);
	return xasprintf("%s=%s", key, text ? text : "");
}

int change_tree_start(struct attempt *at, const struct tree_request *req, change_tree_fn *fn,
		      void *arg, struct change_tree **out, struct err *err)
{
	OWNED(json_putp) struct json_object *o = request_json(req);
	OWNED(secret_freep) char *text = with_password(o, req->password);
	const char *argv[2 * ARRAY_LEN(handed_on) + 3];
	char *sets[ARRAY_LEN(handed_on)], self[PATH_MAX];
	struct change_tree *c;
	size_t n = 0;
	int rc;

	if (child_self(self, sizeof(self), err) < 0)
		return -1;
	c = xcalloc(1, sizeof(*c));
	*c = (struct change_tree){ .at = at, .fn = fn, .arg = arg };
	c->tool = req->tool ? req->tool->name : "";
	argv[n++] = self;
	argv[n++] = "change-tree";
	for (size_t i = 0; i < ARRAY_LEN(handed_on); i++) {
		sets[i] = setting(at->conf, handed_on[i]);
		argv[n++] = "--set";
		argv[n++] = sets[i];
	}
	argv[n] = NULL;
	rc = child_start_fed(at->base, argv, text, strlen(text),
			     conf_int(at->conf, "change.timeout") + MARGIN_MS, OUTPUT_MAX, on_end,
			     c, &c->child, err);
	for (size_t i = 0; i < ARRAY_LEN(handed_on); i++)
		free(sets[i]);
	if (rc == 0)
		*out = c;
	else
		free(c);
	return rc;
}

static void on_swept(const struct child_end *e, void *arg)
{
	struct child **child = arg;

	UNUSED(e);
	*child = NULL;
}

int change_tree_sweep(struct event_base *base, const struct conf *conf, struct child **child,
		      struct err *err)
{
	OWNED(freep) char *folder = setting(conf, "change.folder");
	char self[PATH_MAX];
	const char *argv[] = { self, "change-tree", "--sweep", "--set", folder, NULL };

	return child_self(self, sizeof(self), err) < 0
		       ? -1
		       : child_start(base, argv, SWEEP_MS, OUTPUT_MAX, on_swept, child, child, err);
}

void change_tree_cancel(struct change_tree *c)
{
	if (!c)
		return;
	child_cancel(c->child);
	free(c);
}
