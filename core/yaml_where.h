/* Where something is in a YAML text, for messages about a value that parsed but makes no sense. */
#ifndef GUARD_CORE_YAML_WHERE_H
#define GUARD_CORE_YAML_WHERE_H

#include <stdbool.h>
#include <stddef.h>

struct yaml_place {
	unsigned line, column; /* from 1 */
};

/*
 * Path as "rules[2].when.branch[0]". A path of which only the front exists gives the place of
 * that front: what is missing would have to be there. False when the text is no YAML.
 */
bool yaml_where(const char *yaml, size_t n, const char *path, struct yaml_place *out);

#endif
