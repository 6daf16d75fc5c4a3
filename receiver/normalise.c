#include "receiver/normalise.h"

#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "core/mem.h"
#include "core/text.h"
#include "receiver/json_dom.h"

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

void field_tree_init(struct field_tree *t, const struct field *fields, size_t n)
{
	*t = (struct field_tree){ .fields = fields, .n_fields = n, .n_nodes = 1 };
	t->nodes[0].field = -1;
	for (size_t i = 0; i < n; i++) {
		const char *s = fields[i].path;
		size_t at = 0, depth = 0;

		while (*s) {
			bool element = text_starts(s, "[]");
			size_t len = element ? 2 : strcspn(s, ".[");
			size_t next = element ? element_of(t, at) : child_of(t, at, s, len);

			at = next ? next : child_add(t, at, s, len);
			s += len;
			s += *s == '.';
			if (++depth >= FIELD_DEPTH_MAX)
				abort();
		}
		t->nodes[at].field = (int8_t)i;
	}
}

struct walk {
	const struct field_tree *tree;
	char *out;
	struct err *err;
	uint64_t got; /* one bit per field */
};

static bool malformed(struct walk *w, const struct field *f, const char *what)
{
	(void)err_set(w->err, ERR_INPUT, "%s: %s", f->path, what);
	return false;
}

static bool wrong_type(struct walk *w, const struct field *f)
{
	return f->needed ? malformed(w, f, "has the wrong type") : true;
}

static bool is_number(const struct field *f)
{
	return f->type == FIELD_ID || f->type == FIELD_NUM || f->type == FIELD_MAX;
}

static void got(struct walk *w, const struct field *f)
{
	w->got |= UINT64_C(1) << (f - w->tree->fields);
}

static bool no_integer(struct walk *w, const struct field *f)
{
	return f->type == FIELD_ID || f->needed ? malformed(w, f, "is not a usable integer") : true;
}

static bool take_number(struct walk *w, const struct field *f, uint64_t v)
{
	uint64_t before;

	if (v > INT64_MAX)
		return no_integer(w, f);
	memcpy(&before, w->out + f->offset, sizeof(before));
	if (f->type == FIELD_MAX && v < before)
		v = before;
	memcpy(w->out + f->offset, &v, sizeof(v));
	got(w, f);
	return true;
}

static bool take_digits(struct walk *w, const struct field *f, const char *s, size_t n)
{
	char text[24];
	uint64_t v;

	if (f->type == FIELD_ID || !text_copy(text, sizeof(text), s, n) || !text_to_u64(text, &v))
		return no_integer(w, f);
	return take_number(w, f, v);
}

static bool take_text(struct walk *w, const struct field *f, const char *s, size_t n)
{
	char text[40];
	int64_t ms;

	if (is_number(f))
		return take_digits(w, f, s, n);
	/* Only in arrays: the first element that has it. */
	if (w->got >> (f - w->tree->fields) & 1)
		return true;
	if (memchr(s, '\0', n))
		return malformed(w, f, "has a NUL character");
	got(w, f);
	if (f->type == FIELD_TIME) {
		(void)text_copy(text, sizeof(text), s, n);
		ms = text_time_ms(text);
		ms = ms > 0 ? ms : 0;
		memcpy(w->out + f->offset, &ms, sizeof(ms));
	} else if (!text_copy(w->out + f->offset, f->size, s, n) && f->type == FIELD_NAME) {
		return malformed(w, f, "is too long");
	}
	return true;
}

static bool take_scalar(struct walk *w, const struct field *f, const struct json_dom *value)
{
	const char *text;
	size_t n;

	switch (json_dom_type(value)) {
	case JSON_DOM_NULL:
		return true; /* as if it were absent */
	case JSON_DOM_UINT:
		return is_number(f) ? take_number(w, f, json_dom_uint(value)) : wrong_type(w, f);
	case JSON_DOM_NUMBER:
		return is_number(f) ? no_integer(w, f) : wrong_type(w, f);
	case JSON_DOM_TEXT:
		text = json_dom_text(value, &n);
		return take_text(w, f, text, n);
	case JSON_DOM_BOOL:
	case JSON_DOM_OBJECT:
	case JSON_DOM_ARRAY:
		break;
	}
	return wrong_type(w, f);
}

/* An object or array along a path of the table. */
struct place {
	struct walk *walk;
	size_t node;
	uint64_t seen; /* members of this object, one bit per node */
};

static bool on_element(const char *key, size_t n, const struct json_dom *value, void *arg);
static bool on_member(const char *key, size_t n, const struct json_dom *value, void *arg);

static bool take_value(struct walk *w, size_t node, const struct json_dom *value)
{
	const struct field_node *at = &w->tree->nodes[node];
	struct place below = { .walk = w, .node = node };
	enum json_dom_type type = json_dom_type(value);

	if (type == JSON_DOM_OBJECT && at->child)
		return json_dom_each(value, on_member, &below);
	if (type == JSON_DOM_ARRAY && at->element)
		return json_dom_each(value, on_element, &below);
	return at->field < 0 || take_scalar(w, &w->tree->fields[at->field], value);
}

