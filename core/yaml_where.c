#include "core/yaml_where.h"

#include <stdlib.h>
#include <string.h>

#include <yaml.h>

/* The value of a key of n bytes; NULL when there is none, or no mapping. */
static yaml_node_t *value_of(yaml_document_t *doc, const yaml_node_t *at, const char *key, size_t n)
{
	if (at->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *p = at->data.mapping.pairs.start; p < at->data.mapping.pairs.top;
	     p++) {
		const yaml_node_t *k = yaml_document_get_node(doc, p->key);

		if (k && k->type == YAML_SCALAR_NODE && k->data.scalar.length == n &&
		    memcmp(k->data.scalar.value, key, n) == 0)
			return yaml_document_get_node(doc, p->value);
	}
	return NULL;
}

static yaml_node_t *item_of(yaml_document_t *doc, const yaml_node_t *at, unsigned long index)
{
	size_t n;

	if (at->type != YAML_SEQUENCE_NODE)
		return NULL;
	n = (size_t)(at->data.sequence.items.top - at->data.sequence.items.start);
	return index < n ? yaml_document_get_node(doc, at->data.sequence.items.start[index]) : NULL;
}

/* One step along the path, which moves on. */
static yaml_node_t *step(yaml_document_t *doc, const yaml_node_t *at, const char **path)
{
	const char *s = *path;
	size_t len;
	char *end;

	if (*s == '[') {
		unsigned long index = strtoul(s + 1, &end, 10);

		*path = end + (*end == ']');
		return item_of(doc, at, index);
	}
	s += *s == '.';
	len = strcspn(s, ".[");
	*path = s + len;
	return value_of(doc, at, s, len);
}

bool yaml_where(const char *yaml, size_t n, const char *path, struct yaml_place *out)
{
	yaml_parser_t parser;
	yaml_document_t doc;
	yaml_node_t *at, *next;

	if (!yaml_parser_initialize(&parser))
		abort();
	yaml_parser_set_input_string(&parser, (const unsigned char *)yaml, n);
	if (!yaml_parser_load(&parser, &doc)) {
		yaml_parser_delete(&parser);
		return false;
	}
	at = yaml_document_get_root_node(&doc);
	while (at && *path && (next = step(&doc, at, &path)) != NULL)
		at = next;
	if (at)
		*out = (struct yaml_place){ (unsigned)at->start_mark.line + 1,
					    (unsigned)at->start_mark.column + 1 };
	yaml_document_delete(&doc);
	yaml_parser_delete(&parser);
	return at != NULL;
}
