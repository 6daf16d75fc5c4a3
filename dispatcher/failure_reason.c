#include "dispatcher/failure_reason.h"

#include <stddef.h>
#include <string.h>

#include "core/finding.h"
#include "core/mem.h"
#include "dispatcher/detector.h"
#include "dispatcher/fingerprint.h"

/* "script_failure" and "unknown_failure" say nothing that is not in the log. */
static const struct reason {
	const char *reason, *category, *subcategory;
	bool transient;
	double confidence;
	const char *title;
} reasons[] = {
	{ "runner_system_failure", "infrastructure_failure", "runner_lost", true, 0.85,
	  "The runner failed, not the job" },
	{ "stuck_or_timeout_failure", "infrastructure_failure", "no_runner", true, 0.7,
	  "No runner took the job in time, or it was lost" },
	{ "stuck_pending_failure", "infrastructure_failure", "no_runner", true, 0.7,
	  "No runner took the job in time" },
	{ "job_execution_timeout", "timeout", "job", false, 0.7,
	  "The job took longer than it may" },
	{ "api_failure", "infrastructure_failure", "ci_server", true, 0.8,
	  "The runner could not reach GitLab" },
	{ "scheduler_failure", "infrastructure_failure", "ci_server", true, 0.8,
	  "GitLab could not hand the job to a runner" },
	{ "data_integrity_failure", "infrastructure_failure", "ci_server", true, 0.7,
	  "GitLab's own data of the job was not sound" },
	{ "runner_unsupported", "config_error", "runner", false, 0.9,
	  "The runner is too old for what the job asks" },
	{ "no_matching_runner", "config_error", "runner", false, 0.9,
	  "No runner has the tags that the job asks for" },
	{ "missing_dependency_failure", "config_error", "artifacts", false, 0.8,
	  "Artifacts the job depends on are gone" },
	{ "ci_quota_exceeded", "resource_exhaustion", "quota", false, 0.95,
	  "The compute minutes are used up" },
	{ "trace_size_exceeded", "resource_exhaustion", "log_size", false, 0.9,
	  "The job wrote more log than GitLab keeps" },
	{ "archived_failure", "config_error", "archived", false, 0.9,
	  "The project or the job is archived" },
	{ "user_blocked", "auth_failure", "user", false, 0.95,
	  "The user who owns the job is blocked" },
	{ "unmet_prerequisites", "config_error", "environment", false, 0.7,
	  "What the job needs before it starts could not be set up" },
	{ "environment_creation_failure", "deployment_failure", "environment", false, 0.8,
	  "The environment of the job could not be made" },
	{ "forward_deployment_failure", "deployment_failure", "outdated", false, 0.95,
	  "A newer deployment has taken place" },
	/* Of a Jenkins build. */
	{ "unstable", "test_failure", "", false, 0.65,
	  "The build is unstable: as a rule, tests failed" },
};

void failure_reason_weigh(const char *reason, struct arena *a, struct finding *f)
{
	const struct reason *row = NULL;
	struct finding said = *f;

	for (size_t i = 0; i < ARRAY_LEN(reasons) && !row; i++)
		if (strcmp(reasons[i].reason, reason) == 0)
			row = &reasons[i];
	if (!row)
		return;
	said.category = row->category;
	said.subcategory = row->subcategory;
	said.confidence = row->confidence;
	said.transient = row->transient;
	said.title = row->title;
	said.rule = arena_printf(a, "api/%s", reason);
	said.n_suggestions = said.n_alternatives = 0;
	if (finding_compare(&said, f) >= 0)
		return;
	fingerprint_of(said.category, &row->reason, 1, said.fingerprint);
	*f = said;
}
