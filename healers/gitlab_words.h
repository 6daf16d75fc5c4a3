/* GitLab's words for how a pipeline or a job is, in GitHub's, which are ours. */
#ifndef GUARD_HEALERS_GITLAB_WORDS_H
#define GUARD_HEALERS_GITLAB_WORDS_H

struct gitlab_word {
	const char *word, *status, *conclusion;
};
/* Those of a word that is not known: it waits for something. */
struct gitlab_word gitlab_translated(const char *word);

#endif
