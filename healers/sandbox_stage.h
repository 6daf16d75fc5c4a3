/* Between healers/sandbox.c and its stages: words that they agree on. */
#ifndef GUARD_HEALERS_SANDBOX_STAGE_H
#define GUARD_HEALERS_SANDBOX_STAGE_H

#define SANDBOX_OUTSIDE "outside"
#define SANDBOX_INSIDE  "inside"
/* Written by the inner stage once every restriction holds. */
#define SANDBOX_READY "\001sandboxed\n"

/* In the sandbox, whose network has nothing else. */
#define SANDBOX_PROXY_URL "http://127.0.0.1:3128"
enum { SANDBOX_PROXY_PORT = 3128, SANDBOX_PROXY_BACKLOG = 128 };

#endif
