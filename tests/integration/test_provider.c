/*
 * A provider that refuses, limits, hangs, lies or sends elsewhere: each call ends in the right
 * fate, and the token goes nowhere it should not.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/integration/product.h"

#define HEALABLE "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}"

/* What becomes of a run that would heal if everything went well. */
struct row {
	const char *why;
	const char *fault;
	const char *result; /* of the plan */
	const char *says;   /* its reason or detail */
	int reruns;         /* accepted */
	const char *second; /* another fault, or NULL */
};

static void start_all(struct rig *r)
{
	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", "github.timeout=700ms", "diagnose.tries=4",
			       "heal.give_up=4s", "breaker.failures=1000",
			       rules_only(r, "markers.yaml", "network.yaml", NULL), NULL);
}

static void go_through(struct rig *r, const struct row *rows, size_t n)
{
	for (const struct row *row = rows; row < rows + n; row++) {
		const char *result, *reason, *detail;
		uint64_t run;

		sim_no_faults(r);
		sim_fault(r, row->fault);
		if (row->second)
			sim_fault(r, row->second);
		run = sim_run(r, HEALABLE);
		result = plan_result(r, run, 1);
		reason = plan_field(r, run, 1, "reason");
		detail = plan_field(r, run, 1, "detail");
		if (strcmp(result, row->result) != 0)
			fail_msg("%s: %s, not %s (%s; %s)", row->why, result, row->result, reason,
				 detail);
		if (!strstr(reason, row->says) && !strstr(detail, row->says))
			fail_msg("%s: neither \"%s\" nor \"%s\" says %s", row->why, reason, detail,
				 row->says);
		assert_case(outcomes_of(r, run, 1) == 1, row->why);
		assert_case(sim_number(r, run, "rerun_accepted") == row->reruns, row->why);
	}
	assert_int_equal(sim_total(r, "rerun_twice"), 0);
	assert_int_equal(sim_total(r, "log_auth_leaks"), 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
}

#define FAULT(call, rest) "{\"call\":\"" call "\"," rest "}"
#define STATUS(n, times)  "\"kind\":\"status\",\"status\":" #n ",\"times\":" #times
#define MESSAGE(text)     ",\"body\":\"{\\\"message\\\":\\\"" text "\\\"}\""
#define AFTER_ONE_SECOND  ",\"headers\":{\"Retry-After\":\"1\"}"
#define HEALED(why, fault)                        \
	{                                         \
		why, fault, "healed", "", 1, NULL \
	}

/* --- reading jobs and logs ---------------------------------------------------------------------
 */

static void trouble_with_the_list_of_jobs(struct rig *r)
{
	static const struct row rows[] = {
		HEALED("down for a moment", FAULT("list_jobs", STATUS(503, 2))),
		HEALED("a bug of theirs", FAULT("list_jobs", STATUS(500, 1))),
		HEALED("a bad gateway", FAULT("list_jobs", STATUS(502, 1))),
		HEALED("limited, with a time", FAULT("list_jobs", STATUS(429, 1) AFTER_ONE_SECOND)),
		HEALED("secondary limit",
		       FAULT("list_jobs", STATUS(403, 1) AFTER_ONE_SECOND MESSAGE(
						  "You have exceeded a secondary rate limit"))),
		HEALED("hung up", FAULT("list_jobs", "\"kind\":\"drop\"")),
		HEALED("silent", FAULT("list_jobs", "\"kind\":\"hang\"")),
		{ "down for long", FAULT("list_jobs", STATUS(503, 100000)), "escalated",
		  "tries did not succeed", 0, NULL },
		{ "wrong token", FAULT("list_jobs", STATUS(401, 100000)), "escalated", "401", 0,
		  NULL },
		{ "not allowed",
		  FAULT("list_jobs", STATUS(403, 100000) MESSAGE(
					     "Resource not accessible by personal access token")),
		  "escalated", "actions: read", 0, NULL },
		{ "not there", FAULT("list_jobs", STATUS(404, 100000)), "escalated", "404", 0,
		  NULL },
		{ "gone", FAULT("list_jobs", STATUS(410, 100000)), "escalated", "410", 0, NULL },
		{ "not understood", FAULT("list_jobs", STATUS(422, 100000)), "escalated", "422", 0,
		  NULL },
		{ "no JSON", FAULT("list_jobs", "\"kind\":\"garbage\",\"times\":100000"),
		  "escalated", "JSON", 0, NULL },
		{ "other JSON", FAULT("list_jobs", STATUS(200, 100000) ",\"body\":\"[1,2]\""),
		  "escalated", "list of jobs", 0, NULL },
	};

	start_all(r);
	go_through(r, rows, ARRAY_LEN(rows));
}

static void trouble_with_logs(struct rig *r)
{
	static const struct row rows[] = {
		HEALED("down for a moment", FAULT("log", STATUS(503, 2))),
		HEALED("limited", FAULT("log", STATUS(429, 1) AFTER_ONE_SECOND)),
		HEALED("hung up", FAULT("log", "\"kind\":\"drop\"")),
		HEALED("silent", FAULT("log", "\"kind\":\"hang\"")),
		HEALED("only in the archive", FAULT("log", STATUS(404, 1))),
		HEALED("only in the archive, the other way", FAULT("log", STATUS(410, 1))),
		HEALED("the storage is down", FAULT("log_file", STATUS(503, 1))),
		HEALED("the link lapsed", FAULT("log_file", STATUS(403, 1))),
		HEALED("the storage hangs up", FAULT("log_file", "\"kind\":\"drop\"")),
		HEALED("the storage is silent", FAULT("log_file", "\"kind\":\"hang\"")),
		HEALED("cut off on the way", FAULT("log_file", "\"kind\":\"truncate\"")),
		{ "wrong token", FAULT("log", STATUS(401, 100000)), "escalated", "401", 0, NULL },
		{ "not allowed",
		  FAULT("log", STATUS(403, 100000) MESSAGE("Must have admin rights to "
							   "Repository.")),
		  "escalated", "could not be read", 0, NULL },
		{ "expired", FAULT("log", STATUS(410, 100000)), "escalated", "could not be read", 0,
		  NULL },
		{ "half an archive", FAULT("log", STATUS(404, 1)), "escalated", "could not be read",
		  0, FAULT("log_file", "\"kind\":\"truncated_zip\",\"times\":100000") },
		{ "an archive that is none", FAULT("log", STATUS(404, 1)), "escalated",
		  "could not be read", 0,
		  FAULT("log_file", "\"kind\":\"garbage\",\"times\":100000") },
		{ "garbage", FAULT("log_file", "\"kind\":\"garbage\",\"times\":100000"),
		  "escalated", "no known cause", 0, NULL },
	};

	start_all(r);
	go_through(r, rows, ARRAY_LEN(rows));
}

/* --- before and at the call ----------------------------------------------------------------------
 */

static void trouble_with_asking_about_the_run(struct rig *r)
{
	static const struct row rows[] = {
		HEALED("down for a moment", FAULT("get_run", STATUS(503, 2))),
		HEALED("limited", FAULT("get_run", STATUS(429, 1) AFTER_ONE_SECOND)),
		HEALED("hung up", FAULT("get_run", "\"kind\":\"drop\"")),
		HEALED("silent", FAULT("get_run", "\"kind\":\"hang\"")),
		{ "down for long", FAULT("get_run", STATUS(503, 100000)), "gave_up", "trouble", 0,
		  NULL },
		{ "wrong token", FAULT("get_run", STATUS(401, 100000)), "refused", "401", 0, NULL },
		{ "not there", FAULT("get_run", STATUS(404, 100000)), "refused", "404", 0, NULL },
		{ "no JSON", FAULT("get_run", "\"kind\":\"garbage\",\"times\":100000"), "refused",
		  "JSON", 0, NULL },
		{ "another run",
		  FAULT("get_run",
			STATUS(200, 100000) ",\"body\":\"{\\\"id\\\":5,\\\"run_attempt\\\":1}\""),
		  "refused", "workflow run", 0, NULL },
	};

	start_all(r);
	go_through(r, rows, ARRAY_LEN(rows));
}

static void trouble_with_the_rerun_itself(struct rig *r)
{
	static const struct row rows[] = {
		HEALED("down for a moment", FAULT("rerun", STATUS(503, 1))),
		HEALED("a bug of theirs", FAULT("rerun", STATUS(500, 2))),
		HEALED("limited", FAULT("rerun", STATUS(429, 1) AFTER_ONE_SECOND)),
		HEALED("hung up", FAULT("rerun", "\"kind\":\"drop\"")),
		HEALED("silent", FAULT("rerun", "\"kind\":\"hang\"")),
		HEALED("hung up after it acted", FAULT("rerun", "\"kind\":\"apply_then_drop\"")),
		{ "not allowed",
		  FAULT("rerun", STATUS(403, 100000) MESSAGE("Resource not accessible by "
							     "integration")),
		  "refused", "actions: write", 0, NULL },
		{ "too old",
		  FAULT("rerun", STATUS(403, 100000) MESSAGE("Unable to retry this workflow run "
							     "because it was created over a month "
							     "ago")),
		  "refused", "month", 0, NULL },
		{ "wrong token", FAULT("rerun", STATUS(401, 100000)), "refused", "401", 0, NULL },
		{ "not there", FAULT("rerun", STATUS(404, 100000)), "refused", "404", 0, NULL },
		{ "not understood", FAULT("rerun", STATUS(422, 100000)), "refused", "422", 0,
		  NULL },
		{ "no effect, time and again", FAULT("rerun", STATUS(500, 100000)), "gave_up", "",
		  0, NULL },
	};

	start_all(r);
	go_through(r, rows, ARRAY_LEN(rows));
}

/* --- elsewhere ---------------------------------------------------------------------------------
 */

/* A listener that takes what comes and says nothing. */
static int trap_open(int *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(fd, 16) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) < 0)
		fail_msg("cannot listen");
	*port = ntohs(sin.sin_port);
	return fd;
}