static bool on_member(const char *key, size_t n, const struct json_dom *value, void *arg)
{
	struct place *p = arg;
	size_t node = child_of(p->walk->tree, p->node, key, n);

	if (!node || p->seen >> node & 1)
		return true;
	p->seen |= UINT64_C(1) << node;
	return take_value(p->walk, node, value);
}

static bool on_element(const char *key, size_t n, const struct json_dom *value, void *arg)
{
	struct place *p = arg;

	UNUSED(key);
	UNUSED(n);
	return take_value(p->walk, p->walk->tree->nodes[p->node].element, value);
}

static int check_needed(const struct walk *w)
{
	for (size_t i = 0; i < w->tree->n_fields; i++)
		if (w->tree->fields[i].needed && !(w->got >> i & 1))
			return err_set(w->err, ERR_INPUT, "%s: is missing",
				       w->tree->fields[i].path);
	return 0;
}

/* --- what the parser is stricter about than JSON --------------------------------- */

static size_t digits(const char *s)
{
	return strspn(s, "0123456789");
}

/* The length of the number that s starts with; 0 when it is none. *whole: neither fraction nor
 * exponent. */
static size_t number_length(const char *s, bool *whole)
{
	size_t sign = *s == '-', n = digits(s + sign), i = sign + n, before = i;

	if (!n || (n > 1 && s[sign] == '0'))
		return 0;
	if (s[i] == '.') {
		n = digits(s + i + 1);
		i += 1 + n;
	}
	if (n && (s[i] == 'e' || s[i] == 'E')) {
		i += s[i + 1] == '+' || s[i + 1] == '-' ? 2 : 1;
		n = digits(s + i);
		i += n;
	}
	*whole = i == before;
	return n ? i : 0;
}

/* Bytes of the number; one that no table can want becomes another such, of the same length. */
static size_t mend_number(char *s, bool *mended)
{
	enum { WHOLE_MAX = 19 }; /* longer ones are not in 0..INT64_MAX */
	size_t len = strspn(s, "0123456789+-.eE");
	bool whole = false;

	if (number_length(s, &whole) != len || (whole && len <= WHOLE_MAX))
		return len;
	memset(s, ' ', len);
	s[0] = '0';
	s[1] = '.';
	s[2] = '5';
	*mended = true;
	return len;
}

/* "\ud83d" -> 0xd83d, 0 when there is no such escape of a surrogate. */
static unsigned surrogate_at(const char *s, size_t n)
{
	unsigned char bytes[2];
	unsigned v;

	if (n < 6 || s[0] != '\\' || s[1] != 'u' || !hex_decode(s + 2, 4, bytes, sizeof(bytes)))
		return 0;
	v = (unsigned)bytes[0] << 8 | bytes[1];
	return v >= 0xd800 && v <= 0xdfff ? v : 0;
}

/* Bytes of the escape; half a surrogate pair becomes "?". */
static size_t mend_escape(char *s, size_t n, bool *mended)
{
	unsigned first = surrogate_at(s, n);

	if (!first)
		return n < 2 ? n : 2;
	if (first < 0xdc00 && surrogate_at(s + 6, n - 6) >= 0xdc00)
		return 12;
	s[2] = s[3] = '0';
	s[4] = '3';
	s[5] = 'f';
	*mended = true;
	return 6;
}

/* Whether there was something to mend. s is terminated, since numbers may be last. */
static bool mend(char *s, size_t n)
{
	bool in_text = false, mended = false;

	for (size_t i = 0; i < n;) {
		if (s[i] == '"')
			in_text = !in_text;
		if (in_text && s[i] == '\\')
			i += mend_escape(s + i, n - i, &mended);
		else if (!in_text && (s[i] == '-' || (s[i] >= '0' && s[i] <= '9')))
			i += mend_number(s + i, &mended);
		else
			i++;
	}
	return mended;
}

/*
 * The parser refuses documents with a number that 64 bits do not hold, or with half a
 * surrogate pair. Both are JSON, and as a rule stand where nobody looks.
 */
static enum json_dom_result parse_mended(const char *json, size_t n, const struct json_dom **root,
					 const char **why)
{
	OWNED(freep) char *copy = xmalloc(n + 1);

	memcpy(copy, json, n);
	copy[n] = '\0';
	return mend(copy, n) ? json_dom_parse(copy, n, root, why) : JSON_DOM_MALFORMED;
}

int normalise(const struct field_tree *tree, const char *json, size_t n, void *out, struct err *err)
{
	struct walk w = { .tree = tree, .out = out, .err = err };
	const struct json_dom *root;
	enum json_dom_result rc;
	const char *why;
	bool taken;

	rc = json_dom_parse(json, n, &root, &why);
	if (rc == JSON_DOM_MALFORMED)
		rc = parse_mended(json, n, &root, &why);
	if (rc == JSON_DOM_TOO_DEEP)
		return err_set(err, ERR_INPUT, "json: nested deeper than %d", JSON_DOM_DEPTH_MAX);
	if (rc == JSON_DOM_MALFORMED)
		return err_set(err, ERR_INPUT, "json: malformed: %s", why);
	taken = take_value(&w, 0, root);
	json_dom_done();
	return taken ? check_needed(&w) : -1;
}
