/* The simulator as others meet it: its API, its webhooks, its faults and its ledger. */
#include "tests/unit/unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/http_client.h"
#include "core/http_server.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/hooks.h"
#include "tests/simulator/sim.h"
#include "tests/simulator/storage.h"

enum { DEADLINE_MS = 20000, HOOKS_SEEN_MAX = 256 };
#define SECRET "It's a Secret to Everybody"

struct fixture {
	struct event_base *base;
	struct sim *sim;
	struct http_client *http;
	struct http_server *listener;
	char folder[64], token_file[80], secret_file[80], pub_file[80];
	char authorization[128], hook_url[160];
	EVP_PKEY *key;

	/* The last answer. */
	bool done;
	int status;
	char *body, *etag;
	bool error;

	/* What the listener got. */
	struct {
		char guid[GUID_MAX], event[32];
		bool signed_right;
		unsigned char digest[SHA256_BYTES];
	} seen[HOOKS_SEEN_MAX];
	size_t n_seen;
};

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void on_hook(struct http_request *req, void *arg)
{
	struct fixture *f = arg;
	const char *sig = http_request_header(req, "X-Hub-Signature-256");
	const char *guid = http_request_header(req, "X-GitHub-Delivery");
	const char *event = http_request_header(req, "X-GitHub-Event");
	unsigned char mac[SHA256_BYTES];
	char want[80] = "sha256=";

	assert_true(f->n_seen < HOOKS_SEEN_MAX);
	assert_true(text_starts(http_request_header(req, "User-Agent"), "GitHub-Hookshot/"));
	hmac_sha256(SECRET, strlen(SECRET), req->body, req->body_len, mac);
	hex_encode(mac, sizeof(mac), want + 7);
	f->seen[f->n_seen].signed_right = sig && strcmp(sig, want) == 0;
	sha256(req->body, req->body_len, f->seen[f->n_seen].digest);
	(void)text_copy(f->seen[f->n_seen].guid, GUID_MAX, guid, strlen(guid));
	(void)text_copy(f->seen[f->n_seen].event, 32, event, strlen(event));
	f->n_seen++;
	http_reply(req, 202, NULL, NULL, 0);
}

static void start(struct fixture *f, struct options *o)
{
	struct err err = { 0 };

	assert_ok(sim_new(f->base, o, &f->sim, &err), &err);
}

static struct options options_of(struct fixture *f)
{
	char name[] = "simulator";
	char *argv[] = { name };
	struct options o;
	struct err err = { 0 };

	assert_ok(options_parse(&o, 1, argv, &err), &err);
	o.job_ms = 1;
	o.token_file = f->token_file;
	o.secret_file = f->secret_file;
	o.webhook_url = f->hook_url;
	return o;
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct err err = { 0 };

