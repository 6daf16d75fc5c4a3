/* The words of messages, in the languages there are, and what the formatters share. */
#ifndef GUARD_DISPATCHER_NOTIFY_TEXT_H
#define GUARD_DISPATCHER_NOTIFY_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/notify.h"

struct buf;

enum { NOTIFY_ENGLISH, NOTIFY_GERMAN, NOTIFY_LANGUAGES };
enum notify_severity { NOTIFY_INFO, NOTIFY_WARNING, NOTIFY_CRITICAL };

/* What there is to tell: results of plans, "suggested", "incident", "test". */
struct notify_word {
	const char *word;
	bool person; /* somebody has to look */
	enum notify_severity severity;
	const char *text[NOTIFY_LANGUAGES];
};
extern const struct notify_word notify_words[];
/* NULL when there is none of that name. */
const struct notify_word *notify_word_find(const char *word);
/* "incident" of "incident_closed": whoever is told of that is told of this, too. Else itself. */
const struct notify_word *notify_word_lead(const struct notify_word *);
/* notify_word_find() of a notice, never NULL: of an unknown one the word itself is not known to
 * anybody. */
const struct notify_word *notify_word_of(struct json_object *notice);
bool notify_severity_find(const char *text, enum notify_severity *out);
extern const char *const notify_severities[];

/* "de" or "de_AT.UTF-8"; false, and English, when there is no such language. */
bool notify_language(const char *locale, unsigned *out);

enum notify_label {
	LABEL_BRANCH,
	LABEL_CAUSE,
	LABEL_STRATEGY,
	LABEL_RESULT,
	LABEL_FAILED_TESTS,
	LABEL_SURE,
	LABEL_OPEN_RUN,
	LABEL_OPEN_PROPOSAL,
	LABEL_OPEN_PAGE,
	LABEL_DIGEST,
	LABEL_MORE,
	LABEL_APPROVE,
	LABEL_REJECT,
	LABEL_REPOSITORIES,
	LABEL_BY,
	LABELS,
};
const char *notify_label(unsigned language, enum notify_label);

/* The title of the category, or its name: our own words. */
void notify_category(const struct notify_view *, struct json_object *notice, struct buf *out);
/* The title of the cause in the reader's language, with the rule's own after it. */
void notify_cause(const struct notify_view *, struct json_object *notice, struct buf *out);
/* In how many repositories an incident is seen; nothing when none is known. */
void notify_repositories(struct json_object *notice, struct buf *out);
/* "a, b and 3 more" of the failed tests; nothing when there are none. */
void notify_failed_tests(const struct notify_view *, struct json_object *notice, struct buf *out);
/* The run's address when it is http or https and of a sane length, else NULL. */
const char *notify_run_url(struct json_object *notice);
/* The same of what was proposed. */
const char *notify_proposal_url(struct json_object *notice);
/* Where a suggestion is approved or rejected; false, and nothing, when the notice is of none. */
bool notify_answer_url(const struct notify_view *, struct json_object *notice, bool approve,
		       struct buf *out);
/* Title of a digest: "7 messages", with how many wait beyond them. */
void notify_digest_title(const struct notify_view *, struct buf *out);

#endif
