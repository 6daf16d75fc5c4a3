#include "web/api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/approve.h"
#include "core/audit.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/cluster_view.h"
#include "core/flake.h"
#include "core/http_server.h"
#include "core/incident.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/redis.h"
#include "core/rule_trust.h"
#include "core/text.h"
#include "web/run_view.h"

enum {
	OPEN_MAX = 64, /* requests that wait for Redis; more are told to come back */
	LIMIT_DEFAULT = 50,
	LIMIT_MAX = 200,
	SCAN_MAX = 500, /* newest runs looked at when a state is asked for */
	REFS_MAX = 50,
	REF_BYTES = 96, /* RUN_REF_MAX of core/ci_event.h */
	ATTEMPTS_MAX = 10,
	LEDGERS_MAX = 50, /* that changed last, of each partition */
	REASON_MAX = 200,
	ANSWER_MAX = 16 << 20,
};

/* A run that is to be shown: found in the index, then read. */
struct row {
	char ref[REF_BYTES];
	int64_t at_ms;
	struct json_object *json; /* NULL until read, or when it is gone or filtered out */
	const char *state;
};

struct question {
	struct api *api;
	struct http_request *req;
	struct batch *batch;
	size_t limit;
	char state[16]; /* "": any */
	struct row *rows;
	size_t n_rows, cap_rows;
	unsigned indexes_open; /* partitions whose index has not arrived */
	bool failed;
	char reason[REASON_MAX];     /* of a stop; "" when it is released */
	char word[16], strategy[40]; /* answer to a suggestion */
	char subject[INCIDENT_SUBJECT_MAX];
	struct json_object *list;
	struct json_object *(*entry_json)(const struct redisReply *);
	struct arena *arena; /* of the flakes; NULL: it is not about them */
	struct flake *flakes;
	size_t n_flakes, cap_flakes;
	bool all_tests; /* not only those that are flaky */
};

/* --- shared ------------------------------------------------------------------- */

static void answer(struct http_request *req, int status, struct json_object *o)
{
	OWNED(buf_done) struct buf text;

	buf_init(&text, ANSWER_MAX);
	buf_puts(&text, json_text(o));
	buf_putc(&text, '\n');
	http_reply_header(req, "Cache-Control", "no-store");
	if (text.overflow)
		http_reply_text(req, 500, "application/json", "{\"error\":\"too large\"}\n");
	else
		http_reply(req, status, "application/json", buf_text(&text), text.len);
}

static void answer_error(struct http_request *req, int status, const char *why)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();

	json_add_str(o, "error", why);
	answer(req, status, o);
}

static void question_free(void *arg)
{
	struct question *q = arg;

	q->api->open--;
	for (size_t i = 0; i < q->n_rows; i++)
		json_object_put(q->rows[i].json);
	free(q->rows);
	free(q->flakes);
	arena_free(q->arena);
	json_object_put(q->list);
	free(q);
}

/* NULL when it was refused, and answered. */
static struct question *question_new(struct api *api, struct http_request *req,
				     void (*done)(void *))
{
	struct question *q;
	char text[24];
	uint64_t n = LIMIT_DEFAULT;

	if (http_request_query(req, "limit", text, sizeof(text)) &&
	    (!text_to_u64(text, &n) || n == 0)) {
		answer_error(req, 400, "limit is not a number from 1 on");
		return NULL;
	}
	if (api->open >= OPEN_MAX) {
		http_reply_header(req, "Retry-After", "1");
		answer_error(req, 503, "too many requests wait for Redis");
		return NULL;
	}
	q = xcalloc(1, sizeof(*q));
	q->api = api;
	q->req = req;
	q->limit = n < LIMIT_MAX ? n : LIMIT_MAX;
	q->batch = batch_new(api->batches, api->redis, done, question_free, q);
	api->open++;
	return q;
}

static bool usable(struct question *q, const struct redisReply *reply)
{
	if (!redis_is_error(reply, NULL))
		return true;
	q->failed = true;
	return false;
}

