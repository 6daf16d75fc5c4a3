/* The HTTP server over TLS, with a client that blocks in a process of its own. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "core/clock.h"
#include "core/http_server.h"
#include "core/mem.h"
#include "core/process.h"
#include "core/tls.h"
#include "tests/unit/unit.h"

enum { DEADLINE_MS = 20000, BIG = 700000, OK = 0, OTHER = 3 };

struct fixture {
	struct event_base *base;
	struct tls *tls;
	struct http_server *server;
	char dir[40], cert[64], key[64];
};

/* A self-signed certificate with that serial number. */
static void write_certificate(const struct fixture *f, long serial)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name;
	FILE *out;

	assert_non_null(key);
	(void)X509_set_version(x, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
	(void)X509_gmtime_adj(X509_getm_notBefore(x), 0);
	(void)X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	(void)X509_set_pubkey(x, key);
	name = X509_get_subject_name(x);
	(void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
					 (const unsigned char *)"guard.test", -1, -1, 0);
	(void)X509_set_issuer_name(x, name);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	out = fopen(f->cert, "w");
	assert_int_equal(PEM_write_X509(out, x), 1);
	(void)fclose(out);
	out = fopen(f->key, "w");
	assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
	(void)fclose(out);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void handler(struct http_request *req, void *arg)
{
	UNUSED(arg);
	http_reply(req, 200, "text/plain", req->body ? req->body : "", req->body_len);
}

static int set_up(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	struct err err;

	process_daemon();
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/guard-tls-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->cert, sizeof(f->cert), "%s/cert.pem", f->dir);
	(void)snprintf(f->key, sizeof(f->key), "%s/key.pem", f->dir);
	write_certificate(f, 1);
	f->base = event_base_new();
	assert_ok(tls_new(f->cert, f->key, &f->tls, &err), &err);
	limits.idle_timeout_ms = 1500;
	assert_ok(http_server_new(f->base, "127.0.0.1:0", &limits, handler, f, &f->server, &err),
		  &err);
	http_server_tls(f->server, f->tls);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	http_server_free(f->server);
	tls_free(f->tls);
	event_base_free(f->base);
	(void)unlink(f->cert);
	(void)unlink(f->key);
	(void)rmdir(f->dir);
	free(f);
	return 0;
}

/* --- the client's side: _exit(OK) when all is well ------------------------------------- */

static int dial(const struct fixture *f)
{
	const char *port = strrchr(http_server_address(f->server), ':') + 1;
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		_exit(10);
	return fd;
}

static SSL *shake_hands(int fd, int version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl;

	(void)SSL_CTX_set_security_level(ctx, 0);
	(void)SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
	(void)SSL_CTX_set_max_proto_version(ctx, version);
	ssl = SSL_new(ctx);
	(void)SSL_set_fd(ssl, fd);
	return SSL_connect(ssl) == 1 ? ssl : NULL;
}

static void send_all(SSL *ssl, const char *data, size_t n)
{
	while (n) {
		int rc = SSL_write(ssl, data, n < 60000 ? (int)n : 60000);

		if (rc <= 0)
			_exit(11);
		data += rc;
		n -= (size_t)rc;
	}
}

/* Reads until the answer with a body of n bytes is whole. */
static void expect_echo(SSL *ssl, const char *body, size_t n)
{
	OWNED(freep) char *got = xcalloc(1, n + 4096);
	size_t have = 0;

	for (;;) {
		char *end = strstr(got, "\r\n\r\n");
		int rc;

		if (end && have >= (size_t)(end + 4 - got) + n) {
			if (strncmp(got, "HTTP/1.1 200", 12) != 0 || memcmp(end + 4, body, n) != 0)
				_exit(12);
			return;
		}
		rc = SSL_read(ssl, got + have, (int)(n + 4095 - have));
		if (rc <= 0)
			_exit(13);
		have += (size_t)rc;
	}
}

static void ask(SSL *ssl, const char *body, size_t n)
{
	char head[200];
	int len = snprintf(head, sizeof(head),
			   "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", n);

	send_all(ssl, head, (size_t)len);
	send_all(ssl, body, n);
}

static void big_and_small_requests(const struct fixture *f)
{
	OWNED(freep) char *big = xmalloc(BIG);
	SSL *ssl = shake_hands(dial(f), TLS1_3_VERSION);

	for (size_t i = 0; i < BIG; i++)
		big[i] = (char)('a' + i % 23);
	ask(ssl, "hello", 5);
	expect_echo(ssl, "hello", 5);
	ask(ssl, big, BIG);
	expect_echo(ssl, big, BIG);
	/* Two in one go. */
	ask(ssl, "one", 3);
	ask(ssl, "three", 5);
	expect_echo(ssl, "one", 3);
	expect_echo(ssl, "three", 5);
	(void)SSL_shutdown(ssl);
	_exit(OK);
}

