/* What the table of GitLab's API has for a new run in the place of one that failed. */
#ifndef GUARD_HEALERS_GITLAB_AFRESH_H
#define GUARD_HEALERS_GITLAB_AFRESH_H

#include "healers/provider_api.h"

api_afresh_fn gitlab_start_afresh, gitlab_update_branch, gitlab_find_afresh;

#endif
