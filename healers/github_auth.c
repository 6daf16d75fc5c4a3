#include "healers/github_auth.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "core/http_client.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "healers/api_core.h"
#include "healers/github_reply.h"

enum {
	KEY_FILE_MAX = 64 << 10,
	KEY_BITS_MIN = 2048,
	TOKEN_MAX = 4096,
	GRANTS_MAX = 512,
	REPLY_MAX = 1 << 20,
	JWT_BACK_S = 60,   /* their clock may be behind ours */
	JWT_AHEAD_S = 540, /* GitHub accepts ten minutes at most */
	REFRESH_BEFORE_MS = 5 * 60 * 1000,
	LAST_USE_BEFORE_MS = 30 * 1000,
};

/* Somebody who asked for a credential; on a grant's list, or on the ready list. */
struct github_wait {
	struct github_auth *auth;
	struct github_wait *next, **link;
	github_token_fn *fn;
	void *arg;
	char *authorization; /* NULL: refused */
	struct api_result refusal;
};

/* One App token: of an installation, for one repository, to read or to write. */
struct grant {
	struct grant *next;
	char *repo;
	uint64_t repo_id, installation;
	uint64_t found; /* installation as GitHub told us, when the event did not */
	enum github_grant may;
	char *authorization;
	int64_t expires_at_ms, used_at_ms;
	struct http_call *call; /* the one request in flight */
	struct github_auth *auth;
	struct github_wait *waits;
};

struct github_auth {
	struct event_base *base;
	struct http_client *http;
	struct github_auth_target target;
	const struct conf *conf;
	size_t token_index; /* into the list of github.token */
	char *app_id;
	EVP_PKEY *key; /* NULL: a plain token */
	struct grant *grants;
	size_t n_grants;
	struct github_wait *ready, **ready_tail;
	struct event *deliver;
	bool *freed;
};

/* --- the App's key and its signature ------------------------------------ */

static int refuse_passphrase(char *buf, int size, int writing, void *arg)
{
	UNUSED(buf);
	UNUSED(size);
	UNUSED(writing);
	*(bool *)arg = true;
	return -1;
}

static void bio_freep(BIO **b)
{
	BIO_free(*b);
}

static void close_fdp(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static int read_file(const char *path, char *out, size_t cap, size_t *len, struct err *err)
{
	OWNED(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	size_t n = 0;

	if (fd < 0)
		return err_set(err, ERR_CONFIG, "github.app_key_file: cannot read %s: %s", path,
			       strerror(errno));
	while (n < cap) {
		ssize_t got = read(fd, out + n, cap - n);

		if (got < 0)
			return err_set(err, ERR_CONFIG, "github.app_key_file: cannot read %s: %s",
				       path, strerror(errno));
		if (!got)
			break;
		n += (size_t)got;
	}
	if (n == cap)
		return err_set(err, ERR_CONFIG, "github.app_key_file: %s is too large for a key",
			       path);
	*len = n;
	return 0;
}

static int parse_key(const char *path, const char *pem, size_t n, EVP_PKEY **out, struct err *err)
{
	OWNED(bio_freep) BIO *bio = BIO_new_mem_buf(pem, (int)n);
	bool encrypted = false;
	EVP_PKEY *key;

	if (!bio)
		abort();
	key = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &encrypted);
	ERR_clear_error();
	if (!key && encrypted)
		return err_set(err, ERR_CONFIG,
			       "github.app_key_file: %s has a passphrase: write it out without one "
			       "(openssl rsa) and protect the file",
			       path);
	if (!key)
		return err_set(err, ERR_CONFIG,
			       "github.app_key_file: %s holds no private key in PEM form: use the "
			       ".pem file that GitHub gave you",
			       path);
	if (!EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_get_bits(key) < KEY_BITS_MIN) {
		EVP_PKEY_free(key);
		return err_set(err, ERR_CONFIG,
			       "github.app_key_file: %s is no RSA key of %d bits or more: GitHub "
			       "Apps sign with RSA",
			       path, KEY_BITS_MIN);
	}
	*out = key;
	return 0;
}

static int load_key(const char *path, EVP_PKEY **out, struct err *err)
{
	char pem[KEY_FILE_MAX];
	size_t n = 0;
	int rc = read_file(path, pem, sizeof(pem), &n, err);

	if (rc == 0)
		rc = parse_key(path, pem, n, out, err);
	OPENSSL_cleanse(pem, sizeof(pem));
	return rc;
}

static char *sign(EVP_PKEY *key, const char *text)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	OWNED(freep) unsigned char *sig = NULL;
	size_t n = 0;

	if (!md || EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) != 1 ||
	    EVP_DigestSign(md, NULL, &n, (const unsigned char *)text, strlen(text)) != 1)
		abort();
	sig = xmalloc(n);
	if (EVP_DigestSign(md, sig, &n, (const unsigned char *)text, strlen(text)) != 1)
		abort();
	EVP_MD_CTX_free(md);
	return base64url_encode(sig, n);
}