	f->base = event_base_new();
	f->http = http_client_new(f->base, "test");
	(void)snprintf(f->folder, sizeof(f->folder), "/tmp/guard-simulator-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	(void)snprintf(f->token_file, sizeof(f->token_file), "%s/token", f->folder);
	(void)snprintf(f->secret_file, sizeof(f->secret_file), "%s/secret", f->folder);
	(void)snprintf(f->pub_file, sizeof(f->pub_file), "%s/public.pem", f->folder);
	write_file(f->secret_file, SECRET "\n");
	assert_ok(http_server_new(f->base, "127.0.0.1:0", &HTTP_LIMITS_DEFAULT, on_hook, f,
				  &f->listener, &err),
		  &err);
	(void)snprintf(f->hook_url, sizeof(f->hook_url), "http://%s/hook",
		       http_server_address(f->listener));
	*state = f;
	return 0;
}

static void forget_answer(struct fixture *f)
{
	free(TAKE(f->body));
	free(TAKE(f->etag));
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	sim_free(f->sim);
	http_client_free(f->http);
	http_server_free(f->listener);
	(void)unlink(f->token_file);
	(void)unlink(f->secret_file);
	(void)unlink(f->pub_file);
	(void)rmdir(f->folder);
	EVP_PKEY_free(f->key);
	forget_answer(f);
	event_base_free(f->base);
	free(f);
	return 0;
}

static void simulate(struct fixture *f)
{
	struct options o = options_of(f);
	char token[100] = "";
	FILE *file;

	start(f, &o);
	file = fopen(f->token_file, "re");
	assert_non_null(file);
	assert_non_null(fgets(token, sizeof(token), file));
	(void)fclose(file);
	token[strcspn(token, "\n")] = '\0';
	(void)snprintf(f->authorization, sizeof(f->authorization), "Authorization: Bearer %s",
		       token);
}

/* --- asking --------------------------------------------------------------- */

static void on_answer(const struct http_reply *r, void *arg)
{
	struct fixture *f = arg;

	f->done = true;
	f->status = r->status;
	f->error = r->error != NULL;
	f->body = xstrndup(r->body, r->body_len);
	f->etag = xstrdup(r->etag);
}

static void wait_for(struct fixture *f, const bool *flag)
{
	int64_t until = clock_mono_ms() + DEADLINE_MS;

	while (!*flag) {
		assert_true(clock_mono_ms() < until);
		assert_true(event_base_loop(f->base, EVLOOP_ONCE) >= 0);
	}
}

struct question {
	const char *method, *path, *body, *header;
	const char *authorization; /* NULL: the token */
	bool nobody, follow;
	int64_t timeout_ms;
};

static int ask_with(struct fixture *f, const struct question *q)
{
	OWNED(freep) char *url = xasprintf("%s%s", f->sim->url, q->path);
	struct http_call_options o = {
		.method = q->method,
		.url = url,
		.headers = { q->header },
		.authorization = q->nobody          ? NULL
				 : q->authorization ? q->authorization
						    : f->authorization,
		.body = q->body,
		.body_len = q->body ? strlen(q->body) : 0,
		.timeout_ms = q->timeout_ms ? q->timeout_ms : DEADLINE_MS,
		.max_redirects = q->follow ? 3 : 0,
		.once = strcmp(q->method, "POST") == 0,
	};

	forget_answer(f);
	f->done = false;
	(void)http_call_start(f->http, &o, on_answer, f);
	wait_for(f, &f->done);
	return f->status;
}

static int get(struct fixture *f, const char *path)
{
	return ask_with(f, &(struct question){ .method = "GET", .path = path });
}

static int post(struct fixture *f, const char *path, const char *body)
{
	return ask_with(f, &(struct question){ .method = "POST", .path = path, .body = body });
}

static struct json_object *answer(struct fixture *f)
{
	struct json_object *o = NULL;
	struct err err = { 0 };

	assert_ok(json_parse(f->body, strlen(f->body), &o, &err), &err);
	return o;
}

static int64_t number_in(struct fixture *f, const char *path)
{
	OWNED(json_putp) struct json_object *o = answer(f);

	return json_i64(o, path, -1);
}

static void settle(struct fixture *f, struct run *r)
{
	int64_t until = clock_mono_ms() + DEADLINE_MS;

	while (run_last(r)->state != STATE_COMPLETED) {
		assert_true(clock_mono_ms() < until);
		assert_true(event_base_loop(f->base, EVLOOP_ONCE) >= 0);
	}
}

static void hooks_settle(struct fixture *f)
{
	int64_t until = clock_mono_ms() + DEADLINE_MS;

	while (hooks_waiting(f->sim->hooks)) {
		assert_true(clock_mono_ms() < until);
		assert_true(event_base_loop(f->base, EVLOOP_ONCE) >= 0);
	}
}

/* A run of acme/app that is over. */
static struct run *run_of(struct fixture *f, const char *wish)
{
	struct run *r;

