/* Between healers/sandbox.c and its stages: words that they agree on. */
#ifndef GUARD_HEALERS_SANDBOX_STAGE_H
#define GUARD_HEALERS_SANDBOX_STAGE_H

#define SANDBOX_OUTSIDE "outside"
#define SANDBOX_INSIDE  "inside"
/* Written by the inner stage once every restriction holds. */
#define SANDBOX_READY "\001sandboxed\n"

#endif
