/* Signatures as Standard Webhooks has them, for what we send. */
#ifndef GUARD_CORE_STANDARD_WEBHOOKS_H
#define GUARD_CORE_STANDARD_WEBHOOKS_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

/*
 * "v1,..." over id, time and body with one secret, which is base64 with or without "whsec_".
 * ERR_CONFIG, without the secret, when it is none. The caller frees *signature.
 */
int standard_webhooks_sign(const char *secret, const char *id, int64_t time_s, const void *body,
			   size_t n, char **signature, struct err *) MUST_CHECK;
/* Whether that secret can sign. */
int standard_webhooks_check(const char *secret, struct err *) MUST_CHECK;

#endif
