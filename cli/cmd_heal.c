/* heal: a person asks for a heal of one run, now. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/query.h"
#include "cli/run_print.h"
#include "cli/term.h"
#include "core/approve.h"
#include "core/buf.h"
#include "core/conf.h"
#include "core/json.h"
#include "core/mem.h"
#include "healers/healer.h"

enum { PLAN_TTL_S = 35 * 24 * 3600 };

static const char usage[] =
	"usage: pipeline-guard heal [options] RUN\n"
	"\n"
	"Asks the guard to try again a failed run that it left to you, or to diagnose one now.\n"
	"RUN is a reference, the provider's run number, or the address of the run's page. The "
	"heal\n"
	"goes the usual way: one plan per attempt, the provider is asked first whether the run is\n"
	"still that failed attempt, and limits and the stop switch hold.\n"
	"\n"
	"  pipeline-guard heal 30433642\n"
	"  pipeline-guard heal --strategy rerun_all 30433642\n"
	"  pipeline-guard heal --strategy cancel_stuck_and_rerun 30433642   # one that hangs\n"
	"  pipeline-guard heal --dry-run https://github.com/acme/shop/actions/runs/30433642\n"
	"  pipeline-guard heal --diagnose 30433642      # read its logs again, change no plan\n"
	"  pipeline-guard heal --approve 30433642       # do what the guard suggested\n"
	"  pipeline-guard heal --reject 30433642\n"
	"\n"
	"Refused (exit 1): a run whose newest attempt did not fail, one with a plan under way, "
	"one\n"
	"that was re-run already, and a guard in mode observe. A run that failed in a job that\n"
	"deploys or publishes, or that could not start, needs --force.\n"
	"\n"
	"Exit status: 0 asked for, 1 refused, 2 usage, 3 Redis cannot be reached.\n";

struct request {
	const char *strategy;
	bool force, dry_run, diagnose, approve, reject;
	char user[TERM_USER_MAX];
};

/*
 * KEYS due work run plan runs feed
 * ARGV 1 ref, 2 plan, 3 generation, 4 strategy, 5 risk, 6 user, 7 settle_ms, 8 force, 9 dry run,
 *      10 ttl_s, 11 words that mark a deployment's reason, 12 diagnose only, 13 runs all jobs,
 *      14 for a run that is going on, which has no plan yet
 *
 * A plan is made anew only when it is done and nothing of it reached the provider: it ended
 * without a call, or its call was refused and had the settle time to show if it did arrive (the
 * act stage asks the provider again before it sends). It stays the one plan of its run and
 * generation, its item gets a new epoch when it is taken, and whoever held an old one settles
 * nothing.
 */
