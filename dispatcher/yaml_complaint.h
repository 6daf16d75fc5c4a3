/* How files of ours are read by libcyaml, and what it says of one that does not fit. */
#ifndef GUARD_DISPATCHER_YAML_COMPLAINT_H
#define GUARD_DISPATCHER_YAML_COMPLAINT_H

#include <cyaml/cyaml.h>

/* Empty it first. Says the fault and where it is, with line and column. */
struct yaml_complaint {
	char text[200];
};

/* Without aliases. The complaint is borrowed as long as the result is used; NULL: for freeing. */
cyaml_config_t yaml_config(struct yaml_complaint *);

#endif
