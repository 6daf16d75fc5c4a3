#include "healers/propose.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/finding.h"
#include "core/http_client.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/neutralise.h"
#include "core/text.h"
#include "healers/change_tool.h"
#include "healers/change_tree.h"
#include "healers/edit.h"
#include "healers/healer.h"
#include "healers/healer_calls.h"

enum { FILES_MAX = 32, LOOKED_MAX = 64, BODY_MAX = 32 << 10, WHY_MAX = 240 };

struct propose {
	struct arena *arena;
	struct api_call *call;
	unsigned other; /* the healer whose proposal is looked for */
	char ci_file[CHANGE_PATH_MAX];
	unsigned looked; /* candidates of the edit */
	char path[CHANGE_PATH_MAX];
	struct change change;
	struct change_file files[FILES_MAX];
	char branch[CHANGE_BRANCH_MAX];
	char what[EDIT_WHAT_MAX];
	struct api_change out;

	/* in_tree */
	const struct change_tool *tool; /* NULL: git takes the commit back */
	struct change_tree *tree;
	char *password;            /* in the arena */
	unsigned n_files, n_lines; /* 0: an earlier try made it */
};

_Static_assert(sizeof(struct propose) <= PROPOSE_STATE_BYTES, "the state fits");

static struct propose *state_of(const struct attempt *at)
{
	return at->state;
}

/* --- the end ---------------------------------------------------------------------------------- */

static void forget(struct attempt *at)
{
	struct propose *s = state_of(at);

	if (s->password)
		OPENSSL_cleanse(s->password, strlen(s->password));
	s->password = NULL;
	arena_free(s->arena);
	s->arena = NULL;
}

static void end(struct attempt *at, enum heal_status status, int64_t retry_after_ms,
		const char *why)
{
	char text[WHY_MAX];

	(void)text_copy(text, sizeof(text), why, strlen(why)); /* it may be in the arena */
	forget(at);
	at->done(at, status, retry_after_ms, text);
}

