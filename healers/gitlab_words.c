#include "healers/gitlab_words.h"

#include <string.h>

#include "core/base.h"

static const struct gitlab_word words[] = {
	{ "success", "completed", "success" },
	{ "failed", "completed", "failure" },
	{ "canceled", "completed", "cancelled" },
	{ "skipped", "completed", "skipped" },
	{ "running", "in_progress", "" },
	{ "canceling", "in_progress", "" },
	{ "manual", "waiting", "" },
};

/* What is not listed waits for something: created, pending, preparing, scheduled, ... */
struct gitlab_word gitlab_translated(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i].word, word) == 0)
			return words[i];
	return (struct gitlab_word){ word, "queued", "" };
}
