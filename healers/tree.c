#include "healers/tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf.h"
#include "core/mask.h"
#include "core/mem.h"
#include "healers/change_tool.h"
#include "healers/tree_work.h"

int tree_stop(struct tree *t, enum tree_result result, const char *fmt, ...)
{
	char text[sizeof(t->end->detail)];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	t->end->result = result;
	(void)mask_text(text, strlen(text), t->end->detail, sizeof(t->end->detail));
	return -1;
}

int tree_git_stop(struct tree *t, enum tree_result result, const char *doing)
{
	const git_error *e = git_error_last();

	return tree_stop(t, result, "%s: %.200s", doing, e && e->message ? e->message : "failed");
}

/* Nobody's settings: they could name another server, a proxy, a filter. */
static int start_libgit2(struct tree *t)
{
	static const int levels[] = { GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM,
				      GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL };
	const char *ca = getenv("SSL_CERT_FILE");

	if (git_libgit2_init() < 0)
		return tree_git_stop(t, TREE_BROKEN, "libgit2");
	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "") < 0)
			return tree_git_stop(t, TREE_BROKEN, "libgit2");
	/* A repository of this machine is another user's; nothing of it is run. */
	(void)git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
	(void)git_libgit2_opts(GIT_OPT_SET_PACK_MAX_OBJECT_SIZE,
			       (size_t)conf_int(t->conf, "change.max_repository"));
	if (ca && *ca && git_libgit2_opts(GIT_OPT_SET_SSL_CERT_LOCATIONS, ca, NULL) < 0)
		return tree_git_stop(t, TREE_BROKEN, "certificates");
	return 0;
}

static int run(struct tree *t)
{
	struct err err;
	git_oid commit;
	const struct change_limits limits = {
		.paths = t->req->tool ? t->req->tool->paths : NULL,
		.max_files = t->req->max_files,
		.max_lines = t->req->max_lines,
		.ci_files = t->req->ci_files,
		.fewer_tests = t->req->fewer_tests,
	};

	if (start_libgit2(t) < 0 || tree_scratch_open(t) < 0 || tree_fetch(t) < 0)
		return -1;
	if (!t->req->tool) {
		if (tree_revert(t) < 0)
			return -1;
	} else if (tree_checkout(t) < 0 || tree_run_tool(t) < 0 || tree_collect(t) < 0) {
		return -1;
	}
	if (!t->change.n)
		return tree_stop(t, TREE_NOTHING, "there was nothing to change");
	if (change_check(t->conf, &limits, &t->change, &err) < 0)
		return tree_stop(t, TREE_REFUSED, "%s", err.msg);
	if (tree_commit(t, &commit) < 0)
		return -1;
	return tree_push(t, &commit);
}

void tree_change(const struct conf *conf, const struct tree_request *req, tree_command_fn *fn,
		 void *arg, struct tree_end *out)
{
	OWNED(arena_freep) struct arena *arena = arena_new();
	struct tree t = { .conf = conf,
			  .req = req,
			  .fn = fn,
			  .arg = arg,
			  .end = out,
			  .arena = arena,
			  .lock = -1,
			  .work_fd = -1 };

	*out = (struct tree_end){ .result = TREE_BROKEN };
	if (run(&t) == 0)
		out->result = TREE_PUSHED;
	git_tree_free(t.tree);
	git_commit_free(t.commit);
	git_odb_free(t.odb);
	git_repository_free(t.repo);
	free(t.files);
	free(t.change.files);
	tree_scratch_close(&t);
	(void)git_libgit2_shutdown();
}