	assert_int_equal(post(f, "/_sim/runs", wish), 201);
	r = world_find(f->sim->world, (uint64_t)number_in(f, "id"));
	assert_non_null(r);
	settle(f, r);
	return r;
}

static const char *path_of(const struct run *r, const char *below, char out[static 256])
{
	(void)snprintf(out, 256, "/repos/%s/actions/runs/%" PRIu64 "%s", r->repo->full_name, r->id,
		       below);
	return out;
}

static const char *log_path(const struct run *r, char out[static 256])
{
	(void)snprintf(out, 256, "/repos/%s/actions/jobs/%" PRIu64 "/logs", r->repo->full_name,
		       run_last(r)->jobs[0].id);
	return out;
}

#define LINT_DNS "{\"cause\":\"network_dns\",\"repo\":\"acme/app\",\"failing_job\":\"lint\"}"

/* --- the API -------------------------------------------------------------- */

static void the_token_is_made_up_for_us_alone(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	simulate(f);
	assert_int_equal(stat(f->token_file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(text_starts(f->authorization, "Authorization: Bearer ghp_"));
}

static void a_rerun_by_the_api_is_counted_exactly(void **state)
{
	struct fixture *f = *state;
	struct run *r;
	char path[256];

	simulate(f);
	r = run_of(f, LINT_DNS);
	hooks_settle(f);
	assert_int_equal(post(f, path_of(r, "/rerun-failed-jobs", path), NULL), 201);
	assert_string_equal(f->body, "{}");
	assert_int_equal(post(f, path, NULL), 403);
	assert_non_null(strstr(f->body, "already running"));
	settle(f, r);
	(void)snprintf(path, sizeof(path), "/_sim/runs/%" PRIu64, r->id);
	assert_int_equal(get(f, path), 200);
	assert_int_equal(number_in(f, "rerun_accepted"), 1);
	assert_int_equal(number_in(f, "rerun_refused"), 1);
	assert_int_equal(number_in(f, "attempt"), 2);
	assert_non_null(strstr(f->body, "\"conclusion\":\"success\""));
	assert_int_equal(get(f, "/_sim/summary"), 200);
	assert_int_equal(number_in(f, "rerun_accepted"), 1);
	assert_int_equal(number_in(f, "rerun_twice"), 0);
	assert_int_equal(number_in(f, "healed"), 1);
	assert_int_equal(number_in(f, "rerun_latency_ms.n"), 1);
}

static void refuses_like_github(void **state)
{
	struct fixture *f = *state;
	struct run *r, *old, *gone;
	char path[256], path2[256];

	simulate(f);
	r = run_of(f, LINT_DNS);
	old = run_of(f, "{\"cause\":\"network_dns\",\"age_ms\":2700000000}");
	gone = run_of(f, "{\"cause\":\"network_dns\",\"failing_job\":\"lint\","
			 "\"logs_expired\":true}");
	path_of(r, "", path);
	assert_int_equal(ask_with(f, &(struct question){ "GET", path, .nobody = true }), 401);
	assert_non_null(strstr(f->body, "Requires authentication"));
	assert_int_equal(
		ask_with(f, &(struct question){ "GET", path,
						.authorization = "Authorization: Bearer x" }),
		401);
	assert_non_null(strstr(f->body, "Bad credentials"));
	assert_int_equal(get(f, "/repos/acme/none/actions/runs/19800000000"), 404);
	assert_int_equal(get(f, "/repos/acme/app/actions/runs/12"), 404);
	assert_int_equal(get(f, path_of(r, "/attempts/2", path2)), 404);
	assert_int_equal(post(f, path_of(old, "/rerun-failed-jobs", path2), NULL), 403);
	assert_non_null(strstr(f->body, "month"));
	assert_int_equal(get(f, log_path(gone, path2)), 410);
	assert_int_equal(post(f, "/_sim/repos", "{\"repo\":\"acme/app\",\"access\":\"read\"}"),
			 201);
	assert_int_equal(get(f, path), 200);
	assert_int_equal(post(f, path_of(r, "/rerun-failed-jobs", path2), NULL), 403);
	assert_non_null(strstr(f->body, "not accessible"));
	assert_int_equal(post(f, "/_sim/repos", "{\"repo\":\"acme/app\",\"access\":\"none\"}"),
			 201);
	assert_int_equal(get(f, path), 404);
	assert_int_equal(r->rerun_accepted, 0);
}

static void an_unchanged_answer_is_304_and_free(void **state)
{
	struct fixture *f = *state;
	const struct run *r;
	char path[256];
	OWNED(freep) char *header = NULL;
	int64_t used;

	simulate(f);
	r = run_of(f, LINT_DNS);
	assert_int_equal(get(f, path_of(r, "", path)), 200);
	header = xasprintf("If-None-Match: %s", f->etag);
	(void)get(f, "/rate_limit");
	used = number_in(f, "rate.used");
	assert_int_equal(ask_with(f, &(struct question){ "GET", path, .header = header }), 304);
	(void)get(f, "/rate_limit");
	assert_int_equal(number_in(f, "rate.used"), used);
	assert_int_equal(get(f, path), 200);
	(void)get(f, "/rate_limit");
	assert_int_equal(number_in(f, "rate.used"), used + 1);
}

static void the_budget_ends(void **state)
{
	struct fixture *f = *state;

	simulate(f);
	assert_int_equal(post(f, "/_sim/rate-limit", "{\"limit\":10,\"remaining\":1}"), 201);
	assert_int_equal(get(f, "/meta"), 200);
	assert_int_equal(get(f, "/meta"), 403);
	assert_non_null(strstr(f->body, "rate limit exceeded"));
	assert_int_equal(get(f, "/rate_limit"), 200);
	assert_int_equal(number_in(f, "resources.core.remaining"), 0);
	assert_int_equal(number_in(f, "resources.core.limit"), 10);
}

static void jobs_come_in_pages(void **state)
{
	struct fixture *f = *state;
	const struct run *r;
	char path[256];

	simulate(f);
	r = run_of(f, LINT_DNS);
	assert_int_equal(get(f, path_of(r, "/attempts/1/jobs?per_page=2&page=3", path)), 200);
	assert_int_equal(number_in(f, "total_count"), 5);
	assert_int_equal(number_in(f, "jobs.0.id"), (int64_t)run_last(r)->jobs[4].id);
	assert_int_equal(number_in(f, "jobs.1.id"), -1);
}

static void logs_lie_elsewhere_and_authorization_does_not_belong_there(void **state)
{
	struct fixture *f = *state;
	const struct run *r;
	char path[256], link[512];

	simulate(f);
	r = run_of(f, LINT_DNS);
	assert_int_equal(get(f, log_path(r, path)), 302);
	/* Our client leaves the credential behind on its way. */
	assert_int_equal(ask_with(f, &(struct question){ "GET", path, .follow = true }), 200);
	assert_non_null(strstr(f->body, "##[error]Process completed with exit code"));
	assert_int_equal(r->log_reads, 1);
	assert_int_equal(f->sim->auth_leaks, 0);
	storage_link(f->sim->storage, r->id, 1, run_last(r)->jobs[0].id, link);
	assert_false(text_starts(link, f->sim->url));
	forget_answer(f);
	f->done = false;
	(void)http_call_start(f->http,
			      &(struct http_call_options){ .method = "GET",
							   .url = link,
							   .authorization = f->authorization },
			      on_answer, f);
	wait_for(f, &f->done);
	assert_int_equal(f->status, 400);
	assert_int_equal(f->sim->auth_leaks, 1);
}

static void a_link_lapses(void **state)
{
	struct fixture *f = *state;
	struct options o = options_of(f);
	struct run *r;
	struct err err = { 0 };
	char link[512];
	int64_t until;

	o.link_ms = 1;
	o.token_file = NULL;
	start(f, &o);
	assert_ok(
		world_create(f->sim->world, &(struct run_wish){ .cause = "network_dns" }, &r, &err),
		&err);
	settle(f, r);
	storage_link(f->sim->storage, r->id, 1, 0, link);
	until = clock_mono_ms() + 3;
	while (clock_mono_ms() < until)
		assert_true(event_base_loop(f->base, EVLOOP_NONBLOCK) >= 0);
	f->done = false;
	(void)http_call_start(f->http, &(struct http_call_options){ .method = "GET", .url = link },
			      on_answer, f);
	wait_for(f, &f->done);
	assert_int_equal(f->status, 403);
	assert_int_equal(r->log_reads, 0);
}

/* --- the App -------------------------------------------------------------- */

static void use_app(struct fixture *f)
{
	struct options o = options_of(f);
	FILE *file;

	f->key = EVP_RSA_gen(2048);
	assert_non_null(f->key);
	file = fopen(f->pub_file, "we");
	assert_non_null(file);
	assert_int_equal(PEM_write_PUBKEY(file, f->key), 1);
	assert_int_equal(fclose(file), 0);
	o.token_file = NULL;
	o.app_id = "4711";
	o.app_key_file = f->pub_file;
	start(f, &o);
}

static void jwt(struct fixture *f, const char *iss, int64_t iat_ago_s, int64_t exp_in_s)
{
	int64_t now = clock_wall_ms() / 1000;
	OWNED(freep)
	char *claims = xasprintf("{\"iat\":%" PRId64 ",\"exp\":%" PRId64 ",\"iss\":%s}",
				 now - iat_ago_s, now + exp_in_s, iss);
	OWNED(freep) char *a = base64url_encode("{\"alg\":\"RS256\"}", 15);
	OWNED(freep) char *b = base64url_encode(claims, strlen(claims));
	OWNED(freep) char *text = xasprintf("%s.%s", a, b);
	OWNED(freep) char *c = NULL;
	unsigned char sig[512];
	size_t n = sizeof(sig);
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	assert_int_equal(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, f->key), 1);
	assert_int_equal(EVP_DigestSign(md, sig, &n, (const unsigned char *)text, strlen(text)), 1);
	EVP_MD_CTX_free(md);
	c = base64url_encode(sig, n);
	free(f->body);
	f->body = xasprintf("Authorization: Bearer %s.%s", text, c);
}

static int ask_token(struct fixture *f, const char *wish)
{
	OWNED(freep) char *line = TAKE(f->body);

	return ask_with(f, &(struct question){ "POST", "/app/installations/50216834/access_tokens",
					       .body = wish, .authorization = line });
}

static void the_app_is_known_by_its_signature(void **state)
{
	static const struct {
		const char *iss;
		int64_t iat_ago_s, exp_in_s;
		int status;
		const char *why;
	} rows[] = {
		{ "4711", 60, 540, 201, "as GitHub advises" },
		{ "\"4711\"", 60, 540, 201, "as text" },
		{ "4712", 60, 540, 401, "somebody else" },
		{ "4711", 300, -1, 401, "lapsed" },
		{ "4711", 60, 3600, 401, "too far ahead" },
		{ "4711", -600, 900, 401, "made in the future" },
	};
	struct fixture *f = *state;
	EVP_PKEY *right;

	use_app(f);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		jwt(f, rows[i].iss, rows[i].iat_ago_s, rows[i].exp_in_s);
		assert_case(ask_token(f, NULL) == rows[i].status, rows[i].why);
	}
	right = f->key;
	f->key = EVP_RSA_gen(2048);
	jwt(f, "4711", 60, 540);
	assert_int_equal(ask_token(f, NULL), 401);
	EVP_PKEY_free(right);
}

static void an_installation_token_reaches_as_far_as_it_was_asked_for(void **state)
{
	struct fixture *f = *state;
	OWNED(json_putp) struct json_object *o = NULL;
	struct run *r, *other;
	char path[256];

	use_app(f);
	(void)snprintf(f->authorization, sizeof(f->authorization), "X-None: 1");
	r = run_of(f, LINT_DNS);
	other = run_of(f, "{\"cause\":\"oom\",\"repo\":\"acme/other\"}");
	jwt(f, "4711", 60, 540);
	assert_int_equal(ask_token(f, "{\"repositories\":[\"nowhere\"]}"), 422);
	jwt(f, "4711", 60, 540);
	assert_int_equal(
		ask_token(f, "{\"repositories\":[\"app\"],\"permissions\":{\"actions\":\"read\"}}"),
		201);
	o = answer(f);
	assert_true(text_iso8601_ms(json_str(o, "expires_at", "")) > clock_wall_ms() + 3500 * 1000);
	(void)snprintf(f->authorization, sizeof(f->authorization), "Authorization: Bearer %s",
		       json_str(o, "token", ""));
	assert_int_equal(get(f, path_of(r, "", path)), 200);
	assert_int_equal(post(f, path_of(r, "/rerun-failed-jobs", path), NULL), 403);
	assert_non_null(strstr(f->body, "not accessible by integration"));
	assert_int_equal(get(f, path_of(other, "", path)), 404);
}

/* --- webhooks ------------------------------------------------------------- */

static void every_webhook_is_signed(void **state)
{
	struct fixture *f = *state;
	struct run *r;
	size_t runs = 0, jobs = 0;

	simulate(f);
	r = run_of(f, LINT_DNS);
	hooks_settle(f);
	for (size_t i = 0; i < f->n_seen; i++) {
		assert_case(f->seen[i].signed_right, f->seen[i].event);
		runs += strcmp(f->seen[i].event, "workflow_run") == 0;
		jobs += strcmp(f->seen[i].event, "workflow_job") == 0;
	}
	assert_int_equal(runs, 3);
	assert_int_equal(jobs, 9); /* two ran, three were skipped */
	assert_int_equal(f->n_seen, runs + jobs + 1);
	assert_string_equal(f->seen[0].event, "ping");
	assert_int_equal(r->webhooks, 12);
	assert_int_equal(r->webhooks_ok, 12);
}

static void a_redelivery_keeps_its_guid(void **state)
{
	struct fixture *f = *state;
	const struct run *r;
	OWNED(json_putp) struct json_object *o = NULL;
	char body[80], path[128];
	size_t before;

	simulate(f);
	r = run_of(f, LINT_DNS);
	hooks_settle(f);
	before = f->n_seen;
	(void)snprintf(body, sizeof(body), "{\"run\":%" PRIu64 "}", r->id);
	assert_int_equal(post(f, "/_sim/redeliver", body), 202);
	assert_int_equal(number_in(f, "sent"), 12);
	hooks_settle(f);
	assert_int_equal(f->n_seen, before + 12);
	for (size_t i = 0; i < 12; i++) {
		assert_string_equal(f->seen[before + i].guid, f->seen[1 + i].guid);
		assert_memory_equal(f->seen[before + i].digest, f->seen[1 + i].digest,
				    SHA256_BYTES);
	}
	/* And as GitHub's API has it. */
	assert_int_equal(get(f, "/repos/acme/app/hooks/1/deliveries?per_page=1"), 200);
	o = answer(f);
	assert_string_equal(json_str(o, "0.status", ""), "OK");
	(void)snprintf(path, sizeof(path),
		       "/repos/acme/app/hooks/1/deliveries/%" PRId64 "/attempts",
		       json_i64(o, "0.id", 0));
	assert_int_equal(post(f, path, NULL), 202);
	hooks_settle(f);
	assert_int_equal(f->n_seen, before + 13);
	assert_string_equal(f->seen[f->n_seen - 1].guid, json_str(o, "0.guid", ""));
}

static void duplicates_and_late_ones_all_arrive(void **state)
{
	struct fixture *f = *state;
	struct options o = options_of(f);
	struct run *r;
	struct err err = { 0 };

	o.duplicate = 1;
	o.reorder = 0.5;
	start(f, &o);
	assert_ok(world_create(f->sim->world,
			       &(struct run_wish){ .cause = "network_dns", .failing_job = "lint" },
			       &r, &err),
		  &err);
	settle(f, r);
	hooks_settle(f);
	assert_int_equal(r->webhooks, 24);
	assert_int_equal(r->webhooks_ok, 24);
	assert_int_equal(r->webhooks_duplicate, 12);
}

static void sums_outlive_the_runs(void **state)
{
	struct fixture *f = *state;
	struct options o = options_of(f);
	struct totals t;
	struct err err = { 0 };

	o.keep = 1;
	start(f, &o);
	for (unsigned i = 0; i < 3; i++) {
		struct run *r;

		assert_ok(world_create(f->sim->world,
				       &(struct run_wish){ .cause = "network_dns",
							   .failing_job = "lint" },
				       &r, &err),
			  &err);
		settle(f, r);
	}
	hooks_settle(f);
	sim_totals(f->sim, &t);
	assert_int_equal(t.runs, 3);
	assert_int_equal(t.failed, 3);
	assert_int_equal(t.webhooks, 36);
	assert_int_equal(t.webhooks_ok, 36);
	assert_int_equal(f->sim->hooks_other, 1); /* the ping */
}

static void a_webhook_of_ones_own_may_be_signed_wrong(void **state)
{
	struct fixture *f = *state;

	simulate(f);
	hooks_settle(f);
	assert_int_equal(
		post(f, "/_sim/webhook", "{\"event\":\"push\",\"payload\":{\"ref\":\"x\"}}"), 202);
	assert_int_equal(post(f, "/_sim/webhook",
			      "{\"event\":\"push\",\"body\":\"{\",\"secret\":\"wrong\"}"),
			 202);
	hooks_settle(f);
	assert_int_equal(f->n_seen, 3);
	for (size_t i = 1; i < 3; i++)
		assert_string_equal(f->seen[i].event, "push");
	assert_int_equal(f->seen[1].signed_right + f->seen[2].signed_right, 1);
}

/* --- faults --------------------------------------------------------------- */

static void faults_do_what_they_say(void **state)
{
	static const struct {
		const char *fault;
		int status;
		bool error, accepted;
	} rows[] = {
		{ "{\"call\":\"rerun\",\"kind\":\"status\",\"status\":502}", 502, false, false },
		{ "{\"call\":\"rerun\",\"kind\":\"drop\"}", 0, true, false },
		{ "{\"call\":\"any\",\"kind\":\"hang\"}", 0, true, false },
		{ "{\"call\":\"rerun\",\"kind\":\"garbage\"}", 200, false, false },
		{ "{\"call\":\"rerun\",\"kind\":\"redirect\",\"location\":\"http://127.0.0.1:1/\"}",
		  302, false, false },
		{ "{\"call\":\"rerun\",\"kind\":\"secondary_limit\"}", 403, false, false },
		{ "{\"call\":\"rerun\",\"kind\":\"rate_limit\"}", 403, false, false },
		{ "{\"call\":\"rerun\",\"kind\":\"apply_then_drop\"}", 0, true, true },
		{ "{\"call\":\"rerun\",\"kind\":\"truncate\"}", 201, true, true },
		{ "{\"call\":\"rerun\",\"kind\":\"slow\",\"ms\":5}", 201, false, true },
		{ "{\"call\":\"get_run\",\"kind\":\"status\"}", 201, false, true },
		{ "{\"call\":\"rerun\",\"run\":1,\"kind\":\"drop\"}", 201, false, true },
	};
	struct fixture *f = *state;

	simulate(f);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct run *r = run_of(f, LINT_DNS);
		char path[256];

		assert_int_equal(post(f, "/_sim/faults", rows[i].fault), 201);
		(void)ask_with(f, &(struct question){
					  "POST", path_of(r, "/rerun-failed-jobs", path),
					  .timeout_ms = strstr(rows[i].fault, "hang") ? 50 : 0 });
		assert_case(f->error == rows[i].error, rows[i].fault);
		/* How much of an answer that broke off is seen is the client's matter. */
		assert_case(f->error || f->status == rows[i].status, rows[i].fault);
		assert_case(r->rerun_accepted == rows[i].accepted, rows[i].fault);
		assert_int_equal(ask_with(f, &(struct question){ .method = "DELETE",
								 .path = "/_sim/faults" }),
				 204);
	}
}

