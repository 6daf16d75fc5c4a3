#include "healers/provider_api.h"

#include <string.h>

#include "core/conf.h"

static const struct conf_option options[] = {
	{ "github.api_url", CONF_STR, "https://api.github.com", NULL, NULL,
	  "GitHub's REST API; https://HOST/api/v3 for GitHub Enterprise Server. Plain http only on "
	  "loopback." },
	{ "github.api_version", CONF_STR, "2022-11-28", NULL, NULL,
	  "X-GitHub-Api-Version that is asked for." },
	{ "github.token", CONF_SECRET, NULL, NULL, NULL,
	  "Access token; a list during rotation, the next one is used when GitHub refuses the "
	  "first." },
	{ "github.app_id", CONF_STR, NULL, NULL, NULL,
	  "Id of a GitHub App (its number or client id), instead of a token." },
	{ "github.app_key_file", CONF_STR, NULL, NULL, NULL,
	  "The App's private key, the .pem file that GitHub gave you." },
	{ "github.timeout", CONF_DURATION, "30s", "100ms", "10m",
	  "A call that takes longer than this has no answer; four times as long for logs." },
	{ "github.write_interval", CONF_DURATION, "1s", "0s", "1m",
	  "Least time between two calls that change something, one at a time; 0 removes both." },
	{ "github.log_max", CONF_SIZE, "16m", "64k", "256m",
	  "Of a longer job log only the end is read." },
	{ "github.archive_max", CONF_SIZE, "64m", "64k", "512m",
	  "Largest run archive that is fetched when a job's own log is gone." },
	{ "gitlab.url", CONF_STR, "https://gitlab.com", NULL, NULL,
	  "GitLab's address, without /api/v4. Plain http only on loopback." },
	{ "gitlab.token", CONF_SECRET, NULL, NULL, NULL,
	  "Access token with the scope api; a list during rotation, the next one is used when "
	  "GitLab "
	  "refuses the first." },
	{ "gitlab.sources", CONF_STR, "gitlab", NULL, NULL,
	  "Names of the webhook sources that this GitLab sends; what others send is only "
	  "recorded." },
	{ "gitlab.groups", CONF_STR, NULL, NULL, NULL,
	  "Groups whose projects the monitor looks at, with those below them: a list of paths; "
	  "default: all projects the token's user is a member of." },
	{ "gitlab.timeout", CONF_DURATION, "30s", "100ms", "10m",
	  "A call that takes longer than this has no answer; four times as long for logs." },
	{ "gitlab.write_interval", CONF_DURATION, "0s", "0s", "1m",
	  "Least time between two re-runs, one at a time; 0 removes both." },
	{ "gitlab.log_max", CONF_SIZE, "16m", "64k", "256m",
	  "Of a longer job log only the end is read." },
	{ "jenkins.url", CONF_STR, NULL, NULL, NULL,
	  "Jenkins' address, with the path it is served under. Plain http only on loopback." },
	{ "jenkins.user", CONF_STR, NULL, NULL, NULL, "Jenkins user the guard acts as." },
	{ "jenkins.token", CONF_SECRET, NULL, NULL, NULL,
	  "API token of that user; a password works too, but costs a crumb and a session for each "
	  "re-run." },
	{ "jenkins.sources", CONF_STR, "jenkins", NULL, NULL,
	  "Names of the webhook sources that this Jenkins sends; what others send is only "
	  "recorded." },
	{ "jenkins.folders", CONF_STR, NULL, NULL, NULL,
	  "Folders whose jobs the monitor looks at, with those below them: names separated by "
	  "commas; default: all that the user can see." },
	{ "jenkins.timeout", CONF_DURATION, "30s", "100ms", "10m",
	  "A call that takes longer than this has no answer; four times as long for logs." },
	{ "jenkins.write_interval", CONF_DURATION, "0s", "0s", "1m",
	  "Least time between two re-runs, one at a time; 0 removes both." },
	{ "jenkins.log_max", CONF_SIZE, "16m", "64k", "256m",
	  "Of a longer build log only the end is read." },
};

const struct conf_table provider_api_conf = {
	.title = "Providers",
	.options = options,
	.n = ARRAY_LEN(options),
};

const struct provider_api *const provider_apis[] = {
	&provider_api_github,
	&provider_api_gitlab,
	&provider_api_jenkins,
	NULL,
};

const struct provider_api *provider_api_find(const char *name)
{
	for (size_t i = 0; provider_apis[i]; i++)
		if (strcmp(provider_apis[i]->name, name) == 0)
			return provider_apis[i];
	return NULL;
}
