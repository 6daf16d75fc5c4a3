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

static size_t node_add(struct field_tree *t, const char *name, size_t len)
{
	size_t i = t->n_nodes++;

	if (i >= FIELD_NODES_MAX || len > UINT8_MAX)
		abort();
	t->nodes[i] = (struct field_node){ .name = name, .len = (uint8_t)len, .field = -1 };
	return i;
}

static size_t child_add(struct field_tree *t, size_t parent, const char *name, size_t len)
{
	size_t i = node_add(t, name, len);

	t->nodes[i].sibling = t->nodes[parent].child;
	t->nodes[parent].child = (uint8_t)i;
	return i;
}

static size_t element_of(struct field_tree *t, size_t parent)
{
	if (!t->nodes[parent].element) {
		size_t i = node_add(t, "", 0);

		t->nodes[parent].element = (uint8_t)i;
	}
	return t->nodes[parent].element;
}

/* Node `at` is below each of the elements. */
static void note_below(struct field_tree *t, uint64_t elements, size_t at)
{
	for (size_t i = 0; i < t->n_nodes; i++)
		if (elements >> i & 1)
			t->nodes[i].below |= UINT64_C(1) << at;
}

void field_tree_init(struct field_tree *t, const struct field *fields, size_t n)
{
	*t = (struct field_tree){ .fields = fields, .n_fields = n, .n_nodes = 1 };
	t->nodes[0].field = -1;
	for (size_t i = 0; i < n; i++) {
		const char *s = fields[i].path;
		size_t at = 0, depth = 0;
		uint64_t elements = 0;

		while (*s) {
			bool element = text_starts(s, "[]");
			size_t len = element ? 2 : strcspn(s, ".[");
			size_t next = element ? element_of(t, at) : child_of(t, at, s, len);

			at = next ? next : child_add(t, at, s, len);
			note_below(t, elements, at);
			elements |= (uint64_t)element << at;
			s += len;
			s += *s == '.';
			if (++depth >= FIELD_DEPTH_MAX)
				abort();
		}
		t->nodes[at].field = (int8_t)i;
	}
}

/*
 * Where the parser is. `level` counts the maps and arrays entered along a path of the
 * table, -1 before the outermost; inside anything else `skip` counts instead.
 */
struct walk {
	const struct field_tree *tree;
	char *out;
	struct err *err;
	unsigned depth, skip;
	int level;
	size_t at[FIELD_DEPTH_MAX];
	bool array[FIELD_DEPTH_MAX]; /* at[] is an array, and its values have no keys */
	size_t match;                /* node of the key just read, 0: nobody wants it */
	uint64_t visited, got;
	bool failed;
};

static int malformed(struct walk *w, const struct field *f, const char *what)
{
	w->failed = true;
	(void)err_set(w->err, ERR_INPUT, "%s: %s", f->path, what);
	return 0;
}

/* The node that the value at hand is for, 0 when there is none; its key is used up. */
static size_t take_match(struct walk *w)
{
	size_t match = w->match;

	w->match = 0;
	if (w->skip || w->level < 0)
		return 0;
	return w->array[w->level] ? w->tree->nodes[w->at[w->level]].element : match;
}

static const struct field *field_of(const struct walk *w, size_t match)
{
	int i = match ? w->tree->nodes[match].field : -1;

	return i < 0 ? NULL : &w->tree->fields[i];
}

static const struct field *take_field(struct walk *w)
{
	return field_of(w, take_match(w));
}

static int wrong_type(struct walk *w, const struct field *f)
{
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
	return wrong_type(arg, take_field(arg));
}

static bool is_number(const struct field *f)
{
	return f->type == FIELD_ID || f->type == FIELD_NUM || f->type == FIELD_MAX;
}

static int take_number(struct walk *w, const struct field *f, const char *s, size_t n)
{
	char text[24];
	uint64_t v, before;

	if (!text_copy(text, sizeof(text), s, n) || !text_to_u64(text, &v) || v > INT64_MAX)
		return f->type == FIELD_ID || f->needed ? malformed(w, f, "is not a usable integer")
							: 1;
	memcpy(&before, w->out + f->offset, sizeof(before));
	if (f->type == FIELD_MAX && v < before)
		v = before;
	memcpy(w->out + f->offset, &v, sizeof(v));
	got(w, f);
	return 1;
}

static int on_number(void *arg, const char *s, size_t n)
{
	struct walk *w = arg;
	const struct field *f = take_field(w);

	if (!f)
		return 1;
	return is_number(f) ? take_number(w, f, s, n) : wrong_type(w, f);
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
	if (is_number(f))
		return take_number(w, f, (const char *)s, n);
	/* Only in arrays: the first element that has it. */
	if (w->got >> (f - w->tree->fields) & 1)
		return 1;
	if (memchr(s, '\0', n))
		return malformed(w, f, "has a NUL character");
	if (!utf8_valid(s, n)) /* the parser lets half a surrogate pair through */
		return malformed(w, f, "is not UTF-8");
	got(w, f);
	if (f->type == FIELD_TIME) {
		(void)text_copy(text, sizeof(text), (const char *)s, n);
		ms = text_time_ms(text);
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

/* Goes into the map or array of a node that has paths below it, past any other. */
static int enter(struct walk *w, size_t node, bool array)
{
	w->level++;
	w->at[w->level] = node;
	w->array[w->level] = array;
	return 1;
}

static int pass(struct walk *w, size_t match)
{
	if (!wrong_type(w, field_of(w, match)))
		return 0;
	w->skip++;
	return 1;
}

static int on_map(void *arg)
{
	struct walk *w = arg;
	bool outermost = w->level < 0 && !w->skip;
	size_t match = take_match(w);

	if (!deeper(w))
		return 0;
	/* The root is node 0, and so is no match. */
	if (!outermost && (!match || !w->tree->nodes[match].child))
		return pass(w, match);
	w->visited &= ~w->tree->nodes[match].below; /* each element has its own keys */
	return enter(w, match, false);
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

static int on_end(void *arg)
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
	size_t match = take_match(w);

	if (!deeper(w))
		return 0;
	if (!match || !w->tree->nodes[match].element)
		return pass(w, match);
	return enter(w, match, true);
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_bool,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_map,
	.yajl_map_key = on_map_key,
	.yajl_end_map = on_end,
	.yajl_start_array = on_array,
	.yajl_end_array = on_end,
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
