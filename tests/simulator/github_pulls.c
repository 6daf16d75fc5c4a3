/* GitHub's REST API about pull requests, and what is said about them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/http_server.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/js.h"
#include "tests/simulator/reply.h"
#include "tests/simulator/rest.h"

enum { ANSWER_MAX = 64 << 20, PER_PAGE = 30, TITLE_MAX = 256 };
#define DOCS "rest/pulls/pulls"

static void owner_of(const struct ask *a, char out[static NAME_MAX_BYTES])
{
	(void)text_copy(out, NAME_MAX_BYTES, a->repo, strcspn(a->repo, "/"));
}

static void reply(struct ask *a, int status, struct buf *b)
{
	(void)js_done(b);
	if (status == 200)
		ask_reply_cached(a, buf_text(b), b->len, true);
	else
		ask_reply(a, status, "application/json; charset=utf-8", buf_text(b), b->len);
	buf_done(b);
}

/* --- what a pull request looks like --------------------------------------------- */

/* "head" or "base", of this repository or of a fork. */
static void put_side(struct buf *b, const struct ask *a, const struct depot *d, const char *key,
		     const char *branch, const git_oid *at, bool of_fork)
{
	char owner[NAME_MAX_BYTES], hex[GIT_OID_HEXSZ + 1];
	const char *login = of_fork ? GITHUB_FORK_OWNER : owner;

	owner_of(a, owner);
	js_open(b, key, '{');
	js_url(b, "label", "%s:%s", login, branch);
	js_str(b, "ref", branch);
	js_str(b, "sha", at ? git_oid_tostr(hex, sizeof(hex), at) : "");
	github_user(b, "user", login);
	if (of_fork) {
		github_fork(b, "repo", d->repo);
	} else {
		github_repo(b, &a->sim->github, "repo", d->repo, false);
	}
	js_close(b, '}');
}

static void put_sides(struct buf *b, const struct ask *a, const struct depot *d,
		      const struct proposal *p)
{
	git_oid id;

	put_side(b, a, d, "head", p->head, proposal_head(d, p, &id) ? &id : NULL, p->of_fork);
	put_side(b, a, d, "base", p->base, depot_branch(d, p->base, &id) ? &id : NULL, false);
}

static void put_labels(struct buf *b, const struct proposal *p)
{
	for (unsigned i = 0; i < p->n_labels; i++) {
		js_open(b, NULL, '{');
		js_u64(b, "id", i + 1);
		js_str(b, "name", p->labels[i]);
		js_str(b, "color", "ededed");
		js_close(b, '}');
	}
}

/* Of one alone it is known whether it can be merged. */
static void put_merge_state(struct buf *b, struct depot *d, const struct proposal *p)
{
	git_oid head, base, merged;
	size_t ahead, behind;
	const char *state = "clean";

	if (!proposal_head(d, p, &head) || !depot_branch(d, p->base, &base) ||
	    depot_apart(d, &head, &base, &ahead, &behind) < 0) {
		js_null(b, "mergeable");
		js_str(b, "mergeable_state", "unknown");
		return;
	}
	if (depot_merge(d, &base, &head, "try", &merged) == MERGE_CONFLICT)
		state = "dirty";
	else if (behind)
		state = "behind";
	js_bool(b, "mergeable", strcmp(state, "dirty") != 0);
	js_str(b, "mergeable_state", state);
}

static void put_pull(struct buf *b, const struct ask *a, struct depot *d, const struct proposal *p,
		     bool whole)
{
	js_open(b, NULL, '{');
	js_u64(b, "id", d->repo->id * 1000 + p->number);
	js_u64(b, "number", p->number);
	js_url(b, "url", "%s/repos/%s/pulls/%" PRIu64, a->sim->url, a->repo, p->number);
	js_url(b, "html_url", "%s/%s/pull/%" PRIu64, a->sim->url, a->repo, p->number);
	js_url(b, "issue_url", "%s/repos/%s/issues/%" PRIu64, a->sim->url, a->repo, p->number);
	js_str(b, "state", p->closed ? "closed" : "open");
	js_bool(b, "locked", false);
	js_bool(b, "draft", p->draft);
	js_str(b, "title", p->title);
	js_str(b, "body", p->body);
	github_user(b, "user", p->author);
	js_open(b, "labels", '[');
	put_labels(b, p);
	js_close(b, ']');
	js_time(b, "created_at", p->created_ms);
	js_time(b, "updated_at", p->updated_ms);
	if (p->closed)
		js_time(b, "closed_at", p->closed_ms);
	else
		js_raw(b, "closed_at", "null");
	js_raw(b, "merged_at", "null");
	put_sides(b, a, d, p);
	if (whole) {
		js_bool(b, "merged", false);
		put_merge_state(b, d, p);
		js_bool(b, "maintainer_can_modify", p->of_fork && p->may_be_ours);
		js_u64(b, "comments", p->n_comments);
	}
	js_close(b, '}');
}