static void a_fault_happens_as_often_as_asked(void **state)
{
	struct fixture *f = *state;

	simulate(f);
	assert_int_equal(post(f, "/_sim/faults", "{\"call\":\"any\",\"times\":2,\"status\":500}"),
			 201);
	assert_int_equal(get(f, "/meta"), 500);
	assert_int_equal(get(f, "/meta"), 500);
	assert_int_equal(get(f, "/meta"), 200);
}

static void control_says_what_is_wrong(void **state)
{
	static const struct {
		const char *path, *body;
		int status;
		const char *why;
	} rows[] = {
		{ "/_sim/runs", "{\"cause\":", 400, "json" },
		{ "/_sim/runs", "[]", 400, "object" },
		{ "/_sim/runs", "{\"cause\":\"bad luck\"}", 400, "\"network_dns\"" },
		{ "/_sim/runs", "{\"different\":\"bad luck\"}", 400, "\"network_dns\"" },
		{ "/_sim/runs", "{\"repo\":\"../../etc\"}", 400, "owner/name" },
		{ "/_sim/runs", "{\"repo\":\"one\"}", 400, "owner/name" },
		{ "/_sim/runs", "{\"rerun\":\"maybe\"}", 400, "by_cause" },
		{ "/_sim/runs", "{\"job_ms\":-5}", 400, "job_ms" },
		{ "/_sim/runs", "{\"age_ms\":-1}", 400, "age_ms" },
		{ "/_sim/runs", "{\"passes\":true,\"cause\":\"oom\"}", 400, "passes" },
		{ "/_sim/faults", "{\"kind\":\"odd\"}", 400, "truncated_zip" },
		{ "/_sim/faults", "{\"call\":\"odd\"}", 400, "list_jobs" },
		{ "/_sim/faults", "{\"times\":0}", 400, "times" },
		{ "/_sim/faults", "{\"kind\":\"redirect\"}", 400, "location" },
		{ "/_sim/outage", "{}", 400, "causes" },
		{ "/_sim/outage", "{\"cause\":\"oom\",\"ms\":-1}", 400, "ms" },
		{ "/_sim/redeliver", "{}", 400, "guid" },
		{ "/_sim/redeliver", "{\"run\":1}", 404, "no such" },
		{ "/_sim/webhook", "{\"event\":\"push\"}", 400, "payload" },
		{ "/_sim/hook", "{\"url\":\"ftp://x\"}", 400, "http" },
		{ "/_sim/runs/1/rerun", "", 404, "no such run" },
		{ "/_sim/nothing", "", 404, "POST" },
	};
	struct fixture *f = *state;

	simulate(f);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_case(post(f, rows[i].path, rows[i].body) == rows[i].status, rows[i].body);
		assert_case(strstr(f->body, rows[i].why) != NULL, rows[i].body);
	}
	assert_int_equal(world_count(f->sim->world), 0);
}

