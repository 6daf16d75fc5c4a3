/*
 * Jenkins, as its Notification plugin sends it: JSON over HTTP, the same shape for every
 * phase of a build, no header that names the event and none that names the delivery. Log,
 * parameters, artifacts and changes may be in there too and are never looked at.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/ci_event.h"
#include "core/crypto.h"
#include "core/http_parse.h"
#include "core/text.h"
#include "receiver/normalise.h"
#include "receiver/provider.h"

enum { URL_BYTES = 1024, PATH_BYTES = 1024 };

struct draft {
	struct ci_event ev;
	char name[sizeof(((struct ci_event *)0)->pipeline)];
	char job_url[URL_BYTES], build_url[URL_BYTES], full_url[URL_BYTES];
	char phase[24], status[24], branch[160];
	uint64_t number, at_ms;
};

#define EV(path, type, needed, member)    FIELD(path, type, needed, struct draft, ev.member)
#define DRAFT(path, type, needed, member) FIELD(path, type, needed, struct draft, member)

static const struct field fields[] = {
	/* The leaf only: two folders may have a job of that name. */
	DRAFT("name", FIELD_TEXT, false, name),
	EV("display_name", FIELD_TEXT, false, pipeline),
	/* "job/folder/job/name/", without the address of the server. */
	DRAFT("url", FIELD_NAME, false, job_url),
	DRAFT("build.url", FIELD_NAME, false, build_url),
	/* Only when the server knows its own address. */
	DRAFT("build.full_url", FIELD_NAME, false, full_url),
	DRAFT("build.number", FIELD_NUM, true, number),
	DRAFT("build.phase", FIELD_TEXT, true, phase),
	/* Not before there is a result. */
	DRAFT("build.status", FIELD_TEXT, false, status),
	DRAFT("build.timestamp", FIELD_NUM, false, at_ms),
	DRAFT("build.scm.branch", FIELD_TEXT, false, branch),
	EV("build.scm.commit", FIELD_TEXT, false, sha),
};

/* No topic, so nothing can be said before the body was read. */
static const char *jenkins_ignores(const char *topic)
{
	UNUSED(topic);
	return NULL;
}

/*
 * "https://ci/jenkins/job/a/job/b%20c/12/" or "job/a/job/b%20c/" -> "a/b c": what Jenkins
 * calls the full name. False when there is no job in it.
 */
static bool full_name_of_url(const char *url, char *out, size_t cap)
{
	static const char job[] = "job/";
	const char *s = strstr(url, "://");
	size_t n = 0;

	s = s ? s + 3 : url;
	if (s != url || !text_starts(s, job)) {
		s = strstr(s, "/job/");
		if (!s)
			return false;
		s++;
	}
	while (text_starts(s, job)) {
		size_t len = strcspn(s += strlen(job), "/");

		if (!len || n + 1 >= cap ||
		    !http_percent_decode(s, len, false, out + n + (n > 0), cap - n - (n > 0)))
			return false;
		if (n)
			out[n++] = '/';
		if (strcmp(out + n, ".") == 0 || strcmp(out + n, "..") == 0)
			return false;
		n += strlen(out + n);
		s += len;
		s += *s == '/';
	}
	return n > 0;
}

static bool full_name(const struct draft *d, char *out, size_t cap)
{
	const char *const urls[] = { d->job_url, d->full_url, d->build_url };

	for (size_t i = 0; i < ARRAY_LEN(urls); i++)
		if (*urls[i] && full_name_of_url(urls[i], out, cap))
			return true;
	return false;
}

static bool display_ok(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

/*
 * COMPLETED comes while the log is still open; FINALIZED is the end. A notification that a
 * Pipeline sends by a step ("manual") is one of a running build.
 */
static enum ci_status status_of(const char *phase)
{
	static const struct {
		const char *phase;
		enum ci_status status;
	} rows[] = {
		{ "queued", CI_QUEUED },     { "started", CI_RUNNING },
		{ "completed", CI_RUNNING }, { "finalized", CI_COMPLETED },
		{ "manual", CI_RUNNING },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].phase, phase) == 0)
			return rows[i].status;
	return CI_STATUS_UNKNOWN;
}