static void reply_pull(struct ask *a, struct depot *d, const struct proposal *p, int status)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	put_pull(&b, a, d, p, true);
	reply(a, status, &b);
}

/* NULL: answered. */
static struct proposal *pull_of(struct ask *a, struct depot **d)
{
	struct proposal *p;

	*d = rest_depot(a);
	if (!*d)
		return NULL;
	p = depot_proposal(*d, a->ids[0]);
	if (!p)
		rest_not_found(a);
	return p;
}

static void get_pull(struct ask *a)
{
	struct depot *d;
	const struct proposal *p = pull_of(a, &d);

	if (p)
		reply_pull(a, d, p, 200);
}

/* --- lists ---------------------------------------------------------------------- */

/* Of the query; "" asks for nothing. */
struct filter {
	char state[16], head[NAME_MAX_BYTES], base[NAME_MAX_BYTES];
};

static bool passes(const struct ask *a, const struct proposal *p, const struct filter *f)
{
	char owner[NAME_MAX_BYTES], label[2 * NAME_MAX_BYTES];

	owner_of(a, owner);
	(void)snprintf(label, sizeof(label), "%s:%s", p->of_fork ? GITHUB_FORK_OWNER : owner,
		       p->head);
	if (strcmp(f->state, "all") != 0 && p->closed != (strcmp(f->state, "closed") == 0))
		return false;
	return (!*f->head || strcmp(f->head, label) == 0) &&
	       (!*f->base || strcmp(f->base, p->base) == 0);
}

static void list_pulls(struct ask *a)
{
	struct page page = ask_page(a, PER_PAGE);
	struct depot *d = rest_depot(a);
	uint64_t skip = (page.number - 1) * page.per_page, seen = 0;
	struct filter f = { .state = "open" };
	struct buf b;

	if (!d)
		return;
	(void)http_request_query(a->http, "state", f.state, sizeof(f.state));
	(void)http_request_query(a->http, "head", f.head, sizeof(f.head));
	(void)http_request_query(a->http, "base", f.base, sizeof(f.base));
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '[');
	for (unsigned i = d->n_proposals; i-- > 0;) {
		if (!passes(a, d->proposals[i], &f))
			continue;
		if (seen >= skip && seen < skip + page.per_page)
			put_pull(&b, a, d, d->proposals[i], false);
		seen++;
	}
	js_close(&b, ']');
	ask_link(a, &page, seen);
	reply(a, 200, &b);
}

/* Those that are at that commit. */
static void list_pulls_of_commit(struct ask *a)
{
	struct depot *d = rest_depot(a);
	git_oid id, head;
	struct buf b;

	if (!d)
		return;
	if (!depot_resolve(d, a->rest, &id)) {
		ask_refuse(a, 422, "No commit found for SHA", DOCS);
		return;
	}
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '[');
	for (unsigned i = 0; i < d->n_proposals; i++)
		if (proposal_head(d, d->proposals[i], &head) && git_oid_equal(&head, &id))
			put_pull(&b, a, d, d->proposals[i], false);
	js_close(&b, ']');
	reply(a, 200, &b);
}

/* --- making one ------------------------------------------------------------------ */

static const struct proposal *open_already(const struct depot *d, const char *head,
					   const char *base)
{
	for (unsigned i = 0; i < d->n_proposals; i++) {
		const struct proposal *p = d->proposals[i];

		if (!p->closed && !p->of_fork && strcmp(p->head, head) == 0 &&
		    strcmp(p->base, base) == 0)
			return p;
	}
	return NULL;
}

