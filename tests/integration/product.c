#include "tests/integration/product.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <hiredis/hiredis.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "core/crypto.h"
#include "core/json.h"
#include "core/mem.h"
#include "tests/integration/rig.h"

enum { ARGS_MAX = 160 };

struct args {
	struct rig *rig;
	const char *arg[ARGS_MAX + 1];
	size_t n;
};

static void add(struct args *a, const char *arg)
{
	if (a->n == ARGS_MAX)
		fail_msg("too many arguments");
	a->arg[a->n++] = arg;
}

static void add_set(struct args *a, const char *key, const char *value)
{
	add(a, "--set");
	add(a, rig_printf(a->rig, "%s=%s", key, value));
}

static void add_sets(struct args *a, const char *const *sets)
{
	for (; *sets; sets++) {
		add(a, "--set");
		add(a, *sets);
	}
}

static void begin(struct args *a, struct rig *r, const char *command)
{
	*a = (struct args){ .rig = r };
	add(a, getenv("GUARD_BIN"));
	add(a, command);
	add_set(a, "redis.url", redis_url(r));
}

static const char *secret_file(struct rig *r)
{
	if (!r->secret_file) {
		rig_write(r, "secret", WEBHOOK_SECRET "\n", 0600);
		rig_hide(r, WEBHOOK_SECRET, "secret");
		r->secret_file = rig_path(r, "secret");
	}
	return r->secret_file;
}

static const char *token_file(struct rig *r)
{
	if (!r->token_file) {
		rig_write(r, "token", API_TOKEN "\n", 0600);
		rig_hide(r, API_TOKEN, "token");
		r->token_file = rig_path(r, "token");
	}
	return r->token_file;
}

/* --- daemons ------------------------------------------------------------------------------ */

struct proc *receiver_start_list(struct rig *r, const char *const *sets)
{
	struct args a;
	struct proc *p;
	const char *line, *admin;

	begin(&a, r, "receiver");
	add_set(&a, "listen", rig_printf(r, "127.0.0.1:%d", r->receiver_port));
	/* Written like `listen` it would be the same listener. */
	add_set(&a, "admin_listen", rig_printf(r, "127.0.0.1:0%d", r->receiver_admin_port));
	add_set(&a, "github.webhook_secret_file", secret_file(r));
	add_set(&a, "receiver.spool_dir", rig_path(r, "spool"));
	add_sets(&a, sets);
	p = proc_start(r, "receiver", a.arg, NULL);
	line = proc_line(p, "receiver ready ");
	admin = strstr(line, " admin ");
	r->receiver_port = port_of(admin ? rig_text(r, line, (size_t)(admin - line)) : line);
	r->receiver_admin_port = admin ? port_of(admin) : 0;
	return p;
}

void app_keys(struct rig *r)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);
	FILE *private = fopen(rig_path(r, "app.pem"), "w"), *public;

	public = fopen(rig_path(r, "app.pub"), "w");
	if (!key || !private || !public ||
	    !PEM_write_PrivateKey(private, key, NULL, NULL, 0, NULL, NULL) ||
	    !PEM_write_PUBKEY(public, key))
		fail_msg("cannot make a key");
	(void)fclose(private);
	(void)fclose(public);
	EVP_PKEY_free(key);
}

int receiver_port(struct rig *r)
{
	return r->receiver_port;
}

int receiver_admin_port(struct rig *r)
{
	return r->receiver_admin_port;
}

/* Short enough for a test, long enough that a slow machine is not taken for a dead one. */
static const char *const dispatcher_sets[] = {
	"heal.settle=300ms",
	"heal.backoff=200ms",
	"dispatcher.lease=5s",
	"dispatcher.poll=20ms",
	"retry.base=50ms",
	"retry.cap=500ms",
	"dispatcher.claim_idle=2s",
	"heal.timeout=1m",
	"drain_timeout=10s",
	"github.write_interval=0s",
	"admin_listen=none",
	"github.timeout=2s",
	"heal.per_pipeline_hour=1000",
	"redis.timeout=5s",
	"breaker.open=200ms",
	"breaker.open_cap=1s",
	/* It asks the simulator on its own account; tests of it switch it on. */
	"monitor.enabled=false",
	/* Their runs fail alike and in many repositories; tests of it switch it on. */
	"incident.enabled=false",
};