static void refuse(struct attempt *at, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void refuse(struct attempt *at, const char *fmt, ...)
{
	char why[WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	end(at, HEAL_PERMFAIL, -1, why);
}

static void proposed(struct attempt *at, const char *url, const char *how)
{
	char why[WHY_MAX];

	(void)snprintf(why, sizeof(why), "%s: %.200s", how, url);
	(void)text_copy(at->proposal, sizeof(at->proposal), url, strlen(url));
	end(at, HEAL_OK, -1, why);
}

/* True: it did not go well, and that was told. What is there already is found the next time. */
static bool failed(struct attempt *at, const struct api_result *r)
{
	state_of(at)->call = NULL;
	if (r->fate == API_RETRY || r->fate == API_WAIT)
		end(at, HEAL_TEMPFAIL, r->retry_after_ms, r->why);
	else if (r->fate == API_REFUSED)
		end(at, HEAL_PERMFAIL, -1, r->why);
	return r->fate != API_OK;
}

/* --- the pull or merge request ------------------------------------------------------------------
 */

static void on_opened(const struct api_result *r, void *arg)
{
	struct attempt *at = arg;

	if (!failed(at, r))
		proposed(at, r->proposal.url, "proposed");
}

static void open_proposal(struct attempt *at)
{
	struct propose *s = state_of(at);

	s->call = at->provider->open_proposal(at->api, &at->run, &s->out, on_opened, at);
}

/* --- the commit --------------------------------------------------------------------------------
 */

static void on_committed(const struct api_result *r, void *arg)
{
	struct attempt *at = arg;

	if (failed(at, r))
		return;
	log_info("a change was committed to a branch of ours", KV("repo", at->run.repo),
		 KV("branch", state_of(at)->branch));
	open_proposal(at);
}

/* Without the newline at its end, which some servers add and others take away. */
static bool same_message(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);

	while (n && a[n - 1] == '\n')
		n--;
	while (m && b[m - 1] == '\n')
		m--;
	return n == m && strncmp(a, b, n) == 0;
}

/* --- ... made in a copy -------------------------------------------------------------------------
 */

static const char *body(struct attempt *at);

static void on_changed(const struct tree_end *e, void *arg)
{
	struct attempt *at = arg;
	struct propose *s = state_of(at);

	s->tree = NULL;
	s->n_files = e->n_files;
	s->n_lines = e->n_lines;
	switch (e->result) {
	case TREE_PUSHED:
		s->out.body = body(at);
		open_proposal(at);
		return;
	case TREE_EXISTS: /* by somebody who was faster: the next try looks whose it is */
	case TREE_UNREACHABLE:
		end(at, HEAL_TEMPFAIL, -1, e->detail);
		return;
	case TREE_NOTHING:
	case TREE_STALE:
	case TREE_TOO_LARGE:
	case TREE_REFUSED:
	case TREE_BLOCKED:
	case TREE_NO_SANDBOX:
	case TREE_TOOL_FAILED:
	case TREE_DENIED:
	case TREE_BROKEN:
		refuse(at, "%s: %.200s", tree_result_name(e->result), e->detail);
		return;
	}
}

static void on_clone(const struct api_result *r, void *arg)
{
	struct attempt *at = arg;
	struct propose *s = state_of(at);
	int64_t most = conf_int(at->conf, "change.max_repository");
	struct err err;

	if (failed(at, r))
		return;
	if (r->clone.size_bytes > most) {
		refuse(at,
		       "too_large: the repository has %" PRId64
		       " MiB, and copies are made of those "
		       "up to %" PRId64 " (change.max_repository)",
		       r->clone.size_bytes >> 20, most >> 20);
		return;
	}
	s->password = arena_strdup(s->arena, r->clone.password);
	if (change_tree_start(at,
			      &(struct tree_request){
				      .url = r->clone.url,
				      .user = r->clone.user,
				      .password = s->password,
				      .branch = at->branch,
				      .sha = at->sha,
				      .new_branch = s->branch,
				      .message = s->out.message,
				      .tool = s->tool,
				      .max_files = (unsigned)at->rules->max_files,
				      .max_lines = (unsigned)at->rules->max_lines,
				      .ci_files = at->rules->ci_files,
				      .fewer_tests = at->rules->fewer_tests,
			      },
			      on_changed, at, &s->tree, &err) < 0)
		refuse(at, "%s", err.msg);
}

/* A branch of that name is this commit, from a try that was interrupted; or it is not touched. */
static void on_our_branch(const struct api_result *r, void *arg)
{
	struct attempt *at = arg;
	struct propose *s = state_of(at);

	if (failed(at, r))
		return;
	if (!*r->branch.sha && at->healer->in_tree)
		s->call = at->provider->get_clone(at->api, &at->run, on_clone, at);
	else if (!*r->branch.sha)
		s->call = at->provider->commit_files(at->api, &at->run, &s->out, on_committed, at);
	else if (strcmp(r->branch.parent, s->out.sha) == 0 &&
		 same_message(r->branch.message, s->out.message))
		open_proposal(at);
	else
		refuse(at,
		       "the branch %s is there already, from another time: delete it, then it can "
		       "be proposed again",
		       s->branch);
}

/* --- words ---------------------------------------------------------------------------------------
 */

/* In a link of Markdown. */
static bool url_is_plain(const char *url)
{
	return (text_starts(url, "https://") || text_starts(url, "http://")) &&
	       strpbrk(url, " \t\r\n<>()[]`\"'\\") == NULL;
}

static void put_line(struct buf *b, const char *label, const char *text)
{
	if (!*text)
		return;
	buf_printf(b, "- %s: ", label);
	neutralise_markdown(b, text);
	buf_putc(b, '\n');
}

static void put_files(struct buf *b, const struct change *c)
{
	for (unsigned i = 0; i < c->n; i++)
		put_line(b,
			 c->files[i].deleted  ? "deletes"
			 : c->files[i].before ? "changes"
					      : "adds",
			 c->files[i].path);
}

static const char *body(struct attempt *at)
{
	const struct finding *f = at->finding;
	struct propose *s = state_of(at);
	struct buf b;
	const char *text;

	buf_init(&b, BODY_MAX);
	buf_puts(&b, "### What failed\n\n");
	neutralise_markdown(&b, f->title);
	buf_puts(&b, "\n\n");
	put_line(&b, "pipeline", at->pipeline);
	put_line(&b, "job", f->job);
	put_line(&b, "commit", at->sha);
	if (url_is_plain(at->url))
		buf_printf(&b, "- run: <%s>\n", at->url);
	for (size_t i = 0; i < f->n_evidence; i++) {
		char label[40];

		(void)snprintf(label, sizeof(label), "line %" PRIu64, f->evidence[i].line);
		put_line(&b, label, f->evidence[i].text);
	}
	buf_puts(&b, "\n### What this changes\n\n");
	neutralise_markdown(&b, s->what);
	buf_puts(&b, ". ");
	buf_puts(&b, at->healer->advice);
	buf_puts(&b, "\n\n");
	put_files(&b, &s->change);
	if (s->n_files)
		buf_printf(&b, "- %u file%s, %u line%s\n", s->n_files, s->n_files == 1 ? "" : "s",
			   s->n_lines, s->n_lines == 1 ? "" : "s");
	buf_printf(&b,
		   "\nMade by Pipeline Guard (`%s`, %.0f %% sure of the cause, fingerprint `%s`). "
		   "Close it if it is not wanted: for this failure it is then not proposed again "
		   "for %" PRId64 " days.\n",
		   at->healer->name, f->confidence * 100, f->fingerprint,
		   conf_int(at->conf, "change.again_after") / (24 * 3600 * 1000));
	text = arena_strdup(s->arena, buf_text(&b));
	buf_done(&b);
	return text;
}

/* No stranger's text in it: what it says closes issues and mentions people when it is merged. */
static const char *message(struct attempt *at)
{
	struct propose *s = state_of(at);

	return arena_printf(s->arena,
			    "%s\n\nStrategy: %s\nFingerprint: %s\nSigned-off-by: %s <%s>\n",
			    s->what, at->healer->name, at->finding->fingerprint,
			    conf_str(at->conf, "change.author_name"),
			    conf_str(at->conf, "change.author_email"));
}

/* What can be in a name of a file or a test and mean something in a title does not stay. */
static void tame(char *text)
{
	size_t n;

	for (char *p = text; *p; p += n)
		if (neutralise_is_bad(p, strlen(p), &n) || strchr("@#`<>[]!&", *p))
			memset(p, '?', n);
}

static bool has_ci_file(const struct change *c)
{
	for (unsigned i = 0; i < c->n; i++)
		if (change_is_ci_file(c->files[i].path))
			return true;
	return false;
}

static void fill(struct attempt *at)
{
	const struct propose_rules *rules = at->rules;
	struct propose *s = state_of(at);

	tame(s->what);
	s->out = (struct api_change){
		.branch = s->branch,
		.onto = at->branch,
		.sha = at->sha,
		.change = &s->change,
		.ci_files = has_ci_file(&s->change),
		.author_name = conf_str(at->conf, "change.author_name"),
		.author_email = conf_str(at->conf, "change.author_email"),
		.message = message(at),
		.title = s->what,
		.body = body(at),
		.labels = rules->labels,
		.n_labels = rules->n_labels,
		.draft = rules->draft,
	};
}

/* --- the change
 * ------------------------------------------------------------------------------------ */

static unsigned least(unsigned a, int64_t b)
{
	return b > 0 && (!a || b < a) ? (unsigned)b : a;
}

/* All of it is there. */
static void made(struct attempt *at)
{
	struct propose *s = state_of(at);
	struct change_limits limits = at->healer->edit->limits;
	struct err err;

	limits.max_files = least(limits.max_files, at->rules->max_files);
	limits.max_lines = least(limits.max_lines, at->rules->max_lines);
	limits.ci_files = at->rules->ci_files;
	limits.fewer_tests = at->rules->fewer_tests;
	if (change_check(at->conf, &limits, &s->change, &err) < 0) {
		refuse(at, "%s", err.msg);
		return;
	}
	fill(at);
	s->call = at->provider->get_branch(at->api, &at->run, s->branch, on_our_branch, at);
}

static struct edit_facts facts_of(const struct attempt *at)
{
	return (struct edit_facts){ at->finding, at->rules, state_of(at)->ci_file };
}

static void next_file(struct attempt *at);

/* `text` lives in the arena, NULL: there is no such file. */
static void edit_file(struct attempt *at, const char *text, size_t n)
{
	const struct edit_facts facts = facts_of(at);
	struct propose *s = state_of(at);
	const struct edit_file f = { s->path, text, n };
	struct edit_result result = { .what = "" };

	buf_init(&result.text, CHANGE_BYTES_MAX);
	if (at->healer->edit->apply(&facts, &f, &result) && !result.text.overflow &&
	    s->change.n < FILES_MAX) {
		s->change.files[s->change.n++] = (struct change_file){
			.path = arena_strdup(s->arena, s->path),
			.before = text,
			.n_before = n,
			.after = arena_strndup(s->arena, buf_text(&result.text), result.text.len),
			.n_after = result.text.len,
		};
		memcpy(s->what, result.what, sizeof(s->what));
	}
	buf_done(&result.text);
	if (s->change.n && !at->healer->edit->every_file)
		made(at);
	else
		next_file(at);
}

static void on_file(const struct api_result *r, void *arg)
{
	struct attempt *at = arg;
	struct propose *s = state_of(at);

	if (r->fate == API_REFUSED && r->http_status == 404) {
		s->call = NULL;
		edit_file(at, NULL, 0);
	} else if (!failed(at, r)) {
		/* A file with a NUL is not one of those we know. */
		edit_file(at,
			  memchr(r->log, '\0', r->log_len)
				  ? NULL
				  : arena_strndup(s->arena, r->log, r->log_len),
			  r->log_len);
	}
}

static void next_file(struct attempt *at)
{
	const struct edit_facts facts = facts_of(at);
	struct propose *s = state_of(at);
	const char *path = "";

	while (s->looked < LOOKED_MAX && path && !*path)
		path = at->healer->edit->file(&facts, s->looked++, s->path);
	if (path && change_path_ok(path))
		s->call = at->provider->get_file(at->api, &at->run, at->sha, path, on_file, at);
	else if (s->change.n)
		made(at);
	else
		refuse(at, "%s", at->healer->in_vain);
}

/* What will be done is known before it is: so what an earlier try did can be told by it. */
static void plan_tree(struct attempt *at)
{
	struct propose *s = state_of(at);

	if (s->tool)
		(void)snprintf(s->what, sizeof(s->what), "%s %s", at->healer->does, s->tool->name);
	else
		(void)snprintf(s->what, sizeof(s->what), "Take back %.12s", at->sha);
	fill(at);
	s->call = at->provider->get_branch(at->api, &at->run, s->branch, on_our_branch, at);
}

/* --- whether at all
 * ---------------------------------------------------------------------------------- */

static void on_run(const struct api_result *r, void *arg)
{
	struct attempt *at = arg;
	struct propose *s = state_of(at);

	if (failed(at, r))
		return;
	if (r->ci_file)
		(void)text_copy(s->ci_file, sizeof(s->ci_file), r->ci_file, strlen(r->ci_file));
	next_file(at);
}

static void on_head(const struct api_result *r, void *arg)
{
	struct attempt *at = arg;

	if (failed(at, r))
		return;
	if (!*r->branch.sha)
		refuse(at, "the branch %.100s is gone, or is one of a fork", at->branch);
	else if (strcmp(r->branch.sha, at->sha) != 0)
		refuse(at, "the branch %.100s moved on since: its own run will tell", at->branch);
	else if (at->healer->in_tree)
		plan_tree(at);
	else if (at->rules->ci_files)
		state_of(at)->call = at->provider->get_run(at->api, &at->run, on_run, at);
	else
		next_file(at);
}

static void look_for_another(struct attempt *at);

static void on_found(const struct api_result *r, void *arg)
{
	struct attempt *at = arg;
	struct propose *s = state_of(at);
	const struct api_proposal *p = &r->proposal;
	const struct healer *h = healers[s->other];
	int64_t age_ms = p->ended_at_ms > 0 ? clock_wall_ms() - p->ended_at_ms : 0;

	if (failed(at, r))
		return;
	s->other++;
	at->found = *p->url && p->state == PROPOSAL_OPEN && at->run.tries == 0;
	if (*p->url && p->state == PROPOSAL_OPEN)
		proposed(at, p->url, "it is proposed already");
	else if (*p->url && h == at->healer && p->state == PROPOSAL_MERGED &&
		 age_ms < conf_int(at->conf, "change.again_after"))
		refuse(at, "it was merged already, and fails all the same: %.150s", p->url);
	else if (*p->url && h == at->healer && age_ms < conf_int(at->conf, "change.again_after"))
		refuse(at, "somebody closed it, so it is not proposed again for a time: %.150s",
		       p->url);
	else
		look_for_another(at);
}

/* One open fix per failure: that of another strategy counts, too. */
static void look_for_another(struct attempt *at)
{
	struct propose *s = state_of(at);
	char branch[CHANGE_BRANCH_MAX];
	const struct healer *h;
	struct err err;

	while ((h = healers[s->other]) && h != at->healer &&
	       !(healer_proposes(h) && healer_target(h, at->finding)))
		s->other++;
	if (!h)
		s->call = at->provider->get_branch(at->api, &at->run, at->branch, on_head, at);
	else if (change_branch(h->name, at->finding->fingerprint, branch, &err) < 0)
		refuse(at, "%s", err.msg);
	else
		s->call = at->provider->find_proposal(at->api, &at->run, branch, on_found, at);
}

int propose_start(struct attempt *at, struct err *err)
{
	struct propose *s = state_of(at);

	if (healer_usable(at, err) < 0)
		return -1;
	if (!at->finding || !*at->branch || !*at->sha)
		return err_set(err, ERR_INPUT, "branch, commit or finding of the run is not known");
	if (!healer_fits(at->healer, at->finding, at->rules))
		return err_set(err, ERR_INPUT, "%s", at->healer->in_vain);
	if (change_branch(at->healer->name, at->finding->fingerprint, s->branch, err) < 0)
		return -1;
	s->arena = arena_new();
	s->change.files = s->files;
	if (at->healer->targets)
		s->tool = change_tool_for(at->healer->name, at->finding);
	look_for_another(at);
	return 0;
}

void propose_cancel(struct attempt *at)
{
	struct propose *s = state_of(at);

	if (s->call)
		at->provider->cancel(s->call);
	s->call = NULL;
	change_tree_cancel(s->tree);
	s->tree = NULL;
	forget(at);
}

bool propose_mirror(const char *text, char host[static MIRROR_HOST_MAX],
		    char url[static MIRROR_URL_MAX])
{
	size_t n = strcspn(text, " ");
	struct http_origin origin;
	struct err err;

	if (!n || !text[n] || !text_copy(host, MIRROR_HOST_MAX, text, n) ||
	    strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") != n)
		return false;
	text += n + strspn(text + n, " ");
	n = strlen(text);
	while (n && text[n - 1] == '/')
		n--;
	return text_copy(url, MIRROR_URL_MAX, text, n) && !strpbrk(url, "?# \"'`$\\") &&
	       http_origin_of(url, &origin, &err) == 0;
}
