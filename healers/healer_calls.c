#include "healers/healer_calls.h"

#include <string.h>

static void ask(struct attempt *attempt);

api_act_fn *healer_call(const struct provider_api *provider, size_t call)
{
	api_act_fn *fn;

	memcpy(&fn, (const char *)provider + call, sizeof(fn));
	return fn;
}

int healer_usable(const struct attempt *attempt, struct err *err)
{
	if (!attempt->api)
		return err_set(err, ERR_CONFIG, "no access to the provider is configured");
	if (!healer_works_on(attempt->healer, attempt->provider))
		return err_set(err, ERR_CONFIG, "%s cannot be done with %s", attempt->healer->name,
			       attempt->provider->name);
	return 0;
}

void healer_end(struct attempt *attempt, const struct api_result *r)
{
	switch (r->fate) {
	case API_OK:
		attempt->done(attempt, HEAL_OK, -1, attempt->healer->did);
		return;
	case API_WAIT:
		attempt->done(attempt, HEAL_WAIT, -1, r->why);
		return;
	case API_RETRY:
		attempt->done(attempt, HEAL_TEMPFAIL, r->retry_after_ms, r->why);
		return;
	case API_REFUSED:
		attempt->done(attempt, HEAL_PERMFAIL, -1, r->why);
		return;
	}
}

static void on_result(const struct api_result *r, void *arg)
{
	struct attempt *attempt = arg;
	struct healer_calls *s = attempt->state;

	s->call = NULL;
	if (r->fate == API_OK && attempt->healer->of_running && s->at == 0)
		attempt->done(attempt, HEAL_STOPPING, -1, "it was told to stop");
	else if (r->fate == API_OK && attempt->healer->calls[++s->at])
		ask(attempt);
	else
		healer_end(attempt, r);
}

static void ask(struct attempt *attempt)
{
	struct healer_calls *s = attempt->state;
	api_act_fn *fn = healer_call(attempt->provider, attempt->healer->calls[s->at]);

	s->call = fn(attempt->api, &attempt->run, on_result, attempt);
}

int healer_calls_start(struct attempt *attempt, struct err *err)
{
	if (healer_usable(attempt, err) < 0)
		return -1;
	if (attempt->healer->of_running && attempt->run.stopped)
		((struct healer_calls *)attempt->state)->at = 1;
	ask(attempt);
	return 0;
}

void healer_calls_cancel(struct attempt *attempt)
{
	struct healer_calls *s = attempt->state;

	if (s->call)
		attempt->provider->cancel(s->call);
	s->call = NULL;
}
