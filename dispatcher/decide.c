#include "dispatcher/decide.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/finding.h"
#include "dispatcher/detector.h"
#include "dispatcher/learn.h"
#include "dispatcher/policy.h"
#include "healers/healer.h"
#include "healers/toolbox.h"
#include "ml/belief.h"

enum { MINUTE_MS = 60 * 1000 };

struct question {
	const struct decide_facts *facts;
	const struct finding *finding;
	char *reason;
};

static bool say(const struct question *q, const char *fmt, ...) PRINTF_LIKE(2, 3);

static bool say(const struct question *q, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(q->reason, DECIDE_REASON_MAX, fmt, ap);
	va_end(ap);
	return true;
}

/* A category or its detail in words: "network_failure" is for programs. */
static const char *in_words(const char *name, char out[static 64])
{
	(void)snprintf(out, 64, "%s", name);
	for (char *p = out; *p; p++)
		if (*p == '_')
			*p = ' ';
	return out;
}

/* --- the vetoes: true when the row applies, with its reason said ---------- */

static bool never_touched(const struct question *q)
{
	return strcmp(q->facts->conclusion, "action_required") == 0 &&
	       say(q, "the run waits for a person's approval");
}

static bool never_started(const struct question *q)
{
	return strcmp(q->facts->conclusion, "startup_failure") == 0 &&
	       say(q, "the workflow could not start: its definition has to change");
}

static bool is_local(const struct finding *f)
{
	return strncmp(f->rule, "git/", 4) == 0;
}

/* What is said of a repository on this machine has no run that could be repeated. */
static bool by_hand(const struct question *q)
{
	const struct finding *f = q->finding;

	for (size_t i = 0; healers[i]; i++)
		if (healers[i]->local && healer_target(healers[i], f))
			return false;
	return is_local(f) && say(q, "the repository waits for a person: %.190s",
				  f->n_suggestions ? f->suggestions[0] : f->title);
}

static bool deploys(const struct question *q)
{
	const char *job = q->facts->deploy_job;

	if (job && !*job)
		return say(q, "more jobs than can be looked at, one of which perhaps deploys or "
			      "publishes: repeating that is a person's decision");
	return job && say(q,
			  "job \"%.80s\" deploys or publishes: repeating it is a person's "
			  "decision",
			  job);
}

static bool no_log(const struct question *q)
{
	return q->facts->no_log_why && strcmp(q->finding->category, "unknown") == 0 &&
	       say(q, DECIDE_NO_LOG "%.160s", q->facts->no_log_why);
}

static bool no_cause(const struct question *q)
{
	bool guessed = strcmp(q->finding->rule, DETECT_BY_WORDS) == 0 &&
		       q->finding->confidence < DETECT_GUESS;

	return (guessed || strcmp(q->finding->category, "unknown") == 0) &&
	       say(q, "no known cause in the log");
}

/* A text model names a cause for people; nothing is done because of it. */
static bool only_words(const struct question *q)
{
	char words[64];

	return strcmp(q->finding->rule, DETECT_BY_WORDS) == 0 &&
	       say(q, "no rule is sure, only the words say %s",
		   in_words(q->finding->category, words));
}

static bool not_sure(const struct question *q)
{
	double least = (double)q->facts->policy->limits.min_confidence / 100;
	char words[64];

	return q->finding->confidence < least &&
	       say(q, "only %.0f %% sure of %s, and %.0f %% are asked for",
		   q->finding->confidence * 100, in_words(q->finding->category, words),
		   least * 100);
}

/* What is left to a person, whatever could be tried; the first row that applies. */
static bool (*const vetoes[])(const struct question *) = {
	never_touched, never_started, by_hand, deploys, no_log, no_cause, only_words,
};

/* --- what could be tried ------------------------------------------------- */

