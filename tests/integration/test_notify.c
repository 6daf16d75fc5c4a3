/* Who is told, through a sink on loopback: once, again after trouble, not too often, never lost. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/crypto.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/standard_webhooks.h"
#include "tests/integration/product.h"

#define HEALABLE "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}"
#define SECRET   "whsec_bm90aWZpY2F0aW9ucy1vZi10aGUtdGVzdHM="
#define PATH     "/services/T0/B0/hookPathThatMustNotLeak"

enum { HOOKS_MAX = 64, REQUEST_MAX = 64 << 10 };

/* Takes what is there whenever somebody asks how much there is. */
struct sink {
	struct rig *rig;
	int fd, port;
	int status;        /* what it answers */
	unsigned refusals; /* answers 500 so many times first */
	const char *headers;
	unsigned n, tries;
	struct hook {
		const char *head;
		struct json_object *body;
		const char *text;
	} hooks[HOOKS_MAX];
};

static struct sink *sink_open(struct rig *r)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct sink *s = rig_alloc(r, sizeof(*s));
	socklen_t len = sizeof(sin);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->rig = r;
	s->status = 200;
	s->headers = "";
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(s->fd >= 0);
	assert_int_equal(bind(s->fd, (const struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(s->fd, 64), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&sin, &len), 0);
	s->port = ntohs(sin.sin_port);
	return s;
}

/* The whole request, or what came of it. */
static size_t read_request(int fd, char *text, size_t *head_len)
{
	size_t n = 0, want = REQUEST_MAX - 1;

	while (n < want) {
		ssize_t got = recv(fd, text + n, want - n, 0);
		const char *end, *length;

		if (got <= 0)
			break;
		n += (size_t)got;
		text[n] = '\0';
		end = strstr(text, "\r\n\r\n");
		length = strcasestr(text, "\r\ncontent-length:");
		if (end && length) {
			*head_len = (size_t)(end - text) + 4;
			want = *head_len +
			       strtoul(length + strlen("\r\ncontent-length:"), NULL, 10);
		}
	}
	return n;
}

static void answer_one(struct sink *s, int fd)
{
	struct timeval patience = { .tv_sec = 5 };
	char *text = rig_alloc(s->rig, REQUEST_MAX);
	size_t head = 0, n;
	int status = s->refusals ? 500 : s->status;
	const char *reply = rig_printf(s->rig,
				       "HTTP/1.1 %d X\r\nContent-Length: 2\r\nConnection: close\r\n"
				       "%s\r\nok",
				       status, s->headers);

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	n = read_request(fd, text, &head);
	/* One that died meanwhile has told nobody. */
	if (!head || !n)
		return;
	s->tries++;
	s->refusals -= s->refusals > 0;
	if (status / 100 == 2) {
		assert_true(s->n < HOOKS_MAX);
		s->hooks[s->n].head = rig_text(s->rig, text, head);
		s->hooks[s->n].text = rig_text(s->rig, text + head, n - head);
		s->hooks[s->n++].body = rig_json(s->rig, text + head, n - head);
	}
	(void)send(fd, reply, strlen(reply), MSG_NOSIGNAL);
}

static void sink_take(struct sink *s)
{
	int fd;

	while ((fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		answer_one(s, fd);
		(void)close(fd);
	}
}

static unsigned sink_count(struct sink *s)
{
	sink_take(s);
	return s->n;
}

static unsigned sink_tries(struct sink *s)
{
	sink_take(s);
	return s->tries;
}

static void world_start(struct rig *r)
{
	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
}

static const char *few_rules(struct rig *r)
{
	return rules_only(r, "markers.yaml", "network.yaml", NULL);
}

/* "notify.NAME.url_file=...": the address is a secret. */
static const char *url_set(struct rig *r, const struct sink *s, const char *name)
{
	const char *file = rig_printf(r, "%s-url", name);

	rig_write(r, file, rig_printf(r, "http://127.0.0.1:%d" PATH "\n", s->port), 0600);
	return rig_printf(r, "notify.%s.url_file=%s", name, rig_path(r, file));
}

static const char *secret_set(struct rig *r, const char *name)
{
	rig_write(r, "notify-secret", SECRET "\n", 0600);
	return rig_printf(r, "notify.%s.secret_file=%s", name, rig_path(r, "notify-secret"));
}

static const char *word(const struct sink *s, unsigned i)
{
	return json_str(s->hooks[i].body, "data.word", "");
}

static void no_work_is_left(struct rig *r)
{
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == 0);
	assert_int_equal(redis_int_of(r, "EXISTS pg:{local:0}:notify:generic"), 0);
}

