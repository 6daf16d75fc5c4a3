#include "receiver/normalise.h"

#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include "core/text.h"

_Static_assert(FIELD_NODES_MAX <= 64, "one bit per node");

static size_t child_of(const struct field_tree *t, size_t parent, const char *name, size_t len)
{
	for (size_t i = t->nodes[parent].child; i; i = t->nodes[i].sibling)
		if (t->nodes[i].len == len && memcmp(t->nodes[i].name, name, len) == 0)
			return i;
	return 0;
}

static size_t child_add(struct field_tree *t, size_t parent, const char *name, size_t len)
{
	size_t i = t->n_nodes++;

	if (i >= FIELD_NODES_MAX || len > UINT8_MAX)
		abort();
	t->nodes[i] = (struct field_node){
		.name = name, .len = (uint8_t)len, .sibling = t->nodes[parent].child, .field = -1
	};
	t->nodes[parent].child = (uint8_t)i;
	return i;
}

void field_tree_init(struct field_tree *t, const struct field *fields, size_t n)
{
	*t = (struct field_tree){ .fields = fields, .n_fields = n, .n_nodes = 1 };
	t->nodes[0].field = -1;
	for (size_t i = 0; i < n; i++) {
		const char *s = fields[i].path;
		size_t at = 0, depth = 0;

		while (*s) {
			size_t len = strcspn(s, ".");
			size_t next = child_of(t, at, s, len);

			at = next ? next : child_add(t, at, s, len);
			s += len;
			s += *s == '.';
			if (++depth >= FIELD_DEPTH_MAX)
				abort();
		}
		t->nodes[at].field = (int8_t)i;
	}
}

/*
 * Where the parser is. `level` counts the maps entered along a path of the
 * table, -1 before the outermost; inside anything else `skip` counts instead.
 */
struct walk {
	const struct field_tree *tree;
	char *out;
	struct err *err;
	unsigned depth, skip;
	int level;
	size_t at[FIELD_DEPTH_MAX];
	size_t match; /* node of the key just read, 0: nobody wants it */
	uint64_t visited, got;
	bool failed;
};

static int malformed(struct walk *w, const struct field *f, const char *what)
{
	w->failed = true;
	(void)err_set(w->err, ERR_INPUT, "%s: %s", f->path, what);
	return 0;
}

/* The field that the value at hand is for, if any; its key is used up. */
static const struct field *take_field(struct walk *w)
{
	int i = w->skip || !w->match ? -1 : w->tree->nodes[w->match].field;

	w->match = 0;
	return i < 0 ? NULL : &w->tree->fields[i];
}

static int wrong_type(struct walk *w)
{
	const struct field *f = take_field(w);

	return f && f->needed ? malformed(w, f, "has the wrong type") : 1;
}

static void got(struct walk *w, const struct field *f)
{
	w->got |= UINT64_C(1) << (f - w->tree->fields);
}

static int on_null(void *arg)
{
	(void)take_field(arg); /* as if it were absent */
	return 1;
}

static int on_bool(void *arg, int value)
{
	UNUSED(value);
	return wrong_type(arg);
}

static int on_number(void *arg, const char *s, size_t n)
{
	struct walk *w = arg;
	const struct field *f = take_field(w);
	char text[24];
	uint64_t v;

	if (!f)
		return 1;
	if (f->type != FIELD_ID)
		return f->needed ? malformed(w, f, "has the wrong type") : 1;
	if (!text_copy(text, sizeof(text), s, n) || !text_to_u64(text, &v) || v > INT64_MAX)
		return malformed(w, f, "is not a usable integer");
	memcpy(w->out + f->offset, &v, sizeof(v));
	got(w, f);
	return 1;
}

static int on_string(void *arg, const unsigned char *s, size_t n)
{
	struct walk *w = arg;
	const struct field *f = take_field(w);
	char text[40];
	int64_t ms;

	if (!f)
		return 1;
	if (f->type == FIELD_ID)
		return malformed(w, f, "is not a usable integer");
	if (memchr(s, '\0', n))
		return malformed(w, f, "has a NUL character");
	if (!utf8_valid(s, n)) /* the parser lets half a surrogate pair through */
		return malformed(w, f, "is not UTF-8");
	got(w, f);
	if (f->type == FIELD_TIME) {
		(void)text_copy(text, sizeof(text), (const char *)s, n);
		ms = text_iso8601_ms(text);
		ms = ms > 0 ? ms : 0;
		memcpy(w->out + f->offset, &ms, sizeof(ms));
	} else if (!text_copy(w->out + f->offset, f->size, (const char *)s, n) &&
		   f->type == FIELD_NAME) {
		return malformed(w, f, "is too long");
	}
	return 1;
}

static int deeper(struct walk *w)
{
	if (++w->depth <= NORMALISE_DEPTH_MAX)
		return 1;
	w->failed = true;
	(void)err_set(w->err, ERR_INPUT, "json: nested deeper than %d", NORMALISE_DEPTH_MAX);
	return 0;
}

static int on_map(void *arg)
{
	struct walk *w = arg;
	size_t match = w->match;

	if (!deeper(w))
		return 0;
	if (w->skip || (w->level >= 0 && (!match || !w->tree->nodes[match].child))) {
		if (!wrong_type(w))
			return 0;
		w->skip++;
		return 1;
	}
	w->level++;
	w->at[w->level] = match; /* the root is node 0, and so is no match */
	w->match = 0;
	return 1;
}

static int on_map_key(void *arg, const unsigned char *s, size_t n)
{
	struct walk *w = arg;

	if (w->skip)
		return 1;
	w->match = child_of(w->tree, w->at[w->level], (const char *)s, n);
	if (w->match && w->visited >> w->match & 1)
		w->match = 0;
	w->visited |= (uint64_t)(w->match != 0) << w->match;
	return 1;
}

static int on_map_end(void *arg)
{
	struct walk *w = arg;

	w->depth--;
	if (w->skip)
		w->skip--;
	else
		w->level--;
	return 1;
}

static int on_array(void *arg)
{
	struct walk *w = arg;

	if (!deeper(w))
		return 0;
	if (!wrong_type(w))
		return 0;
	w->skip++;
	return 1;
}

static int on_array_end(void *arg)
{
	struct walk *w = arg;

	w->depth--;
	w->skip--;
	return 1;
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_bool,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_map,
	.yajl_map_key = on_map_key,
	.yajl_end_map = on_map_end,
	.yajl_start_array = on_array,
	.yajl_end_array = on_array_end,
};

static int check_needed(const struct walk *w)
{
	for (size_t i = 0; i < w->tree->n_fields; i++)
		if (w->tree->fields[i].needed && !(w->got >> i & 1))
			return err_set(w->err, ERR_INPUT, "%s: is missing",
				       w->tree->fields[i].path);
	return 0;
}

int normalise(const struct field_tree *tree, const char *json, size_t n, void *out, struct err *err)
{
	struct walk w = { .tree = tree, .out = out, .err = err, .level = -1 };
	yajl_handle parser = yajl_alloc(&callbacks, NULL, &w);
	yajl_status rc;

	if (!parser)
		abort();
	rc = yajl_parse(parser, (const unsigned char *)json, n);
	if (rc == yajl_status_ok)
		rc = yajl_complete_parse(parser);
	if (rc != yajl_status_ok && !w.failed)
		(void)err_set(err, ERR_INPUT, "json: malformed at byte %zu",
			      yajl_get_bytes_consumed(parser));
	yajl_free(parser);
	return rc == yajl_status_ok ? check_needed(&w) : -1;
}