static struct redis_script heal_script = {
	.name = "heal",
	.body = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
		"local cur = redis.call('HMGET', KEYS[3], 'generation', 'rank', 'failed', "
		"'conclusion', 'status', 'deploy_ran', "
		"'provider', 'reruns', 'trace') "
		"if not cur[1] then return {'gone', ''} end "
		"if cur[1] ~= ARGV[3] then return {'moved', cur[1]} end "
		"local running = ARGV[14] == '1' "
		"if running and cur[2] == '3' then return {'over', cur[4] or ''} end "
		"if not running and (cur[3] ~= '1' or cur[2] ~= '3') then "
		"  return {'not_failed', (cur[4] and cur[4] ~= '') and cur[4] or cur[5] or ''} "
		"end "
		"local dry = ARGV[9] == '1' "
		"local function held(item) "
		"  local w = redis.call('HGET', KEYS[2], item) "
		"  return w and string.sub(w, 1, 2) ~= '0 ' "
		"end "
		"local function asked(item) "
		"  redis.call('ZADD', KEYS[1], now, item) "
		"  redis.call('HDEL', KEYS[2], item) "
		"  redis.call('ZADD', KEYS[5], now, ARGV[1]) "
		"  redis.call('XADD', KEYS[6], 'MAXLEN', '~', 1000, '*', 'run', ARGV[1], 'what', "
		"'asked') "
		"end "
		"local p = redis.call('HMGET', KEYS[4], 'state', 'result', 'detail', 'sends', "
		"'sent_at_ms', "
		"  'reason', 'decided') "
		"if ARGV[12] == '1' or not (p[1] or running) then "
		"  local item = 'diagnose:' .. ARGV[1] "
		"  if held(item) then return {'diagnosing', ''} end "
		"  if not dry then "
		"    redis.call('HSET', KEYS[3], 'diagnosed', tonumber(ARGV[3]) - 1, "
		"'updated_at_ms', now) "
		"    asked(item) "
		"  end "
		"  return {'diagnose', ''} "
		"end "
		"if p[1] == 'suggested' then return {'suggested', ''} end "
		"if p[1] and p[1] ~= 'done' then return {'open', p[1]} end "
		"local fresh = {escalated = 1, observed = 1, gave_up = 1, refused = 1, "
		"  rejected = 1, expired = 1, proposed = 1} "
		"if p[1] and not fresh[p[2]] then return {'spent', p[2] or '', p[3] or ''} end "
		"if (tonumber(p[4]) or 0) > 0 and now - (tonumber(p[5]) or 0) < tonumber(ARGV[7]) "
		"then "
		"  return {'settling', ''} "
		"end "
		"local item = 'act:' .. ARGV[2] "
		"if redis.call('ZSCORE', KEYS[1], item) or redis.call('HGET', KEYS[2], item) then "
		"  return {'open', 'leased'} "
		"end "
		"local decided = p[7] or p[6] or '' "
		"if ARGV[8] ~= '1' then "
		"  if string.find(decided, ARGV[11], 1, true) then return {'force', decided} end "
		"  if ARGV[13] == '1' and (cur[6] or '') ~= '' then "
		"    return {'force', 'all jobs would run again, and \"' .. cur[6] .. '\" deploys "
		"or publishes'} "
		"  end "
		"  if cur[4] == 'startup_failure' then "
		"    return {'force', 'the workflow could not start: trying again does not change "
		"that'} "
		"  end "
		"end "
		"if dry then return {'heal', decided} end "
		"local reason = 'asked for by ' .. ARGV[6] "
		"if not p[1] then "
		"  redis.call('HSET', KEYS[4], 'v', 1, 'id', ARGV[2], 'run', ARGV[1], "
		"'generation', "
		"    ARGV[3], 'provider', cur[7] or '', 'reruns', cur[8] or 0, 'category', "
		"'unknown', "
		"    'subcategory', '', 'fingerprint', '', 'rule', '', 'confidence', '', 'policy', "
		"'', "
		"    'sends', 0, 'trace', cur[9] or '') "
		"end "
		"redis.call('HSET', KEYS[4], 'forced', ARGV[8], 'state', 'planned', 'mode', 'act', "
		"'strategy', "
		"ARGV[4], "
		"  'risk', ARGV[5], 'answer', '', 'reason', reason, 'decided', decided, "
		"'asked_by', ARGV[6], "
		"  'created_at_ms', now, 'due_at_ms', now, 'result', '', 'detail', '', "
		"'proposal', '', 'proposal_state', '', 'done_at_ms', '') "
		"redis.call('EXPIRE', KEYS[4], ARGV[10]) "
		"redis.call('HSET', KEYS[3], 'plan', ARGV[2], 'plan_state', 'planned', "
		"'plan_mode', "
		"'act', "
		"  'strategy', ARGV[4], 'plan_reason', reason, 'outcome', '', 'outcome_detail', "
		"'', "
		"  'proposal', '', 'proposal_state', '', 'updated_at_ms', now) "
		"asked(item) "
		"return {'heal', decided}",
};

/* A test holds the two together. */
const char heal_deploy_words[] = "deploys or publishes";

static int ask_for(struct query *q, const struct cli *cli, const struct request *want,
		   const char *ref, const char *generation, struct redisReply **out,
		   struct err *err)
{
	static const char *const names[] = { "due", "work", "run", "plan", "runs", "feed" };
	const struct healer *healer = healer_find(want->strategy);
	unsigned partition = key_partition_of_ref(&q->ks, ref);
	char key[ARRAY_LEN(names)][KEY_MAX], plan[QUERY_REF_MAX + 24];
	struct redis_cmd cmd;

