#include "dispatcher/incident_host.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "core/finding.h"

/* What stands before a host in the words of resolvers, HTTP clients and git. */
static const char *const leads[] = {
	"://",         "resolve host: ", "resolve host '", "resolve proxy: ",
	"resolving '", "resolve: ",      "lookup ",        "host='",
	"host=\"",     "host \"",        "host '",         "EAI_AGAIN ",
	"ENOTFOUND ",  "connect to ",    "connection to ", "HostException: ",
};

static const char *const categories[] = {
	"network_failure",        "rate_limit",  "dependency_failure",
	"infrastructure_failure", "scm_failure",
};

static bool is_host_char(char ch)
{
	return isalnum((unsigned char)ch) || ch == '-' || ch == '.';
}

/* A name with dots whose last part is a word; what reserved names stand for is nobody else's. */
static bool is_shared_name(const char *host, size_t n)
{
	const char *dot = memrchr(host, '.', n);
	size_t last;

	if (!dot || dot == host || *host == '-')
		return false;
	last = n - (size_t)(dot + 1 - host);
	for (size_t i = n - last; i < n; i++)
		if (!isalpha((unsigned char)host[i]))
			return false;
	return last >= 2 && !memmem(host, n, "..", 2) &&
	       !(last == 9 && strncasecmp(dot + 1, "localhost", 9) == 0) &&
	       !(last == 11 && strncasecmp(dot + 1, "localdomain", 11) == 0);
}

static bool take(const char *at, char out[static INCIDENT_HOST_MAX + 1])
{
	size_t n = strcspn(at, "/ \t\"'<>");
	const char *user = memchr(at, '@', n);

	if (user)
		at = user + 1;
	for (n = 0; is_host_char(at[n]); n++)
		;
	while (n && at[n - 1] == '.')
		n--;
	if (n == 0 || n > INCIDENT_HOST_MAX || !is_shared_name(at, n))
		return false;
	for (size_t i = 0; i < n; i++)
		out[i] = (char)tolower((unsigned char)at[i]);
	out[n] = '\0';
	return true;
}

bool incident_host_in(const char *line, char out[static INCIDENT_HOST_MAX + 1])
{
	for (const char *at = line; *at; at++)
		for (size_t i = 0; i < ARRAY_LEN(leads); i++) {
			size_t n = strlen(leads[i]);

			if (strncasecmp(at, leads[i], n) == 0 && take(at + n, out))
				return true;
		}
	*out = '\0';
	return false;
}

bool incident_of_others(const char *category)
{
	for (size_t i = 0; i < ARRAY_LEN(categories); i++)
		if (strcmp(categories[i], category) == 0)
			return true;
	return false;
}

void incident_host(const struct finding *f, char out[static INCIDENT_HOST_MAX + 1])
{
	*out = '\0';
	if (!incident_of_others(f->category))
		return;
	for (size_t i = 0; i < f->n_evidence; i++)
		if (incident_host_in(f->evidence[i].text, out))
			return;
}
