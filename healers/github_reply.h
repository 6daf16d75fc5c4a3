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

#endif
