/* The server: what it has, getting it, and giving it one new branch. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/conf.h"
#include "core/mem.h"
#include "core/text.h"
#include "healers/tree_work.h"

struct talk {
	struct tree *t;
	unsigned asked;   /* for a password */
	bool over;        /* more than change.max_repository */
	bool taken;       /* the branch was taken */
	char status[200]; /* why it was not */
};

static int on_credentials(git_credential **out, const char *url, const char *user,
			  unsigned int allowed, void *arg)
{
	struct talk *talk = arg;
	const struct tree_request *req = talk->t->req;

	UNUSED(url);
	UNUSED(user);
	/* Asked twice, the first answer was wrong. */
	if (!req->password || talk->asked++ || !(allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT))
		return GIT_EAUTH;
	return git_credential_userpass_plaintext_new(out, req->user ? req->user : "git",
						     req->password);
}

static int on_progress(const git_indexer_progress *p, void *arg)
{
	struct talk *talk = arg;

	talk->over = (int64_t)p->received_bytes > conf_int(talk->t->conf, "change.max_repository");
	return talk->over ? GIT_EUSER : 0;
}

static int on_update(const char *ref, const char *status, void *arg)
{
	struct talk *talk = arg;

	UNUSED(ref);
	talk->taken = !status;
	(void)snprintf(talk->status, sizeof(talk->status), "%s", status ? status : "");
	return 0;
}

static git_remote_callbacks callbacks(struct talk *talk)
{
	git_remote_callbacks cb;

	(void)git_remote_init_callbacks(&cb, GIT_REMOTE_CALLBACKS_VERSION);
	cb.credentials = on_credentials;
	cb.transfer_progress = on_progress;
	cb.push_update_reference = on_update;
	cb.payload = talk;
	return cb;
}

static int server_stop(struct tree *t, const struct talk *talk, int rc, const char *doing)
{
	const git_error *e = git_error_last();
	bool http = e && e->klass == GIT_ERROR_HTTP;

	if (talk->over)
		return tree_stop(t, TREE_TOO_LARGE,
				 "what has to be fetched is over %" PRId64
				 " MiB (change.max_repository)",
				 conf_int(t->conf, "change.max_repository") >> 20);
	if (rc == GIT_EAUTH || rc == GIT_ECERTIFICATE || rc == GIT_ENOTFOUND || talk->asked > 1 ||
	    (http && e->message && strstr(e->message, "status code: 4")))
		return tree_git_stop(t, TREE_DENIED, doing);
	return tree_git_stop(t, TREE_UNREACHABLE, doing);
}

static int open_remote(struct tree *t, struct talk *talk, git_direction direction, git_remote **out)
{
	git_remote_create_options create;
	git_remote_connect_options o;
	int rc;

	(void)git_remote_create_options_init(&create, GIT_REMOTE_CREATE_OPTIONS_VERSION);
	create.repository = t->repo;
	create.flags = GIT_REMOTE_CREATE_SKIP_INSTEADOF;

	(void)git_remote_connect_options_init(&o, GIT_REMOTE_CONNECT_OPTIONS_VERSION);
	o.callbacks = callbacks(talk);
	o.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
	if (git_remote_create_with_opts(out, t->req->url, &create) < 0)
		return tree_git_stop(t, TREE_BROKEN, "the address of the repository");
	rc = git_remote_connect_ext(*out, direction, &o);
	return rc < 0 ? server_stop(t, talk, rc, "connecting") : 0;
}

/* The run's branch is where the run was, and ours is not there. */
static int check_refs(struct tree *t, git_remote *remote)
{
	OWNED(freep) char *theirs = xasprintf("refs/heads/%s", t->req->branch);
	OWNED(freep) char *ours = xasprintf("refs/heads/%s", t->req->new_branch);
	const git_remote_head **heads;
	bool found = false;
	size_t n;

	if (git_remote_ls(&heads, &n, remote) < 0)
		return tree_git_stop(t, TREE_UNREACHABLE, "branches");
	for (size_t i = 0; i < n; i++) {
		if (strcmp(heads[i]->name, ours) == 0) {
			git_oid_tostr(t->end->commit, sizeof(t->end->commit), &heads[i]->oid);
			return tree_stop(t, TREE_EXISTS, "%s is there already", t->req->new_branch);
		}
		if (strcmp(heads[i]->name, theirs) == 0)
			found = git_oid_equal(&heads[i]->oid, &t->head);
	}
	return found ? 0
		     : tree_stop(t, TREE_STALE, "%.100s is no longer at %.10s", t->req->branch,
				 t->req->sha);
}