/* --- GitLab and Jenkins ----------------------------------------------------- */

/* As GitLab wants it. */
static int ask_gitlab(struct fixture *f, const char *path, const char *etag)
{
	OWNED(freep)
	char *token = xasprintf("PRIVATE-TOKEN: %s", strstr(f->authorization, "Bearer ") + 7);
	OWNED(freep) char *header = etag ? xasprintf("If-None-Match: %s", etag) : NULL;

	return ask_with(
		f, &(struct question){ "GET", path, .header = header, .authorization = token });
}

static int ask_jenkins(struct fixture *f, const char *path)
{
	OWNED(freep) char *pair = xasprintf("u:%s", strstr(f->authorization, "Bearer ") + 7);
	OWNED(freep) char *basic = base64_encode(pair, strlen(pair));
	OWNED(freep) char *line = xasprintf("Authorization: Basic %s", basic);

	return ask_with(f, &(struct question){ "GET", path, .authorization = line });
}

#define PASSES(provider, repo) \
	"{\"provider\":\"" provider "\",\"repo\":\"" repo "\",\"passes\":true,\"silent\":true}"

static void gitlab_counts_what_it_confirms(void **state)
{
	struct fixture *f = *state;
	OWNED(freep) char *etag = NULL;

	simulate(f);
	(void)run_of(f, PASSES("gitlab", "a/b/c"));
	(void)run_of(f, PASSES("gitlab", "a/b/c"));
	(void)run_of(f, PASSES("gitlab", "x/y"));
	assert_int_equal(ask_gitlab(f, "/api/v4/groups/a%2Fb/projects?per_page=5", NULL), 200);
	assert_int_equal(number_in(f, "0.id"),
			 (int64_t)world_find_repo(f->sim->world, "a/b/c")->id);
	assert_int_equal(number_in(f, "1.id"), -1);
	assert_int_equal(
		ask_gitlab(f, "/api/v4/projects/a%2Fb%2Fc/pipelines?per_page=1&page=2", NULL), 200);
	assert_true(number_in(f, "0.id") > 0 && number_in(f, "1.id") == -1);
	etag = xstrdup(f->etag);
	assert_int_equal(post(f, "/_sim/rate-limit", "{\"limit\":10,\"remaining\":1}"), 201);
	assert_int_equal(
		ask_gitlab(f, "/api/v4/projects/a%2Fb%2Fc/pipelines?per_page=1&page=2", etag), 304);
	assert_int_equal(
		ask_gitlab(f, "/api/v4/projects/a%2Fb%2Fc/pipelines?per_page=1&page=2", etag), 429);
	assert_string_equal(f->body, "Retry later\n");
}

