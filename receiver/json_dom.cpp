#include "receiver/json_dom.h"

#include <cstdlib>
#include <new>

#include <malloc.h>
#include <simdjson.h>

namespace dom = simdjson::dom;

/* Up to here a parser is kept; it takes about ten times as much. */
static const size_t KEEP_BYTES = 256u << 10;

static dom::parser *parser;
static dom::element root_element;

static const dom::element &element_of(const struct json_dom *v)
{
	return *reinterpret_cast<const dom::element *>(v);
}

static const struct json_dom *value_of(const dom::element &e)
{
	return reinterpret_cast<const struct json_dom *>(&e);
}

static void parser_ready()
{
	if (parser)
		return;
	parser = new (std::nothrow) dom::parser;
	/* It wants one more than it grants. */
	if (!parser || parser->allocate(KEEP_BYTES, JSON_DOM_DEPTH_MAX + 1) != simdjson::SUCCESS)
		abort();
}

enum json_dom_result json_dom_parse(const char *json, size_t n, const struct json_dom **root,
				    const char **why)
{
	parser_ready();
	simdjson::error_code code = parser->parse(json, n).get(root_element);
	if (code == simdjson::SUCCESS) {
		*root = value_of(root_element);
		return JSON_DOM_OK;
	}
	json_dom_done();
	if (code == simdjson::MEMALLOC)
		abort();
	*why = simdjson::error_message(code);
	return code == simdjson::DEPTH_ERROR ? JSON_DOM_TOO_DEEP : JSON_DOM_MALFORMED;
}

void json_dom_done(void)
{
	if (parser->capacity() <= KEEP_BYTES)
		return;
	delete parser;
	parser = nullptr;
#ifdef __GLIBC__
	(void)malloc_trim(0);
#endif
}

enum json_dom_type json_dom_type(const struct json_dom *v)
{
	switch (element_of(v).type()) {
	case dom::element_type::ARRAY:
		return JSON_DOM_ARRAY;
	case dom::element_type::OBJECT:
		return JSON_DOM_OBJECT;
	case dom::element_type::INT64:
		return int64_t(element_of(v).get_int64().value_unsafe()) < 0 ? JSON_DOM_NUMBER
									     : JSON_DOM_UINT;
	case dom::element_type::UINT64:
		return JSON_DOM_UINT;
	case dom::element_type::STRING:
		return JSON_DOM_TEXT;
	case dom::element_type::BOOL:
		return JSON_DOM_BOOL;
	case dom::element_type::NULL_VALUE:
		return JSON_DOM_NULL;
	case dom::element_type::DOUBLE:
		break;
	}
	return JSON_DOM_NUMBER;
}

uint64_t json_dom_uint(const struct json_dom *v)
{
	uint64_t n = 0;

	if (element_of(v).get_uint64().get(n) != simdjson::SUCCESS)
		abort();
	return n;
}

const char *json_dom_text(const struct json_dom *v, size_t *n)
{
	std::string_view text;

	if (element_of(v).get_string().get(text) != simdjson::SUCCESS)
		abort();
	*n = text.size();
	return text.data();
}

static bool each_member(const dom::object &object, json_dom_fn *fn, void *arg)
{
	for (dom::object::iterator it = object.begin(), end = object.end(); it != end; ++it) {
		std::string_view key = it.key();
		dom::element value = it.value();

		if (!fn(key.data(), key.size(), value_of(value), arg))
			return false;
	}
	return true;
}

static bool each_element(const dom::array &array, json_dom_fn *fn, void *arg)
{
	for (dom::element value : array)
		if (!fn(nullptr, 0, value_of(value), arg))
			return false;
	return true;
}

bool json_dom_each(const struct json_dom *v, json_dom_fn *fn, void *arg)
{
	dom::object object;
	dom::array array;

	if (element_of(v).get_object().get(object) == simdjson::SUCCESS)
		return each_member(object, fn, arg);
	return element_of(v).get_array().get(array) != simdjson::SUCCESS ||
	       each_element(array, fn, arg);
}