static int download(struct tree *t, git_remote *remote, struct talk *talk)
{
	OWNED(freep)
	char *spec = xasprintf("+refs/heads/%s:refs/heads/fetched", t->req->branch);
	const git_strarray specs = { &spec, 1 };
	git_fetch_options o;
	int rc;

	(void)git_fetch_options_init(&o, GIT_FETCH_OPTIONS_VERSION);
	o.callbacks = callbacks(talk);
	o.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
	o.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
	rc = git_remote_download(remote, &specs, &o);
	return rc < 0 ? server_stop(t, talk, rc, "fetching") : 0;
}

static int make_repository(struct tree *t)
{
	OWNED(freep) char *path = xasprintf("%s/git", t->scratch);

	if (git_oid_fromstr(&t->head, t->req->sha) < 0)
		return tree_stop(t, TREE_REFUSED, "%.50s is no commit", t->req->sha);
	if (git_repository_init(&t->repo, path, true) < 0 ||
	    git_repository_odb(&t->odb, t->repo) < 0)
		return tree_git_stop(t, TREE_BROKEN, "the scratch repository");
	return 0;
}

int tree_fetch(struct tree *t)
{
	struct talk talk = { .t = t };
	git_remote *remote = NULL;
	int rc;

	if (make_repository(t) < 0)
		return -1;
	rc = open_remote(t, &talk, GIT_DIRECTION_FETCH, &remote);
	if (rc == 0)
		rc = check_refs(t, remote);
	if (rc == 0)
		rc = download(t, remote, &talk);
	if (rc == 0 && (git_commit_lookup(&t->commit, t->repo, &t->head) < 0 ||
			git_commit_tree(&t->tree, t->commit) < 0))
		rc = tree_git_stop(t, TREE_BROKEN, "what was fetched");
	git_remote_free(remote);
	return rc;
}

static int upload(struct tree *t, git_remote *remote, struct talk *talk)
{
	OWNED(freep)
	char *spec =
		xasprintf("refs/heads/%s:refs/heads/%s", t->req->new_branch, t->req->new_branch);
	const git_strarray specs = { &spec, 1 };
	git_push_options o;
	int rc;

	(void)git_push_options_init(&o, GIT_PUSH_OPTIONS_VERSION);
	o.callbacks = callbacks(talk);
	o.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
	rc = git_remote_upload(remote, &specs, &o);
	if (rc < 0)
		return server_stop(t, talk, rc, "pushing");
	return talk->taken ? 0
			   : tree_stop(t, TREE_DENIED, "the server did not take %s: %s",
				       t->req->new_branch, talk->status);
}

/* Looks again first: the program took its time. */
int tree_push(struct tree *t, const git_oid *commit)
{
	OWNED(freep) char *name = xasprintf("refs/heads/%s", t->req->new_branch);
	struct talk talk = { .t = t };
	git_remote *remote = NULL;
	git_reference *ref = NULL;
	int rc;

	if (git_reference_create(&ref, t->repo, name, commit, false, NULL) < 0)
		return tree_git_stop(t, TREE_BROKEN, "the new branch");
	rc = open_remote(t, &talk, GIT_DIRECTION_PUSH, &remote);
	if (rc == 0)
		rc = check_refs(t, remote);
	if (rc == 0)
		rc = upload(t, remote, &talk);
	if (rc == 0)
		git_oid_tostr(t->end->commit, sizeof(t->end->commit), commit);
	git_remote_free(remote);
	git_reference_free(ref);
	return rc;
}