/* --- runs ----------------------------------------------------------------------- */

/* source:repository:run, the latter two identities without spaces or controls. */
static bool is_ref(const char *ref, size_t n)
{
	unsigned colons = 0;

	if (n < 5 || n >= REF_BYTES || *ref == ':' || ref[n - 1] == ':')
		return false;
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)ref[i] <= ' ' || ref[i] == 0x7f)
			return false;
		colons += ref[i] == ':';
	}
	return colons >= 2;
}

static void add_row(struct question *q, const char *ref, size_t n, int64_t at_ms)
{
	struct row *row;

	if (q->n_rows == q->cap_rows) {
		q->cap_rows = q->cap_rows ? 2 * q->cap_rows : 64;
		q->rows = xrealloc(q->rows, q->cap_rows * sizeof(*q->rows));
	}
	row = &q->rows[q->n_rows++];
	memset(row, 0, sizeof(*row));
	(void)text_copy(row->ref, sizeof(row->ref), ref, n);
	row->at_ms = at_ms;
}

static void on_run(const struct redisReply *reply, void *arg, unsigned index)
{
	struct question *q = arg;
	struct row *row = &q->rows[index];

	if (!usable(q, reply) || redis_len(reply) == 0)
		return;
	row->state = run_view_state(reply);
	if (!*q->state || strcmp(q->state, row->state) == 0)
		row->json = run_view_json(row->ref, reply);
}

static void read_rows(struct question *q)
{
	const struct keyspace *ks = q->api->ks;
	char key[KEY_MAX];
	struct redis_cmd cmd;

	for (size_t i = 0; i < q->n_rows; i++) {
		key_part_of(ks, key_partition_of_ref(ks, q->rows[i].ref), "run", q->rows[i].ref,
			    key);
		redis_cmd_init(&cmd);
		redis_arg(&cmd, "HGETALL");
		redis_arg(&cmd, key);
		batch_add(q->batch, &cmd, on_run, (unsigned)i);
	}
}

static int newest_first(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return (y->at_ms > x->at_ms) - (y->at_ms < x->at_ms);
}

static void on_index(const struct redisReply *reply, void *arg, unsigned partition)
{
	struct question *q = arg;
	size_t most = *q->state ? SCAN_MAX : q->limit;

	UNUSED(partition);
	if (usable(q, reply)) {
		for (size_t i = 0; i + 1 < redis_len(reply); i += 2) {
			const char *ref = redis_str(redis_at(reply, i));

			if (ref && is_ref(ref, strlen(ref)))
				add_row(q, ref, strlen(ref), redis_int(redis_at(reply, i + 1), 0));
		}
	}
	if (--q->indexes_open || q->failed)
		return;
	if (q->n_rows)
		qsort(q->rows, q->n_rows, sizeof(*q->rows), newest_first);
	if (q->n_rows > most)
		q->n_rows = most;
	read_rows(q);
}

static void answer_runs(void *arg)
{
	struct question *q = arg;
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	struct json_object *list = json_object_new_array();
	size_t shown = 0;

	json_add(o, "runs", list);
	if (q->failed) {
		answer_error(q->req, 503, "Redis does not answer");
		return;
	}
	for (size_t i = 0; i < q->n_rows && shown < q->limit; i++) {
		if (!q->rows[i].json)
			continue;
		json_object_array_add(list, TAKE(q->rows[i].json));
		shown++;
	}
	json_add_i64(o, "now_ms", clock_wall_ms());
	answer(q->req, 200, o);
}

/* A reply to something that needs no command, in the next turn: keeps one path. */
static void on_nothing(const struct redisReply *reply, void *arg, unsigned index)
{
	UNUSED(reply);
	UNUSED(arg);
	UNUSED(index);
}

static void read_refs(struct question *q, const char *refs)
{
	struct redis_cmd cmd;

	while (*refs && q->n_rows < REFS_MAX) {
		size_t n = strcspn(refs, ",");

		if (is_ref(refs, n))
			add_row(q, refs, n, 0);
		refs += n + (refs[n] == ',');
	}
	q->limit = REFS_MAX;
	if (q->n_rows) {
		read_rows(q);
		return;
	}
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "PING");
	batch_add(q->batch, &cmd, on_nothing, 0);
}

