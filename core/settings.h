/* Options that every process of the guard shares. */
#ifndef GUARD_CORE_SETTINGS_H
#define GUARD_CORE_SETTINGS_H

#include "core/conf.h"
#include "core/keys.h"

extern const struct conf_table settings_conf;

/* region and partitions, checked. */
int settings_keyspace(const struct conf *, struct keyspace *out, struct err *) MUST_CHECK;
/* redis.url; ERR_CONFIG when unset. */
int settings_redis_url(const struct conf *, const char **out, struct err *) MUST_CHECK;

/* The name of this machine in events about it: git.host, else what the system says. */
void settings_host(const struct conf *, char *out, size_t cap);

struct tls;
/* tls.cert_file and tls.key_file; *out NULL when they are not set. */
int settings_tls(const struct conf *, struct tls **out, struct err *) MUST_CHECK;

#endif
