/*
 * A JSON document, checked as a whole (RFC 8259, UTF-8) and then read where somebody is
 * interested; what nobody asks for is stepped over. By simdjson, which is C++: nothing of that
 * passes through here, no exception either (docs/adr/0016).
 */
#ifndef GUARD_RECEIVER_JSON_DOM_H
#define GUARD_RECEIVER_JSON_DOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A value of the document read last; gone with json_dom_done(). */
struct json_dom;

enum json_dom_type {
	JSON_DOM_NULL,
	JSON_DOM_BOOL,
	JSON_DOM_UINT,   /* an integer from 0 to UINT64_MAX */
	JSON_DOM_NUMBER, /* any other number */
	JSON_DOM_TEXT,
	JSON_DOM_OBJECT,
	JSON_DOM_ARRAY,
};

enum json_dom_result { JSON_DOM_OK, JSON_DOM_MALFORMED, JSON_DOM_TOO_DEEP };

/* Objects and arrays within each other; an empty one at the end is not counted. */
enum { JSON_DOM_DEPTH_MAX = 64 };

/*
 * One document at a time, which is copied: after JSON_DOM_OK call json_dom_done() before the next.
 * MALFORMED: *why says how, without quoting. Numbers that no 64 bits hold and escaped halves
 * of surrogate pairs are malformed too.
 */
enum json_dom_result json_dom_parse(const char *json, size_t n, const struct json_dom **root,
				    const char **why);
/* Keeps what the next document of usual size needs and gives the rest back to the system. */
void json_dom_done(void);

enum json_dom_type json_dom_type(const struct json_dom *);
uint64_t json_dom_uint(const struct json_dom *);
/* Not terminated. */
const char *json_dom_text(const struct json_dom *, size_t *n);

/*
 * Calls fn for each member of an object (duplicates too, in their order), or for each element of
 * an array with key NULL, until it returns false; returns whether it never did.
 */
typedef bool json_dom_fn(const char *key, size_t n, const struct json_dom *value, void *arg);
bool json_dom_each(const struct json_dom *, json_dom_fn *, void *arg);

#ifdef __cplusplus
}
#endif

#endif