char *github_auth_jwt(const struct github_auth *a, int64_t now_ms)
{
	static const char head[] = "{\"alg\":\"RS256\",\"typ\":\"JWT\"}";
	size_t digits = strspn(a->app_id, "0123456789");
	/* An App's number must be a number; a client id is text. */
	const char *quote = a->app_id[digits] ? "\"" : "";
	int64_t now = now_ms / 1000;
	OWNED(freep)
	char *claims = xasprintf("{\"iat\":%" PRId64 ",\"exp\":%" PRId64 ",\"iss\":%s%s%s}",
				 now - JWT_BACK_S, now + JWT_AHEAD_S, quote, a->app_id, quote);
	OWNED(freep) char *h = base64url_encode(head, sizeof(head) - 1);
	OWNED(freep) char *c = base64url_encode(claims, strlen(claims));
	OWNED(freep) char *signed_part = xasprintf("%s.%s", h, c);
	OWNED(freep) char *sig = sign(a->key, signed_part);

	return xasprintf("%s.%s", signed_part, sig);
}

/* --- waiting callers ---------------------------------------------------- */

static void wait_unlink(struct github_wait *w)
{
	struct github_auth *a = w->auth;

	if (!w->link)
		return;
	*w->link = w->next;
	if (w->next)
		w->next->link = w->link;
	else if (a->ready_tail == &w->next)
		a->ready_tail = w->link;
	w->link = NULL;
	w->next = NULL;
}

static void wait_free(struct github_wait *w)
{
	wait_unlink(w);
	secret_free(w->authorization);
	free(w);
}

static void wait_ready(struct github_wait *w, const char *authorization,
		       const struct api_result *refusal)
{
	struct github_auth *a = w->auth;
	struct timeval now = { 0 };

	wait_unlink(w);
	if (authorization)
		w->authorization = xstrdup(authorization);
	else if (refusal)
		w->refusal = *refusal;
	w->link = a->ready_tail;
	*a->ready_tail = w;
	a->ready_tail = &w->next;
	(void)evtimer_add(a->deliver, &now);
}

static void on_deliver(evutil_socket_t fd, short what, void *arg)
{
	struct github_auth *a = arg;
	bool freed = false;

	UNUSED(fd);
	UNUSED(what);
	a->freed = &freed;
	for (size_t n = GRANTS_MAX; n && a->ready; n--) {
		struct github_wait *w = a->ready;

		wait_unlink(w);
		w->fn(w->authorization, &w->refusal, w->arg);
		wait_free(w);
		if (freed)
			return;
	}
	a->freed = NULL;
	if (a->ready) {
		struct timeval now = { 0 };

		(void)evtimer_add(a->deliver, &now);
	}
}

/* --- grants ------------------------------------------------------------- */

static void grant_free(struct grant *g)
{
	http_call_cancel(g->call);
	while (g->waits)
		wait_free(g->waits);
	secret_free(g->authorization);
	free(g->repo);
	free(g);
}

static void settle_all(struct grant *g, const struct api_result *refusal)
{
	const char *line = refusal ? NULL : g->authorization;

	/* A token that still lives is better than a refusal to give a new one. */
	if (refusal && refusal->fate == API_RETRY && g->authorization &&
	    clock_wall_ms() < g->expires_at_ms - LAST_USE_BEFORE_MS)
		line = g->authorization;
	while (g->waits)
		wait_ready(g->waits, line, refusal);
}