const char *rules_only_list(struct rig *r, const char *const *names)
{
	const char *folder = rig_path(r, "rules");

	(void)mkdir(folder, 0700);
	for (; *names; names++) {
		const char *text = rig_read(r, rig_printf(r, "conf/rules/%s", *names));

		if (!text)
			fail_msg("conf/rules/%s cannot be read from here", *names);
		rig_write(r, rig_printf(r, "rules/%s", *names), text, 0600);
	}
	return rig_printf(r, "rules_dir=%s", folder);
}

static bool is_app(const char *const *sets)
{
	for (; *sets; sets++)
		if (strncmp(*sets, "github.app_id=", strlen("github.app_id=")) == 0)
			return true;
	return false;
}

struct proc *dispatcher_start_list(struct rig *r, const char *name, const char *crash_point,
				   const char *const *sets)
{
	const char *env[] = { NULL, NULL };
	struct args a;
	struct proc *p;

	begin(&a, r, "dispatcher");
	for (size_t i = 0; i < ARRAY_LEN(dispatcher_sets); i++) {
		add(&a, "--set");
		add(&a, dispatcher_sets[i]);
	}
	if (r->simulator_port) {
		add_set(&a, "github.api_url", simulator_url(r));
		if (!is_app(sets))
			add_set(&a, "github.token_file", token_file(r));
	}
	add_sets(&a, sets);
	if (crash_point)
		env[0] = rig_printf(r, "PIPELINE_GUARD_TEST_KILL=%s", crash_point);
	p = proc_start(r, name, a.arg, env);
	if (crash_point)
		proc_may_die(p);
	(void)proc_line(p, "dispatcher ready ");
	return p;
}

struct proc *guard_start(struct rig *r, const char *name, const char *const *args,
			 const char *const *env)
{
	struct args a = { .rig = r };

	add(&a, getenv("GUARD_BIN"));
	for (; *args; args++)
		add(&a, *args);
	return proc_start(r, name, a.arg, env);
}

int heal_asked_list(struct rig *r, const char *const *args)
{
	const char *const env[] = { rig_printf(r, "PIPELINE_GUARD_REDIS_URL=%s", redis_url(r)),
				    NULL };
	const char *all[16] = { "heal" };
	size_t n = 1;

	for (; args[n - 1]; n++) {
		assert_true(n < ARRAY_LEN(all) - 1);
		all[n] = args[n - 1];
	}
	return proc_wait(guard_start(r, "heal", all, env), PATIENCE_MS);
}

/* --- webhooks by hand ----------------------------------------------------------------- */

const char *signature_line(struct rig *r, const char *secret, const void *body, size_t n)
{
	unsigned char mac[SHA256_BYTES];
	char hex[SHA256_HEX + 1];

	hmac_sha256(secret, strlen(secret), n ? body : "", n, mac);
	hex_encode(mac, sizeof(mac), hex);
	return rig_printf(r, "X-Hub-Signature-256: sha256=%s\r\n", hex);
}

struct answer webhook_post(struct rig *r, const char *topic, const char *delivery, const void *body,
			   size_t n)
{
	const char *id = delivery ? rig_printf(r, "X-GitHub-Delivery: %s\r\n", delivery) : "";
	const char *headers =
		rig_printf(r, "Content-Type: application/json\r\nX-GitHub-Event: %s\r\n%s%s", topic,
			   id, signature_line(r, WEBHOOK_SECRET, body, n));

	return http_ask(r, r->receiver_port, "POST", "/webhooks/github", headers, body, n);
}