	(void)snprintf(plan, sizeof(plan), "%s:%.20s", ref, generation);
	redis_script_cmd(&cmd, &heal_script, ARRAY_LEN(names));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (i == 2 || i == 3)
			key_part_of(&q->ks, partition, names[i], i == 2 ? ref : plan, key[i]);
		else
			key_part(&q->ks, partition, names[i], key[i]);
		redis_arg(&cmd, key[i]);
	}
	redis_arg(&cmd, ref);
	redis_arg(&cmd, plan);
	redis_arg(&cmd, generation);
	redis_arg(&cmd, healer->name);
	redis_arg(&cmd, heal_risk_name(healer->risk));
	redis_arg(&cmd, want->user);
	redis_arg_i64(&cmd, conf_int(cli->conf, "heal.settle"));
	redis_arg(&cmd, want->force ? "1" : "0");
	redis_arg(&cmd, want->dry_run ? "1" : "0");
	redis_arg_i64(&cmd, PLAN_TTL_S);
	redis_arg(&cmd, heal_deploy_words);
	redis_arg(&cmd, want->diagnose ? "1" : "0");
	redis_arg(&cmd, healer->repeats_all ? "1" : "0");
	redis_arg(&cmd, healer->of_running ? "1" : "0");
	return query_script(q, &heal_script, &cmd, out, err);
}

/* --- the answer, in words ---------------------------------------------------------- */

struct answer {
	const char *word;
	bool yes;
	const char *text; /* %s: what the script added */
};

static const struct answer answers[] = {
	{ "heal", true, "a heal is asked for" },
	{ "approved", true, "approved; it is carried out as" },
	{ "rejected", true, "rejected; it will not be carried out:" },
	{ "none", false, "nothing waits for approval there; its plan is" },
	{ "diagnose", true, "a diagnosis is asked for; what follows is decided as usual" },
	{ "gone", false, "the run is not known here any more" },
	{ "moved", false, "meanwhile a newer attempt is known: look again with `status`" },
	{ "not_failed", false, "its newest attempt did not fail: it is" },
	{ "over", false, "it does not run any more: it ended as" },
	{ "diagnosing", false, "it is being diagnosed right now" },
	{ "suggested", false, "a heal is suggested already: --approve or --reject it" },
	{ "open", false, "a plan for this attempt is under way; it is" },
	{ "spent", false,
	  "this attempt was acted on already, and nothing is done twice. It ended as" },
	{ "settling", false,
	  "its last call is too recent to know that it did not arrive: wait some "
	  "seconds (heal.settle)" },
	{ "force", false, "not without --force:" },
};

static const struct answer *answer_find(const char *word)
{
	for (size_t i = 0; word && i < ARRAY_LEN(answers); i++)
		if (strcmp(answers[i].word, word) == 0)
			return &answers[i];
	return NULL;
}

static int say(const struct cli *cli, const struct request *want, const char *ref,
	       const struct redisReply *reply, struct err *err)
{
	const struct answer *a = answer_find(redis_str(redis_at(reply, 0)));
	const char *more = redis_str(redis_at(reply, 1)), *detail = redis_str(redis_at(reply, 2));
	OWNED(freep) char *text = NULL;

	if (!a)
		return err_set(err, ERR_BUG, "unexpected answer of the script");
	if (a->yes && !want->approve && !want->reject)
		text = xasprintf("%s%s", want->dry_run ? "would be done: " : "", a->text);
	else
		text = xasprintf("%s%s%s%s%s", a->text, more && *more ? " " : "", more ? more : "",
				 detail && *detail ? ": " : "", detail ? detail : "");
	if (cli->json) {
		OWNED(json_putp) struct json_object *o = json_object_new_object();

		json_add_str(o, "run", ref);
		json_add_bool(o, "accepted", a->yes);
		json_add_bool(o, "dry_run", want->dry_run);
		json_add_str(o, "answer", a->word);
		json_add_str(o, "text", text);
		printf("%s\n", json_text(o));
	} else {
		term_put(ref);
		printf(": ");
		term_put(text);
		printf("\n");
		if (a->yes && !want->dry_run)
			printf("Follow it with: pipeline-guard logs --follow --run %s\n", ref);
	}
	return a->yes ? CLI_OK : CLI_NO;
}

/* --- the command ------------------------------------------------------------------- */

static int no_such_strategy(const char *name, struct err *err)
{
	OWNED(buf_done) struct buf known;

	buf_init(&known, 1024);
	for (size_t i = 0; healers[i]; i++)
		if (healers[i]->acts_on_provider)
			buf_printf(&known, "%s%s", known.len ? ", " : "", healers[i]->name);
	return err_set(err, ERR_CONFIG,
		       "strategy \"%.60s\" is none that can be asked for; there is %s", name,
		       buf_text(&known));
}

