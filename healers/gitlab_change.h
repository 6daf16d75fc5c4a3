/* What the table of GitLab's API has for proposals, made of plain requests. */
#ifndef GUARD_HEALERS_GITLAB_CHANGE_H
#define GUARD_HEALERS_GITLAB_CHANGE_H

#include "healers/provider_api.h"

struct api_call *gitlab_get_branch(struct api *, const struct api_run *, const char *branch,
				   api_fn *, void *arg);
struct api_call *gitlab_find_proposal(struct api *, const struct api_run *, const char *branch,
				      api_fn *, void *arg);
struct api_call *gitlab_get_clone(struct api *, const struct api_run *, api_fn *, void *arg);
struct api_call *gitlab_commit_files(struct api *, const struct api_run *,
				     const struct api_change *, api_fn *, void *arg);
struct api_call *gitlab_open_proposal(struct api *, const struct api_run *,
				      const struct api_change *, api_fn *, void *arg);

#endif