/* A record of one byte each: a request that comes in the smallest pieces. */
static void byte_by_byte(const struct fixture *f)
{
	static const char request[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nslow";
	SSL *ssl = shake_hands(dial(f), TLS1_2_VERSION);

	for (size_t i = 0; i < sizeof(request) - 1; i++)
		send_all(ssl, request + i, 1);
	expect_echo(ssl, "slow", 4);
	_exit(OK);
}

static void old_versions(const struct fixture *f)
{
	_exit(shake_hands(dial(f), TLS1_1_VERSION) ? 14 : OK);
}

static void no_tls_at_all(const struct fixture *f)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	int fd = dial(f);
	char byte[512];
	ssize_t n;

	(void)!write(fd, request, strlen(request));
	while ((n = read(fd, byte, sizeof(byte))) > 0)
		if (memmem(byte, (size_t)n, "HTTP/1.1 200", 12))
			_exit(15);
	_exit(OK);
}

/* The server ends it: a connection that never says hello has the idle timeout. */
static void silence(const struct fixture *f)
{
	char byte;

	_exit(read(dial(f), &byte, 1) == 0 ? OK : 16);
}

/* Goes away in the middle of a large answer. */
static void hang_up(const struct fixture *f)
{
	OWNED(freep) char *big = xcalloc(1, BIG);
	int fd = dial(f);
	SSL *ssl = shake_hands(fd, TLS1_3_VERSION);
	char some[100];

	ask(ssl, big, BIG);
	(void)SSL_read(ssl, some, sizeof(some));
	(void)close(fd);
	_exit(OK);
}

static void tell_serial(const struct fixture *f)
{
	SSL *ssl = shake_hands(dial(f), TLS1_3_VERSION);
	X509 *x = ssl ? SSL_get1_peer_certificate(ssl) : NULL;

	_exit(x ? 40 + (int)ASN1_INTEGER_get(X509_get0_serialNumber(x)) : OTHER);
}

/* Serves until the client is done; its exit status. */
static int serve(struct fixture *f, void (*client)(const struct fixture *))
{
	int64_t end = clock_mono_ms() + DEADLINE_MS;
	struct timeval tick = { .tv_usec = 2000 };
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		client(f);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (clock_mono_ms() > end)
			(void)kill(pid, SIGKILL);
		(void)event_base_loopexit(f->base, &tick);
		(void)event_base_dispatch(f->base);
	}
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void answers_big_and_small_requests(void **state)
{
	assert_int_equal(serve(*state, big_and_small_requests), OK);
}

static void takes_a_request_byte_by_byte(void **state)
{
	assert_int_equal(serve(*state, byte_by_byte), OK);
}

static void refuses_old_versions(void **state)
{
	assert_int_equal(serve(*state, old_versions), OK);
}

static void answers_nothing_in_the_clear(void **state)
{
	assert_int_equal(serve(*state, no_tls_at_all), OK);
}

static void closes_who_never_says_hello(void **state)
{
	assert_int_equal(serve(*state, silence), OK);
}

static void survives_a_peer_that_hangs_up(void **state)
{
	assert_int_equal(serve(*state, hang_up), OK);
	assert_int_equal(serve(*state, big_and_small_requests), OK);
}

static void shows_a_new_certificate_after_reload_and_keeps_the_old_for_a_bad_one(void **state)
{
	struct fixture *f = *state;
	struct err err;
	FILE *out;

	assert_int_equal(serve(f, tell_serial), 41);
	write_certificate(f, 2);
	assert_int_equal(serve(f, tell_serial), 41);
	assert_ok(tls_reload(f->tls, &err), &err);
	assert_int_equal(serve(f, tell_serial), 42);
	out = fopen(f->cert, "w");
	(void)fputs("no certificate", out);
	(void)fclose(out);
	assert_int_equal(tls_reload(f->tls, &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_int_equal(serve(f, tell_serial), 42);
}

static void says_what_is_wrong_with_the_files(void **state)
{
	struct fixture *f = *state;
	struct tls *t = NULL;
	struct err err;

	assert_int_equal(tls_new("/nonexistent", f->key, &t, &err), -1);
	assert_non_null(strstr(err.msg, "certificate /nonexistent"));
	assert_int_equal(tls_new(f->cert, "/nonexistent", &t, &err), -1);
	assert_non_null(strstr(err.msg, "key /nonexistent"));
	assert_null(t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(answers_big_and_small_requests),
		T(takes_a_request_byte_by_byte),
		T(refuses_old_versions),
		T(answers_nothing_in_the_clear),
		T(closes_who_never_says_hello),
		T(survives_a_peer_that_hangs_up),
		T(shows_a_new_certificate_after_reload_and_keeps_the_old_for_a_bad_one),
		T(says_what_is_wrong_with_the_files),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
