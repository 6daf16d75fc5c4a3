/*
 * git itself over HTTP, by git's own program for that: GET /o/n.git/info/refs, and POST
 * /o/n.git/git-upload-pack and .../git-receive-pack. The user may be any, the password is the
 * token.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/http_server.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/reply.h"

enum { GIT_MS = 60000, OUT_MAX = 512 << 20, ENV_MAX = 20 };

struct cgi {
	struct ask *ask;
	pid_t pid;
	int out, alive; /* alive: readable when it ended */
	struct event *ended;
	struct cgi *next, **link;
};

/* What is asked for. */
struct target {
	char repo[NAME_MAX_BYTES];
	const char *rest; /* "/info/refs" */
	bool push;
};

/* --- from path to repository ------------------------------------------------------ */

static bool read_target(const struct http_request *http, struct target *out)
{
	static const char *const rests[] = { "/info/refs", "/git-upload-pack",
					     "/git-receive-pack" };
	char service[32] = "";

	for (size_t i = 0; i < ARRAY_LEN(rests); i++) {
		size_t n = strlen(http->path), tail = strlen(rests[i]);

		if (n < tail + 2 || strcmp(http->path + n - tail, rests[i]) != 0)
			continue;
		out->rest = rests[i];
		n -= tail + 1;
		if (n > 4 && strncmp(http->path + 1 + n - 4, ".git", 4) == 0)
			n -= 4;
		(void)http_request_query(http, "service", service, sizeof(service));
		out->push = strcmp(service, "git-receive-pack") == 0 || i == 2;
		return text_copy(out->repo, sizeof(out->repo), http->path + 1, n);
	}
	return false;
}

/* The password of Basic authentication. */
static bool identify(struct ask *a)
{
	const char *line = http_request_header(a->http, "Authorization"), *why, *colon;
	unsigned char pair[512];
	OWNED(freep) char *bearer = NULL;
	size_t n = 0;

	if (line && strncasecmp(line, "Basic ", 6) == 0 &&
	    base64_decode(line + 6, strlen(line + 6), pair, sizeof(pair) - 1, &n)) {
		pair[n] = '\0';
		colon = strchr((const char *)pair, ':');
		bearer = xasprintf("Bearer %s", colon ? colon + 1 : "");
	}
	return access_identify(a->sim->access, bearer, &a->caller, &why) == 0;
}

static void say(struct ask *a, int status, const char *text)
{
	ask_reply(a, status, "text/plain; charset=utf-8", text, strlen(text));
}

static bool sees(const struct ask *a, const struct repo *r)
{
	const struct grant *g = a->caller.grant;
	bool seen = r && r->access != REPO_HIDDEN && (!g || !g->n_repos);

	for (unsigned i = 0; g && r && i < g->n_repos; i++)
		seen = seen || (r->access != REPO_HIDDEN && g->repos[i] == r->id);
	return seen;
}

/* NULL: answered. */
static struct depot *depot_for(struct ask *a, const struct target *t)
{
	const struct repo *r = world_find_repo(a->sim->world, t->repo);
	const struct grant *g;
	unsigned need = t->push ? MAY_WRITE : MAY_READ;
	struct depot *d;

	if (!identify(a)) {
		http_reply_header(a->http, "WWW-Authenticate", "Basic realm=\"git\"");
		say(a, 401, "Authentication failed\n");
		return NULL;
	}
	g = a->caller.grant;
	if (!sees(a, r) || (g && g->may[SCOPE_CONTENTS] < MAY_READ)) {
		say(a, 404, "Repository not found.\n");
		return NULL;
	}
	if ((t->push && r->access != REPO_WRITE) || (g && g->may[SCOPE_CONTENTS] < need)) {
		say(a, 403, "Write access to repository not granted.\n");
		return NULL;
	}
	d = forge_depot(a->sim->forge, r, false);
	if (!d)
		say(a, 404, "Repository not found.\n");
	return d;
}

/* --- git's answer ------------------------------------------------------------------ */

static void cgi_free(struct cgi *c)
{
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	event_free(c->ended);
	(void)close(c->out);
	(void)close(c->alive);
	free(c);
}

/* Headers, an empty line, and the body. */
static void reply_cgi(struct ask *a, const char *text, size_t n)
{
	char name[64], value[256], type[128] = "text/plain";
	const char *at = text, *end = text + n, *line;
	int status = 200;

	while ((line = memchr(at, '\n', (size_t)(end - at))) != NULL && line - at > 1) {
		const char *colon = memchr(at, ':', (size_t)(line - at));
		size_t len = (size_t)(line - at) - (line[-1] == '\r');

		if (colon && text_copy(name, sizeof(name), at, (size_t)(colon - at)) &&
		    text_copy(value, sizeof(value), colon + 2, len - (size_t)(colon + 2 - at))) {
			if (strcasecmp(name, "Status") == 0)
				status = (int)strtol(value, NULL, 10);
			else if (strcasecmp(name, "Content-Type") == 0)
				(void)text_copy(type, sizeof(type), value, strlen(value));
			else
				http_reply_header(a->http, name, value);
		}
		at = line + 1;
	}
	at = line ? line + 1 : end;
	ask_reply(a, status, type, at, (size_t)(end - at));
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct cgi *c = arg;
	struct ask *a = c->ask;
	struct stat st;
	void *text = MAP_FAILED;
	int status;

	UNUSED(fd);
	if (what & EV_TIMEOUT)
		(void)kill(c->pid, SIGKILL);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (fstat(c->out, &st) == 0 && st.st_size > 0 && st.st_size <= OUT_MAX)
		text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, c->out, 0);
	if (text == MAP_FAILED) {
		say(a, 500, "git said nothing\n");
	} else {
		reply_cgi(a, text, (size_t)st.st_size);
		(void)munmap(text, (size_t)st.st_size);
	}
	cgi_free(c);
}