/* Calls GitHub as the App. */
static void call_as_app(struct grant *g, const char *method, const char *path, const char *body,
			http_done_fn *fn)
{
	struct github_auth *a = g->auth;
	OWNED(secret_freep) char *jwt = github_auth_jwt(a, clock_wall_ms());
	OWNED(secret_freep) char *line = xasprintf("Authorization: Bearer %s", jwt);
	OWNED(freep) char *url = xasprintf("%s%s", a->target.api_url, path);
	OWNED(freep) char *version = xasprintf("X-GitHub-Api-Version: %s", a->target.api_version);
	const struct http_call_options o = {
		.method = method,
		.url = url,
		.headers = { "Accept: application/vnd.github+json", version,
			     "Content-Type: application/json" },
		.authorization = line,
		.body = body,
		.body_len = strlen(body),
		.timeout_ms = conf_int(a->conf, "github.timeout"),
		.max_body_bytes = REPLY_MAX,
		.max_redirects = 3,
	};

	g->call = http_call_start(a->http, &o, fn, g);
}

/* In words, and as GitHub wants them. */
static const struct {
	const char *name, *permissions;
} grants[] = {
	[GRANT_READ] = { "actions: read", "\"actions\":\"read\"" },
	[GRANT_ACT] = { "actions: write", "\"actions\":\"write\"" },
	[GRANT_SHOW] = { "checks: write", "\"checks\":\"write\"" },
	[GRANT_CHANGE] = { "contents: write and pull requests: write",
			   "\"contents\":\"write\",\"pull_requests\":\"write\"" },
	[GRANT_CHANGE_CI] = { "contents: write, pull requests: write and workflows: write",
			      "\"contents\":\"write\",\"pull_requests\":\"write\","
			      "\"workflows\":\"write\"" },
};

/* The words of a refusal that only the App's own requests get. */
static void judge_app(const struct http_reply *r, const struct grant *g, struct api_result *out)
{
	const char *where = *g->repo ? g->repo : "that account";
	const struct github_ask ask = { g->auth->target.host, where, grants[g->may].name };

	github_reply_judge(r, &ask, clock_wall_ms(), out);
	if (r->status == 401)
		api_refuse(out, 401,
			   "401: %s does not accept the App: check github.app_id, its key file "
			   "and this machine's clock",
			   ask.host);
	else if (r->status == 404)
		api_refuse(out, 404, "404: the GitHub App is not installed on %s", where);
	else if (r->status == 422)
		api_refuse(out, 422, "422: the GitHub App's installation on %s does not grant %s",
			   where, ask.need);
	if (g->auth->target.seen)
		g->auth->target.seen(r, g->auth->target.arg);
}

static void on_token(const struct http_reply *r, void *arg)
{
	struct grant *g = arg;
	struct api_result result = { 0 };
	OWNED(json_putp) struct json_object *o = NULL;
	struct err err;
	const char *token, *expires;
	int64_t expires_at;

	g->call = NULL;
	judge_app(r, g, &result);
	if (result.fate != API_OK) {
		if (r->status == 404)
			g->found = 0; /* perhaps installed anew since we looked */
		settle_all(g, &result);
		return;
	}
	if (json_parse(r->body, r->body_len, &o, &err) < 0)
		o = NULL;
	token = json_str(o, "token", "");
	expires = json_str(o, "expires_at", "");
	expires_at = text_iso8601_ms(expires);
	if (!token[0] || strlen(token) > TOKEN_MAX || strpbrk(token, "\r\n") || expires_at < 0) {
		api_refuse(&result, r->status, "%s gave an App token we cannot read",
			   g->auth->target.host);
		settle_all(g, &result);
		return;
	}
	secret_free(g->authorization);
	g->authorization = xasprintf("Authorization: Bearer %s", token);
	g->expires_at_ms = expires_at;
	settle_all(g, NULL);
}

