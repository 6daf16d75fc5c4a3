#include "receiver/source.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "receiver/provider.h"

enum { SOURCES_MAX = 32, KEY_BYTES = 96 };

static const char section[] = "sources";

/* --- options --------------------------------------------------------------- */

static const struct conf_option options[] = {
	{ "provider", CONF_STR, NULL, NULL, NULL,
	  "github, gitlab, jenkins or generic; may be left out when NAME is one of these." },
	{ "auth", CONF_STR, NULL, NULL, NULL,
	  "List of github-hmac, gitlab-token, standard-webhooks, hmac, basic, bearer, secret-path; "
	  "the first that a request tries decides. Default: what the provider's sender can do." },
	{ "secret", CONF_SECRET, NULL, NULL, NULL,
	  "Secrets, several during rotation; whsec_ and whpk_ are keys of Standard Webhooks." },
	{ "header", CONF_STR, NULL, NULL, NULL,
	  "hmac: header with the signature, hex or base64; default X-Hub-Signature-256." },
	{ "prefix", CONF_STR, NULL, NULL, NULL,
	  "hmac: what must stand before the signature; default: sha256= or nothing." },
	{ "timestamp", CONF_STR, NULL, NULL, NULL,
	  "hmac: header with the Unix time; then TIME.BODY is signed, not BODY." },
	{ "tolerance", CONF_DURATION, "5m", "1s", "1d",
	  "How far a signed time may be from this machine's clock." },
	{ "user", CONF_STR, NULL, NULL, NULL, "basic: the only user name; default: any." },
	{ "allow", CONF_STR, NULL, NULL, NULL,
	  "Addresses and blocks that may send, as a list; default: any." },
	{ "max_body", CONF_SIZE, NULL, "1k", "100m",
	  "Largest body of this source, within receiver.max_body." },
	{ "rate", CONF_INT, "0", "0", "100000",
	  "Verified webhooks per second of one worker; beyond it 429, which few senders repeat. "
	  "0: no limit." },
	{ "burst", CONF_INT, "100", "1", "1000000", "How many may come at once under `rate`." },
	{ "dedupe_ttl", CONF_DURATION, NULL, "1m", "30d",
	  "How long a delivery is remembered; default: 72h, for GitHub github.dedupe_ttl." },
};

static int check_provider(const char *text, struct err *err)
{
	if (provider_find(text, strlen(text)))
		return 0;
	return err_set(err, ERR_CONFIG, "\"%.40s\" is none of github, gitlab, jenkins, generic",
		       text);
}

static int check_addresses(const char *text, struct err *err)
{
	struct address_list list = { 0 };

	if (address_list_parse(text, &list, err) < 0)
		return -1;
	address_list_done(&list);
	return 0;
}

/* A header name, as RFC 9110 has it. */
static int check_header(const char *text, struct err *err)
{
	static const char token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789!#$%&'*+-.^_`|~";
	size_t n = strlen(text);

	if (n && n < sizeof(((struct auth *)0)->header) && strspn(text, token) == n)
		return 0;
	return err_set(err, ERR_CONFIG, "\"%.60s\" is no name of a header", text);
}

static int check_prefix(const char *text, struct err *err)
{
	if (strlen(text) < sizeof(((struct auth *)0)->prefix))
		return 0;
	return err_set(err, ERR_CONFIG, "is longer than %zu bytes",
		       sizeof(((struct auth *)0)->prefix) - 1);
}

static int check_user(const char *text, struct err *err)
{
	if (strlen(text) < sizeof(((struct auth *)0)->user) && !strchr(text, ':'))
		return 0;
	return err_set(err, ERR_CONFIG, "has a colon or is longer than %zu bytes",
		       sizeof(((struct auth *)0)->user) - 1);
}

static int check_option(const char *key, const char *text, struct err *err)
{
	static const struct {
		const char *key;
		int (*check)(const char *text, struct err *err);
	} rows[] = {
		{ "provider", check_provider },  { "auth", auth_check_schemes },
		{ "secret", auth_check_secret }, { "header", check_header },
		{ "timestamp", check_header },   { "prefix", check_prefix },
		{ "user", check_user },          { "allow", check_addresses },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].key, key) == 0)
			return rows[i].check(text, err);
	return 0;
}

const struct conf_table sources_conf = {
	.title = "Sources, any number of them",
	.options = options,
	.n = ARRAY_LEN(options),
	.section = section,
	.check = check_option,
};

/* --- limits ---------------------------------------------------------------- */

int64_t bucket_take(struct bucket *b, int64_t now_ms)
{
	if (!b->per_s)
		return 0;
	if (!b->at_ms || now_ms - b->at_ms > INT64_C(1000) * b->burst)
		b->level = b->burst * 1000;
	else
		b->level += (now_ms - b->at_ms) * b->per_s;
	if (b->level > b->burst * 1000)
		b->level = b->burst * 1000;
	b->at_ms = now_ms;
	if (b->level < 1000)
		return (1000 - b->level + b->per_s - 1) / b->per_s;
	b->level -= 1000;
	return 0;
}

