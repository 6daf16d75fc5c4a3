#include "tests/simulator/sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/http_server.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/hooks.h"
#include "tests/simulator/storage.h"

enum { SECRET_MAX = 1024, HOOK_BYTES = 96 << 20, HOOK_BYTES_DEMO = 12 << 20 };

/* --- webhooks ------------------------------------------------------------- */

static bool subscribed(const struct sim *sim, const char *event)
{
	const char *at = sim->opt.events;
	size_t n = strlen(event);

	if (strcmp(at, "all") == 0)
		return true;
	while (*at) {
		size_t len = strcspn(at, ",");

		if (len == n && strncmp(at, event, n) == 0)
			return true;
		at += len + (at[len] == ',');
	}
	return false;
}

static void send_hook(struct sim *sim, const struct run *r, const char *event, const char *action,
		      const struct buf *body, bool failed_run)
{
	char guid[GUID_MAX];
	const struct hook_event e = {
		.event = event,
		.action = action,
		.run_id = r->id,
		.repo_id = r->repo->id,
		.failed_run = failed_run,
		.body = buf_text(body),
		.len = body->len,
	};

	if (!hooks_send(sim_hooks(sim, r->flavour), &e, guid))
		sim->hooks_untold++;
}

struct hooks *sim_hooks(struct sim *sim, enum flavour flavour)
{
	switch (flavour) {
	case FLAVOUR_GITLAB:
		return sim->gitlab_hooks;
	case FLAVOUR_JENKINS:
		return sim->jenkins_hooks;
	case FLAVOUR_GITHUB:
		break;
	}
	return sim->hooks;
}

static void on_pipeline(struct sim *sim, const struct run *r, const char *action, bool failed)
{
	struct buf b;

	buf_init(&b, PAYLOAD_MAX);
	gitlab_pipeline_hook(&b, sim, r);
	send_hook(sim, r, "Pipeline Hook", action, &b, failed);
	buf_done(&b);
}

/* At its start the plugin speaks twice, and twice at its end; FINALIZED is the last word. */
static void on_build(struct sim *sim, const struct run *r, const char *action, bool failed)
{
	static const char *const start[] = { "QUEUED", "STARTED", NULL };
	static const char *const end[] = { "COMPLETED", "FINALIZED", NULL };
	const char *const *phases = strcmp(action, "completed") == 0 ? end : start;
	struct buf b;

	if (strcmp(action, "requested") == 0)
		return;
	for (; *phases; phases++) {
		buf_init(&b, PAYLOAD_MAX);
		jenkins_notification(&b, sim, r, *phases);
		send_hook(sim, r, "build", *phases, &b,
			  failed && strcmp(*phases, "FINALIZED") == 0);
		buf_done(&b);
	}
}

static void on_run(const struct run *r, const char *action, void *arg)
{
	struct sim *sim = arg;
	bool failed =
		strcmp(action, "completed") == 0 && conclusion_failed(run_last(r)->conclusion);
	/* The suite has no "in progress". */
	bool suite = subscribed(sim, "check_suite") && strcmp(action, "in_progress") != 0;
	struct buf b;

	if (r->silent || !hooks_url(sim_hooks(sim, r->flavour)))
		return;
	if (r->flavour == FLAVOUR_GITLAB) {
		on_pipeline(sim, r, action, failed);
		return;
	}
	if (r->flavour == FLAVOUR_JENKINS) {
		on_build(sim, r, action, failed);
		return;
	}
	buf_init(&b, PAYLOAD_MAX);
	if (suite) {
		payload_check_suite(&b, &sim->github, r, action);
		send_hook(sim, r, "check_suite", action, &b, false);
		buf_reset(&b);
	}
	if (subscribed(sim, "workflow_run")) {
		payload_workflow_run(&b, &sim->github, r, action);
		send_hook(sim, r, "workflow_run", action, &b, failed);
	}
	buf_done(&b);
}

