#include "web/access.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <openssl/evp.h>

#include "core/conf.h"
#include "core/crypto.h"
#include "core/http_server.h"
#include "core/metrics.h"
#include "core/text.h"

enum { AUTHORIZATION_MAX = 1024 };

static const char default_address[] = "127.0.0.1:9090";

/* --- addresses ------------------------------------------------------------- */

static bool is_loopback_ip(const char *ip)
{
	struct in_addr v4;

	if (inet_pton(AF_INET, ip, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	return strcmp(ip, "::1") == 0;
}

bool access_is_loopback_host(const char *host)
{
	char name[128];
	size_t n;

	if (*host == '[') {
		n = strcspn(++host, "]");
		if (host[n] != ']' || (host[n + 1] && host[n + 1] != ':'))
			return false;
	} else {
		n = strcspn(host, ":");
	}
	if (!text_copy(name, sizeof(name), host, n))
		return false;
	if (n >= 10 && strcasecmp(name + n - 10, ".localhost") == 0)
		return true;
	return strcasecmp(name, "localhost") == 0 || is_loopback_ip(name);
}

static bool is_loopback_socket(int fd)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);
	char ip[INET6_ADDRSTRLEN] = "";

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return false;
	if (ss.ss_family == AF_UNIX)
		return true;
	if (ss.ss_family == AF_INET)
		(void)inet_ntop(AF_INET, &((struct sockaddr_in *)&ss)->sin_addr, ip, sizeof(ip));
	else if (ss.ss_family == AF_INET6)
		(void)inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&ss)->sin6_addr, ip, sizeof(ip));
	return is_loopback_ip(ip);
}

bool access_is_loopback_listener(const char *address)
{
	uint64_t fd;

	if (text_starts(address, "unix:"))
		return true;
	if (text_starts(address, "fd:"))
		return text_to_u64(address + 3, &fd) && fd < INT32_MAX &&
		       is_loopback_socket((int)fd);
	return access_is_loopback_host(address);
}

void access_init(struct access *a, const struct conf *conf)
{
	const char *address = conf_str(conf, "admin_listen");

	a->conf = conf;
	a->loopback = access_is_loopback_listener(address ? address : default_address);
}

/* --- token ------------------------------------------------------------------ */

static bool is_a_token(const struct conf *conf, const char *given, size_t n)
{
	const char *token;
	bool found = false;

	for (size_t i = 0; (token = conf_secret(conf, "admin_token", i)); i++)
		found |= secret_equal(given, n, token, strlen(token));
	return found;
}

static bool basic_matches(const struct conf *conf, const char *encoded)
{
	unsigned char plain[AUTHORIZATION_MAX + 1];
	size_t n = strlen(encoded);
	const char *password;
	int len;

	if (n == 0 || n % 4 != 0)
		return false;
	len = EVP_DecodeBlock(plain, (const unsigned char *)encoded, (int)n);
	if (len < 0)
		return false;
	/* It counts the padding as bytes. */
	len -= (encoded[n - 1] == '=') + (encoded[n - 2] == '=');
	plain[len] = '\0';
	password = memchr(plain, ':', (size_t)len);
	if (!password)
		return false;
	password++;
	return is_a_token(conf, password, (size_t)len - (size_t)(password - (const char *)plain));
}

bool access_token_matches(const struct conf *conf, const char *authorization, bool basic)
{
	size_t scheme;

	if (!authorization || strlen(authorization) > AUTHORIZATION_MAX)
		return false;
	scheme = strcspn(authorization, " ");
	if (!authorization[scheme])
		return false;
	if (scheme == 6 && strncasecmp(authorization, "Bearer", scheme) == 0)
		return is_a_token(conf, authorization + 7, strlen(authorization + 7));
	return basic && scheme == 5 && strncasecmp(authorization, "Basic", scheme) == 0 &&
	       basic_matches(conf, authorization + 6);
}

/* --- the rule ---------------------------------------------------------------- */

/* Signs of a proxy: the peer is this machine, the person may be anybody. */
static bool is_forwarded(const struct http_request *req)
{
	static const char *const signs[] = { "Forwarded", "X-Forwarded-For", "X-Forwarded-Host",
					     "X-Real-IP", "Via" };

	for (size_t i = 0; i < ARRAY_LEN(signs); i++)
		if (http_request_header(req, signs[i]))
			return true;
	return false;
}

static bool is_from_here(const struct access *a, const struct http_request *req)
{
	const char *host = http_request_header(req, "Host");

	if (!a->loopback || !req->peer_is_loopback || is_forwarded(req))
		return false;
	if (strcmp(req->peer, "unix") == 0)
		return true;
	return host && http_request_header_count(req, "Host") == 1 && access_is_loopback_host(host);
}

/* A browser says where a request was made; a foreign page may not press our buttons. */
static bool is_foreign(const struct http_request *req)
{
	const char *site = http_request_header(req, "Sec-Fetch-Site");
	const char *origin = http_request_header(req, "Origin");
	const char *host = http_request_header(req, "Host");
	const char *at;

	if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
		return true;
	if (!origin)
		return false;
	at = strstr(origin, "://");
	return !at || !host || strcasecmp(at + 3, host) != 0;
}

static bool refuse(struct http_request *req, int status, const char *body)
{
	metrics_add("security_violations_total", "reason=\"admin_access\"", 1);
	http_reply_text(req, status, "application/json", body);
	return false;
}

bool access_allows(const struct access *a, struct http_request *req, bool changes)
{
	const char *given = http_request_header(req, "Authorization");

	if (changes && is_foreign(req))
		return refuse(req, 403, "{\"error\":\"the request comes from another site\"}\n");
	if (!conf_secret(a->conf, "admin_token", 0)) {
		if (!changes && is_from_here(a, req))
			return true;
		if (changes)
			return refuse(req, 403,
				      "{\"error\":\"no admin token is configured: set "
				      "PIPELINE_GUARD_ADMIN_TOKEN (or _FILE) and restart\"}\n");
		http_reply_header(req, "WWW-Authenticate", "Bearer realm=\"Pipeline Guard\"");
		return refuse(req, 401,
			      "{\"error\":\"not a request from this machine, and no admin token is "
			      "configured: set PIPELINE_GUARD_ADMIN_TOKEN (or _FILE) and "
			      "restart\"}\n");
	}
	/* Basic would be sent by the browser itself: fine for looking, not for changing. */
	if ((!changes && is_from_here(a, req)) || access_token_matches(a->conf, given, !changes))
		return true;
	http_reply_header(req, "WWW-Authenticate",
			  changes ? "Bearer realm=\"Pipeline Guard\""
				  : "Basic realm=\"Pipeline Guard: the admin token is the "
				    "password\", charset=\"UTF-8\"");
	return refuse(req, 401,
		      changes ? "{\"error\":\"needs Authorization: Bearer ADMIN-TOKEN\"}\n"
			      : "{\"error\":\"needs the admin token, as Bearer, or as password "
				"with Basic\"}\n");
}