static void read_indexes(struct question *q)
{
	char key[KEY_MAX], last[24];
	struct redis_cmd cmd;

	(void)snprintf(last, sizeof(last), "%zu", (*q->state ? (size_t)SCAN_MAX : q->limit) - 1);
	q->indexes_open = q->api->ks->partitions;
	for (unsigned p = 0; p < q->api->ks->partitions; p++) {
		key_part(q->api->ks, p, "runs", key);
		redis_cmd_init(&cmd);
		redis_arg(&cmd, "ZREVRANGE");
		redis_arg(&cmd, key);
		redis_arg(&cmd, "0");
		redis_arg(&cmd, last);
		redis_arg(&cmd, "WITHSCORES");
		batch_add(q->batch, &cmd, on_index, p);
	}
}

void api_runs(struct api *api, struct http_request *req)
{
	OWNED(freep) char *refs = xmalloc(REFS_MAX * REF_BYTES);
	char state[16] = "";
	struct question *q;

	if (http_request_query(req, "state", state, sizeof(state)) && *state &&
	    !run_view_state_known(state)) {
		answer_error(req, 400, "no such state");
		return;
	}
	q = question_new(api, req, answer_runs);
	if (!q)
		return;
	memcpy(q->state, state, sizeof(state));
	if (http_request_query(req, "refs", refs, REFS_MAX * REF_BYTES))
		read_refs(q, refs);
	else
		read_indexes(q);
}

/* --- one run ---------------------------------------------------------------------- */

static void on_plan(const struct redisReply *reply, void *arg, unsigned index)
{
	struct question *q = arg;
	struct json_object *plan;

	UNUSED(index);
	if (!usable(q, reply))
		return;
	plan = run_view_plan_json(reply);
	if (plan)
		json_object_array_add(q->list, plan);
}

static void ask_plan(struct question *q, uint64_t generation)
{
	const char *ref = q->rows[0].ref;
	char plan[REF_BYTES + 24], key[KEY_MAX];
	struct redis_cmd cmd;

	(void)snprintf(plan, sizeof(plan), "%s:%" PRIu64, ref, generation);
	key_part_of(q->api->ks, key_partition_of_ref(q->api->ks, ref), "plan", plan, key);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "HGETALL");
	redis_arg(&cmd, key);
	batch_add(q->batch, &cmd, on_plan, 0);
}

/* "30 41": generations that have a plan. */
static void ask_planned(struct question *q, const char *planned)
{
	for (unsigned n = 0; n < ATTEMPTS_MAX && *planned; n++) {
		size_t len = strspn(planned, "0123456789");
		char digits[24];
		uint64_t g;

		if (text_copy(digits, sizeof(digits), planned, len) && text_to_u64(digits, &g))
			ask_plan(q, g);
		planned += len;
		planned += strspn(planned, " ");
		if (!len)
			return;
	}
}

static void on_one_run(const struct redisReply *reply, void *arg, unsigned index)
{
	struct question *q = arg;
	const char *planned = redis_field(reply, "planned");
	int64_t attempts;

	on_run(reply, arg, index);
	attempts = json_i64(q->rows[0].json, "attempt", 0);
	/* Ids of jobs and numbers of builds are too far apart to try them all. */
	if (planned && attempts > ATTEMPTS_MAX) {
		ask_planned(q, planned);
		return;
	}
	for (int64_t g = attempts > ATTEMPTS_MAX ? attempts - ATTEMPTS_MAX + 1 : 1; g <= attempts;
	     g++)
		ask_plan(q, (uint64_t)g);
}

