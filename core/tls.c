#include "core/tls.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "core/mem.h"

struct tls {
	SSL_CTX *ctx;
	char *cert_file, *key_file;
};

struct tls_conn {
	SSL *ssl;
	bool wants_write, over;
};

static int fail(struct err *err, const char *what, const char *file)
{
	unsigned long code = ERR_get_error();
	const char *why = code ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return err_set(err, ERR_CONFIG, "tls: %s %.120s: %s", what, file,
		       why ? why : "cannot be used");
}

static int load(const char *cert_file, const char *key_file, SSL_CTX **out, struct err *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int rc = 0;

	if (!ctx)
		abort();
	(void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
					       SSL_OP_NO_COMPRESSION);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					    SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
		rc = fail(err, "certificate", cert_file);
	else if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1)
		rc = fail(err, "key", key_file);
	else if (SSL_CTX_check_private_key(ctx) != 1)
		rc = fail(err, "key does not fit the certificate:", key_file);
	if (rc < 0) {
		SSL_CTX_free(ctx);
		return -1;
	}
	*out = ctx;
	return 0;
}

int tls_new(const char *cert_file, const char *key_file, struct tls **out, struct err *err)
{
	struct tls *t;
	SSL_CTX *ctx;

	if (load(cert_file, key_file, &ctx, err) < 0)
		return -1;
	t = xcalloc(1, sizeof(*t));
	t->ctx = ctx;
	t->cert_file = xstrdup(cert_file);
	t->key_file = xstrdup(key_file);
	*out = t;
	return 0;
}

int tls_reload(struct tls *t, struct err *err)
{
	SSL_CTX *ctx;

	if (load(t->cert_file, t->key_file, &ctx, err) < 0)
		return -1;
	SSL_CTX_free(t->ctx);
	t->ctx = ctx;
	return 0;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_CTX_free(t->ctx);
	free(t->cert_file);
	free(t->key_file);
	free(t);
}

struct tls_conn *tls_accept(const struct tls *t, int fd)
{
	struct tls_conn *c = xcalloc(1, sizeof(*c));

	c->ssl = SSL_new(t->ctx);
	if (!c->ssl || SSL_set_fd(c->ssl, fd) != 1) {
		tls_conn_free(c);
		return NULL;
	}
	SSL_set_accept_state(c->ssl);
	return c;
}

void tls_conn_free(struct tls_conn *c)
{
	if (!c)
		return;
	if (c->ssl && !c->over && SSL_is_init_finished(c->ssl))
		(void)SSL_shutdown(c->ssl);
	ERR_clear_error();
	SSL_free(c->ssl);
	free(c);
}

/* What recv() or send() would have said. */
static ssize_t answer(struct tls_conn *c, int rc)
{
	int why = SSL_get_error(c->ssl, rc);

	ERR_clear_error();
	c->wants_write = why == SSL_ERROR_WANT_WRITE;
	if (rc > 0)
		return rc;
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
		errno = EAGAIN;
		return -1;
	}
	c->over = true;
	return 0;
}

ssize_t tls_read(struct tls_conn *c, void *buf, size_t n)
{
	return answer(c, SSL_read(c->ssl, buf, n < INT_MAX ? (int)n : INT_MAX));
}

ssize_t tls_write(struct tls_conn *c, const void *buf, size_t n)
{
	ssize_t rc = answer(c, SSL_write(c->ssl, buf, n < INT_MAX ? (int)n : INT_MAX));

	if (rc == 0) {
		errno = EPIPE;
		return -1;
	}
	return rc;
}

bool tls_wants_write(const struct tls_conn *c)
{
	return c->wants_write;
}

bool tls_pending(const struct tls_conn *c)
{
	return SSL_pending(c->ssl) > 0;
}