/* --- the tests ------------------------------------------------------------------------ */

static const char *header_of(struct rig *r, const char *head, const char *name)
{
	const char *at = strcasestr(head, rig_printf(r, "\r\n%s: ", name));

	assert_non_null(at);
	at += strlen(name) + 4;
	return rig_text(r, at, strcspn(at, "\r"));
}

static void signed_by_the_secret(struct rig *r, const struct hook *h)
{
	int64_t at = strtoll(header_of(r, h->head, "webhook-timestamp"), NULL, 10);
	OWNED(freep) char *signature = NULL;
	struct err err;

	assert_ok(standard_webhooks_sign(SECRET, header_of(r, h->head, "webhook-id"), at, h->text,
					 strlen(h->text), &signature, &err),
		  &err);
	assert_string_equal(header_of(r, h->head, "webhook-signature"), signature);
	assert_true(llabs(clock_wall_ms() / 1000 - at) < 60);
}

static void tells_of_a_heal_once_and_signs_it(struct rig *r)
{
	struct sink *s = sink_open(r);
	struct proc *p;
	uint64_t run;

	rig_hide(r, "hookPathThatMustNotLeak", "generic-url");
	world_start(r);
	p = dispatcher_start(r, "dispatcher", few_rules(r), url_set(r, s, "generic"),
			     secret_set(r, "generic"), "notifications.page_url=https://guard.test/",
			     NULL);
	run = sim_run(r, HEALABLE);
	assert_string_equal(plan_result(r, run, 1), "healed");
	WAIT(r, sink_count(s) == 1);
	no_work_is_left(r);
	signed_by_the_secret(r, &s->hooks[0]);
	assert_string_equal(word(s, 0), "healed");
	assert_string_equal(json_str(s->hooks[0].body, "type", ""), "pipeline_guard.healed");
	assert_string_equal(json_str(s->hooks[0].body, "data.category", ""), "network_failure");
	assert_string_equal(json_str(s->hooks[0].body, "data.page_url", ""), "https://guard.test/");
	assert_true(*json_str(s->hooks[0].body, "data.evidence.0.text", ""));
	/* The same again, as after a crash: it was told. */
	(void)redis_do(r, "ZADD %s 0 notify:%s:1", DUE,
		       run_key(r, run) + strlen("pg:{local:0}:run:"));
	no_work_is_left(r);
	assert_int_equal(sink_tries(s), 1);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
	assert_null(strstr(proc_output(p), "hookPath"));
}

static void tells_again_after_500_and_after_a_crash(struct rig *r)
{
	static const char *const points[] = { "before_notify", "after_notify" };
	struct sink *s = sink_open(r);

	world_start(r);
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		struct proc *p = dispatcher_start_doomed(
			r, rig_printf(r, "doomed-%zu", i), points[i], few_rules(r),
			"dispatcher.lease=2s", url_set(r, s, "generic"), secret_set(r, "generic"),
			NULL);
		unsigned told = sink_count(s);
		struct proc *next;

		(void)sim_run(r, HEALABLE);
		WAIT(r, (sink_take(s), !proc_running(p)));
		s->refusals = 2;
		next = dispatcher_start(r, rig_printf(r, "next-%zu", i), few_rules(r),
					"dispatcher.lease=2s", url_set(r, s, "generic"),
					secret_set(r, "generic"), NULL);
		/* Killed after the answer, before it was written down: told twice, by one name. */
		WAIT(r, sink_count(s) == told + 1 + i);
		no_work_is_left(r);
		assert_int_equal(s->refusals, 0);
		assert_int_equal(proc_stop(next), 0);
	}
	assert_string_equal(header_of(r, s->hooks[1].head, "webhook-id"),
			    header_of(r, s->hooks[2].head, "webhook-id"));
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
}