static void ask_token(struct grant *g)
{
	uint64_t id = g->installation ? g->installation : g->found;
	OWNED(freep) char *path = xasprintf("/app/installations/%" PRIu64 "/access_tokens", id);
	struct buf body;

	buf_init(&body, 1024);
	buf_printf(&body, "{\"permissions\":{%s}",
		   *g->repo ? grants[g->may].permissions : "\"metadata\":\"read\"");
	if (!*g->repo) {
		; /* whatever the installation can see, but no more than its names */
	} else if (g->repo_id) {
		buf_printf(&body, ",\"repository_ids\":[%" PRIu64 "]", g->repo_id);
	} else {
		const char *name = strchr(g->repo, '/') + 1;

		buf_puts(&body, ",\"repositories\":[");
		buf_json(&body, name, strlen(name));
		buf_putc(&body, ']');
	}
	buf_putc(&body, '}');
	call_as_app(g, "POST", path, buf_text(&body), on_token);
	buf_done(&body);
}

static void on_installation(const struct http_reply *r, void *arg)
{
	struct grant *g = arg;
	struct api_result result = { 0 };
	OWNED(json_putp) struct json_object *o = NULL;
	struct err err;
	int64_t id;

	g->call = NULL;
	judge_app(r, g, &result);
	if (result.fate != API_OK) {
		settle_all(g, &result);
		return;
	}
	id = json_parse(r->body, r->body_len, &o, &err) < 0 ? 0 : json_i64(o, "id", 0);
	if (id <= 0) {
		api_refuse(&result, r->status, "%s named no installation for %s",
			   g->auth->target.host, g->repo);
		settle_all(g, &result);
		return;
	}
	g->found = (uint64_t)id;
	ask_token(g);
}

static void renew(struct grant *g)
{
	OWNED(freep) char *path = NULL;

	if (g->call)
		return;
	if (g->installation || g->found) {
		ask_token(g);
		return;
	}
	path = xasprintf("/repos/%s/installation", g->repo);
	call_as_app(g, "GET", path, "", on_installation);
}

static bool grant_is_for(const struct grant *g, const struct api_run *run)
{
	if (g->repo_id != run->repo_id || g->installation != run->installation)
		return false;
	/* A renamed repository keeps its number; without one the name is all there is. */
	return run->repo_id || strcasecmp(g->repo, run->repo) == 0;
}

/* The oldest one that nobody waits for makes room. */
static void evict(struct github_auth *a)
{
	struct grant **oldest = NULL, *g;

	if (a->n_grants < GRANTS_MAX)
		return;
	for (struct grant **at = &a->grants; *at; at = &(*at)->next)
		if (!(*at)->call && !(*at)->waits &&
		    (!oldest || (*at)->used_at_ms < (*oldest)->used_at_ms))
			oldest = at;
	if (!oldest)
		return;
	g = *oldest;
	*oldest = g->next;
	a->n_grants--;
	grant_free(g);
}

static struct grant *grant_find(struct github_auth *a, const struct api_run *run,
				enum github_grant may)
{
	struct grant *g;

	for (g = a->grants; g; g = g->next)
		if (g->may == may && grant_is_for(g, run))
			return g;
	evict(a);
	g = xcalloc(1, sizeof(*g));
	g->auth = a;
	g->repo = xstrdup(run->repo);
	g->repo_id = run->repo_id;
	g->installation = run->installation;
	g->may = may;
	g->next = a->grants;
	a->grants = g;
	a->n_grants++;
	return g;
}

/* --- public ------------------------------------------------------------- */

static int check_app_id(const char *id, struct err *err)
{
	size_t n = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_");

	if (!n || id[n])
		return err_set(
			err, ERR_CONFIG,
			"github.app_id: \"%.40s\" is neither an App's number nor a client id", id);
	return 0;
}

static int open_app(struct github_auth *a, const char *id, struct err *err)
{
	const char *file = conf_str(a->conf, "github.app_key_file");

	if (check_app_id(id, err) < 0)
		return -1;
	if (!file)
		return err_set(err, ERR_CONFIG,
			       "github.app_id is set and github.app_key_file is not: name the "
			       "App's private key");
	if (conf_secret(a->conf, "github.token", 0))
		return err_set(err, ERR_CONFIG,
			       "github.token and github.app_id are both set: choose one");
	a->app_id = xstrdup(id);
	return load_key(file, &a->key, err);
}

