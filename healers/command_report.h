/*
 * How a child of ours tells which commands it wanted to run, and what the auditor said: a line of
 * JSON each, before the command runs. Its parent, who has the audit log, puts them there.
 */
#ifndef GUARD_HEALERS_COMMAND_REPORT_H
#define GUARD_HEALERS_COMMAND_REPORT_H

#include <stdbool.h>

struct attempt;
struct json_object;
struct security_verdict;

/* In the child: to standard output. */
void command_report(const char *command, const struct security_verdict *);
/* In its parent: false when the line is about something else. */
bool command_report_audit(struct attempt *, struct json_object *line);

#endif