static void what_is_not_taken_is_a_dead_letter_and_can_be_replayed(struct rig *r)
{
	static const struct {
		int status;
		const char *headers, *reason;
	} rows[] = {
		{ 404, "", "notify.generic: answered 404: ok" },
		{ 302, "Location: http://127.0.0.1:1/\r\n",
		  "notify.generic: answered 302: a redirect is not followed, the address is "
		  "another "
		  "one now" },
		{ 503, "", "notify.generic: answered 503: ok" },
	};
	struct sink *s = sink_open(r);
	const char *id;

	world_start(r);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), url_set(r, s, "generic"),
			       secret_set(r, "generic"), "notifications.give_up=1s", NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		s->status = rows[i].status;
		s->headers = rows[i].headers;
		(void)sim_run(r, HEALABLE);
		WAIT(r, (sink_take(s), redis_int_of(r, "XLEN %s", DEAD) == 1));
		assert_string_equal(redis_last_field(r, DEAD, "reason"), rows[i].reason);
		no_work_is_left(r);
		assert_int_equal(s->n, i);
		s->status = 200;
		s->headers = "";
		/* As `replay` does. */
		id = rig_printf(r, "%s", redis_last_field(r, DEAD, "item"));
		(void)redis_do(r, "DEL %s", DEAD);
		(void)redis_do(r, "ZADD %s 0 %s", DUE, id);
		WAIT(r, sink_count(s) == i + 1);
		no_work_is_left(r);
	}
}

static int64_t queued(struct rig *r)
{
	return redis_int_of(r, "XLEN pg:{local:0}:notify:generic");
}

static void what_is_too_much_follows_as_one(struct rig *r)
{
	enum { N = 6 };
	struct sink *s = sink_open(r);
	uint64_t runs[N];

	world_start(r);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), url_set(r, s, "generic"),
			       secret_set(r, "generic"), "notify.generic.per_minute=2", NULL);
	for (int i = 0; i < N; i++)
		runs[i] = sim_run(r, HEALABLE);
	WAIT(r, (sink_take(s), redis_int_of(r, "XLEN %s", OUTCOMES) == N));
	plans_done(r, runs, N);
	WAIT(r, sink_count(s) == 2 && queued(r) == N - 2);
	/* The minute is over, for Redis. */
	WAIT(r, *redis_text_of(r, "HGET pg:{local:0}:pace:generic late") == '1');
	(void)redis_do(r, "HSET pg:{local:0}:pace:generic minute_ms 1");
	(void)redis_do(r, "ZADD %s XX 0 deliver:generic", DUE);
	WAIT(r, sink_count(s) == 3);
	no_work_is_left(r);
	assert_string_equal(json_str(s->hooks[2].body, "type", ""), "pipeline_guard.digest");
	assert_int_equal(json_object_array_length(json_at(s->hooks[2].body, "data.notices")),
			 N - 2);
	assert_int_equal(s->tries, 3);
}

static void each_channel_hears_what_it_wants(struct rig *r)
{
	struct sink *all = sink_open(r), *person = sink_open(r), *other = sink_open(r);
	uint64_t run;

	world_start(r);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), url_set(r, all, "slack"),
			       url_set(r, person, "oncall"), "notify.oncall.type=teams",
			       "notify.oncall.events=needs_person", "notify.oncall.locale=de",
			       url_set(r, other, "elsewhere"), "notify.elsewhere.type=slack",
			       "notify.elsewhere.repos=nobody/*", NULL);
	run = sim_run(r, "{\"cause\":\"test_assertion\"}");
	assert_string_equal(plan_result(r, run, 1), "escalated");
	WAIT(r, sink_count(person) == 1);
	assert_non_null(strstr(person->hooks[0].text, "Ein Mensch wird gebraucht"));
	assert_true(STAYS_FALSE(r, sink_count(all) > 1, 300));
	WAIT(r, sink_count(all) == 1);
	run = sim_run(r, HEALABLE);
	assert_string_equal(plan_result(r, run, 1), "healed");
	WAIT(r, sink_count(all) == 2);
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == 0);
	assert_non_null(strstr(all->hooks[1].text, "Healed"));
	assert_int_equal(sink_count(person), 1);
	assert_int_equal(sink_count(other), 0);
}

