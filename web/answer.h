/*
 * Where the links of messages lead that answer a suggestion (core/approve_link.h). The link is what
 * allows it, no token. GET only shows what it would do: whoever looks at links ahead of people, as
 * chats and mail filters do, answers nothing.
 */
#ifndef GUARD_WEB_ANSWER_H
#define GUARD_WEB_ANSWER_H

#include "core/keys.h"
#include "web/batch.h"

struct audit;
struct conf;
struct http_request;
struct redis;

/* All of it outlives the requests. */
struct answers {
	const struct conf *conf;
	const struct keyspace *ks;
	struct redis *redis;
	struct batch_list *batches;
	struct audit *audit;
	unsigned open;
};

/* GET, HEAD or POST. */
void answer_handle(struct answers *, struct http_request *);

#endif
