#include "healers/healer_afresh.h"

#include <string.h>

#include "healers/healer_calls.h"

api_afresh_fn *healer_afresh_call(const struct provider_api *provider, size_t call)
{
	api_afresh_fn *fn;

	memcpy(&fn, (const char *)provider + call, sizeof(fn));
	return fn;
}

static void on_started(const struct api_result *r, void *arg)
{
	struct attempt *attempt = arg;
	struct healer_afresh *s = attempt->state;

	s->call = NULL;
	healer_end(attempt, r);
}

static void begin(struct attempt *attempt)
{
	struct healer_afresh *s = attempt->state;
	api_afresh_fn *fn = healer_afresh_call(attempt->provider, attempt->healer->afresh);

	s->call = fn(attempt->api, &attempt->run, attempt->afresh, on_started, attempt);
}

static void on_found(const struct api_result *r, void *arg)
{
	struct attempt *attempt = arg;
	struct healer_afresh *s = attempt->state;

	s->call = NULL;
	if (r->fate != API_OK)
		on_started(r, arg);
	else if (r->other_run)
		attempt->done(attempt, HEAL_WAIT, -1, "the interrupted call had arrived");
	else
		begin(attempt);
}

int healer_afresh_start(struct attempt *attempt, struct err *err)
{
	const struct healer *h = attempt->healer;
	struct healer_afresh *s = attempt->state;

	if (healer_usable(attempt, err) < 0)
		return -1;
	if (h->wants_inputs && !attempt->afresh->n_inputs)
		return err_set(err, ERR_CONFIG,
			       "the policy has no larger_runner for this run: nothing says what "
			       "to start it with");
	if (attempt->run.tries && attempt->provider->find_afresh)
		s->call = attempt->provider->find_afresh(attempt->api, &attempt->run,
							 attempt->afresh, on_found, attempt);
	else
		begin(attempt);
	return 0;
}

void healer_afresh_cancel(struct attempt *attempt)
{
	struct healer_afresh *s = attempt->state;

	if (s->call)
		attempt->provider->cancel(s->call);
	s->call = NULL;
}
