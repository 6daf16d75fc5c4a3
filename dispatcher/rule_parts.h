/*
 * A rule's pattern, cut into its alternatives: on a line that has what one of them needs, only
 * that one is asked. "(?i)(no tax|no rates?)" has two, and a line matches it when it matches one.
 */
#ifndef GUARD_DISPATCHER_RULE_PARTS_H
#define GUARD_DISPATCHER_RULE_PARTS_H

#include "dispatcher/rule.h"

void rule_parts_init(struct rule_parts *, const char *regex);
void rule_parts_done(struct rule_parts *);

#endif
