/*
 * The git repositories behind the names of the world, and what is proposed to them: real bare
 * repositories, made when somebody first asks. Knows nothing of HTTP.
 */
#ifndef GUARD_TESTS_FORGE_H
#define GUARD_TESTS_FORGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <git2.h>

#include "core/err.h"
#include "tests/simulator/world.h"

struct forge;

enum {
	DEPOT_PROTECTED_MAX = 8,
	DEPOT_PATH_MAX = 512,
	PROPOSALS_MAX = 1000, /* of one repository */
	PROPOSAL_LABELS_MAX = 16,
	PROPOSAL_TEXT_MAX = 65536,
};
#define FORGE_DEFAULT_BRANCH "main"

/* A pull request, or a merge request. */
struct proposal {
	uint64_t number;
	char head[NAME_MAX_BYTES], base[NAME_MAX_BYTES];
	char author[64];
	char *title, *body;
	bool closed, draft;
	bool of_fork;     /* the head branch is in somebody else's repository */
	bool may_be_ours; /* ... who lets maintainers push to it */
	char labels[PROPOSAL_LABELS_MAX][64];
	unsigned n_labels, n_comments;
	char *last_comment;                        /* NULL: none */
	const char *trouble;                       /* of the last rebase; NULL: none */
	int64_t created_ms, updated_ms, closed_ms; /* closed_ms 0: it is open */
};

struct depot {
	const struct repo *repo;
	git_repository *git;
	char path[DEPOT_PATH_MAX]; /* of the bare repository */
	char protected_branches[DEPOT_PROTECTED_MAX][NAME_MAX_BYTES];
	unsigned n_protected;
	struct proposal *proposals[PROPOSALS_MAX];
	unsigned n_proposals;
	struct depot *next;
};

/* `dir` NULL: a temporary folder, which is removed at the end. */
int forge_new(const char *dir, struct forge **out, struct err *) MUST_CHECK;
void forge_free(struct forge *);
/* "" while there is none. */
const char *forge_dir(const struct forge *);
/* For every repository from its first run on, not only for those that somebody asks for. */
bool forge_has_all(const struct forge *);

/* Made with a first commit, unless `empty`, when it is not there yet; NULL: it cannot be. */
struct depot *forge_depot(struct forge *, const struct repo *, bool empty);
/* NULL: nobody asked for it so far. */
struct depot *forge_find(struct forge *, const struct repo *);

bool depot_is_empty(const struct depot *);
bool depot_protects(const struct depot *, const char *branch);
int depot_protect(struct depot *, const char *branch, struct err *) MUST_CHECK;

/* False: there is no such branch. */
bool depot_branch(const struct depot *, const char *name, git_oid *out);
/* Of a branch, a full reference, or a commit. */
bool depot_resolve(const struct depot *, const char *name, git_oid *out);
bool depot_has(const struct depot *, const git_oid *, git_object_t);

enum ref_made { REF_MADE, REF_EXISTS, REF_BAD };
enum ref_made depot_create_ref(struct depot *, const char *full_name, const git_oid *);
int depot_move_branch(struct depot *, const char *name, const git_oid *) MUST_CHECK;
bool depot_delete_branch(struct depot *, const char *name);

/* One file of a new tree. */
struct depot_edit {
	const char *path;
	git_oid blob;
	git_filemode_t mode; /* 0: it is deleted */
};
int depot_blob(struct depot *, const void *data, size_t n, git_oid *out) MUST_CHECK;
/* `base` NULL: from nothing. -1: a deleted file is not there, or a path is none. */
int depot_tree(struct depot *, const git_oid *base, const struct depot_edit *, size_t n,
	       git_oid *out) MUST_CHECK;
int depot_tree_of(const struct depot *, const git_oid *commit, git_oid *out) MUST_CHECK;

struct depot_person {
	const char *name, *email;
	int64_t at_s; /* 0: now */
};
int depot_commit(struct depot *, const git_oid *tree, const git_oid *parents, size_t n_parents,
		 const char *message, const struct depot_person *author, git_oid *out) MUST_CHECK;

/* How many commits of `head` are not in `base`, and the other way round; -1: one is no commit. */
int depot_apart(const struct depot *, const git_oid *head, const git_oid *base, size_t *ahead,
		size_t *behind) MUST_CHECK;
enum merge_end { MERGE_DONE, MERGE_CONFLICT, MERGE_NOTHING };
/* What `from` has on top of `onto`. MERGE_NOTHING: it is all there already. */
enum merge_end depot_merge(struct depot *, const git_oid *onto, const git_oid *from,
			   const char *message, git_oid *out);
/* The commits of `head` that are not in `onto`, anew on top of that. */
enum merge_end depot_rebase(struct depot *, const git_oid *head, const git_oid *onto, git_oid *out);
/* What undoes `commit` on top of `onto`. */
enum merge_end depot_revert(struct depot *, const git_oid *onto, const git_oid *commit,
			    git_oid *out);

/* NULL: there is no such one. */
struct proposal *depot_proposal(const struct depot *, uint64_t number);
struct proposal *depot_propose(struct depot *, const char *head, const char *base);
/* Where its head is. False: the branch is gone. */
bool proposal_head(const struct depot *, const struct proposal *, git_oid *out);
int proposal_move(struct depot *, const struct proposal *, const git_oid *) MUST_CHECK;

#endif
