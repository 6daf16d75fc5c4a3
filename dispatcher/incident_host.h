/* Which host a failure is about, as the lines that prove it say. */
#ifndef GUARD_DISPATCHER_INCIDENT_HOST_H
#define GUARD_DISPATCHER_INCIDENT_HOST_H

#include <stdbool.h>

#include "core/incident.h"

struct finding;

/*
 * The host in one line, in small letters: of an address, or after words such as "resolve host: ".
 * False and "" when there is none that repositories could have in common: no bare word, no IP
 * address, nothing of this machine.
 */
bool incident_host_in(const char *line, char out[static INCIDENT_HOST_MAX + 1]);
/* Failures of that category may be those of a service that many repositories use. */
bool incident_of_others(const char *category);
/* The first of the evidence; "" also for categories that incident_of_others() denies. */
void incident_host(const struct finding *, char out[static INCIDENT_HOST_MAX + 1]);

#endif
