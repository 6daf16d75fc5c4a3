#include "web/admin.h"

#include <stdlib.h>
#include <string.h>

#include "core/http_server.h"
#include "core/mem.h"
#include "core/metrics.h"

struct admin {
	const char *role;
};

int admin_new(struct event_base *base, const struct conf *conf, const char *role,
	      struct admin **out, struct err *err)
{
	struct admin *a = xcalloc(1, sizeof(*a));

	UNUSED(base);
	UNUSED(conf);
	UNUSED(err);
	a->role = role;
	*out = a;
	return 0;
}

void admin_free(struct admin *a)
{
	free(a);
}

bool admin_handle(struct admin *a, struct http_request *req)
{
	OWNED(buf_done) struct buf text;

	UNUSED(a);
	if (strcmp(req->path, "/metrics") != 0 || !req->peer_is_loopback)
		return false;
	buf_init(&text, 1u << 20);
	metrics_render(&text);
	http_reply(req, 200, "text/plain; version=0.0.4", buf_text(&text), text.len);
	return true;
}