static void jenkins_shows_folders_as_deep_as_asked(void **state)
{
	struct fixture *f = *state;

	simulate(f);
	for (int i = 0; i < 3; i++)
		(void)run_of(f, PASSES("jenkins", "top/sub/job"));
	assert_int_equal(ask_jenkins(f, "/api/json?tree=jobs%5Bjobs%5Bx%5D%5D"), 200);
	assert_non_null(strstr(f->body, "\"top/sub\""));
	assert_null(strstr(f->body, "lastBuild"));
	assert_int_equal(ask_jenkins(f, "/job/top/api/json?tree=jobs%5Bjobs%5Bx%5D%5D"), 200);
	assert_int_equal(number_in(f, "jobs.0.jobs.0.lastBuild.number"), 3);
	/* The newest first, and as many as asked. */
	assert_int_equal(ask_jenkins(f, "/job/top/job/sub/job/job/api/json?tree=builds%7B1,2%7D"),
			 200);
	assert_int_equal(number_in(f, "builds.0.number"), 2);
	assert_int_equal(number_in(f, "builds.1.number"), -1);
}

static void each_server_has_its_own_way_to_say_no(void **state)
{
	struct fixture *f = *state;

	simulate(f);
	assert_int_equal(post(f, "/_sim/faults", "{\"kind\":\"rate_limit\",\"times\":3}"), 201);
	assert_int_equal(get(f, "/meta"), 403);
	assert_int_equal(ask_gitlab(f, "/api/v4/projects", NULL), 429);
	assert_int_equal(ask_jenkins(f, "/api/json?tree=jobs%5Bx%5D"), 429);
	assert_int_equal(ask_jenkins(f, "/api/json?tree=jobs%5Bx%5D"), 200);
}