struct answer webhook_post_text(struct rig *r, const char *topic, const char *delivery,
				const char *body)
{
	return webhook_post(r, topic, delivery, body, strlen(body));
}

static const char *or_else(const char *s, const char *otherwise)
{
	return s ? s : otherwise;
}

const char *run_body(struct rig *r, const struct run_hook *h)
{
	OWNED(buf_done) struct buf name;
	const char *conclusion = or_else(h->conclusion, "failure");
	uint64_t id = h->run_id ? h->run_id : 1001;

	buf_init(&name, 4096);
	buf_json(&name, or_else(h->name, "ci"), strlen(or_else(h->name, "ci")));
	return rig_printf(
		r,
		"{\"action\":\"%s\",\"workflow_run\":{\"id\":%" PRIu64 ",\"name\":%s,"
		"\"run_attempt\":%" PRIu64 ",\"workflow_id\":77,\"status\":\"%s\","
		"\"conclusion\":%s%s%s,\"head_branch\":\"main\","
		"\"head_sha\":\"0123456789abcdef0123456789abcdef01234567\",\"event\":\"push\","
		"\"created_at\":\"2026-11-25T10:00:00Z\",\"updated_at\":\"%s\","
		"\"html_url\":\"https://ci.example/acme/shop/actions/runs/%" PRIu64 "\"},"
		"\"repository\":{\"id\":%" PRIu64 ",\"full_name\":\"%s\","
		"\"default_branch\":\"main\"}}",
		or_else(h->action, "completed"), id, buf_text(&name), h->attempt ? h->attempt : 1,
		or_else(h->status, "completed"), *conclusion ? "\"" : "",
		*conclusion ? conclusion : "null", *conclusion ? "\"" : "",
		or_else(h->updated_at, "2026-11-25T10:05:00Z"), id, h->repo_id ? h->repo_id : 501,
		or_else(h->repo, "acme/shop"));
}

/* --- simulator ------------------------------------------------------------------------ */

struct proc *simulator_start_list(struct rig *r, const char *const *args)
{
	struct args a = { .rig = r };
	struct proc *p;

	add(&a, getenv("GUARD_SIMULATOR"));
	add(&a, "--secret-file");
	add(&a, secret_file(r));
	add(&a, "--token-file");
	add(&a, token_file(r));
	if (r->receiver_port) {
		add(&a, "--webhook-url");
		add(&a, rig_printf(r, "http://127.0.0.1:%d/webhooks/github", r->receiver_port));
	}
	add(&a, "--job-ms");
	add(&a, "40");
	for (; *args; args++)
		add(&a, *args);
	/* What a simulator leaves that is killed goes with the test. */
	p = proc_start(r, "simulator", a.arg, LIST(rig_printf(r, "TMPDIR=%s", rig_path(r, "."))));
	r->simulator_port = port_of(proc_line(p, "simulator ready "));
	return p;
}

int simulator_port(struct rig *r)
{
	return r->simulator_port;
}

const char *simulator_url(struct rig *r)
{
	return rig_printf(r, "http://127.0.0.1:%d", r->simulator_port);
}

static struct answer sim_ask(struct rig *r, const char *method, const char *path, const char *json)
{
	struct answer a = http_ask(r, r->simulator_port, method, path,
				   "Content-Type: application/json\r\n", json, strlen(json));

	if (a.status < 200 || a.status > 299)
		fail_msg("simulator: %s %s %s: %d %s", method, path, json, a.status, a.body);
	return a;
}

uint64_t sim_run(struct rig *r, const char *json)
{
	struct answer a = sim_ask(r, "POST", "/_sim/runs", json);
	int64_t id = json_i64(a.json, "id", 0);

	assert_true(id > 0);
	return (uint64_t)id;
}