static void answer_one_run(void *arg)
{
	struct question *q = arg;
	struct json_object *run = q->rows[0].json;

	if (q->failed) {
		answer_error(q->req, 503, "Redis does not answer");
	} else if (!run) {
		answer_error(q->req, 404, "no such run");
	} else {
		json_add(run, "plans", TAKE(q->list));
		answer(q->req, 200, run);
	}
}

void api_run(struct api *api, struct http_request *req, const char *ref)
{
	char key[KEY_MAX];
	struct redis_cmd cmd;
	struct question *q;

	if (!is_ref(ref, strlen(ref))) {
		answer_error(req, 404, "no such run");
		return;
	}
	q = question_new(api, req, answer_one_run);
	if (!q)
		return;
	q->list = json_object_new_array();
	add_row(q, ref, strlen(ref), 0);
	key_part_of(api->ks, key_partition_of_ref(api->ks, ref), "run", ref, key);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "HGETALL");
	redis_arg(&cmd, key);
	batch_add(q->batch, &cmd, on_one_run, 0);
}

/* --- streams ------------------------------------------------------------------------ */

static void on_entries(const struct redisReply *reply, void *arg, unsigned partition)
{
	struct question *q = arg;

	UNUSED(partition);
	if (!usable(q, reply))
		return;
	for (size_t i = 0; i < redis_len(reply); i++)
		json_object_array_add(q->list, q->entry_json(redis_at(reply, i)));
}

static int64_t entry_ms(struct json_object *entry)
{
	return strtoll(json_str(entry, "id", "0"), NULL, 10);
}

static int newest_entry_first(const void *a, const void *b)
{
	int64_t x = entry_ms(*(struct json_object *const *)a);
	int64_t y = entry_ms(*(struct json_object *const *)b);

	return (y > x) - (y < x);
}

static void answer_entries(struct question *q, const char *name)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	size_t n;

	if (q->failed) {
		answer_error(q->req, 503, "Redis does not answer");
		return;
	}
	/* One partition's entries are in order already, and equal times must stay so. */
	if (q->api->ks->partitions > 1)
		json_object_array_sort(q->list, newest_entry_first);
	n = json_object_array_length(q->list);
	if (n > q->limit)
		(void)json_object_array_del_idx(q->list, q->limit, n - q->limit);
	json_add(o, name, TAKE(q->list));
	answer(q->req, 200, o);
}

static void answer_outcomes(void *arg)
{
	answer_entries(arg, "outcomes");
}

static void answer_dead(void *arg)
{
	answer_entries(arg, "dead");
}

static void read_streams(struct api *api, struct http_request *req, const char *name,
			 struct json_object *(*entry_json)(const struct redisReply *),
			 void (*done)(void *))
{
	struct question *q = question_new(api, req, done);
	char key[KEY_MAX], count[24];
	struct redis_cmd cmd;

	if (!q)
		return;
	q->list = json_object_new_array();
	q->entry_json = entry_json;
	(void)snprintf(count, sizeof(count), "%zu", q->limit);
	for (unsigned p = 0; p < api->ks->partitions; p++) {
		key_part(api->ks, p, name, key);
		redis_cmd_init(&cmd);
		redis_arg(&cmd, "XREVRANGE");
		redis_arg(&cmd, key);
		redis_arg(&cmd, "+");
		redis_arg(&cmd, "-");
		redis_arg(&cmd, "COUNT");
		redis_arg(&cmd, count);
		batch_add(q->batch, &cmd, on_entries, p);
	}
}

void api_outcomes(struct api *api, struct http_request *req)
{
	read_streams(api, req, "outcomes", run_view_outcome_json, answer_outcomes);
}

void api_dead(struct api *api, struct http_request *req)
{
	read_streams(api, req, "dead", run_view_dead_json, answer_dead);
}

/* --- flaky tests ------------------------------------------------------------------------ */