/* Answers who came; what was said is added to `said`. False: nobody. */
static bool trapped(int fd, struct buf *said)
{
	static const char answer[] = "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n"
				     "Connection: close\r\n\r\n";
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char text[8192];
	ssize_t n;

	if (poll(&p, 1, 0) <= 0)
		return false;
	p.fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	if (p.fd < 0)
		return false;
	if (poll(&p, 1, PATIENCE_MS) > 0 && (n = recv(p.fd, text, sizeof(text), 0)) > 0)
		buf_append(said, text, (size_t)n);
	(void)send(p.fd, answer, strlen(answer), MSG_NOSIGNAL);
	(void)close(p.fd);
	return true;
}

/* Whatever is redirected to another origin goes there without the token, or not at all. */
static void the_token_stays_with_its_origin(struct rig *r)
{
	static const char *const calls[] = { "get_run", "list_jobs", "log", "log_file", "rerun" };
	OWNED(buf_done) struct buf said;
	int port, trap = trap_open(&port);

	buf_init(&said, 1 << 20);

	start_all(r);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		uint64_t run;

		sim_no_faults(r);
		sim_fault(r, rig_printf(r,
					"{\"call\":\"%s\",\"kind\":\"redirect\",\"status\":302,"
					"\"location\":\"http://127.0.0.1:%d/elsewhere\","
					"\"times\":100000}",
					calls[i], port));
		run = sim_run(r, HEALABLE);
		WAIT(r,
		     !trapped(trap, &said) && strcmp(plan_field(r, run, 1, "state"), "done") == 0);
		assert_case(sim_number(r, run, "rerun_accepted") == 0, calls[i]);
		assert_case(!strcasestr(buf_text(&said), "authorization:"), calls[i]);
		assert_case(!strstr(buf_text(&said), API_TOKEN), calls[i]);
		assert_case(!strstr(buf_text(&said), "POST"), calls[i]);
	}
	/* Logs are elsewhere by design, so somebody did come. */
	assert_non_null(strstr(buf_text(&said), "GET /elsewhere"));
	(void)close(trap);
}

