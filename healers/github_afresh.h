/* What the table of GitHub's API has for a new run in the place of one that failed. */
#ifndef GUARD_HEALERS_GITHUB_AFRESH_H
#define GUARD_HEALERS_GITHUB_AFRESH_H

#include "healers/provider_api.h"

struct api_request;

/* api_ask_self() at GitHub; the client has it. */
bool github_ask_self(struct api_call *, void (*knowing)(struct api_call *),
		     struct api_request *request);

api_afresh_fn github_start_afresh, github_update_branch, github_find_afresh;

#endif
