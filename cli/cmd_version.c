#include <stdio.h>

#include <curl/curl.h>
#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <openssl/crypto.h>

#include "cli/command.h"
#include "core/json.h"
#include "version.h"

static int run(int argc, char **argv)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	char hiredis[32];
	struct cli cli;
	int status = cli_begin(&cmd_version, NULL, argc, argv, &cli);

	if (status >= 0)
		return status;
	(void)snprintf(hiredis, sizeof(hiredis), "%d.%d.%d", HIREDIS_MAJOR, HIREDIS_MINOR,
		       HIREDIS_PATCH);
	json_add_str(o, "version", GUARD_VERSION);
	json_add_str(o, "libevent", event_get_version());
	json_add_str(o, "libcurl", curl_version_info(CURLVERSION_NOW)->version);
	json_add_str(o, "openssl", OpenSSL_version(OPENSSL_VERSION_STRING));
	json_add_str(o, "hiredis", hiredis);
	if (cli.json)
		printf("%s\n", json_text(o));
	else
		printf("pipeline-guard %s\n", GUARD_VERSION);
	cli_end(&cli);
	return CLI_OK;
}

const struct command cmd_version = {
	.name = "version",
	.group = GROUP_OTHER,
	.summary = "print the version; with --json those of the libraries too",
	.usage = "usage: pipeline-guard version [--json]\n",
	.run = run,
};
