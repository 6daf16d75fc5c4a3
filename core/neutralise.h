/*
 * Text of strangers, made harmless where it is shown. What a log, a branch or a test is
 * called by is written by whoever can open a pull request.
 */
#ifndef GUARD_CORE_NEUTRALISE_H
#define GUARD_CORE_NEUTRALISE_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/*
 * Whether what stands at s must not be shown as it is: control characters, what turns text
 * around or is not seen at all (zero-width, tags), and bytes that are not UTF-8. *len is how many
 * bytes that is about, at least 1; left is at least 1.
 */
bool neutralise_is_bad(const char *s, size_t left, size_t *len);

/* For terminals and logs: each of those becomes '?'. */
void neutralise_text(struct buf *out, const char *text);

/*
 * For comments in GitHub's and GitLab's Markdown: shown as it is, on one line, with nobody
 * notified, nothing linked or closed, and no markup or HTML in it.
 */
void neutralise_markdown(struct buf *out, const char *text);

/*
 * For mrkdwn of Slack, on one line: nobody is notified and nothing is linked. Between backticks it
 * is shown as it is; elsewhere a word may at most come out bold.
 */
void neutralise_slack(struct buf *out, const char *text);

#endif