static struct json_object *sim_look(struct rig *r, uint64_t run)
{
	return sim_ask(r, "GET", rig_printf(r, "/_sim/runs/%" PRIu64, run), "").json;
}

int64_t sim_number(struct rig *r, uint64_t run, const char *member)
{
	return json_i64(sim_look(r, run), member, -1);
}

const char *sim_word(struct rig *r, uint64_t run, const char *member)
{
	return json_str(sim_look(r, run), member, "");
}

int64_t sim_total(struct rig *r, const char *member)
{
	return json_i64(sim_ask(r, "GET", "/_sim/summary", "").json, member, -1);
}

void sim_post(struct rig *r, const char *path, const char *json)
{
	(void)sim_ask(r, "POST", path, json);
}

void sim_fault(struct rig *r, const char *json)
{
	sim_post(r, "/_sim/faults", json);
}

void sim_faults_happened(struct rig *r)
{
	WAIT(r, sim_total(r, "faults_left") == 0);
}

void sim_no_faults(struct rig *r)
{
	(void)sim_ask(r, "DELETE", "/_sim/faults", "");
}

/* --- what the guard knows ---------------------------------------------------------------- */

static const char *ref_of(struct rig *r, uint64_t run)
{
	struct json_object *o = sim_look(r, run);
	const char *provider = json_str(o, "provider", "");

	/* Of Jenkins' jobs the job itself is the run. */
	return rig_printf(r, "%s:%" PRId64 ":%" PRIu64, provider, json_i64(o, "repo_id", 0),
			  strcmp(provider, "jenkins") == 0 ? 1 : run);
}

const char *run_key(struct rig *r, uint64_t run)
{
	return rig_printf(r, "pg:{local:0}:run:%s", ref_of(r, run));
}

const char *run_field(struct rig *r, uint64_t run, const char *field)
{
	return redis_text_of(r, "HGET %s %s", run_key(r, run), field);
}

static const char *plan_key(struct rig *r, uint64_t run, uint64_t generation)
{
	return rig_printf(r, "pg:{local:0}:plan:%s:%" PRIu64, ref_of(r, run), generation);
}

const char *plan_field(struct rig *r, uint64_t run, uint64_t generation, const char *field)
{
	return redis_text_of(r, "HGET %s %s", plan_key(r, run, generation), field);
}

const char *plan_result(struct rig *r, uint64_t run, uint64_t generation)
{
	const char *key = plan_key(r, run, generation);

	WAIT(r, strcmp(redis_text_of(r, "HGET %s state", key), "done") == 0);
	return redis_text_of(r, "HGET %s result", key);
}

void plans_done(struct rig *r, const uint64_t *runs, size_t n)
{
	int64_t end = clock_mono_ms() + 3 * (int64_t)PATIENCE_MS;

	for (size_t i = 0; i < n; i++) {
		const char *key = rig_printf(r, "pg:{local:0}:plan:%s:1", ref_of(r, runs[i]));

		while (strcmp(redis_text_of(r, "HGET %s state", key), "done") != 0) {
			if (clock_mono_ms() > end)
				fail_msg("the plan of run %" PRIu64 " is not done: state \"%s\"",
					 runs[i], redis_text_of(r, "HGET %s state", key));
			rig_tick(r);
		}
	}
}

unsigned outcomes_of(struct rig *r, uint64_t run, uint64_t generation)
{
	const char *plan = rig_printf(r, "%s:%" PRIu64, ref_of(r, run), generation);
	redisReply *all = redis_do(r, "XRANGE %s - +", OUTCOMES);
	unsigned n = 0;

	for (size_t i = 0; i < all->elements; i++) {
		redisReply *fields = all->element[i]->element[1];

		for (size_t k = 0; k + 1 < fields->elements; k += 2)
			n += strcmp(fields->element[k]->str, "plan") == 0 &&
			     strcmp(fields->element[k + 1]->str, plan) == 0;
	}
	return n;
}