/* Why not that one: in the order in which they say more. */
enum obstacle {
	NOT_FOR_THIS,
	DETERMINISTIC,
	NOT_THERE,
	NOT_ALLOWED,
	NOT_HERE,
	REPEATS_DEPLOY,
	STARTED_BY_HAND,
	TRIED_ENOUGH,
	NO_GAIN,
	IN_VAIN,
	NONE,
};

static enum obstacle obstacle(const struct question *q, const struct healer *h)
{
	const struct decide_facts *facts = q->facts;

	if (!healer_target(h, q->finding) || h->local != is_local(q->finding) ||
	    !healer_fits(h, q->finding, &facts->policy->change))
		return NOT_FOR_THIS;
	/* What comes and goes proves nothing about a branch. */
	if (h->of_proposals && (!facts->mended_on_base || q->finding->transient))
		return NOT_FOR_THIS;
	if (h->wants_hook && !facts->renewable)
		return NOT_FOR_THIS;
	if (h->wants_inputs && !facts->policy->n_larger_runner)
		return NOT_FOR_THIS;
	if (h->repeats && !q->finding->transient)
		return DETERMINISTIC;
	if (!healer_works_on(h, facts->provider))
		return NOT_THERE;
	if (!policy_allows(facts->policy, h->name))
		return NOT_ALLOWED;
	if (toolbox_lacks(facts->tools, h, q->finding))
		return NOT_HERE;
	if (h->repeats_all && facts->deploy_ran)
		return REPEATS_DEPLOY;
	/* Perhaps in the place of another one: that is not done twice. */
	if (h->wants_inputs && facts->by_hand)
		return STARTED_BY_HAND;
	if (h->wants_inputs && facts->reruns)
		return TRIED_ENOUGH;
	if (h->risk == RISK_RETRY &&
	    facts->reruns >= (uint64_t)facts->policy->limits.reruns_per_run)
		return TRIED_ENOUGH;
	if (h->repeats && facts->doubt)
		return IN_VAIN;
	return NONE;
}

static const struct learned_one *learned_of(const struct question *q, const struct healer *h)
{
	const struct learned *l = q->facts->learned;

	for (size_t i = 0; l && i < l->n; i++)
		if (l->of[i].healer == h)
			return &l->of[i];
	return NULL;
}

/* Telling a person needs nobody's approval, and what is riskier than allowed is only suggested. */
static enum policy_mode mode_for(const struct decide_facts *facts, const struct healer *h)
{
	bool observe = h->local ? facts->observe_local : facts->observe;
	enum policy_mode mode = observe ? POLICY_OBSERVE : facts->policy->mode;

	if (mode == POLICY_SUGGEST && h->risk == RISK_OBSERVE)
		return POLICY_ACT;
	if (mode == POLICY_ACT && (h->asks_always || h->risk > facts->policy->risk))
		return POLICY_SUGGEST;
	return mode;
}

struct choice {
	const struct healer *healer; /* NULL: none, and `why` says why */
	enum obstacle why;
	const struct healer *left_out; /* ... of that one */
	enum policy_mode mode;
	double success, ci_minutes, value, seen;
};

/* What it is worth to try that one. */
static void weigh(const struct question *q, const struct healer *h, struct choice *out)
{
	const struct learned_one *known = learned_of(q, h);

	out->healer = h;
	out->mode = mode_for(q->facts, h);
	out->ci_minutes = h->repeats_all          ? q->facts->ci_minutes_all
			  : h->risk == RISK_RETRY ? q->facts->ci_minutes
						  : 0;
	out->success = known ? known->success : healer_target(h, q->finding)->success;
	if (h->risk == RISK_RETRY)
		out->success = belief_after(out->success, q->facts->reruns);
	out->seen = known ? known->seen : 0;
	out->value = belief_value(out->success, q->facts->person_minutes, out->ci_minutes,
				  q->facts->ci_price);
}

/* What may be done now is better than what a person would have to be asked for. */
static bool better(const struct choice *a, const struct choice *b)
{
	if (!b->healer)
		return true;
	if (a->mode != b->mode)
		return a->mode > b->mode;
	if (a->value > b->value)
		return true;
	return a->value >= b->value && a->healer->risk < b->healer->risk;
}

