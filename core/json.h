/*
 * json-c, for everything off the webhook path: replies of providers, stored
 * findings, what the API and the command line print. Paths are dotted names
 * with array indices: "steps.0.name".
 */
#ifndef GUARD_CORE_JSON_H
#define GUARD_CORE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "core/err.h"

static inline void json_putp(struct json_object **o)
{
	if (*o)
		json_object_put(*o);
}

/* Strict: one value, valid UTF-8, depth at most 32, nothing but space after it. Caller owns *out.
 */
int json_parse(const char *text, size_t n, struct json_object **out, struct err *) MUST_CHECK;

/* NULL when any part of the path is missing or null. Borrowed. */
struct json_object *json_at(struct json_object *, const char *path);

/* A missing member or one of another type gives the default. Strings are borrowed. */
const char *json_str(struct json_object *, const char *path, const char *otherwise);
int64_t json_i64(struct json_object *, const char *path, int64_t otherwise);
double json_num(struct json_object *, const char *path, double otherwise);
bool json_flag(struct json_object *, const char *path, bool otherwise);

/*
 * In the fewest digits that read back as the same number: 0.942, not 0.94199999999999995.
 * NULL for what JSON has no word for.
 */
struct json_object *json_new_num(double value);

/* Adders that return nothing, so that a record is written as a list of lines. NULL strings are left
 * out. */
void json_add(struct json_object *, const char *key, struct json_object *value);
void json_add_str(struct json_object *, const char *key, const char *value);
void json_add_i64(struct json_object *, const char *key, int64_t value);
void json_add_num(struct json_object *, const char *key, double value);
void json_add_bool(struct json_object *, const char *key, bool value);

/* Compact text without escaped slashes; borrowed from the object. */
const char *json_text(struct json_object *);

#endif
