/* What the table of GitLab's API has for showing people something, made of plain requests. */
#ifndef GUARD_HEALERS_GITLAB_SHOW_H
#define GUARD_HEALERS_GITLAB_SHOW_H

#include "healers/provider_api.h"

/*
 * Our one note of a merge request, in place of what it said before; of a pipeline for none, a
 * status of the commit, of which GitLab shows the newest.
 */
struct api_call *gitlab_show(struct api *, const struct api_run *, const struct api_note *,
			     api_fn *, void *arg);

#endif