/* The one that is worth most of those that may be done; of equals the less risky, then the first.
 */
static void choose(const struct question *q, struct choice *out)
{
	*out = (struct choice){ .healer = NULL, .why = NOT_FOR_THIS };
	for (size_t i = 0; healers[i]; i++) {
		enum obstacle o = obstacle(q, healers[i]);
		struct choice c = { .healer = NULL };

		if (o == NONE) {
			weigh(q, healers[i], &c);
			c.why = NONE;
			if (c.value <= 0)
				o = NO_GAIN;
			else if (better(&c, out))
				*out = c;
		}
		/* Of those that are left out, the reason that says most. */
		if (!out->healer && o >= out->why) {
			out->why = o;
			out->left_out = healers[i];
			out->success = c.success;
		}
	}
}

static void say_why_nothing(const struct question *q, const struct choice *c)
{
	const struct policy_answer *p = q->facts->policy;
	uint64_t n = q->facts->reruns;
	char words[64];

	switch (c->why) {
	case IN_VAIN:
		say(q, "%s", q->facts->doubt);
		return;
	case NO_GAIN:
		say(q,
		    "%s: a try helps in %.0f %% of such cases, and would cost more than that is "
		    "worth",
		    in_words(q->finding->category, words), c->success * 100);
		return;
	case TRIED_ENOUGH:
		say(q,
		    "it failed after %" PRIu64 " re-run%s: no more than %" PRId64
		    " re-run%s per run",
		    n, n == 1 ? "" : "s", p->limits.reruns_per_run,
		    p->limits.reruns_per_run == 1 ? "" : "s");
		return;
	case REPEATS_DEPLOY:
		say(q,
		    "to run all of it again would repeat \"%.80s\", which deploys or publishes: "
		    "that is a person's decision",
		    q->facts->deploy_ran);
		return;
	case STARTED_BY_HAND:
		say(q,
		    "%s: the run was started by hand or through the API, perhaps in the place of "
		    "another one, and that is not done twice",
		    in_words(q->finding->category, words));
		return;
	case NOT_HERE:
		say(q, "%s: %s cannot run here: %.120s", in_words(q->finding->category, words),
		    c->left_out->name, toolbox_lacks(q->facts->tools, c->left_out, q->finding));
		return;
	case NOT_ALLOWED:
		say(q, "the policy (%.80s) allows no strategy for it", p->rule);
		return;
	case NOT_FOR_THIS:
	case DETERMINISTIC:
	case NOT_THERE:
	case NONE:
		say(q, "%s: it will fail again without a change",
		    in_words(q->finding->category, words));
		return;
	}
}

/* "Retry-After: 120", "try again in 5 minutes", "retry after 30s": seconds; 0: it says nothing. */
static int64_t asked_to_wait_s(const char *line)
{
	static const char *const words[] = { "retry-after", "retry after", "again in" };
	static const struct {
		char first;
		int64_t s;
	} units[] = { { 'm', 60 }, { 'h', 3600 } };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		const char *at = strcasestr(line, words[i]);
		size_t digits;
		int64_t n = 0;

		if (!at)
			continue;
		at += strlen(words[i]);
		at += strspn(at, " :=\"'");
		digits = strspn(at, "0123456789");
		if (!digits || digits > 6)
			continue;
		for (size_t k = 0; k < digits; k++)
			n = n * 10 + (at[k] - '0');
		at += digits;
		if (strncmp(at, "ms", 2) == 0)
			return 1;
		at += strspn(at, " ");
		for (size_t k = 0; k < ARRAY_LEN(units); k++)
			if (*at == units[k].first)
				n *= units[k].s;
		return n;
	}
	return 0;
}

/*
 * What did not pass at once lasts: the longer it does, the longer it is left alone. Doubles with
 * every try; what the log asks for is not undercut, but does not bind us for days.
 */
