#include "dispatcher/git_finding.h"

#include <stdio.h>
#include <string.h>

#include "core/ci_event.h"
#include "core/crypto.h"
#include "core/finding.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/fingerprint.h"
#include "dispatcher/record.h"

static const struct problem {
	const char *word, *subcategory;
	double confidence;
	const char *title;
	const char *todo[FINDING_SUGGESTIONS_MAX];
} problems[] = {
	{ "stale_lock",
	  "stale_lock",
	  0.95,
	  "A lock file was left behind: git refuses to work here",
	  { "see that no git runs in it, then remove the lock file",
	    "look in the system's log for what ended git: no memory, no disk, a timeout" } },
	{ "interrupted",
	  "interrupted",
	  0.9,
	  "An operation was begun and not ended",
	  { "end it with --continue, or take it back with --abort (bisect: git bisect reset)" } },
	{ "conflicts",
	  "merge_conflict",
	  0.95,
	  "Files have conflicts that nobody resolved",
	  { "resolve them and git add, or take the operation back with --abort" } },
	{ "detached_head",
	  "detached_head",
	  0.9,
	  "HEAD is on no branch: commits made here are easily lost",
	  { "git switch BRANCH; keep commits made here with git branch NAME first" } },
	{ "diverged",
	  "diverged",
	  0.95,
	  "A branch and its upstream have gone different ways",
	  { "git rebase or git merge its upstream; a push is refused until then" } },
	{ "behind", "behind", 0.95, "A branch is behind its upstream", { "git pull --ff-only" } },
	{ "corrupt",
	  "corruption",
	  0.95,
	  "Objects are missing or damaged",
	  { "git fsck --full lists what is wrong",
	    "fetch the objects from another clone, or clone anew and copy work in hand over",
	    "check disk and memory of the machine" } },
	{ "bad_ref",
	  "bad_ref",
	  0.95,
	  "A reference cannot be read, or names what is not there",
	  { "git reflog knows where it was: git update-ref REF COMMIT",
	    "a reference of a remote: remove the file and git fetch" } },
	{ "bad_index",
	  "bad_index",
	  0.95,
	  "The index cannot be read",
	  { "move .git/index away and git reset: what was staged has to be added again" } },
	{ "gc_failed",
	  "gc",
	  0.9,
	  "git could not clean up, and does not try again",
	  { "read gc.log in the git folder, then git gc", "git prune, when there are too many "
							  "objects that nothing needs" } },
	{ "unreadable",
	  "unreadable",
	  0.9,
	  "The repository cannot be opened",
	  { "check that the path is a repository, and that the guard's user may read and owns it "
	    "(git's safe.directory)" } },
	{ "hook_failed",
	  "hook",
	  0.8,
	  "A git hook failed",
	  { "run the hook by hand in the repository and read what it says" } },
};

static const struct problem *find(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(problems); i++)
		if (strcmp(problems[i].word, word) == 0)
			return &problems[i];
	return NULL;
}

bool git_problem_known(const char *problem)
{
	return find(problem) != NULL;
}

static void put(char *out, size_t cap, const char *s)
{
	(void)text_copy(out, cap, s, strlen(s));
}
#define PUT(member, s) put(out->member, sizeof(out->member), (s))

void git_event(const struct git_problem *p, struct ci_event *out)
{
	bool hook = strcmp(p->problem, "hook_failed") == 0;
	char text[400];
	int n;

	*out = (struct ci_event){ .kind = CI_RUN, .status = CI_COMPLETED };
	PUT(provider, "git");
	PUT(source, "git");
	PUT(topic, hook ? "git_hook" : "git_state");
	PUT(action, "completed");
	n = snprintf(text, sizeof(text), "%s:%s", p->host, p->path);
	out->repo_id = sha256_id(text, n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1);
	/* Of a long path its end says more. */
	PUT(repo, n < (int)sizeof(out->repo) ? text : text + n - (int)sizeof(out->repo) + 1);
	n = snprintf(text, sizeof(text), "%s\n%s", p->problem, p->subject);
	out->run_id = sha256_id(text, n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1);
	out->pipeline_id = out->run_id;
	PUT(pipeline, p->detail);
	PUT(branch, p->branch);
	PUT(sha, p->sha);
	PUT(trigger, hook ? "hook" : "watch");
}

bool git_finding(const struct run *run, struct arena *a, struct finding *out)
{
	const struct problem *p =
		strcmp(run->provider, "git") == 0 ? find(run->failure_reason) : NULL;

	if (!p)
		return false;
	finding_init(out);
	out->category = "scm_failure";
	out->subcategory = p->subcategory;
	out->confidence = p->confidence;
	out->rule = arena_printf(a, "git/%s", p->word);
	out->title = p->title;
	out->job = "";
	out->evidence[0] = (struct finding_line){ 1, arena_strdup(a, run->pipeline) };
	out->n_evidence = 1;
	for (size_t i = 0; i < FINDING_SUGGESTIONS_MAX && p->todo[i]; i++)
		out->suggestions[out->n_suggestions++] = p->todo[i];
	fingerprint_of(out->category, &p->word, 1, out->fingerprint);
	return true;
}