static void on_ledger(const struct redisReply *reply, void *arg, unsigned index)
{
	struct question *q = arg;
	size_t n;

	UNUSED(index);
	if (!usable(q, reply))
		return;
	if (q->cap_flakes - q->n_flakes < FLAKE_TESTS_MAX) {
		q->cap_flakes = 2 * q->cap_flakes + FLAKE_TESTS_MAX;
		q->flakes = xrealloc(q->flakes, q->cap_flakes * sizeof(*q->flakes));
	}
	n = flake_read_ledger(reply, q->arena, q->flakes + q->n_flakes, FLAKE_TESTS_MAX);
	for (size_t i = q->n_flakes; n; i++, n--)
		if (q->all_tests || q->flakes[i].flaky)
			q->flakes[q->n_flakes++] = q->flakes[i];
}

static void on_ledgers(const struct redisReply *reply, void *arg, unsigned partition)
{
	struct question *q = arg;
	struct redis_cmd cmd;
	char key[KEY_MAX];

	if (!usable(q, reply))
		return;
	for (size_t i = 0; i < redis_len(reply); i++) {
		const char *identity = redis_str(redis_at(reply, i));

		if (!identity || strlen(identity) > KEY_MAX / 2)
			continue;
		key_part_of(q->api->ks, partition, "flakes", identity, key);
		redis_cmd_init(&cmd);
		redis_arg(&cmd, "HGETALL");
		redis_arg(&cmd, key);
		batch_add(q->batch, &cmd, on_ledger, partition);
	}
}

static void answer_flakes(void *arg)
{
	struct question *q = arg;
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	struct json_object *list = json_object_new_array();

	json_add(o, "flakes", list);
	if (q->failed) {
		answer_error(q->req, 503, "Redis does not answer");
		return;
	}
	if (q->n_flakes)
		qsort(q->flakes, q->n_flakes, sizeof(*q->flakes), flake_compare);
	for (size_t i = 0; i < q->n_flakes && i < q->limit; i++)
		json_object_array_add(list, flake_to_json(&q->flakes[i]));
	json_add_i64(o, "tests", (int64_t)q->n_flakes);
	json_add_i64(o, "now_ms", clock_wall_ms());
	answer(q->req, 200, o);
}

void api_flakes(struct api *api, struct http_request *req)
{
	struct question *q = question_new(api, req, answer_flakes);
	char key[KEY_MAX], last[24], all[8];
	struct redis_cmd cmd;

	if (!q)
		return;
	q->arena = arena_new();
	q->all_tests = http_request_query(req, "all", all, sizeof(all)) && strcmp(all, "1") == 0;
	(void)snprintf(last, sizeof(last), "%d", LEDGERS_MAX - 1);
	for (unsigned p = 0; p < api->ks->partitions; p++) {
		key_part(api->ks, p, "flakes", key);
		redis_cmd_init(&cmd);
		redis_arg(&cmd, "ZREVRANGE");
		redis_arg(&cmd, key);
		redis_arg(&cmd, "0");
		redis_arg(&cmd, last);
		batch_add(q->batch, &cmd, on_ledgers, p);
	}
}

/* --- clusters --------------------------------------------------------------------------- */

static void on_cluster(const struct redisReply *reply, void *arg, unsigned index)
{
	struct question *q = arg;
	struct json_object *o;

	if (!usable(q, reply))
		return;
	o = cluster_json(q->rows[index].ref, reply);
	if (o)
		json_object_array_add(q->list, o);
}

static void ask_cluster(struct question *q, const char *fingerprint, unsigned index)
{
	char name[REF_BYTES + 16], key[KEY_MAX];
	struct redis_cmd cmd;

	(void)snprintf(name, sizeof(name), "cluster:%s", fingerprint);
	key_region(q->api->ks, name, key);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "HGETALL");
	redis_arg(&cmd, key);
	batch_add(q->batch, &cmd, on_cluster, index);
}

static void on_clusters(const struct redisReply *reply, void *arg, unsigned index)
{
	struct question *q = arg;

	UNUSED(index);
	if (!usable(q, reply))
		return;
	for (size_t i = 0; i < redis_len(reply); i++) {
		const char *fingerprint = redis_str(redis_at(reply, i));

		if (fingerprint)
			add_row(q, fingerprint, strlen(fingerprint), 0);
	}
	for (size_t i = 0; i < q->n_rows; i++)
		ask_cluster(q, q->rows[i].ref, (unsigned)i);
}