static int64_t backoff_ms(const struct question *q, const struct healer *h)
{
	const struct decide_facts *facts = q->facts;
	int64_t wait = facts->backoff_ms, asked = 0;

	if (!h->backs_off && (h->risk != RISK_RETRY || !facts->reruns))
		return 0;
	for (uint64_t i = !h->backs_off; i < facts->reruns && wait < facts->backoff_max_ms; i++)
		wait *= 2;
	for (size_t i = 0; i < q->finding->n_evidence; i++) {
		int64_t ms = asked_to_wait_s(q->finding->evidence[i].text) * 1000;

		asked = ms > asked ? ms : asked;
	}
	wait = asked > wait ? asked : wait;
	return wait < facts->backoff_max_ms ? wait : facts->backoff_max_ms;
}

static void say_why_this(const struct question *q, const struct choice *c)
{
	const struct finding *f = q->finding;
	char words[64], detail[64], learned[64] = "";

	in_words(f->subcategory, detail);
	if (c->seen >= 1)
		(void)snprintf(learned, sizeof(learned), "; helps in %.0f %% of such failures",
			       c->success * 100);
	say(q, "%s%s%s%s %s (%.0f %% sure%s)", in_words(f->category, words), *detail ? " (" : "",
	    detail, *detail ? ")" : "", c->healer->because, f->confidence * 100, learned);
}

/* Why it is not done at once: "; 1 re-run did not help, the next one follows in 3 min". */
static void say_wait(const struct question *q, int64_t ms)
{
	size_t n = strlen(q->reason);
	uint64_t reruns = q->facts->reruns;
	int64_t unit = ms < 2 * MINUTE_MS ? 1000 : MINUTE_MS;
	char which[60] = "the re-run";

	if (reruns)
		(void)snprintf(which, sizeof(which),
			       "%" PRIu64 " re-run%s did not help, the next one", reruns,
			       reruns == 1 ? "" : "s");
	(void)snprintf(q->reason + n, DECIDE_REASON_MAX - n, "; %s follows in %" PRId64 " %s",
		       which, (ms + unit - 1) / unit, unit == 1000 ? "s" : "min");
}

void decide(const struct decide_facts *facts, const struct finding *finding, struct decision *out)
{
	struct question q = { facts, finding, out->reason };
	enum policy_mode mode;
	struct choice choice = { .healer = NULL };

	out->healer = NULL;
	out->delay_ms = 0;
	for (size_t i = 0; i < ARRAY_LEN(vetoes) && !out->healer; i++)
		if (vetoes[i](&q))
			out->healer = &healer_escalate;
	if (!out->healer) {
		choose(&q, &choice);
		out->healer = choice.healer;
		if (!out->healer)
			say_why_nothing(&q, &choice);
		else if (not_sure(&q))
			out->healer = NULL;
		else
			say_why_this(&q, &choice);
	}
	out->success = out->ci_minutes = 0;
	if (!out->healer) {
		out->healer = &healer_escalate;
	} else if (out->healer == choice.healer) {
		out->success = choice.success;
		out->ci_minutes = choice.ci_minutes;
	}
	mode = mode_for(facts, out->healer);
	out->mode = policy_mode_name(mode);
	/* What a person approves is done then. */
	if (mode == POLICY_ACT)
		out->delay_ms = backoff_ms(&q, out->healer);
	if (out->delay_ms > 0)
		say_wait(&q, out->delay_ms);
}

static enum obstacle hang_obstacle(const struct decide_facts *facts, const struct healer *h)
{
	if (facts->deploy_job)
		return REPEATS_DEPLOY;
	if (!healer_works_on(h, facts->provider))
		return NOT_THERE;
	if (!policy_allows(facts->policy, h->name))
		return NOT_ALLOWED;
	if (facts->reruns >= (uint64_t)facts->policy->limits.reruns_per_run)
		return TRIED_ENOUGH;
	return NONE;
}