static void a_digest_collects(struct rig *r)
{
	struct sink *s = sink_open(r);
	uint64_t runs[3];

	world_start(r);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), url_set(r, s, "generic"),
			       secret_set(r, "generic"), "notify.generic.digest=1h", NULL);
	for (int i = 0; i < 3; i++)
		runs[i] = sim_run(r, HEALABLE);
	plans_done(r, runs, 3);
	WAIT(r, queued(r) == 3);
	assert_int_equal(sink_tries(s), 0);
	(void)redis_do(r, "ZADD %s XX 0 deliver:generic", DUE);
	WAIT(r, sink_count(s) == 1);
	no_work_is_left(r);
	assert_int_equal(json_object_array_length(json_at(s->hooks[0].body, "data.notices")), 3);
}

static int order(struct rig *r, const char *word, const char *subject, const char *more)
{
	const char *env[] = { rig_printf(r, "PIPELINE_GUARD_REDIS_URL=%s", redis_url(r)), NULL };

	return proc_wait(guard_start(r, word, LIST("incident", word, subject, more), env),
			 PATIENCE_MS);
}

static void write_knowledge(struct rig *r, const char *english, const char *german)
{
	static const char yaml[] = "causes:\n"
				   "  - category: network_failure\n"
				   "    title: %s\n"
				   "    do: [try again]\n";

	rig_write(r, "en.yaml", rig_printf(r, yaml, english), 0600);
	rig_write(r, "de.yaml", rig_printf(r, yaml, german), 0600);
}

/* One bad file, and nothing of it is used: not for findings, and not for a channel. */
static void what_is_said_of_causes_is_read_again(struct rig *r)
{
	struct sink *s = sink_open(r), *english = sink_open(r);
	struct proc *d;

	write_knowledge(r, "First words", "Erste Worte");
	world_start(r);
	d = dispatcher_start(r, "dispatcher", few_rules(r), url_set(r, english, "first"),
			     "notify.first.type=slack", url_set(r, s, "slack"),
			     "notify.slack.locale=de",
			     rig_printf(r, "knowledge_dir=%s", rig_path(r, "")), NULL);
	write_knowledge(r, "Second words", "[not, a, title]");
	proc_signal(d, SIGHUP);
	WAIT(r, strstr(proc_output(d), "knowledge not reloaded"));
	assert_string_equal(plan_result(r, sim_run(r, HEALABLE), 1), "healed");
	WAIT(r, sink_count(s) == 1);
	assert_non_null(strstr(s->hooks[0].text, "Erste Worte"));
	WAIT(r, sink_count(english) == 1);
	assert_non_null(strstr(english->hooks[0].text, "First words"));

	write_knowledge(r, "Third words", "Dritte Worte");
	proc_signal(d, SIGHUP);
	WAIT(r, strstr(proc_output(d), "knowledge reloaded"));
	assert_string_equal(plan_result(r, sim_run(r, HEALABLE), 1), "healed");
	WAIT(r, sink_count(s) == 2);
	assert_non_null(strstr(s->hooks[1].text, "Dritte Worte"));
	WAIT(r, sink_count(english) == 2);
	assert_non_null(strstr(english->hooks[1].text, "Third words"));
}