static int check_tokens(const struct conf *conf, struct err *err)
{
	const char *token;

	if (!conf_secret(conf, "github.token", 0))
		return err_set(err, ERR_CONFIG,
			       "set github.token, or github.app_id and github.app_key_file");
	for (size_t i = 0; (token = conf_secret(conf, "github.token", i)); i++)
		if (strlen(token) > TOKEN_MAX || strpbrk(token, " \t\r\n"))
			return err_set(err, ERR_CONFIG,
				       "github.token: number %zu has a space or a line break in it",
				       i + 1);
	return 0;
}

int github_auth_new(struct event_base *base, struct http_client *http, const struct conf *conf,
		    const struct github_auth_target *target, struct github_auth **out,
		    struct err *err)
{
	OWNED(github_auth_freep) struct github_auth *a = xcalloc(1, sizeof(*a));
	const char *id = conf_str(conf, "github.app_id");

	a->base = base;
	a->http = http;
	a->conf = conf;
	a->target = *target;
	a->ready_tail = &a->ready;
	a->deliver = evtimer_new(base, on_deliver, a);
	if (!a->deliver)
		abort();
	if (id ? open_app(a, id, err) < 0 : check_tokens(conf, err) < 0)
		return -1;
	*out = TAKE(a);
	return 0;
}

void github_auth_free(struct github_auth *a)
{
	if (!a)
		return;
	if (a->freed)
		*a->freed = true;
	while (a->grants) {
		struct grant *g = a->grants;

		a->grants = g->next;
		grant_free(g);
	}
	while (a->ready)
		wait_free(a->ready);
	EVP_PKEY_free(a->key);
	event_free(a->deliver);
	free(a->app_id);
	free(a);
}

struct github_wait *github_auth_get(struct github_auth *a, const struct api_run *run,
				    enum github_grant may, github_token_fn *fn, void *arg)
{
	struct github_wait *w = xcalloc(1, sizeof(*w));
	int64_t now = clock_wall_ms();
	struct grant *g;

	w->auth = a;
	w->fn = fn;
	w->arg = arg;
	if (!a->key && !conf_secret(a->conf, "github.token", a->token_index))
		a->token_index = 0; /* reloaded, and there are fewer now */
	if (!a->key) {
		OWNED(secret_freep)
		char *line = xasprintf("Authorization: Bearer %s",
				       conf_secret(a->conf, "github.token", a->token_index));

		wait_ready(w, line, NULL);
		return w;
	}
	if (!run) {
		OWNED(secret_freep) char *jwt = github_auth_jwt(a, now);
		OWNED(secret_freep) char *line = xasprintf("Authorization: Bearer %s", jwt);

		wait_ready(w, line, NULL);
		return w;
	}
	g = grant_find(a, run, may);
	g->used_at_ms = now;
	if (g->authorization && now < g->expires_at_ms - REFRESH_BEFORE_MS) {
		wait_ready(w, g->authorization, NULL);
		return w;
	}
	w->next = g->waits;
	w->link = &g->waits;
	if (w->next)
		w->next->link = &w->next;
	g->waits = w;
	renew(g);
	return w;
}

void github_auth_cancel(struct github_wait *w)
{
	if (w)
		wait_free(w);
}

bool github_auth_reject(struct github_auth *a, const char *authorization)
{
	const char *token = strstr(authorization, "Bearer ");
	const char *now = a->key ? NULL : conf_secret(a->conf, "github.token", a->token_index);

	if (now) {
		/* Two calls may fail on the same one: only the first moves on. */
		if (!token || strcmp(token + 7, now) != 0)
			return true;
		if (!conf_secret(a->conf, "github.token", a->token_index + 1))
			return false;
		a->token_index++;
		return true;
	}
	for (struct grant *g = a->grants; g; g = g->next) {
		if (g->authorization && strcmp(g->authorization, authorization) == 0) {
			secret_free(g->authorization);
			g->authorization = NULL;
		}
	}
	return true;
}
