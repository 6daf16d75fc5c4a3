/*
 * Who is told: channels are configured as notify.NAME.* (docs/notifications.md). What a message
 * says is a notice, JSON without a channel in it; a type of channel makes a body of one or
 * several notices.
 */
#ifndef GUARD_DISPATCHER_NOTIFY_H
#define GUARD_DISPATCHER_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/http_client.h"

struct conf;
struct conf_table;
struct json_object;
struct knowledge;
struct notify;
struct plan;
struct run;

/* notify.NAME.*, and notifications.* for what is the same for all. */
extern const struct conf_table notify_conf, notifications_conf;

enum { NOTIFY_DIGEST_MAX = 20, NOTIFY_NOTICE_MAX_BYTES = 16 << 10 };

/* What a body is made of. */
struct notify_view {
	unsigned language;
	const struct knowledge *knowledge; /* titles of causes; NULL: only those in the notice */
	const char *page_url;              /* "": there is none to lead to */
	const char *channel;               /* its name */
	const char *link_key; /* that links are signed with which answer; NULL: there are none */
	int64_t link_valid_ms;
	bool buttons; /* on a check of GitHub's */
	struct json_object *const *notices;
	size_t n;      /* more than one: a digest */
	uint64_t more; /* wait beyond these */
	int64_t at_ms;
};

struct notify_type {
	const char *name; /* "slack" */
	bool signs;       /* needs a secret: Standard Webhooks */
	bool on_run;      /* no address: the provider shows it beside the run's commit */
	/* New reference. Whatever a stranger wrote is harmless in it. */
	struct json_object *(*format)(const struct notify_view *);
};
extern const struct notify_type notify_slack, notify_teams, notify_generic, notify_run;

struct notify_channel {
	const char *name;
	const struct notify_type *type;
	unsigned language;
	int64_t digest_ms; /* 0: each by itself */
	int64_t per_minute, timeout_ms;
	bool approve_links;
};

/* ERR_CONFIG says which option is wrong. Conf outlives it. */
int notify_new(const struct conf *, struct notify **out, struct err *) MUST_CHECK;
void notify_free(struct notify *);
/* Reads the titles of causes again; when one file is bad, all stay as they are. */
int notify_reload(struct notify *, struct err *) MUST_CHECK;
DEFINE_OWNED(struct notify, notify_free)

/* NULL past the end. */
const struct notify_channel *notify_channel_at(const struct notify *, size_t i);
const struct notify_channel *notify_channel_find(const struct notify *, const char *name);
int64_t notify_give_up_ms(const struct notify *);

/* Whether that channel, or any of them, is to hear of it. `repo` may be "". */
bool notify_channel_wants(const struct notify *, const struct notify_channel *, const char *word,
			  const char *repo);
bool notify_wants(const struct notify *, const char *word, const char *repo);

/* A notice of a plan that ended, or is suggested, as `word` says. New reference. */
struct json_object *notify_notice(const struct run *, const struct plan *, const char *word,
				  int64_t now_ms);
/* One that shows what channels look like. New reference. */
struct json_object *notify_sample(int64_t now_ms);

/*
 * Sends the notices as one message. `id` is the same whenever the same message is sent, so that
 * who takes signed ones can tell. Asynchronous; never NULL.
 */
struct http_call *notify_send(const struct notify *, const struct notify_channel *,
			      struct http_client *, struct json_object *const *notices,
			      size_t count, uint64_t more, const char *id, http_done_fn *,
			      void *arg);

/* The body by itself, for a channel without an address. New reference. */
struct json_object *notify_format(const struct notify *, const struct notify_channel *,
				  struct json_object *const *notices, size_t count, uint64_t more);

/* What an answer means. `why` is for people, without anything of the address. */
enum notify_fate { NOTIFY_DELIVERED, NOTIFY_RETRY, NOTIFY_REFUSED };
enum notify_fate notify_judge(const struct http_reply *, char why[static 160]);

/* "hooks.slack.com": as much of the address as may be shown; "" when there is none. */
void notify_host(const struct notify *, const struct notify_channel *, char out[static 256]);
/* Its options, for people. */
const char *notify_option(const struct notify *, const struct notify_channel *, const char *key);

#endif