static void on_job(const struct run *r, const struct job *j, const char *action, bool ghost,
		   void *arg)
{
	struct sim *sim = arg;
	const char *check = strcmp(action, "queued") == 0 ? "created" : action;
	struct buf b;

	if (r->silent || !hooks_url(sim_hooks(sim, r->flavour)) || (ghost && !sim->opt.ghosts) ||
	    r->flavour == FLAVOUR_JENKINS)
		return;
	buf_init(&b, PAYLOAD_MAX);
	/* GitLab has no ghosts: a job that was not run again is the same job. */
	if (r->flavour == FLAVOUR_GITLAB) {
		gitlab_job_hook(&b, sim, r, j);
		if (!ghost)
			send_hook(sim, r, "Job Hook", action, &b, false);
		buf_done(&b);
		return;
	}
	if (subscribed(sim, "workflow_job")) {
		payload_workflow_job(&b, &sim->github, r, j, action);
		send_hook(sim, r, "workflow_job", action, &b, false);
		buf_reset(&b);
	}
	if (subscribed(sim, "check_run") && strcmp(check, "in_progress") != 0) {
		payload_check_run(&b, &sim->github, r, j, check);
		send_hook(sim, r, "check_run", check, &b, false);
	}
	buf_done(&b);
}

/* Of a run that is forgotten meanwhile, the sums still have to be right. */
static void on_leaves(const struct delivery *d, void *arg)
{
	struct sim *sim = arg;
	struct run *r = world_find(sim->world, d->run_id);
	bool again = d->duplicate || d->redelivery;

	if (r) {
		r->webhooks++;
		r->webhooks_duplicate += again;
		if (d->failed_run && !r->told_us && run_last(r)->state == STATE_COMPLETED)
			r->told_us = clock_mono_us();
	} else if (d->run_id) {
		sim->past.webhooks++;
		sim->past.webhooks_duplicate += again;
	}
}

static void on_over(const struct delivery *d, void *arg)
{
	struct sim *sim = arg;
	struct run *r = world_find(sim->world, d->run_id);
	bool ok = d->status >= 200 && d->status < 300;

	if (r) {
		r->webhooks_ok += ok;
		r->webhooks_failed += !ok;
	} else if (d->run_id) {
		sim->past.webhooks_ok += ok;
		sim->past.webhooks_failed += !ok;
	} else {
		sim->hooks_other++;
	}
}

void sim_ping(struct sim *sim)
{
	const char *url = hooks_url(sim->hooks);
	char guid[GUID_MAX];
	struct buf b;

	if (!url)
		return;
	buf_init(&b, PAYLOAD_MAX);
	payload_ping(&b, &sim->github, url);
	(void)hooks_send(
		sim->hooks,
		&(struct hook_event){
			.event = "ping", .action = "", .body = buf_text(&b), .len = b.len },
		guid);
	buf_done(&b);
}

/* --- the ledger ----------------------------------------------------------- */

static void add_run(const struct run *r, struct totals *t)
{
	const struct attempt *first = r->attempts[0], *last = run_last(r);
	bool failed = conclusion_failed(first->conclusion);

	t->runs++;
	t->running += last->state != STATE_COMPLETED;
	t->passed += first->conclusion && strcmp(first->conclusion, "success") == 0;
	t->failed += failed;
	t->transient += failed && r->cause && r->cause->transient;
	t->healed += failed && last->conclusion && strcmp(last->conclusion, "success") == 0;
	t->rerun_accepted += r->rerun_accepted;
	t->rerun_refused += r->rerun_refused;
	t->rerun_by_person += r->rerun_by_person;
	t->rerun_twice += r->rerun_accepted > 1;
	t->webhooks += r->webhooks;
	t->webhooks_ok += r->webhooks_ok;
	t->webhooks_failed += r->webhooks_failed;
	t->webhooks_duplicate += r->webhooks_duplicate;
	t->log_reads += r->log_reads;
}

static void on_forgotten(const struct run *r, void *arg)
{
	struct sim *sim = arg;

	add_run(r, &sim->past);
}

/* The branch is made when there is none. False: it cannot be. */
static bool branch_head(struct depot *d, const char *branch, git_oid *out)
{
	return depot_branch(d, branch, out) || (depot_branch(d, FORGE_DEFAULT_BRANCH, out) &&
						depot_move_branch(d, branch, out) == 0);
}