/* A token that is wrong altogether. The rig looks through all files for the right ones. */
static void a_wrong_token_is_named_and_not_shown(struct rig *r)
{
	static const char wrong[] = "ghp_wrongTokenOfTheIntegrationTests00001";
	const char *set, *log;
	struct proc *p;
	uint64_t run;

	rig_write(r, "wrong", wrong, 0600);
	rig_hide(r, wrong, "wrong");
	set = rig_printf(r, "github.token_file=%s", rig_path(r, "wrong"));
	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	p = dispatcher_start(r, "dispatcher", set, rules_only(r, "markers.yaml", NULL), NULL);
	run = sim_run(r, HEALABLE);
	assert_string_equal(plan_result(r, run, 1), "escalated");
	assert_non_null(strstr(run_field(r, run, "plan_reason"), "does not know this token"));
	log = proc_output(p);
	assert_null(strstr(log, "Bearer"));
}

static void limits_of_a_whole_hour_are_respected(struct rig *r)
{
	uint64_t run;

	start_all(r);
	sim_post(r, "/_sim/rate-limit", "{\"limit\":5000,\"remaining\":0,\"reset_ms\":2500}");
	run = sim_run(r, HEALABLE);
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_int_equal(sim_number(r, run, "rerun_accepted"), 1);
}

/* --- what the guard answers for
 * ------------------------------------------------------------------- */

static void waits_out_a_provider_that_is_down(struct rig *r)
{
	enum { N = 20 };
	uint64_t runs[N];

	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", "diagnose.tries=50",
			       rules_only(r, "markers.yaml", "network.yaml", NULL), NULL);
	sim_fault(r, "{\"call\":\"any\",\"kind\":\"drop\",\"times\":100000}");
	for (int i = 0; i < N; i++)
		runs[i] = sim_run(r, HEALABLE);
	for (int i = 0; i < N; i++)
		WAIT(r, strcmp(sim_word(r, runs[i], "status"), "completed") == 0);
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == N);
	sim_no_faults(r);
	plans_done(r, runs, N);
	for (int i = 0; i < N; i++)
		assert_string_equal(plan_result(r, runs[i], 1), "healed");
	assert_int_equal(sim_total(r, "rerun_twice"), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(trouble_with_the_list_of_jobs),
		RIG_TEST(trouble_with_logs),
		RIG_TEST(trouble_with_asking_about_the_run),
		RIG_TEST(trouble_with_the_rerun_itself),
		RIG_TEST(the_token_stays_with_its_origin),
		RIG_TEST(a_wrong_token_is_named_and_not_shown),
		RIG_TEST(limits_of_a_whole_hour_are_respected),
		RIG_TEST(waits_out_a_provider_that_is_down),
	};

	return rig_main(tests);
}