static void answer_clusters(void *arg)
{
	struct question *q = arg;
	OWNED(json_putp) struct json_object *o = json_object_new_object();

	if (q->failed) {
		answer_error(q->req, 503, "Redis does not answer");
		return;
	}
	json_add(o, "clusters", TAKE(q->list));
	json_add_i64(o, "now_ms", clock_wall_ms());
	answer(q->req, 200, o);
}

void api_clusters(struct api *api, struct http_request *req)
{
	struct question *q = question_new(api, req, answer_clusters);
	char key[KEY_MAX], last[24];
	struct redis_cmd cmd;

	if (!q)
		return;
	q->list = json_object_new_array();
	(void)snprintf(last, sizeof(last), "%zu", q->limit - 1);
	key_region(api->ks, "clusters", key);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "ZREVRANGE");
	redis_arg(&cmd, key);
	redis_arg(&cmd, "0");
	redis_arg(&cmd, last);
	batch_add(q->batch, &cmd, on_clusters, 0);
}

/* --- feedback ----------------------------------------------------------------------------- */

/* A batch knows no second try, so the script goes along whole. */
static void send_whole(struct question *q, struct redis_cmd *cmd, const struct redis_script *script,
		       batch_fn *fn, unsigned index)
{
	cmd->argv[0] = "EVAL";
	cmd->len[0] = strlen("EVAL");
	cmd->argv[1] = script->body;
	cmd->len[1] = strlen(script->body);
	batch_add(q->batch, cmd, fn, index);
}

static void on_noted(const struct redisReply *reply, void *arg, unsigned index)
{
	UNUSED(index);
	(void)usable(arg, reply);
}

static void on_judged(const struct redisReply *reply, void *arg, unsigned right)
{
	struct question *q = arg;
	const char *said = redis_str(redis_at(reply, 0)), *rule = redis_str(redis_at(reply, 1));
	char key[KEY_MAX];
	struct redis_cmd cmd;

	if (!usable(q, reply) || !said)
		return;
	(void)text_copy(q->reason, sizeof(q->reason), said, strlen(said));
	if (strcmp(said, "ok") != 0 || !rule)
		return;
	q->list = json_object_new_object();
	json_add_str(q->list, "run", q->rows[0].ref);
	json_add_str(q->list, "rule", rule);
	json_add_bool(q->list, "right", right != 0);
	key_region(q->api->ks, "rules", key);
	trust_note_cmd(&cmd, key, TRUST_CATEGORY, rule, right != 0);
	send_whole(q, &cmd, &trust_note_script, on_noted, 0);
}

static void answer_feedback(void *arg)
{
	struct question *q = arg;

	if (q->failed)
		answer_error(q->req, 503, "Redis does not answer");
	else if (q->list)
		answer(q->req, 200, q->list);
	else if (strcmp(q->reason, "already") == 0)
		answer_error(q->req, 409, "somebody has judged this diagnosis already");
	else
		answer_error(q->req, 404, "no rule named a cause for that run");
}

void api_feedback(struct api *api, struct http_request *req)
{
	OWNED(json_putp) struct json_object *body = NULL;
	const char *ref;
	char key[KEY_MAX];
	struct redis_cmd cmd;
	struct question *q;
	struct err err;
	bool right;

	if (json_parse(req->body, req->body_len, &body, &err) < 0) {
		answer_error(req, 400, err.msg);
		return;
	}
	ref = json_str(body, "run", "");
	if (!is_ref(ref, strlen(ref)) ||
	    !json_object_is_type(json_at(body, "right"), json_type_boolean)) {
		answer_error(req, 400, "needs run, a reference, and right, true or false");
		return;
	}
	q = question_new(api, req, answer_feedback);
	if (!q)
		return;
	right = json_flag(body, "right", false);
	add_row(q, ref, strlen(ref), 0);
	key_part_of(api->ks, key_partition_of_ref(api->ks, ref), "run", ref, key);
	trust_feedback_cmd(&cmd, key, right);
	send_whole(q, &cmd, &trust_feedback_script, on_judged, right);
}