/* --- its program -------------------------------------------------------------------- */

/* The body as a file, so that nobody has to wait until git reads it. */
static int body_file(const struct http_request *http)
{
	int fd = memfd_create("request", MFD_CLOEXEC);
	size_t done = 0;

	while (fd >= 0 && done < http->body_len) {
		ssize_t n = write(fd, http->body + done, http->body_len - done);

		if (n <= 0) {
			(void)close(fd);
			return -1;
		}
		done += (size_t)n;
	}
	if (fd >= 0)
		(void)lseek(fd, 0, SEEK_SET);
	return fd;
}

/* What a CGI program is told; the caller frees each. */
static void describe(const struct ask *a, const struct depot *d, const struct target *t,
		     char *env[static ENV_MAX])
{
	const char *type = http_request_header(a->http, "Content-Type");
	const char *coding = http_request_header(a->http, "Content-Encoding");
	const char *protocol = http_request_header(a->http, "Git-Protocol");
	unsigned n = 0;

	env[n++] = xasprintf("PATH=%s", getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
	env[n++] = xstrdup("HOME=/nonexistent");
	env[n++] = xstrdup("GIT_CONFIG_NOSYSTEM=1");
	env[n++] = xstrdup("GIT_HTTP_EXPORT_ALL=1");
	env[n++] = xasprintf("GIT_PROJECT_ROOT=%s", forge_dir(a->sim->forge));
	env[n++] = xasprintf("PATH_INFO=/%s.git%s", d->repo->full_name, t->rest);
	env[n++] = xasprintf("REQUEST_METHOD=%s", a->http->method);
	env[n++] = xasprintf("QUERY_STRING=%s", a->http->query);
	env[n++] = xasprintf("CONTENT_LENGTH=%zu", a->http->body_len);
	env[n++] = xstrdup("REMOTE_USER=ci");
	env[n++] = xstrdup("REMOTE_ADDR=127.0.0.1");
	if (type)
		env[n++] = xasprintf("CONTENT_TYPE=%s", type);
	if (coding)
		env[n++] = xasprintf("HTTP_CONTENT_ENCODING=%s", coding);
	if (protocol)
		env[n++] = xasprintf("GIT_PROTOCOL=%s", protocol);
	env[n] = NULL;
}

static int run_git(struct cgi *c, int in, char *const *env)
{
	char git[] = "git", backend[] = "http-backend";
	char *argv[] = { git, backend, NULL };
	posix_spawn_file_actions_t files;
	int ret;

	(void)posix_spawn_file_actions_init(&files);
	(void)posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
	(void)posix_spawn_file_actions_adddup2(&files, c->out, STDOUT_FILENO);
	ret = posix_spawnp(&c->pid, git, &files, NULL, argv, env);
	(void)posix_spawn_file_actions_destroy(&files);
	if (ret != 0)
		return -1;
	c->alive = pidfd_open(c->pid, 0);
	return c->alive < 0 ? -1 : 0;
}

static bool start(struct ask *a, const struct depot *d, const struct target *t)
{
	struct timeval tv = clock_timeval(GIT_MS);
	struct cgi *c = xcalloc(1, sizeof(*c));
	char *env[ENV_MAX];
	int in = body_file(a->http), ret = -1;

	c->out = memfd_create("answer", MFD_CLOEXEC);
	describe(a, d, t, env);
	if (in >= 0 && c->out >= 0)
		ret = run_git(c, in, env);
	for (unsigned i = 0; env[i]; i++)
		free(env[i]);
	if (in >= 0)
		(void)close(in);
	if (ret < 0) {
		if (c->out >= 0)
			(void)close(c->out);
		free(c);
		return false;
	}
	c->ask = a;
	c->next = a->sim->gits;
	c->link = &a->sim->gits;
	if (c->next)
		c->next->link = &c->next;
	a->sim->gits = c;
	c->ended = event_new(a->sim->base, c->alive, EV_READ, on_ended, c);
	if (!c->ended)
		abort();
	(void)event_add(c->ended, &tv);
	return true;
}

/* --- from request to answer ------------------------------------------------------------ */

static void serve(struct ask *a)
{
	const struct depot *d;
	struct target t;

	if (!read_target(a->http, &t))
		abort();
	if (ask_fault(a, CALL_PUSH, 0))
		return;
	d = depot_for(a, &t);
	if (d && !start(a, d, &t))
		say(a, 500, "there is no git here\n");
}

bool smart_http_serve(struct sim *sim, struct http_request *http)
{
	struct target t;

	if (!read_target(http, &t))
		return false;
	sim->git_requests++;
	ask_start(ask_new(sim, http, serve), sim->opt.latency_ms);
	return true;
}

void smart_http_free(struct sim *sim)
{
	while (sim->gits) {
		struct cgi *c = sim->gits;

		(void)kill(c->pid, SIGKILL);
		(void)waitpid(c->pid, NULL, 0);
		cgi_free(c);
	}
}