/* "owner:branch" of this owner, or just the branch; NULL: somebody else's. */
static const char *own_branch(const struct ask *a, const char *head)
{
	char owner[NAME_MAX_BYTES];
	const char *colon = strchr(head, ':');
	size_t n;

	owner_of(a, owner);
	n = strlen(owner);
	if (!colon)
		return head;
	return (size_t)(colon - head) == n && strncasecmp(head, owner, n) == 0 ? colon + 1 : NULL;
}

/* True: it was refused. */
static bool refused(struct ask *a, const struct depot *d, const char *head, const char *base)
{
	char why[2 * NAME_MAX_BYTES + 64], owner[NAME_MAX_BYTES];
	git_oid h, b;
	size_t ahead, behind;

	owner_of(a, owner);
	if (!head || !depot_branch(d, head, &h)) {
		rest_invalid(a, "PullRequest", "head", "invalid", NULL);
		return true;
	}
	if (!depot_branch(d, base, &b)) {
		rest_invalid(a, "PullRequest", "base", "invalid", NULL);
		return true;
	}
	if (open_already(d, head, base))
		(void)snprintf(why, sizeof(why), "A pull request already exists for %s:%s.", owner,
			       head);
	else if (depot_apart(d, &h, &b, &ahead, &behind) < 0 || !ahead)
		(void)snprintf(why, sizeof(why), "No commits between %s and %s", base, head);
	else
		return false;
	rest_invalid(a, "PullRequest", NULL, "custom", why);
	return true;
}

static void create_pull(struct ask *a)
{
	struct depot *d = rest_depot(a);
	OWNED(json_putp) struct json_object *o = NULL;
	const char *head, *base, *title, *body;
	struct proposal *p;

	if (!d || !rest_body(a, &o))
		return;
	head = own_branch(a, json_str(o, "head", ""));
	base = json_str(o, "base", "");
	title = json_str(o, "title", "");
	body = json_str(o, "body", "");
	if (!*title || strlen(title) > TITLE_MAX) {
		rest_invalid(a, "PullRequest", "title", *title ? "too_long" : "missing_field",
			     NULL);
		return;
	}
	if (strlen(body) > PROPOSAL_TEXT_MAX) {
		rest_invalid(a, "PullRequest", "body", "custom",
			     "body is too long (maximum is 65536 characters)");
		return;
	}
	if (refused(a, d, head, base))
		return;
	p = depot_propose(d, head, base);
	if (!p) {
		ask_refuse(a, 422, "Too many pull requests", DOCS);
		return;
	}
	p->title = xstrdup(title);
	p->body = xstrdup(body);
	p->draft = json_flag(o, "draft", false);
	(void)snprintf(p->author, sizeof(p->author), "pipeline-guard[bot]");
	reply_pull(a, d, p, 201);
}

static void patch_pull(struct ask *a)
{
	struct depot *d;
	struct proposal *p = pull_of(a, &d);
	OWNED(json_putp) struct json_object *o = NULL;
	const char *state;

	if (!p || !rest_body(a, &o))
		return;
	state = json_str(o, "state", p->closed ? "closed" : "open");
	p->closed = strcmp(state, "closed") == 0;
	p->closed_ms = p->closed ? clock_wall_ms() : 0;
	p->updated_ms = clock_wall_ms();
	reply_pull(a, d, p, 200);
}

/* --- bringing one up to date ------------------------------------------------------ */

