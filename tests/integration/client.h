/* A small blocking HTTP client on a raw socket, so that a test can send what no client would. */
#ifndef GUARD_TESTS_CLIENT_H
#define GUARD_TESTS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

struct json_object;
struct rig;

struct answer {
	int status; /* 0: none came */
	const char *head, *body;
	size_t body_len;
	struct json_object *json; /* NULL when the body is none */
};

/* `headers`: lines that end in \r\n, or "". */
struct answer http_ask(struct rig *, int port, const char *method, const char *path,
		       const char *headers, const void *body, size_t n);
struct answer http_get(struct rig *, int port, const char *path);
struct answer http_post_json(struct rig *, int port, const char *path, const char *json);

/* By hand: connect, send bytes, read one answer (which may leave the start of the next). */
struct dialog;
struct dialog *dialog_open(struct rig *, int port);
bool dialog_send(struct dialog *, const void *data, size_t n); /* false: the peer closed */
/* status 0 when the connection closes or `ms` pass before a whole answer is there. */
struct answer dialog_answer(struct dialog *, int ms);
/* True when the peer closed within `ms` and sent nothing more. */
bool dialog_closed(struct dialog *, int ms);
void dialog_close(struct dialog *);

/* Member of the JSON body as text, "" when missing. */
const char *answer_str(const struct answer *, const char *path);

int port_of(const char *url); /* "http://127.0.0.1:1234..." */

#endif
