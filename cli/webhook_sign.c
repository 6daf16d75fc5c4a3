#include "cli/webhook_sign.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "core/mem.h"
#include "core/standard_webhooks.h"
#include "core/text.h"

/* A header of the list; the list is long enough for every sender, and ends with NULL. */
static void add(char **headers, char *header)
{
	while (*headers)
		headers++;
	*headers = header;
}

/* --- ways to prove it --------------------------------------------------------------- */

/* GitHub, and what docs/senders.md tells Jenkins to do. */
static int sign_hub(const struct saved_webhook *w, const char *secret, const char *delivery,
		    char **headers, struct err *err)
{
	unsigned char mac[SHA256_BYTES];
	char hex[SHA256_HEX + 1];

	UNUSED(delivery);
	UNUSED(err);
	hmac_sha256(secret, strlen(secret), w->body, w->body_len, mac);
	hex_encode(mac, sizeof(mac), hex);
	add(headers, xasprintf("X-Hub-Signature-256: sha256=%s", hex));
	return 0;
}

static int sign_standard(const struct saved_webhook *w, const char *secret, const char *delivery,
			 char **headers, struct err *err)
{
	OWNED(freep) char *signature = NULL;
	int64_t now_s = clock_wall_ms() / 1000;

	if (standard_webhooks_sign(secret, delivery, now_s, w->body, w->body_len, &signature, err) <
	    0)
		return -1;
	add(headers, xasprintf("webhook-id: %s", delivery));
	add(headers, xasprintf("webhook-timestamp: %" PRId64, now_s));
	add(headers, xasprintf("webhook-signature: %s", signature));
	return 0;
}

/* A signing token says so by its beginning; a secret token is sent as it is. */
static int sign_gitlab(const struct saved_webhook *w, const char *secret, const char *delivery,
		       char **headers, struct err *err)
{
	if (text_starts(secret, "whsec_"))
		return sign_standard(w, secret, delivery, headers, err);
	add(headers, xasprintf("X-Gitlab-Token: %s", secret));
	return 0;
}

/* --- the senders -------------------------------------------------------------------- */

static const struct webhook_sender {
	const char *name;
	const char *secrets[2];   /* options, the better way first */
	const char *generated;    /* file of `start` */
	const char *event_header; /* NULL: the body says it */
	const char *usual_event;  /* NULL: it has to be given */
	const char *event_example;
	const char *delivery_header; /* NULL: the id is signed, or made of the body */
	int (*sign)(const struct saved_webhook *, const char *secret, const char *delivery,
		    char **headers, struct err *);
} senders[] = {
	{ "github",
	  { "github.webhook_secret" },
	  "github-webhook-secret",
	  "X-GitHub-Event",
	  NULL,
	  "workflow_run",
	  "X-GitHub-Delivery",
	  sign_hub },
	{ "gitlab",
	  { "gitlab.signing_token", "gitlab.webhook_token" },
	  NULL,
	  "X-Gitlab-Event",
	  "Pipeline Hook",
	  NULL,
	  "Idempotency-Key",
	  sign_gitlab },
	{ "jenkins", { "jenkins.webhook_token" }, NULL, NULL, NULL, NULL, NULL, sign_hub },
	{ "generic", { "generic.webhook_secret" }, NULL, NULL, NULL, NULL, NULL, sign_standard },
};

const struct webhook_sender *webhook_sender_find(const char *provider)
{
	for (size_t i = 0; i < ARRAY_LEN(senders); i++)
		if (strcmp(senders[i].name, provider) == 0)
			return &senders[i];
	return NULL;
}

const char *webhook_sender_name(const struct webhook_sender *s)
{
	return s->name;
}

const char *webhook_sender_event(const struct webhook_sender *s)
{
	return s->event_example;
}

const char *webhook_sender_file(const struct webhook_sender *s)
{
	return s->generated;
}

const char *webhook_sender_secret(const struct webhook_sender *s, const struct conf *conf)
{
	const char *secret = NULL;

	for (size_t i = 0; !secret && i < ARRAY_LEN(s->secrets) && s->secrets[i]; i++)
		secret = conf_secret(conf, s->secrets[i], 0);
	return secret;
}

int webhook_sign(const struct webhook_sender *s, const struct saved_webhook *w, const char *secret,
		 char *headers[static WEBHOOK_HEADERS_MAX + 1], struct err *err)
{
	const char *event = w->event ? w->event : s->usual_event;
	const char *delivery = w->delivery;
	char random[33];

	memset(headers, 0, (WEBHOOK_HEADERS_MAX + 1) * sizeof(*headers));
	random_hex(random, 16);
	if (!delivery)
		delivery = random;
	add(headers, xstrdup("Content-Type: application/json"));
	if (s->event_header && event)
		add(headers, xasprintf("%s: %s", s->event_header, event));
	if (s->delivery_header)
		add(headers, xasprintf("%s: %s", s->delivery_header, delivery));
	return s->sign(w, secret, delivery, headers, err);
}
