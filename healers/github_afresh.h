/* What the table of GitHub's API has for a new run in the place of one that failed. */
#ifndef GUARD_HEALERS_GITHUB_AFRESH_H
#define GUARD_HEALERS_GITHUB_AFRESH_H

#include "healers/provider_api.h"

api_afresh_fn github_start_afresh, github_update_branch, github_find_afresh;

#endif
