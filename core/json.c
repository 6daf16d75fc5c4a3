#include "core/json.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"

enum { DEPTH_MAX = 32, TEXT_MAX = 512 << 20 };

/*
 * json-c 0.18, which Debian 13 has, is so strict that it takes every byte over 0x7f for a
 * control character (its issue 875). There a text is rewritten in escapes before it is parsed.
 */
static bool refuses_utf8(void)
{
	static int answer = -1;

	if (answer < 0) {
		struct json_tokener *tok = json_tokener_new();
		struct json_object *o;

		if (!tok)
			abort();
		json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
		o = json_tokener_parse_ex(tok, "\"\xc3\xa9\"", 4);
		answer = !o;
		json_object_put(o);
		json_tokener_free(tok);
	}
	return answer;
}

static char *put_unit(char *out, unsigned unit)
{
	static const char hex[] = "0123456789abcdef";

	*out++ = '\\';
	*out++ = 'u';
	for (int shift = 12; shift >= 0; shift -= 4)
		*out++ = hex[unit >> shift & 15];
	return out;
}

/* One sequence of 2 to 4 bytes, as one or two UTF-16 units. */
static char *put_escaped(char *out, const unsigned char *s, size_t len)
{
	unsigned c = s[0] & (0xffu >> (len + 1));

	for (size_t i = 1; i < len; i++)
		c = c << 6 | (s[i] & 0x3f);
	if (c < 0x10000)
		return put_unit(out, c);
	c -= 0x10000;
	return put_unit(put_unit(out, 0xd800 | c >> 10), 0xdc00 | (c & 0x3ff));
}

/* Valid UTF-8 without bytes over 0x7f, except after a backslash: that is wrong and stays so. */
static char *in_escapes(const char *text, size_t n, size_t *out_n)
{
	const unsigned char *s = (const unsigned char *)text;
	char *out = xmalloc(3 * n + 1), *end = out;
	bool escape = false;

	for (size_t i = 0, len; i < n; i += len) {
		len = escape ? 1 : utf8_sequence(s + i, n - i);
		if (len > 1) {
			end = put_escaped(end, s + i, len);
		} else {
			*end++ = text[i];
			len = 1; /* what follows such a backslash is no sequence any more */
		}
		escape = s[i] == '\\' && !escape;
	}
	*out_n = (size_t)(end - out);
	return out;
}

int json_parse(const char *text, size_t n, struct json_object **out, struct err *err)
{
	OWNED(freep) char *escaped = NULL;
	struct json_tokener *tok;
	struct json_object *root;
	enum json_tokener_error why;
	size_t end;

	if (n > TEXT_MAX)
		return err_set(err, ERR_INPUT, "json: too large");
	/* json-c's own check lets overlong forms and surrogates pass. */
	if (!utf8_valid((const unsigned char *)text, n))
		return err_set(err, ERR_INPUT, "json: not UTF-8");
	if (refuses_utf8()) {
		escaped = in_escapes(text, n, &n);
		text = escaped;
	}
	tok = json_tokener_new_ex(DEPTH_MAX);
	if (!tok)
		abort();
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	root = json_tokener_parse_ex(tok, text, (int)n);
	why = json_tokener_get_error(tok);
	/* A bare number ends only when something follows it. */
	if (why == json_tokener_continue) {
		root = json_tokener_parse_ex(tok, "", 1);
		why = json_tokener_get_error(tok);
		end = n;
	} else {
		end = json_tokener_get_parse_end(tok);
	}
	json_tokener_free(tok);
	if (why != json_tokener_success) {
		json_object_put(root);
		return err_set(err, ERR_INPUT, "json: %s at byte %zu",
			       why == json_tokener_continue ? "cut off"
							    : json_tokener_error_desc(why),
			       end);
	}
	while (end < n && isspace((unsigned char)text[end]))
		end++;
	if (end < n) {
		json_object_put(root);
		return err_set(err, ERR_INPUT, "json: something follows the value at byte %zu",
			       end);
	}
	*out = root;
	return 0;
}

struct json_object *json_at(struct json_object *o, const char *path)
{
	char name[64];

	while (o && *path) {
		size_t n = strcspn(path, ".");

		if (!text_copy(name, sizeof(name), path, n))
			return NULL;
		if (json_object_is_type(o, json_type_array)) {
			uint64_t i;

			o = text_to_u64(name, &i) ? json_object_array_get_idx(o, i) : NULL;
		} else if (!json_object_is_type(o, json_type_object) ||
			   !json_object_object_get_ex(o, name, &o)) {
			return NULL;
		}
		path += n + (path[n] == '.');
	}
	return o;
}

const char *json_str(struct json_object *o, const char *path, const char *otherwise)
{
	o = json_at(o, path);
	return json_object_is_type(o, json_type_string) ? json_object_get_string(o) : otherwise;
}

int64_t json_i64(struct json_object *o, const char *path, int64_t otherwise)
{
	o = json_at(o, path);
	return json_object_is_type(o, json_type_int) ? json_object_get_int64(o) : otherwise;
}

double json_num(struct json_object *o, const char *path, double otherwise)
{
	double v = otherwise;

	o = json_at(o, path);
	if (json_object_is_type(o, json_type_double) || json_object_is_type(o, json_type_int))
		v = json_object_get_double(o);
	/* json-c reads NaN and Infinity, which nobody here can work with. */
	return isfinite(v) ? v : otherwise;
}

bool json_flag(struct json_object *o, const char *path, bool otherwise)
{
	o = json_at(o, path);
	return json_object_is_type(o, json_type_boolean) ? json_object_get_boolean(o) : otherwise;
}

void json_add(struct json_object *o, const char *key, struct json_object *value)
{
	if (json_object_object_add(o, key, value) < 0)
		abort();
}

void json_add_str(struct json_object *o, const char *key, const char *value)
{
	if (value)
		json_add(o, key, json_object_new_string(value));
}

void json_add_i64(struct json_object *o, const char *key, int64_t value)
{
	json_add(o, key, json_object_new_int64(value));
}

struct json_object *json_new_num(double value)
{
	/* So many digits are always right; so many always tell two numbers apart. */
	enum { FIRST = 15, LAST = 17 };
	struct json_object *o;
	char text[40];

	if (!isfinite(value))
		return NULL;
	/* Two bytes are kept for what makes it a fraction. */
	for (int digits = FIRST; digits <= LAST; digits++) {
		(void)snprintf(text, sizeof(text) - 2, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	if (!strpbrk(text, ".e"))
		memcpy(text + strlen(text), ".0", sizeof(".0"));
	o = json_object_new_double_s(value, text);
	if (!o)
		abort();
	return o;
}

void json_add_num(struct json_object *o, const char *key, double value)
{
	json_add(o, key, json_new_num(value));
}

void json_add_bool(struct json_object *o, const char *key, bool value)
{
	json_add(o, key, json_object_new_boolean(value));
}

const char *json_text(struct json_object *o)
{
	return json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							 JSON_C_TO_STRING_NOSLASHESCAPE);
}
