/*
 * JSON body -> C struct by a table of fields: what no path can reach is stepped over. Strict
 * about what is needed, indifferent to everything else that is JSON, so that a sender may
 * add fields as it likes.
 */
#ifndef GUARD_RECEIVER_NORMALISE_H
#define GUARD_RECEIVER_NORMALISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

enum field_type {
	FIELD_TEXT, /* string into char[], cut at a UTF-8 border */
	FIELD_NAME, /* string into char[], refused when it does not fit: identities are never cut */
	FIELD_ID,   /* integer 0..INT64_MAX into uint64_t; anything else is malformed */
	FIELD_TIME, /* text_time_ms() of a string into int64_t; 0 when it is no time */
	FIELD_NUM,  /* integer as FIELD_ID, or its digits as a string; anything else is absent */
	FIELD_MAX,  /* as FIELD_NUM; the largest counts, over all elements of arrays */
};

struct field {
	/*
	 * "workflow_run.head_repository.full_name"; "builds[].id" is in every element of an
	 * array, where the first text and the largest FIELD_MAX count.
	 */
	const char *path;
	enum field_type type;
	bool needed; /* absent, null or of another type: malformed. Otherwise those are ignored. */
	size_t offset, size;
};
#define FIELD(path, type, needed, strct, member)                                             \
	{                                                                                    \
		path, type, needed, offsetof(strct, member), sizeof(((strct *)NULL)->member) \
	}

/* The paths of a table as a tree; made by field_tree_init(), at most FIELD_NODES_MAX parts. */
enum { FIELD_NODES_MAX = 64, FIELD_DEPTH_MAX = 6 };
struct field_tree {
	const struct field *fields;
	size_t n_fields;
	struct field_node {
		const char *name;            /* not terminated */
		uint8_t len, child, sibling; /* 0: none */
		uint8_t element;             /* of an array here; 0: none */
		int8_t field;                /* -1: a part of other paths only */
	} nodes[FIELD_NODES_MAX];
	size_t n_nodes;
};
/* A table that does not fit is a bug and aborts. The table must outlive the tree. */
void field_tree_init(struct field_tree *, const struct field *fields, size_t n);

/*
 * Fills the zeroed struct at `out`. Of duplicate keys the first counts, at every level.
 * Nesting beyond JSON_DOM_DEPTH_MAX is malformed. ERR_INPUT says what is malformed, without
 * quoting the body.
 */
int normalise(const struct field_tree *, const char *json, size_t n, void *out,
	      struct err *) MUST_CHECK;

#endif
