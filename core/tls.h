/*
 * Server side of TLS on sockets that somebody else watches: reads and writes that
 * behave like recv() and send(). Certificate and key come from files and are read again when
 * asked, without touching connections that exist.
 */
#ifndef GUARD_CORE_TLS_H
#define GUARD_CORE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/err.h"

struct tls;
struct tls_conn;

/* PEM files: the certificate with its chain, and its key. TLS 1.2 and newer. */
int tls_new(const char *cert_file, const char *key_file, struct tls **out, struct err *) MUST_CHECK;
/* On failure the old certificate stays in use. */
int tls_reload(struct tls *, struct err *) MUST_CHECK;
/* Connections may outlive it. */
void tls_free(struct tls *);
DEFINE_OWNED(struct tls, tls_free)

/* fd is a connected, non-blocking socket and stays the caller's. NULL: out of memory. */
struct tls_conn *tls_accept(const struct tls *, int fd);
/* Says goodbye if that takes no waiting. NULL is fine. */
void tls_conn_free(struct tls_conn *);

/* 0: closed, in order or not. -1 with errno EAGAIN: not now, see tls_wants_write(). */
ssize_t tls_read(struct tls_conn *, void *buf, size_t n);
ssize_t tls_write(struct tls_conn *, const void *buf, size_t n);
/* What was tried last goes on when the socket can be written, not when it can be read. */
bool tls_wants_write(const struct tls_conn *);
/* Decrypted bytes wait: the socket may stay silent although there is something to read. */
bool tls_pending(const struct tls_conn *);

#endif
