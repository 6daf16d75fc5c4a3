/* Whom to ask for new credentials: heal.refresh_url and heal.refresh_secret. */
#ifndef GUARD_HEALERS_REFRESH_CREDENTIALS_H
#define GUARD_HEALERS_REFRESH_CREDENTIALS_H

#include <stdbool.h>

#include "core/err.h"

struct conf;

bool refresh_credentials_configured(const struct conf *);
/* ERR_CONFIG when what is set cannot be used. */
int refresh_credentials_check(const struct conf *, struct err *) MUST_CHECK;

#endif