/* A run in a repository that git knows is of a commit that is there. */
static void head_of(struct run *r, void *arg)
{
	struct sim *sim = arg;
	struct depot *d = forge_has_all(sim->forge) ? forge_depot(sim->forge, r->repo, false)
						    : forge_find(sim->forge, r->repo);
	const struct proposal *p = d && r->proposal ? depot_proposal(d, r->proposal) : NULL;
	const char *base = p ? p->base : r->proposal ? FORGE_DEFAULT_BRANCH : "";
	git_oid id;

	(void)text_copy(r->base, sizeof(r->base), base, strlen(base));
	r->of_fork = p && p->of_fork;
	if (d && !depot_is_empty(d) &&
	    (p ? proposal_head(d, p, &id) : branch_head(d, r->branch, &id)))
		(void)git_oid_tostr(r->sha, sizeof(r->sha), &id);
}

void sim_totals(struct sim *sim, struct totals *out)
{
	*out = sim->past;
	for (size_t i = world_first(sim->world); i < world_count(sim->world); i++)
		add_run(world_at(sim->world, i), out);
}

enum rerun_answer sim_rerun(struct sim *sim, struct run *r, bool only_failed, enum actor actor)
{
	int64_t told_us = r->told_us;
	enum rerun_answer answer = run_rerun(r, only_failed, actor);

	if (answer == RERUN_ACCEPTED && actor == ACTOR_API && told_us &&
	    sim->n_latencies < LATENCIES_MAX)
		sim->latencies_us[sim->n_latencies++] = clock_mono_us() - told_us;
	return answer;
}

void sim_branch_moved(struct sim *sim, const struct repo *repo, enum flavour flavour,
		      const char *branch)
{
	const struct run *last = world_newest(sim->world, repo, flavour, branch, NULL);
	struct run *r;
	struct err err;

	/* A world that is full has one run less. */
	if (last && world_run_again(sim->world, last, EVENT_PULL, NULL, &r, &err) < 0)
		log_warn("no run for a branch that moved", KV("why", err.msg));
}

/* --- start and end -------------------------------------------------------- */

static void on_request(struct http_request *http, void *arg)
{
	struct sim *sim = arg;

	if (!control_serve(sim, http) && !smart_http_serve(sim, http) && !page_serve(sim, http) &&
	    !gitlab_serve(sim, http) && !jenkins_serve(sim, http))
		rest_serve(sim, http);
}

static int read_secret(const char *path, char **out, struct err *err)
{
	char text[SECRET_MAX + 1];
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return err_set(err, ERR_CONFIG, "cannot read %s: %s", path, strerror(errno));
	n = fread(text, 1, SECRET_MAX, f);
	(void)fclose(f);
	while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	text[n] = '\0';
	if (!n)
		return err_set(err, ERR_CONFIG, "%s is empty", path);
	*out = xstrdup(text);
	return 0;
}

static int read_secrets(struct sim *sim, struct err *err)
{
	const struct options *o = &sim->opt;
	const struct {
		const char *path;
		char **out;
	} rows[] = {
		{ o->secret_file, &sim->secret },
		{ o->gitlab_secret_file, &sim->gitlab_secret },
		{ o->gitlab_signing_file, &sim->gitlab_signing },
		{ o->jenkins_secret_file, &sim->jenkins_secret },
		{ o->renew_secret_file, &sim->renew_secret },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].path && read_secret(rows[i].path, rows[i].out, err) < 0)
			return -1;
	if (sim->gitlab_signing && !text_starts(sim->gitlab_signing, "whsec_"))
		return err_set(err, ERR_CONFIG, "--gitlab-signing-file: it begins with whsec_");
	return 0;
}