static void say_why_not_stopped(const struct question *q, enum obstacle why)
{
	size_t n = strlen(q->reason), room = DECIDE_REASON_MAX - n;
	uint64_t reruns = q->facts->reruns;
	char *end = q->reason + n;

	if (why == REPEATS_DEPLOY)
		(void)snprintf(
			end, room,
			"; \"%.60s\" deploys or publishes: stopping it is a person's decision",
			q->facts->deploy_job);
	else if (why == TRIED_ENOUGH)
		(void)snprintf(end, room, "; no more than %" PRIu64 " re-run%s per run", reruns,
			       reruns == 1 ? "" : "s");
	else if (why == NOT_ALLOWED)
		(void)snprintf(end, room, "; the policy (%.60s) does not let it be stopped",
			       q->facts->policy->rule);
	else if (why != NONE)
		(void)snprintf(end, room, "; it cannot be stopped from here");
}

static int64_t minutes(int64_t ms)
{
	return (ms + MINUTE_MS - 1) / MINUTE_MS;
}

void decide_hang(const struct decide_facts *facts, const struct decide_hang *hang,
		 struct decision *out)
{
	const struct healer *h = &healer_cancel_stuck_and_rerun;
	struct question q = { .facts = facts, .reason = out->reason };
	enum obstacle why = hang_obstacle(facts, h);
	enum policy_mode mode;

	*out = (struct decision){ .healer = why == NONE ? h : &healer_escalate };
	mode = mode_for(facts, out->healer);
	if (mode == POLICY_ACT && why == NONE && !hang->act)
		mode = POLICY_SUGGEST;
	out->mode = policy_mode_name(mode);
	out->ci_minutes = why == NONE ? (double)minutes(hang->usual_ms) : 0;
	say(&q,
	    "job \"%.60s\" is in progress for %" PRId64
	    " min; of %zu runs that passed 95 %% took at "
	    "most %" PRId64 " min",
	    hang->job, hang->job_ms / MINUTE_MS, hang->passed, minutes(hang->usual_ms));
	say_why_not_stopped(&q, why);
}

bool decide_is_deploy(const char *name)
{
	/*
	 * Words are matched where they start, so "Deployment" counts and "undeployed" does not.
	 * "release" names build types too ("test (release)"), so it counts only in front, of the
	 * whole or of what a reusable workflow calls its own ("ci / release").
	 */
	static const struct {
		const char *word;
		bool only_in_front;
	} words[] = {
		{ "deploy", false },  { "publish", false },   { "rollout", false },
		{ "promote", false }, { "upload to", false }, { "ship to", false },
		{ "release", true },  { "redeploy", false },
	};
	bool front = true;

	for (const char *p = name; *p; p++) {
		bool inside = p > name && isalnum((unsigned char)p[-1]) &&
			      !(islower((unsigned char)p[-1]) && isupper((unsigned char)*p));

		for (size_t i = 0; i < ARRAY_LEN(words) && !inside; i++)
			if ((front || !words[i].only_in_front) &&
			    strncasecmp(p, words[i].word, strlen(words[i].word)) == 0)
				return true;
		if (p > name && p[-1] == '/' && *p == ' ')
			front = true;
		else if (isalnum((unsigned char)*p) || *p == '(')
			front = false;
	}
	return false;
}

const char *decide_deploy_begun(const struct api_result *r, bool steps_are_stages)
{
	for (unsigned i = 0; i < r->n_jobs; i++) {
		const struct api_job *job = &r->jobs[i];

		if (job->started_at_ms > 0 && strcmp(job->conclusion, "skipped") != 0 &&
		    (decide_is_deploy(job->name) || decide_is_deploy(job->stage)))
			return job->name;
		for (unsigned k = 0; steps_are_stages && k < job->n_steps; k++)
			if (decide_is_deploy(job->steps[k].name) &&
			    strcmp(job->steps[k].conclusion, "skipped") != 0)
				return job->steps[k].name;
	}
	return r->more_jobs ? "one of many that were not read" : NULL;
}