/* By any of the dispatchers, by a person with a command, and by nobody but time. */
static void an_incident_is_told_once_whoever_changes_it(struct rig *r)
{
	static const char host[] = "host:registry.example.org";
	static const char *const words[] = { "incident",          "incident_closed",
					     "incident",          "incident_extended",
					     "incident_released", "incident_closed" };
	struct sink *s = sink_open(r);
	const char *subject;

	world_start(r);
	for (int i = 0; i < 2; i++)
		(void)dispatcher_start(r, rig_printf(r, "dispatcher-%d", i),
				       rules_only(r, "markers.yaml", "runners.yaml", NULL),
				       url_set(r, s, "generic"), secret_set(r, "generic"),
				       "notify.generic.events=incident", "incident.enabled=true",
				       "incident.repositories=3", "incident.probe=1h", NULL);
	for (unsigned i = 0; i < 5; i++)
		(void)sim_run(r,
			      rig_printf(r,
					 "{\"cause\":\"runner_shutdown\",\"story\":1,"
					 "\"rerun\":\"pass\",\"repo\":\"aurora-labs/service-%u\"}",
					 i));
	WAIT(r, sink_count(s) == 1);
	subject = json_str(s->hooks[0].body, "data.subject", "");
	assert_int_equal(json_i64(s->hooks[0].body, "data.repositories", 0), 3);
	assert_true(*json_str(s->hooks[0].body, "data.title", ""));
	assert_int_equal(order(r, "close", subject, "--now"), 0);
	WAIT(r, sink_count(s) == 2);
	assert_true(*json_str(s->hooks[1].body, "data.by", ""));
	assert_int_equal(order(r, "open", host, NULL), 0);
	assert_int_equal(order(r, "extend", host, NULL), 0);
	assert_int_equal(order(r, "close", host, NULL), 0);
	assert_int_equal(order(r, "close", host, NULL), 0);
	WAIT(r, sink_count(s) == 6);
	for (unsigned i = 0; i < ARRAY_LEN(words); i++)
		assert_string_equal(word(s, i), words[i]);
	WAIT(r, redis_int_of(r, "XLEN pg:{local}:incident:news") == 0);
	WAIT(r, redis_int_of(r, "EXISTS pg:{local:0}:notify:generic") == 0);
	assert_int_equal(sink_tries(s), 6);
}

/* The simulator refuses a check of somebody who is no App, and one that is not whole. */
static void an_app_shows_it_on_the_run(struct rig *r)
{
	uint64_t run;

	app_keys(r);
	(void)receiver_start(r, NULL);
	(void)simulator_start(r, "--app-id", "4711", "--app-public-key-file",
			      rig_path(r, "app.pub"), NULL);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), "github.app_id=4711",
			       rig_printf(r, "github.app_key_file=%s", rig_path(r, "app.pem")),
			       "notify.run.events=all", NULL);
	run = sim_run(r, HEALABLE);
	assert_string_equal(plan_result(r, run, 1), "healed");
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == 0);
	assert_int_equal(sim_total(r, "checks"), 1);
	assert_int_equal(sim_total(r, "checks_neutral"), 0);
	run = sim_run(r, "{\"cause\":\"test_assertion\"}");
	assert_string_equal(plan_result(r, run, 1), "escalated");
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == 0);
	assert_int_equal(sim_total(r, "checks"), 2);
	/* Nobody is kept from merging. */
	assert_int_equal(sim_total(r, "checks_neutral"), 1);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
}

static const char *state_of(struct rig *r, uint64_t run)
{
	return plan_field(r, run, 1, "state");
}

#define WRITER "max-maintainer"

static int press(struct rig *r, const char *who, const char *answer, const char *app, uint64_t repo,
		 uint64_t run, const char *plan_of)
{
	static unsigned n;
	const char *body = rig_printf(
		r,
		"{\"action\":\"requested_action\",\"requested_action\":{\"identifier\":\"%s\"},"
		"\"check_run\":{\"id\":1,\"name\":\"Pipeline Guard\",\"status\":\"completed\","
		"\"conclusion\":\"neutral\",\"external_id\":\"github:%s:%" PRIu64 ":1\","
		"\"check_suite\":{\"id\":2,\"head_branch\":\"main\"},"
		"\"app\":{\"id\":%s,\"name\":\"guard\"}},"
		"\"repository\":{\"id\":%" PRIu64 ",\"full_name\":\"aurora-labs/checkout\"},"
		"\"sender\":{\"login\":\"%s\"}}",
		answer, plan_of, run, app, repo, who);

	return webhook_post_text(r, "check_run", rig_printf(r, "press-%u", n++), body).status;
}

