/* conf/hooks/git-hook.sh, as text; made at build. */
#ifndef GUARD_CLI_GIT_HOOK_SCRIPT_H
#define GUARD_CLI_GIT_HOOK_SCRIPT_H

extern const char git_hook_script[];

#endif