static void update_branch(struct ask *a)
{
	static const char docs[] = DOCS "#update-a-pull-request-branch";
	struct depot *d;
	struct proposal *p = pull_of(a, &d);
	OWNED(json_putp) struct json_object *o = NULL;
	OWNED(freep) char *message = NULL;
	char hex[GIT_OID_HEXSZ + 1];
	const char *expected;
	git_oid head, base, made;

	if (!p || !rest_body(a, &o))
		return;
	if (!proposal_head(d, p, &head) || !depot_branch(d, p->base, &base) || p->closed) {
		ask_refuse(a, 422, "The pull request is not open.", docs);
		return;
	}
	expected = json_str(o, "expected_head_sha", NULL);
	if (expected && strcmp(expected, git_oid_tostr(hex, sizeof(hex), &head)) != 0) {
		ask_refuse(a, 422, "expected head sha didn\xe2\x80\x99t match current head ref.",
			   docs);
		return;
	}
	if (p->of_fork && !p->may_be_ours) {
		ask_refuse(a, 403, "Resource not accessible by integration", docs);
		return;
	}
	message = xasprintf("Merge branch '%s' into %s", p->base, p->head);
	switch (depot_merge(d, &head, &base, message, &made)) {
	case MERGE_NOTHING:
		ask_refuse(a, 422, "There are no new commits on the base branch.", docs);
		return;
	case MERGE_CONFLICT:
		ask_refuse(a, 422, "merge conflict between base and head", docs);
		return;
	case MERGE_DONE:
		break;
	}
	if (proposal_move(d, p, &made) < 0) {
		ask_refuse(a, 500, "Server Error", docs);
		return;
	}
	p->updated_ms = clock_wall_ms();
	sim_branch_moved(a->sim, d->repo, FLAVOUR_GITHUB, p->head);
	ask_reply_json(a, 202, "{\"message\":\"Updating pull request branch.\",\"url\":\"\"}");
}

/* --- labels and comments ----------------------------------------------------------- */

static bool has_label(const struct proposal *p, const char *name)
{
	for (unsigned i = 0; i < p->n_labels; i++)
		if (strcmp(p->labels[i], name) == 0)
			return true;
	return false;
}

static void add_labels(struct ask *a)
{
	struct depot *d;
	struct proposal *p = pull_of(a, &d);
	OWNED(json_putp) struct json_object *o = NULL;
	struct json_object *list;
	struct buf b;

	if (!p || !rest_body(a, &o))
		return;
	list = json_at(o, "labels");
	if (!json_object_is_type(list, json_type_array)) {
		rest_invalid(a, "Label", "labels", "missing_field", NULL);
		return;
	}
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(list, i));

		if (name && p->n_labels < PROPOSAL_LABELS_MAX && !has_label(p, name))
			(void)text_copy(p->labels[p->n_labels++], sizeof(p->labels[0]), name,
					strlen(name));
	}
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '[');
	put_labels(&b, p);
	js_close(&b, ']');
	reply(a, 200, &b);
}

static void add_comment(struct ask *a)
{
	struct depot *d;
	struct proposal *p = pull_of(a, &d);
	OWNED(json_putp) struct json_object *o = NULL;
	const char *body;
	struct buf b;

	if (!p || !rest_body(a, &o))
		return;
	body = json_str(o, "body", "");
	if (!*body || strlen(body) > PROPOSAL_TEXT_MAX) {
		rest_invalid(a, "IssueComment", "data", *body ? "too_long" : "unprocessable", NULL);
		return;
	}
	free(p->last_comment);
	p->last_comment = xstrdup(body);
	p->n_comments++;
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_u64(&b, "id", p->number * 1000 + p->n_comments);
	js_str(&b, "body", body);
	js_url(&b, "html_url", "%s/%s/pull/%" PRIu64 "#issuecomment-%u", a->sim->url, a->repo,
	       p->number, p->n_comments);
	js_close(&b, '}');
	reply(a, 201, &b);
}

#define PULLS  REPO "/pulls"
#define ISSUES REPO "/issues"

const struct route github_pull_routes[] = {
	{ "GET", PULLS, CALL_PULLS, list_pulls, false, false, SCOPE_PULLS },
	{ "POST", PULLS, CALL_PULLS, create_pull, true, false, SCOPE_PULLS },
	{ "GET", PULLS "/{n}", CALL_PULLS, get_pull, false, false, SCOPE_PULLS },
	{ "PATCH", PULLS "/{n}", CALL_PULLS, patch_pull, true, false, SCOPE_PULLS },
	{ "PUT", PULLS "/{n}/update-branch", CALL_PULLS, update_branch, true, false, SCOPE_PULLS },
	{ "GET", REPO "/commits/{p}/pulls", CALL_PULLS, list_pulls_of_commit, false, false,
	  SCOPE_PULLS },
	{ "POST", ISSUES "/{n}/labels", CALL_PULLS, add_labels, true, false, SCOPE_PULLS },
	{ "POST", ISSUES "/{n}/comments", CALL_PULLS, add_comment, true, false, SCOPE_PULLS },
};
const size_t n_github_pull_routes = ARRAY_LEN(github_pull_routes);