static int check(const struct cli *cli, const struct request *want, struct err *err)
{
	const struct healer *healer = healer_find(want->strategy);

	if (cli->argc != 1)
		return err_set(err, ERR_CONFIG, "which run? Give one, as `status` shows it");
	if (want->approve + want->reject + want->diagnose > 1)
		return err_set(err, ERR_CONFIG,
			       "--approve, --reject and --diagnose exclude each other");
	if ((want->approve || want->reject) && want->dry_run)
		return err_set(err, ERR_CONFIG, "--dry-run does not go with --approve or --reject");
	if (!healer || !healer->acts_on_provider)
		return no_such_strategy(want->strategy, err);
	return 0;
}

static int answer_suggestion(struct query *q, const struct request *want, const char *ref,
			     struct redisReply **out, struct err *err)
{
	struct approve a;

	approve_cmd(&a, &q->ks, ref, "", want->user, want->approve);
	return query_script(q, &approve_script, &a.cmd, out, err);
}

/* What was asked for, if it was taken. */
static int audit_answer(struct query *q, const struct cli *cli, const struct request *want,
			const char *ref, const struct redisReply *reply, struct err *err)
{
	const struct answer *a = answer_find(redis_str(redis_at(reply, 0)));

	if (!a || !a->yes || want->dry_run)
		return 0;
	return query_audit(
		q, cli->conf, err, strcmp(a->word, "heal") == 0 ? "asked" : a->word,
		(const char *[]){ "run", ref, "strategy", want->strategy, "by", want->user, NULL });
}

static int ask(const struct cli *cli, const struct request *want, struct err *err)
{
	OWNED(query_closep) struct query *q = NULL;
	OWNED(redis_reply_freep) struct redisReply *run = NULL, *reply = NULL;
	char ref[QUERY_REF_MAX], stop[200];

	if (check(cli, want, err) < 0 || query_open(cli->conf, &q, err) < 0 ||
	    query_find_run(q, cli->argv[0], ref, err) < 0 || run_load(q, ref, &run, err) < 0 ||
	    query_stop(q, stop, err) < 0)
		return -1;
	/* What is suggested may need no provider, and then not its token either. */
	if (!want->diagnose && !want->approve && !want->reject && strcmp(q->mode, "act") != 0)
		return err_set(err, ERR_INPUT, "the guard would not act: mode %s, %s", q->mode,
			       q->mode_why);
	if (want->approve || want->reject
		    ? answer_suggestion(q, want, ref, &reply, err) < 0
		    : ask_for(q, cli, want, ref, run_field(run, "generation"), &reply, err) < 0)
		return -1;
	if (audit_answer(q, cli, want, ref, reply, err) < 0)
		return -1;
	if (*stop && !want->diagnose)
		fprintf(stderr,
			"pipeline-guard heal: the stop switch is on (%s): it waits until that is "
			"off\n",
			stop);
	return say(cli, want, ref, reply, err);
}

static int run(int argc, char **argv)
{
	struct request want = { .strategy = "rerun_failed_jobs" };
	const struct cli_option own[] = {
		{ .name = "strategy",
		  .argument = "NAME",
		  .text = &want.strategy,
		  .help = "what to do; default rerun_failed_jobs" },
		{ .name = "diagnose",
		  .flag = &want.diagnose,
		  .help = "only read its logs again; an existing plan stays as it is" },
		{ .name = "approve",
		  .flag = &want.approve,
		  .help = "carry out what is suggested for the run" },
		{ .name = "reject", .flag = &want.reject, .help = "never carry it out" },
		{ .name = "force",
		  .flag = &want.force,
		  .help = "also when it deploys or publishes, or could not start" },
		{ .name = "dry-run", .flag = &want.dry_run, .help = "only say what would happen" },
		{ .name = "data-dir",
		  .argument = "DIR",
		  .key = "data_dir",
		  .help = "where `start` keeps its data" },
		{ .name = NULL },
	};
	struct err err;
	struct cli cli;
	int status = cli_begin(&cmd_heal, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	term_user(want.user);
	status = ask(&cli, &want, &err);
	if (status < 0)
		status = cli_fail(&cmd_heal, &err);
	cli_end(&cli);
	return status;
}

const struct command cmd_heal = {
	.name = "heal",
	.group = GROUP_ACT,
	.summary = "ask for a heal of one run now",
	.usage = usage,
	.run = run,
};