/* GitHub says who pressed it; of another App, another repository or another plan it is nothing. */
static void a_button_of_a_check_answers(struct rig *r)
{
	static const char *const no_writers[] = { "rita-reader", "tina-triage",   "nils-nobody",
						  "stranger",    "../../../user", "" };
	const char *mine, *other = "1";
	uint64_t run, repo;

	app_keys(r);
	rig_write(r, "policy.yaml", "defaults: { mode: suggest }\n", 0600);
	(void)receiver_start(r, NULL);
	(void)simulator_start(r, "--app-id", "4711", "--app-public-key-file",
			      rig_path(r, "app.pub"), NULL);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), "github.app_id=4711",
			       rig_printf(r, "github.app_key_file=%s", rig_path(r, "app.pem")),
			       rig_printf(r, "policy_file=%s", rig_path(r, "policy.yaml")),
			       "notify.run.events=all", NULL);
	run = sim_run(r, HEALABLE);
	WAIT(r, strcmp(state_of(r, run), "suggested") == 0 && sim_total(r, "checks_buttons") == 1);
	mine = rig_printf(r, "%s", run_field(r, run, "repo_id"));
	repo = strtoull(mine, NULL, 10);
	assert_int_equal(press(r, WRITER, "approve", "4712", repo, run, mine), 202);
	assert_int_equal(press(r, WRITER, "merge", "4711", repo, run, mine), 202);
	assert_int_equal(press(r, WRITER, "approve", "4711", repo, run, other), 202);
	assert_int_equal(press(r, WRITER, "approve", "4711", 1, run, mine), 202);
	assert_int_equal(press(r, WRITER, "approve", "4711", repo, run + 1, mine), 202);
	for (unsigned i = 0; i < ARRAY_LEN(no_writers); i++)
		assert_int_equal(press(r, no_writers[i], "approve", "4711", repo, run, mine), 202);
	assert_true(STAYS_FALSE(r, strcmp(state_of(r, run), "suggested") != 0, 500));
	/* GitHub cannot say just now, and then it can. */
	sim_post(r, "/_sim/faults", "{\"call\":\"right\",\"kind\":\"status\",\"status\":502}");
	assert_int_equal(press(r, WRITER, "approve", "4711", repo, run, mine), 202);
	WAIT(r, sim_total(r, "faults_left") == 0);
	assert_true(STAYS_FALSE(r, strcmp(state_of(r, run), "suggested") != 0, 300));
	assert_int_equal(press(r, WRITER, "approve", "4711", repo, run, mine), 202);
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_string_equal(plan_field(r, run, 1, "answer"), "approved");
	assert_string_equal(plan_field(r, run, 1, "asked_by"), WRITER " on GitHub");
	assert_int_equal(sim_number(r, run, "rerun_accepted"), 1);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
}

static void the_command_sends_a_sample(struct rig *r)
{
	struct sink *s = sink_open(r);
	const char *args[] = { "notify", "test", "--set", url_set(r, s, "slack"), NULL };
	struct proc *p = guard_start(r, "notify-test", args, NULL);

	proc_may_die(p);
	WAIT(r, sink_count(s) == 1);
	assert_int_equal(proc_wait(p, PATIENCE_MS), 0);
	assert_non_null(strstr(proc_output(p), "delivered"));
	assert_non_null(strstr(s->hooks[0].text, "This is a test of Pipeline Guard"));
	assert_null(strstr(proc_output(p), "hookPath"));
	s->status = 403;
	p = guard_start(r, "notify-refused", args, NULL);
	proc_may_die(p);
	WAIT(r, sink_tries(s) == 2);
	assert_int_equal(proc_wait(p, PATIENCE_MS), 1);
	(void)close(s->fd);
	p = guard_start(r, "notify-nobody", args, NULL);
	proc_may_die(p);
	assert_int_equal(proc_wait(p, PATIENCE_MS), 3);
	assert_null(strstr(proc_output(p), "hookPath"));
}

static struct answer visit(struct rig *r, const char *method, const char *url)
{
	const char *path = strstr(url, "/answer?");

	assert_non_null(path);
	return http_ask(r, receiver_admin_port(r), method, path,
			"Sec-Fetch-Site: cross-site\r\nOrigin: null\r\n", "", 0);
}