static void make_world(struct sim *sim)
{
	const struct options *o = &sim->opt;
	const struct world_options world = {
		.seed = (uint64_t)o->seed,
		.job_ms = o->job_ms,
		.jitter = o->jitter,
		.pass_rate = o->pass_rate,
		.transient_rate = o->transient_rate,
		.heal_rate = o->heal_rate,
		.flaky_rate = o->flaky_rate,
		.runs_max = (size_t)o->keep,
	};
	const struct world_watch watch = { on_run, on_job, on_forgotten, head_of, sim };
	struct hook_options hooks = {
		.instance = sim->url,
		.secret = sim->secret,
		.duplicate = o->duplicate,
		.reorder = o->reorder,
		.delay_ms = o->delay_ms,
		.seed = (uint64_t)o->seed,
		.bytes_max = o->demo ? HOOK_BYTES_DEMO : HOOK_BYTES,
		.target_type = o->app_id ? "integration" : "organization",
	};
	const struct hook_watch hook_watch = { on_leaves, on_over, sim };

	sim->world = world_new(sim->base, &world, &watch);
	sim->hooks = hooks_new(sim->base, &hooks, &hook_watch);
	hooks_set_url(sim->hooks, o->webhook_url);
	hooks.flavour = FLAVOUR_GITLAB;
	hooks.secret = sim->gitlab_secret;
	hooks.signing = sim->gitlab_signing;
	sim->gitlab_hooks = hooks_new(sim->base, &hooks, &hook_watch);
	hooks_set_url(sim->gitlab_hooks, o->gitlab_webhook_url);
	hooks.flavour = FLAVOUR_JENKINS;
	hooks.secret = sim->jenkins_secret;
	hooks.signing = NULL;
	hooks.retries = o->jenkins_retries;
	sim->jenkins_hooks = hooks_new(sim->base, &hooks, &hook_watch);
	hooks_set_url(sim->jenkins_hooks, o->jenkins_webhook_url);
}

static bool providers_ok(const char *list)
{
	enum flavour unused;
	char name[16];

	while (*list) {
		size_t n = strcspn(list, ",");

		if (!text_copy(name, sizeof(name), list, n) || !flavour_find(name, &unused))
			return false;
		list += n + (list[n] == ',');
	}
	return true;
}

static int open_all(struct sim *sim, struct err *err)
{
	const struct options *o = &sim->opt;
	const struct access_options access = {
		.token_file = o->token_file,
		.app_id = o->app_id,
		.app_key_file = o->app_key_file,
		.app_token_ms = o->app_token_ms,
		.rate_limit = o->rate_limit,
	};

	if (!providers_ok(o->providers))
		return err_set(err, ERR_CONFIG,
			       "--providers: a list of github, gitlab and jenkins");
	if (o->cause && !cause_find(o->cause))
		return err_set(err, ERR_CONFIG, "--cause: no cause \"%.60s\"", o->cause);
	if (read_secrets(sim, err) < 0)
		return -1;
	if (access_new(&access, &sim->access, err) < 0 ||
	    storage_new(sim, &sim->storage, err) < 0 ||
	    forge_new(o->repositories, &sim->forge, err) < 0 ||
	    http_server_new(sim->base, o->listen, &HTTP_LIMITS_DEFAULT, on_request, sim,
			    &sim->server, err) < 0)
		return -1;
	(void)snprintf(sim->url, sizeof(sim->url), "http://%s", http_server_address(sim->server));
	sim->github.api = sim->github.web = sim->url;
	sim->github.installation = access_has_app(sim->access) ? ACCESS_INSTALLATION : 0;
	make_world(sim);
	sim->traffic = traffic_new(sim);
	sim_ping(sim);
	return 0;
}

int sim_new(struct event_base *base, const struct options *opt, struct sim **out, struct err *err)
{
	struct sim *sim = xcalloc(1, sizeof(*sim));

	sim->base = base;
	sim->opt = *opt;
	if (open_all(sim, err) < 0) {
		sim_free(sim);
		return -1;
	}
	*out = sim;
	return 0;
}

void sim_free(struct sim *sim)
{
	if (!sim)
		return;
	traffic_free(sim->traffic);
	smart_http_free(sim);
	rest_free(sim);
	http_server_free(sim->server);
	storage_free(sim->storage);
	hooks_free(sim->hooks);
	hooks_free(sim->gitlab_hooks);
	hooks_free(sim->jenkins_hooks);
	world_free(sim->world);
	forge_free(sim->forge);
	access_free(sim->access);
	faults_clear(&sim->faults);
	free(sim->secret);
	free(sim->gitlab_secret);
	free(sim->gitlab_signing);
	free(sim->jenkins_secret);
	free(sim->renew_secret);
	free(sim);
}