const char *webhook_result_name(enum webhook_result result)
{
	static const char *const names[] = {
		"accepted",     "duplicate", "ignored", "quarantined",
		"unauthorized", "refused",   "limited", "unavailable"
	};

	_Static_assert(ARRAY_LEN(names) == RESULT_COUNT, "one name each");
	return names[result];
}

/* --- the table ------------------------------------------------------------- */

struct sources {
	struct source rows[SOURCES_MAX];
	size_t n;
	struct address_list trusted;
};

/* The option of one source; its NAME is known to exist. */
static const char *own(const struct source *s, const char *key, char out[static KEY_BYTES])
{
	(void)snprintf(out, KEY_BYTES, "%s.%s.%s", section, s->name, key);
	return out;
}

static bool named(const struct conf *conf, const char *name)
{
	const char *known;

	for (size_t i = 0; (known = conf_section_name(conf, section, i)); i++)
		if (strcmp(known, name) == 0)
			return true;
	return false;
}

static int add_secrets(struct auth *a, const struct conf *conf, const char *key, bool signing,
		       struct err *err)
{
	const char *secret;

	for (size_t i = 0; (secret = conf_secret(conf, key, i)); i++)
		if (auth_add_secret(a, secret, signing, err) < 0)
			return err_wrap(err, "%s", key);
	return 0;
}

/* Those of the contract's options, for a default source, and those of its section. */
static int add_all_secrets(const struct source *s, struct auth *a, const struct conf *conf,
			   struct err *err)
{
	const struct provider_secret *of = s->provider->secrets;
	bool is_default = strcmp(s->provider->name, s->name) == 0;
	char key[KEY_BYTES];

	for (size_t i = 0; is_default && i < ARRAY_LEN(s->provider->secrets) && of[i].key; i++)
		if (add_secrets(a, conf, of[i].key, of[i].signing, err) < 0)
			return -1;
	return named(conf, s->name) ? add_secrets(a, conf, own(s, "secret", key), false, err) : 0;
}

/* What was checked when it was read cannot fail now. */
static void copy_text(const struct source *s, const struct conf *conf, const char *key, char *dst,
		      size_t cap)
{
	char full[KEY_BYTES];
	const char *text = conf_str(conf, own(s, key, full));

	if (text)
		(void)text_copy(dst, cap, text, strlen(text));
}

static int add_named_options(struct source *s, const struct conf *conf, struct err *err)
{
	const char *text;
	char key[KEY_BYTES];

	copy_text(s, conf, "header", s->auth.header, sizeof(s->auth.header));
	copy_text(s, conf, "prefix", s->auth.prefix, sizeof(s->auth.prefix));
	copy_text(s, conf, "timestamp", s->auth.timestamp, sizeof(s->auth.timestamp));
	copy_text(s, conf, "user", s->auth.user, sizeof(s->auth.user));
	s->auth.tolerance_ms = conf_int(conf, own(s, "tolerance", key));
	text = conf_str(conf, own(s, "allow", key));
	if (text && address_list_parse(text, &s->allow, err) < 0)
		return err_wrap(err, "%s", key);
	if (conf_is_set(conf, own(s, "max_body", key)) && (size_t)conf_int(conf, key) < s->max_body)
		s->max_body = (size_t)conf_int(conf, key);
	s->rate.per_s = conf_int(conf, own(s, "rate", key));
	s->rate.burst = conf_int(conf, own(s, "burst", key));
	if (conf_is_set(conf, own(s, "dedupe_ttl", key)))
		s->dedupe_ttl_ms = conf_int(conf, key);
	return 0;
}

static int source_init(struct source *s, const struct conf *conf, const struct provider *p,
		       const char *name, struct err *err)
{
	bool is_named = named(conf, name);
	char key[KEY_BYTES] = "auth";
	const char *ways = p->auth;

	*s = (struct source){ .provider = p, .refused = { .logged_ms = INT64_MIN / 2 } };
	s->unavailable = s->refused;
	(void)text_copy(s->name, sizeof(s->name), name, strlen(name));
	if (is_named && conf_str(conf, own(s, "auth", key)))
		ways = conf_str(conf, key);
	if (auth_init(&s->auth, ways, err) < 0)
		return err_wrap(err, "%s", key);
	s->max_body = (size_t)conf_int(conf, "receiver.max_body");
	s->dedupe_ttl_ms =
		p->dedupe_ttl_key ? conf_int(conf, p->dedupe_ttl_key) : PROVIDER_DEDUPE_TTL_MS;
	s->auth.tolerance_ms = 5 * 60 * 1000;
	(void)text_copy(s->auth.header, sizeof(s->auth.header), "X-Hub-Signature-256", 19);
	if (is_named && add_named_options(s, conf, err) < 0)
		return -1;
	return add_all_secrets(s, &s->auth, conf, err);
}