static void set_state(struct draft *d)
{
	static const struct word conclusions[] = {
		{ "SUCCESS", "success" },   { "FAILURE", "failure" },   { "UNSTABLE", "failure" },
		{ "ABORTED", "cancelled" }, { "NOT_BUILT", "skipped" }, { NULL, NULL },
	};
	const char *ours;

	for (char *p = d->phase; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	(void)text_copy(d->ev.action, sizeof(d->ev.action), d->phase, strlen(d->phase));
	d->ev.status = status_of(d->phase);
	if (d->ev.status != CI_COMPLETED)
		return;
	ours = word_find(conclusions, d->status);
	if (!ours)
		ours = d->status;
	(void)text_copy(d->ev.conclusion, sizeof(d->ev.conclusion), ours, strlen(ours));
	if (strcasecmp(d->status, "UNSTABLE") == 0)
		(void)text_copy(d->ev.failure_reason, sizeof(d->ev.failure_reason), "unstable", 8);
}

/*
 * The plugin sends no id, and once one of its attempts failed it repeats the notification
 * even after another got through. What such copies share makes the id.
 */
static void set_delivery(struct draft *d, const char *job)
{
	char what[PATH_BYTES + 128];
	unsigned char digest[SHA256_BYTES];
	char hex[SHA256_HEX + 1];
	int n = snprintf(what, sizeof(what), "%s#%" PRIu64 " %s %s %" PRIu64, job, d->number,
			 d->phase, d->status, d->at_ms);

	sha256(what, n > 0 ? (size_t)n : 0, digest);
	hex_encode(digest, sizeof(digest), hex);
	(void)snprintf(d->ev.delivery, sizeof(d->ev.delivery), "build-%.40s", hex);
}

static void copy_branch(struct draft *d)
{
	static const char *const prefixes[] = { "refs/heads/", "refs/remotes/", "origin/" };
	const char *branch = d->branch;

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (text_starts(branch, prefixes[i]))
			branch += strlen(prefixes[i]);
	(void)text_copy(d->ev.branch, sizeof(d->ev.branch), branch, strlen(branch));
}

static int jenkins_normalise(const char *topic, const char *json, size_t n, struct ci_event *out,
			     struct err *err)
{
	static struct field_tree tree;
	struct draft d = { 0 };
	char job[PATH_BYTES];

	UNUSED(topic);
	if (!tree.n_nodes)
		field_tree_init(&tree, fields, ARRAY_LEN(fields));
	if (normalise(&tree, json, n, &d, err) < 0)
		return err_wrap(err, "jenkins");
	if (!full_name(&d, job, sizeof(job)) || !display_ok(job) ||
	    !utf8_valid((const unsigned char *)job, strlen(job)))
		return err_set(err, ERR_INPUT,
			       "jenkins: neither url nor build.full_url names a job");
	if (!d.number)
		return err_set(err, ERR_INPUT, "jenkins: build.number is 0");
	set_state(&d);
	set_delivery(&d, job);
	copy_branch(&d);
	(void)text_copy(d.ev.provider, sizeof(d.ev.provider), "jenkins", strlen("jenkins"));
	(void)text_copy(d.ev.topic, sizeof(d.ev.topic), "build", strlen("build"));
	d.ev.kind = CI_RUN;
	d.ev.repo_id = sha256_id(job, strlen(job));
	/* Cut, it is still good to read; whoever calls Jenkins compares it with repo_id first. */
	(void)text_copy(d.ev.repo, sizeof(d.ev.repo), job, strlen(job));
	provider_default(d.ev.pipeline, sizeof(d.ev.pipeline), d.name);
	/* A re-run of a build is another build of its job: the job is the run, a build is its
	 * attempt. */
	d.ev.run_id = 1;
	d.ev.generation = d.number;
	d.ev.at_ms = (int64_t)d.at_ms;
	if (strlen(d.full_url) < sizeof(d.ev.url))
		(void)text_copy(d.ev.url, sizeof(d.ev.url), d.full_url, strlen(d.full_url));
	*out = d.ev;
	return NORMALISED;
}

const struct provider provider_jenkins = {
	.name = "jenkins",
	.auth = "hmac, bearer, basic",
	.secrets = { { .key = "jenkins.webhook_token" } },
	.type_hint = "set the format of the Notification plugin to JSON",
	.ignores = jenkins_ignores,
	.normalise = jenkins_normalise,
};
