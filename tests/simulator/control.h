/* /_sim: what its parts share. */
#ifndef GUARD_TESTS_CONTROL_H
#define GUARD_TESTS_CONTROL_H

struct buf;
struct http_request;
struct json_object;
struct sim;

/* The body is done. */
void control_reply(struct http_request *, int status, struct buf *);
void control_refuse(struct http_request *, int status, const char *why);

/* About git repositories. */
void control_post_commit(struct sim *, struct http_request *, struct json_object *);
void control_post_pull(struct sim *, struct http_request *, struct json_object *);
void control_post_scopes(struct sim *, struct http_request *, struct json_object *);
void control_get_repo(struct sim *, struct http_request *);
/* Further members of POST /_sim/repos. What is wrong with them, else NULL. */
struct repo;
const char *control_repo_wish(struct sim *, struct repo *, struct json_object *);

#endif