/* The provider of a NAME; a NAME that is a provider's may not be another's. */
static int provider_of(const struct conf *conf, const char *name, const struct provider **out,
		       struct err *err)
{
	const struct provider *same = provider_find(name, strlen(name));
	const char *text;
	char key[KEY_BYTES];

	(void)snprintf(key, sizeof(key), "%s.%s.provider", section, name);
	text = conf_str(conf, key);
	if (!text && !same)
		return err_set(err, ERR_CONFIG, "%s is not set: github, gitlab, jenkins or generic",
			       key);
	*out = text ? provider_find(text, strlen(text)) : same;
	if (!*out || (same && same != *out))
		return err_set(err, ERR_CONFIG,
			       "%s (%s): %s is the name of the %s source, choose another", key,
			       conf_origin(conf, key), name, name);
	return 0;
}

static int add_sources(struct sources *ss, const struct conf *conf, struct err *err)
{
	const struct provider *p;
	const char *name;

	for (size_t i = 0; (p = provider_at(i)); i++)
		if (source_init(&ss->rows[ss->n++], conf, p, p->name, err) < 0)
			return -1;
	for (size_t i = 0; (name = conf_section_name(conf, section, i)); i++) {
		if (provider_of(conf, name, &p, err) < 0)
			return -1;
		if (strcmp(p->name, name) == 0)
			continue;
		if (ss->n == SOURCES_MAX)
			return err_set(err, ERR_CONFIG, "%s: more than %d sources", section,
				       SOURCES_MAX);
		if (source_init(&ss->rows[ss->n++], conf, p, name, err) < 0)
			return -1;
	}
	return 0;
}

int sources_new(const struct conf *conf, struct sources **out, struct err *err)
{
	OWNED(sources_freep) struct sources *ss = xcalloc(1, sizeof(*ss));
	const char *trusted = conf_str(conf, "receiver.trusted_proxies");

	if (trusted && address_list_parse(trusted, &ss->trusted, err) < 0)
		return err_wrap(err, "receiver.trusted_proxies");
	if (add_sources(ss, conf, err) < 0)
		return -1;
	*out = TAKE(ss);
	return 0;
}

int sources_reload_secrets(struct sources *ss, const struct conf *conf, struct err *err)
{
	struct auth *fresh = xcalloc(ss->n, sizeof(*fresh));
	int rc = 0;

	for (size_t i = 0; i < ss->n && rc == 0; i++) {
		fresh[i] = ss->rows[i].auth;
		fresh[i].n_keys = 0;
		rc = add_all_secrets(&ss->rows[i], &fresh[i], conf, err);
	}
	for (size_t i = 0; i < ss->n; i++) {
		struct auth old = ss->rows[i].auth;

		if (rc == 0)
			ss->rows[i].auth = fresh[i];
		auth_done(rc == 0 ? &old : &fresh[i]);
	}
	free(fresh);
	return rc;
}

void sources_free(struct sources *ss)
{
	if (!ss)
		return;
	for (size_t i = 0; i < ss->n; i++) {
		auth_done(&ss->rows[i].auth);
		address_list_done(&ss->rows[i].allow);
	}
	address_list_done(&ss->trusted);
	free(ss);
}

struct source *sources_at(struct sources *ss, size_t i)
{
	return i < ss->n ? &ss->rows[i] : NULL;
}

const struct address_list *sources_trusted(const struct sources *ss)
{
	return &ss->trusted;
}

static struct source *find_named(struct sources *ss, const struct provider *p, const char *name,
				 size_t n)
{
	for (size_t i = 0; i < ss->n; i++)
		if (ss->rows[i].provider == p && strlen(ss->rows[i].name) == n &&
		    memcmp(ss->rows[i].name, name, n) == 0)
			return &ss->rows[i];
	return NULL;
}

struct source *sources_find(struct sources *ss, const char *path, const char **secret)
{
	static const char prefix[] = "/webhooks/";
	const struct provider *p;
	const char *name;
	struct source *s;
	size_t n;

	*secret = NULL;
	if (!text_starts(path, prefix))
		return NULL;
	path += strlen(prefix);
	n = strcspn(path, "/");
	p = provider_find(path, n);
	if (!p)
		return NULL;
	if (!path[n])
		return find_named(ss, p, p->name, strlen(p->name));
	name = path + n + 1;
	n = strcspn(name, "/");
	s = find_named(ss, p, name, n);
	if (!s || !name[n])
		return s;
	*secret = name + n + 1;
	return auth_uses(&s->auth, "secret-path") ? s : NULL;
}

size_t sources_max_body(const char *path, void *sources)
{
	const char *secret;
	const struct source *s = sources_find(sources, path, &secret);

	return s ? s->max_body : SIZE_MAX;
}