/* --- kill switch ----------------------------------------------------------------------- */

static void on_switched(const struct redisReply *reply, void *arg, unsigned stopped)
{
	struct question *q = arg;

	UNUSED(stopped);
	(void)usable(q, reply);
}

static void answer_switch(void *arg)
{
	struct question *q = arg;
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	bool stop = *q->reason != '\0';

	if (q->failed) {
		answer_error(q->req, 503, "Redis does not answer: the stop switch is as it was");
		return;
	}
	log_warn("stop switch changed", KV("stopped", (int)stop), KV("peer", q->req->peer),
		 KV("reason", q->reason));
	audit_write(q->api->audit, stop ? "stopped" : "released", "reason", q->reason, "by",
		    "the page or the API", "peer", q->req->peer, (char *)NULL);
	json_add_bool(o, "stopped", stop);
	answer(q->req, 200, o);
	q->api->switched(q->api->arg);
}

/* "reason" of a JSON body; an empty body is fine. */
static int read_reason(const struct http_request *req, char out[static REASON_MAX], struct err *err)
{
	OWNED(json_putp) struct json_object *body = NULL;
	const char *reason = NULL;

	if (req->body_len) {
		if (json_parse(req->body, req->body_len, &body, err) < 0)
			return -1;
		reason = json_str(body, "reason", NULL);
	}
	if (!reason || !*reason)
		reason = "stopped on the page";
	(void)text_copy(out, REASON_MAX, reason, strlen(reason));
	return 0;
}

static void send_switch(struct api *api, struct http_request *req, const char *reason)
{
	struct question *q = question_new(api, req, answer_switch);
	char key[KEY_MAX];
	struct redis_cmd cmd;

	if (!q)
		return;
	key_region(api->ks, "stop", key);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, reason ? "SET" : "DEL");
	redis_arg(&cmd, key);
	if (reason) {
		redis_arg(&cmd, reason);
		(void)text_copy(q->reason, sizeof(q->reason), reason, strlen(reason));
	}
	batch_add(q->batch, &cmd, on_switched, 0);
}

void api_stop(struct api *api, struct http_request *req)
{
	char reason[REASON_MAX];
	struct err err;

	if (read_reason(req, reason, &err) < 0)
		answer_error(req, 400, err.msg);
	else
		send_switch(api, req, reason);
}

void api_go(struct api *api, struct http_request *req)
{
	send_switch(api, req, NULL);
}

/* --- incidents ------------------------------------------------------------------------------ */

static void on_ordered(const struct redisReply *reply, void *arg, unsigned index)
{
	struct question *q = arg;
	const char *word = redis_str(reply);

	UNUSED(index);
	if (usable(q, reply) && word)
		(void)text_copy(q->word, sizeof(q->word), word, strlen(word));
}

static void answer_incident(void *arg)
{
	struct question *q = arg;
	OWNED(json_putp) struct json_object *o = NULL;
	char what[32];

	if (q->failed || !*q->word) {
		answer_error(q->req, 503, "Redis does not answer: nothing was changed");
		return;
	}
	if (incident_refusal(q->word)) {
		answer_error(q->req, strcmp(q->word, "none") == 0 ? 404 : 409,
			     incident_refusal(q->word));
		return;
	}
	log_warn("incident changed by hand", KV("subject", q->subject), KV("what", q->word),
		 KV("peer", q->req->peer), KV("reason", q->reason));
	(void)snprintf(what, sizeof(what), "incident_%.15s", q->word);
	audit_write(q->api->audit, what, "subject", q->subject, "reason", q->reason, "by",
		    "the page or the API", "peer", q->req->peer, (char *)NULL);
	o = json_object_new_object();
	json_add_str(o, "subject", q->subject);
	json_add_str(o, "incident", q->word);
	answer(q->req, 200, o);
	q->api->switched(q->api->arg);
}

