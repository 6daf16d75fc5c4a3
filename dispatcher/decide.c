#include "dispatcher/decide.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/finding.h"
#include "healers/healer.h"

struct question {
	const struct decide_options *opt;
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

/* --- the rows: true when the row applies, with its reason said ------------ */

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

/* What is said of a repository on this machine has no run that could be repeated. */
static bool by_hand(const struct question *q)
{
	const struct finding *f = q->finding;

	return strncmp(f->rule, "git/", 4) == 0 &&
	       say(q, "the repository waits for a person: %.190s",
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

static bool tried_enough(const struct question *q)
{
	return q->facts->reruns >= (uint64_t)q->opt->reruns_per_run &&
	       say(q,
		   "it failed after %" PRIu64 " re-run%s: no more than %" PRId64
		   " re-run%s per run",
		   q->facts->reruns, q->facts->reruns == 1 ? "" : "s", q->opt->reruns_per_run,
		   q->opt->reruns_per_run == 1 ? "" : "s");
}

static bool no_log(const struct question *q)
{
	return q->facts->no_log_why && strcmp(q->finding->category, "unknown") == 0 &&
	       say(q, DECIDE_NO_LOG "%.160s", q->facts->no_log_why);
}

static bool no_cause(const struct question *q)
{
	return strcmp(q->finding->category, "unknown") == 0 && say(q, "no known cause in the log");
}

static bool deterministic(const struct question *q)
{
	char words[64];

	return !q->finding->transient && say(q, "%s: it will fail again without a change",
					     in_words(q->finding->category, words));
}

static bool not_sure(const struct question *q)
{
	char words[64];

	return q->finding->confidence < q->opt->min_confidence &&
	       say(q, "only %.0f %% sure of %s, and %.0f %% are asked for",
		   q->finding->confidence * 100, in_words(q->finding->category, words),
		   q->opt->min_confidence * 100);
}

static bool worth_a_rerun(const struct question *q)
{
	char words[64], detail[64];

	in_words(q->finding->subcategory, detail);
	return say(q, "%s%s%s%s is usually gone on the next try (%.0f %% sure)",
		   in_words(q->finding->category, words), *detail ? " (" : "", detail,
		   *detail ? ")" : "", q->finding->confidence * 100);
}

/* First row that applies decides. */
static const struct row {
	bool (*applies)(const struct question *);
	const struct healer *healer;
} rows[] = {
	/* One below the other, since the order is what they say. */
	/* clang-format off */
	{ never_touched, &healer_escalate },
	{ never_started, &healer_escalate },
	{ by_hand, &healer_escalate },
	{ deploys, &healer_escalate },
	{ tried_enough, &healer_escalate },
	{ no_log, &healer_escalate },
	{ no_cause, &healer_escalate },
	{ deterministic, &healer_escalate },
	{ not_sure, &healer_escalate },
	{ worth_a_rerun, &healer_rerun_failed_jobs },
	/* clang-format on */
};

void decide(const struct decide_options *opt, const struct decide_facts *facts,
	    const struct finding *finding, struct decision *out)
{
	struct question q = { opt, facts, finding, out->reason };

	out->mode = opt->observe ? "observe" : "act";
	for (const struct row *r = rows; r < rows + ARRAY_LEN(rows); r++) {
		if (r->applies(&q)) {
			out->healer = r->healer;
			return;
		}
	}
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