static void traffic_goes_round_the_providers(void **state)
{
	struct fixture *f = *state;
	struct options o = options_of(f);
	struct world *w;

	o.rate = 1000;
	o.count = 6;
	o.providers = "github,gitlab,jenkins";
	start(f, &o);
	w = f->sim->world;
	while (world_count(w) < 6)
		assert_true(event_base_loop(f->base, EVLOOP_ONCE) >= 0);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(world_at(w, i)->flavour, i % 3);
}

/* On its way for so long, each of them. */
static void webhooks_take_their_time(void **state)
{
	struct fixture *f = *state;
	struct options o = options_of(f);
	int64_t began;
	struct run *r;
	struct err err = { 0 };

	o.delay_ms = 150;
	start(f, &o);
	began = clock_mono_ms();
	assert_ok(world_create(f->sim->world, &(struct run_wish){ .passes = true }, &r, &err),
		  &err);
	settle(f, r);
	hooks_settle(f);
	assert_true(clock_mono_ms() - began >= 150);
	assert_true(r->webhooks_ok > 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_token_is_made_up_for_us_alone),
		TEST(a_rerun_by_the_api_is_counted_exactly),
		TEST(refuses_like_github),
		TEST(an_unchanged_answer_is_304_and_free),
		TEST(the_budget_ends),
		TEST(jobs_come_in_pages),
		TEST(logs_lie_elsewhere_and_authorization_does_not_belong_there),
		TEST(a_link_lapses),
		TEST(the_app_is_known_by_its_signature),
		TEST(an_installation_token_reaches_as_far_as_it_was_asked_for),
		TEST(every_webhook_is_signed),
		TEST(a_redelivery_keeps_its_guid),
		TEST(duplicates_and_late_ones_all_arrive),
		TEST(sums_outlive_the_runs),
		TEST(a_webhook_of_ones_own_may_be_signed_wrong),
		TEST(faults_do_what_they_say),
		TEST(a_fault_happens_as_often_as_asked),
		TEST(control_says_what_is_wrong),
		TEST(gitlab_counts_what_it_confirms),
		TEST(jenkins_shows_folders_as_deep_as_asked),
		TEST(each_server_has_its_own_way_to_say_no),
		TEST(traffic_goes_round_the_providers),
		TEST(webhooks_take_their_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