/* {"subject":"host:registry.example.org","for":"2h","reason":"...","now":false} */
static int read_order(const char *word, struct json_object *body, struct incident_order *o,
		      struct err *err)
{
	const char *duration = json_str(body, "for", "");

	*o = (struct incident_order){
		.word = word,
		.subject = json_str(body, "subject", ""),
		.reason = json_str(body, "reason", ""),
		.by = "the page or the API",
		.now = json_flag(body, "now", false),
	};
	if (incident_subject_check(o->subject, err) < 0)
		return -1;
	return incident_for(duration, &o->for_ms, err);
}

void api_incident(struct api *api, struct http_request *req, const char *word)
{
	OWNED(json_putp) struct json_object *body = NULL;
	struct incident_order order;
	struct incident_cmd c;
	struct question *q;
	struct err err;

	if (strcmp(word, "open") != 0 && strcmp(word, "extend") != 0 &&
	    strcmp(word, "close") != 0) {
		answer_error(req, 404, "not found");
		return;
	}
	if (json_parse(req->body, req->body_len, &body, &err) < 0 ||
	    read_order(word, body, &order, &err) < 0) {
		answer_error(req, 400, err.msg);
		return;
	}
	q = question_new(api, req, answer_incident);
	if (!q)
		return;
	(void)text_copy(q->subject, sizeof(q->subject), order.subject, strlen(order.subject));
	(void)text_copy(q->reason, sizeof(q->reason), order.reason, strlen(order.reason));
	order.reason = q->reason;
	incident_cmd(&c, api->ks, &order);
	batch_add_script(q->batch, &incident_order_script, &c.cmd, on_ordered, 0);
}

/* --- approval ---------------------------------------------------------------------------- */

static void on_answered(const struct redisReply *reply, void *arg, unsigned index)
{
	struct question *q = arg;
	const char *word = redis_str(redis_at(reply, 0));
	const char *detail = redis_str(redis_at(reply, 1));

	UNUSED(index);
	if (!usable(q, reply) || !word)
		return;
	(void)text_copy(q->word, sizeof(q->word), word, strlen(word));
	if (detail)
		(void)text_copy(q->strategy, sizeof(q->strategy), detail, strlen(detail));
}

static void answer_approval(void *arg)
{
	struct question *q = arg;
	OWNED(json_putp) struct json_object *o = NULL;

	if (q->failed || !*q->word) {
		answer_error(q->req, 503, "Redis does not answer: nothing was changed");
		return;
	}
	if (strcmp(q->word, "none") == 0) {
		answer_error(q->req, 409, "nothing waits for approval there");
		return;
	}
	log_info("a suggestion was answered", KV("answer", q->word), KV("strategy", q->strategy),
		 KV("peer", q->req->peer));
	audit_write(q->api->audit, q->word, "run", q->rows[0].ref, "strategy", q->strategy, "by",
		    "the page or the API", "peer", q->req->peer, (char *)NULL);
	o = json_object_new_object();
	json_add_str(o, "answer", q->word);
	json_add_str(o, "strategy", q->strategy);
	answer(q->req, 200, o);
}

static void answer_suggestion(struct api *api, struct http_request *req, const char *ref,
			      bool approve)
{
	struct approve a;
	struct question *q;

	if (!is_ref(ref, strlen(ref))) {
		answer_error(req, 404, "no such run");
		return;
	}
	q = question_new(api, req, answer_approval);
	if (!q)
		return;
	add_row(q, ref, strlen(ref), 0);
	approve_cmd(&a, api->ks, ref, "", "somebody on the page", approve);
	batch_add_script(q->batch, &approve_script, &a.cmd, on_answered, 0);
}

void api_approve(struct api *api, struct http_request *req, const char *ref)
{
	answer_suggestion(api, req, ref, true);
}

void api_reject(struct api *api, struct http_request *req, const char *ref)
{
	answer_suggestion(api, req, ref, false);
}
