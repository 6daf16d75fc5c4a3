/* What an answer of GitHub's REST API means for us: the one table from status to fate. */
#ifndef GUARD_HEALERS_GITHUB_REPLY_H
#define GUARD_HEALERS_GITHUB_REPLY_H

#include <stdint.h>

#include "healers/provider_api.h"

struct http_reply;

/* What was asked, for the words of a refusal. */
struct github_ask {
	const char *host;
	const char *repo; /* checked name */
	const char *need; /* token permission: "actions: write" */
};

/* Sets fate, http_status, retry_after_ms and why; a 2xx is API_OK. */
void github_reply_judge(const struct http_reply *, const struct github_ask *, int64_t now_ms,
			struct api_result *out);

/* The whole of a verdict; words are cut to fit, control characters become '?'. */
void github_say(struct api_result *out, enum api_fate, int status, int64_t retry_after_ms,
		const char *fmt, ...) PRINTF_LIKE(5, 6);
#define github_refuse(out, status, ...) github_say((out), API_REFUSED, (status), -1, __VA_ARGS__)
#define github_postpone(out, status, retry_after_ms, ...) \
	github_say((out), API_RETRY, (status), (retry_after_ms), __VA_ARGS__)

#endif
