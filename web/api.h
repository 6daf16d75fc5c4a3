/* /api/v1/...: answers that are read from Redis when they are asked for. */
#ifndef GUARD_WEB_API_H
#define GUARD_WEB_API_H

#include <stdbool.h>

#include "core/keys.h"
#include "web/batch.h"

struct audit;
struct http_request;
struct redis;

struct api {
	struct redis *redis;
	const struct keyspace *ks;
	struct batch_list *batches;
	struct audit *audit;
	unsigned open;               /* requests not yet answered */
	void (*switched)(void *arg); /* the kill switch was changed */
	void *arg;
};

void api_runs(struct api *, struct http_request *);
/* `ref` must be what run references look like: 404 otherwise. */
void api_run(struct api *, struct http_request *, const char *ref);
void api_outcomes(struct api *, struct http_request *);
void api_dead(struct api *, struct http_request *);
void api_flakes(struct api *, struct http_request *);
void api_clusters(struct api *, struct http_request *);
/* A person says whether the cause that was named for a run is right. */
void api_feedback(struct api *, struct http_request *);
void api_stop(struct api *, struct http_request *);
void api_go(struct api *, struct http_request *);
/* `word` is "open", "extend" or "close": 404 otherwise. */
void api_incident(struct api *, struct http_request *, const char *word);
/* A person's answer to what is suggested for a run. */
void api_approve(struct api *, struct http_request *, const char *ref);
void api_reject(struct api *, struct http_request *, const char *ref);

#endif