/* Without a token, and looking is not answering. */
static void a_link_of_a_message_answers_once(struct rig *r)
{
	struct sink *s = sink_open(r);
	const char *key, *yes, *no;
	uint64_t run;

	rig_write(r, "approve-key", "a key that only the guard knows, and 32 bytes", 0600);
	rig_write(r, "policy.yaml", "defaults: { mode: suggest }\n", 0600);
	key = rig_printf(r, "approve.key_file=%s", rig_path(r, "approve-key"));
	(void)receiver_start(r, key, NULL);
	(void)simulator_start(r, NULL);
	(void)dispatcher_start(
		r, "dispatcher", few_rules(r), url_set(r, s, "generic"), secret_set(r, "generic"),
		key, rig_printf(r, "policy_file=%s", rig_path(r, "policy.yaml")),
		rig_printf(r, "notifications.page_url=http://127.0.0.1:%d", receiver_admin_port(r)),
		NULL);
	run = sim_run(r, HEALABLE);
	WAIT(r, sink_count(s) == 1);
	assert_string_equal(word(s, 0), "suggested");
	yes = json_str(s->hooks[0].body, "data.approve_url", "");
	no = json_str(s->hooks[0].body, "data.reject_url", "");
	assert_int_equal(visit(r, "GET", yes).status, 200);
	assert_non_null(strstr(visit(r, "GET", yes).body, "<button>Approve</button>"));
	assert_non_null(strstr(visit(r, "GET", no).body, "<button>Reject</button>"));
	assert_int_equal(visit(r, "POST", rig_printf(r, "%s0", yes)).status, 403);
	assert_int_equal(visit(r, "PUT", yes).status, 405);
	assert_string_equal(state_of(r, run), "suggested");
	assert_int_equal(visit(r, "POST", yes).status, 200);
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_int_equal(visit(r, "POST", yes).status, 409);
	assert_int_equal(visit(r, "POST", no).status, 409);
	assert_int_equal(visit(r, "GET", no).status, 409);
	assert_string_equal(plan_field(r, run, 1, "answer"), "approved");
	assert_string_equal(plan_field(r, run, 1, "asked_by"), "a link of channel generic");
	assert_int_equal(sim_number(r, run, "rerun_accepted"), 1);
	assert_string_equal(redis_text_of(r, "EVAL %s 1 pg:{local}:audit",
					  "local e = redis.call('XRANGE', KEYS[1], '-', '+')[1][2] "
					  "local f = {} "
					  "for i = 1, #e, 2 do f[e[i]] = e[i + 1] end "
					  "return f.what .. ' by ' .. f.by .. ' at ' .. f.peer"),
			    "approved by a link of channel generic at 127.0.0.1");
}

/* It leads to this machine by a name that does not say so. */
static void a_channel_leads_inside_only_when_it_may(struct rig *r)
{
	struct sink *s = sink_open(r);
	const char *url = rig_printf(r, "notify.slack.url_file=%s", rig_path(r, "url"));
	struct pollfd asked = { .fd = s->fd, .events = POLLIN };
	struct proc *p;

	rig_write(r, "url", rig_printf(r, "https://0.0.0.0:%d/", s->port), 0600);
	p = guard_start(r, "refused", LIST("notify", "test", "--set", url), NULL);
	proc_may_die(p);
	assert_int_equal(proc_wait(p, PATIENCE_MS), 3);
	assert_non_null(strstr(proc_output(p), "address"));
	assert_int_equal(poll(&asked, 1, 0), 0);
	p = guard_start(r, "private",
			LIST("notify", "test", "--set", url, "--set", "notify.slack.private=true"),
			NULL);
	proc_may_die(p);
	assert_int_equal(poll(&asked, 1, PATIENCE_MS), 1);
	(void)close(accept4(s->fd, NULL, NULL, SOCK_CLOEXEC));
	assert_int_equal(proc_wait(p, PATIENCE_MS), 3);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(tells_of_a_heal_once_and_signs_it),
		RIG_TEST(tells_again_after_500_and_after_a_crash),
		RIG_TEST(what_is_not_taken_is_a_dead_letter_and_can_be_replayed),
		RIG_TEST(what_is_too_much_follows_as_one),
		RIG_TEST(each_channel_hears_what_it_wants),
		RIG_TEST(a_digest_collects),
		RIG_TEST(what_is_said_of_causes_is_read_again),
		RIG_TEST(an_incident_is_told_once_whoever_changes_it),
		RIG_TEST(an_app_shows_it_on_the_run),
		RIG_TEST(the_command_sends_a_sample),
		RIG_TEST(a_link_of_a_message_answers_once),
		RIG_TEST(a_button_of_a_check_answers),
		RIG_TEST(a_channel_leads_inside_only_when_it_may),
	};

	return rig_main(tests);
}
