#include "core/settings.h"

#include <string.h>
#include <unistd.h>

#include "core/text.h"
#include "core/tls.h"

static const struct conf_option options[] = {
	{ "region", CONF_STR, "local", NULL, NULL,
	  "Name of this region; part of every Redis key, lower-case letters, digits and dashes." },
	{ "partitions", CONF_INT, "1", "1", "32",
	  "Streams per region; fixed for the life of a region's data." },
	{ "redis.url", CONF_STR, NULL, NULL, NULL,
	  "unix:///path or redis://[user:password@]host[:port][/db]; unset: `start` runs a private "
	  "one." },
	{ "redis.timeout", CONF_DURATION, "3s", "50ms", "60s",
	  "A Redis that takes longer than this for a reply counts as gone." },
	{ "dead_letters.max", CONF_INT, "2000", "10", "1000000",
	  "Dead letters kept per partition; the oldest go first. A webhook's body takes up to 64 "
	  "KiB." },
	{ "dead_letters.keep", CONF_DURATION, "35d", "1h", "3650d",
	  "How long a dead letter is kept at most." },
	{ "data_dir", CONF_STR, NULL, NULL, NULL,
	  "Where `start` keeps secrets and the private Redis; default "
	  "$XDG_STATE_HOME/pipeline-guard." },
	{ "listen", CONF_STR, "127.0.0.1:8080", NULL, NULL,
	  "Address for webhooks and probes; port 0 picks a free one." },
	{ "admin_listen", CONF_STR, NULL, NULL, NULL,
	  "Address for page, API and metrics; default: as `listen` in `start`, else "
	  "127.0.0.1:9090." },
	{ "admin_token", CONF_SECRET, NULL, NULL, NULL,
	  "Token for POST on the API, and for everything but webhooks and probes off loopback; "
	  "unset: `start` makes one." },
	{ "tls.cert_file", CONF_STR, NULL, NULL, NULL,
	  "Certificate with its chain (PEM): the listeners then speak TLS; read again on SIGHUP." },
	{ "tls.key_file", CONF_STR, NULL, NULL, NULL, "Key of the certificate (PEM)." },
	{ "approve.key", CONF_SECRET, NULL, NULL, NULL,
	  "Key that links are signed with which approve or reject a suggestion, the newest first "
	  "during rotation; unset: `start` makes one, other roles make no such links." },
	{ "approve.links_valid", CONF_DURATION, "1d", "1m", "30d",
	  "How long such a link can be used; never longer than its plan waits." },
	{ "approve.buttons", CONF_BOOL, "true", NULL, NULL,
	  "The check that a GitHub App shows of a suggestion has buttons that answer it, for "
	  "whoever may write to the repository." },
	{ "locale", CONF_STR, "en", NULL, NULL,
	  "Language in which causes are explained: en or de." },
	{ "knowledge_dir", CONF_STR, NULL, NULL, NULL,
	  "Folder with LANGUAGE.yaml: what is said of causes and advised; default: what came with "
	  "this release." },
	{ "log_level", CONF_STR, "info", NULL, NULL, "error, warn, info or debug." },
	{ "log_format", CONF_STR, "json", NULL, NULL, "json, or text for people." },
	{ "drain_timeout", CONF_DURATION, "20s", "0s", "10m",
	  "How long SIGTERM lets work in flight finish." },
};

const struct conf_table settings_conf = {
	.title = "Common",
	.options = options,
	.n = ARRAY_LEN(options),
};

int settings_keyspace(const struct conf *conf, struct keyspace *out, struct err *err)
{
	const char *region = conf_str(conf, "region");
	size_t n = strlen(region);

	if (n == 0 || n >= sizeof(out->region) ||
	    strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)
		return err_set(
			err, ERR_CONFIG,
			"region: \"%s\" is not 1 to %zu lower-case letters, digits or dashes",
			region, sizeof(out->region) - 1);
	(void)text_copy(out->region, sizeof(out->region), region, n);
	out->partitions = (unsigned)conf_int(conf, "partitions");
	return 0;
}

int settings_tls(const struct conf *conf, struct tls **out, struct err *err)
{
	const char *cert = conf_str(conf, "tls.cert_file"), *key = conf_str(conf, "tls.key_file");

	*out = NULL;
	if (!cert && !key)
		return 0;
	if (!cert || !key)
		return err_set(err, ERR_CONFIG, "tls.%s is set and tls.%s is not",
			       cert ? "cert_file" : "key_file", cert ? "key_file" : "cert_file");
	return tls_new(cert, key, out, err);
}

int settings_redis_url(const struct conf *conf, const char **out, struct err *err)
{
	const char *url = conf_str(conf, "redis.url");

	if (!url)
		return err_set(err, ERR_CONFIG,
			       "redis.url is not set: set PIPELINE_GUARD_REDIS_URL, or use "
			       "`pipeline-guard start`, which runs a private Redis");
	*out = url;
	return 0;
}

void settings_host(const struct conf *conf, char *out, size_t cap)
{
	const char *set = conf_str(conf, "git.host");

	if (set)
		(void)text_copy(out, cap, set, strlen(set));
	else if (gethostname(out, cap) < 0 || !*out)
		(void)text_copy(out, cap, "localhost", strlen("localhost"));
	out[cap - 1] = '\0';
}
