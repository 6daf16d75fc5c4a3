/* What GitHub's lists say, in our nouns. Pure: JSON in, structs out. */
#ifndef GUARD_HEALERS_GITHUB_JSON_H
#define GUARD_HEALERS_GITHUB_JSON_H

#include <stdbool.h>

#include "core/base.h"

struct api_delivery;
struct api_hook;
struct arena;
struct ci_event;
struct json_object;

/*
 * A workflow run as an event that says in which state it is, as if its webhook had come;
 * source, installation and delivery are the caller's. False: it is none we can use.
 */
bool github_run_event(struct json_object *, struct ci_event *out);

/* Texts live in the arena. False: it is none. */
bool github_delivery_read(struct json_object *, struct arena *, struct api_delivery *out);
bool github_hook_read(struct json_object *, struct arena *, struct api_hook *out);

/*
 * Where a Link header says that the list goes on: the value of `cursor` in its rel="next", as it
 * is to be put into an address again; "" when this was the end, or it says nothing we use.
 */
void github_next_cursor(const char *link, char *out, size_t cap);

#endif
