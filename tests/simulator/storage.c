#include "tests/simulator/storage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/http_server.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/job_log.h"
#include "tests/simulator/reply.h"
#include "tests/simulator/run_zip.h"

enum { LINKS_MAX = 8192 };

struct link {
	uint64_t key;
	uint64_t run_id, job_id;
	unsigned attempt;
	int64_t until_ms;
};

struct storage {
	struct sim *sim;
	struct http_server *server;
	struct link links[LINKS_MAX]; /* a ring */
	size_t n;
	struct rng rng;
};

void storage_link(struct storage *s, uint64_t run_id, unsigned attempt, uint64_t job_id,
		  char out[static 512])
{
	uint64_t key = rng_next(&s->rng);

	s->links[s->n++ % LINKS_MAX] = (struct link){
		.key = key,
		.run_id = run_id,
		.job_id = job_id,
		.attempt = attempt,
		.until_ms = clock_mono_ms() + s->sim->opt.link_ms,
	};
	(void)snprintf(out, 512, "http://%s/job-logs/%s?sig=%016" PRIx64 "&sp=r&sr=b&sv=2025-11-05",
		       http_server_address(s->server), job_id ? "job.txt" : "run.zip", key);
}

static const struct link *find_link(const struct storage *s, const char *sig)
{
	for (size_t i = 0; i < LINKS_MAX && i < s->n; i++) {
		char key[17];

		(void)snprintf(key, sizeof(key), "%016" PRIx64, s->links[i].key);
		if (strcmp(key, sig) == 0)
			return &s->links[i];
	}
	return NULL;
}

static void refuse(struct ask *a, int status, const char *code, const char *message)
{
	char body[512];
	int n = snprintf(body, sizeof(body),
			 "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>%s</Code>"
			 "<Message>%s</Message></Error>",
			 code, message);

	ask_reply(a, status, "application/xml", body, (size_t)n);
}

static void send_log(struct ask *a, const struct link *l)
{
	struct sim *sim = a->sim;
	struct run *r = world_find(sim->world, l->run_id);
	unsigned attempt = l->attempt;
	struct job *j = NULL;
	struct buf b;

	if (r && l->job_id)
		j = world_find_job(sim->world, l->job_id, &r, &attempt);
	if (!r || (l->job_id && !j)) {
		refuse(a, 404, "BlobNotFound", "The specified blob does not exist.");
		return;
	}
	r->log_reads++;
	buf_init(&b, RUN_ZIP_MAX);
	if (j)
		job_log_write(&b, r, j, (unsigned)sim->opt.noise);
	else
		run_zip_write(&b, r, attempt, (unsigned)sim->opt.noise);
	ask_reply(a, 200, j ? "text/plain; charset=utf-8" : "application/zip", buf_text(&b), b.len);
	buf_done(&b);
}

static void serve(struct ask *a)
{
	struct storage *s = a->sim->storage;
	const struct link *l;
	char sig[32];

	l = http_request_query(a->http, "sig", sig, sizeof(sig)) ? find_link(s, sig) : NULL;
	if (ask_fault(a, CALL_LOG_FILE, l ? l->run_id : 0))
		return;
	if (http_request_header(a->http, "Authorization")) {
		a->sim->auth_leaks++;
		refuse(a, 400, "InvalidAuthenticationInfo",
		       "Authentication information is not given in the correct format.");
	} else if (strcmp(a->http->method, "GET") != 0 && strcmp(a->http->method, "HEAD") != 0) {
		refuse(a, 405, "UnsupportedHttpVerb", "The resource doesn't support that verb.");
	} else if (!l || clock_mono_ms() > l->until_ms) {
		refuse(a, 403, "AuthenticationFailed", "The link is not valid, or not any more.");
	} else {
		send_log(a, l);
	}
}

static void on_request(struct http_request *http, void *arg)
{
	struct storage *s = arg;

	ask_start(ask_new(s->sim, http, serve), s->sim->opt.latency_ms);
}

int storage_new(struct sim *sim, struct storage **out, struct err *err)
{
	struct storage *s = xcalloc(1, sizeof(*s));

	s->sim = sim;
	rng_seed(&s->rng, (uint64_t)sim->opt.seed, 31);
	if (http_server_new(sim->base, "127.0.0.1:0", &HTTP_LIMITS_DEFAULT, on_request, s,
			    &s->server, err) < 0) {
		free(s);
		return -1;
	}
	*out = s;
	return 0;
}

void storage_free(struct storage *s)
{
	if (!s)
		return;
	http_server_free(s->server);
	free(s);
}
