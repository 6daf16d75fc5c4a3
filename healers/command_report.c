#include "healers/command_report.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/audit.h"
#include "core/json.h"
#include "core/metrics.h"
#include "healers/healer.h"
#include "healers/security.h"

void command_report(const char *command, const struct security_verdict *v)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	char why[400];

	security_say(v, why, sizeof(why));
	json_add_str(o, "command", command);
	json_add_bool(o, "allowed", v->allowed);
	json_add_i64(o, "score", v->score);
	json_add_str(o, "why", why);
	printf("%s\n", json_text(o));
	(void)fflush(stdout);
}

bool command_report_audit(struct attempt *at, struct json_object *line)
{
	const char *command = json_str(line, "command", "");
	bool allowed = json_flag(line, "allowed", false);
	char score[24];

	if (!*command)
		return false;
	(void)snprintf(score, sizeof(score), "%" PRId64, json_i64(line, "score", 0));
	audit_write(at->audit, "command", "repo", at->run.repo, "strategy", at->healer->name,
		    "command", command, "verdict", allowed ? "allowed" : "blocked", "score", score,
		    "why", json_str(line, "why", ""), (char *)NULL);
	if (!allowed)
		metrics_add("security_violations_total", "reason=\"command\"", 1);
	return true;
}
