/*
 * The two stages around bubblewrap. Outside: stops being root, opens this executable, becomes
 * bwrap. Inside, with the namespaces made: Landlock, system calls, limits, and becomes the
 * command. Both are processes of their own, so they may block, and print why they failed.
 */
#include "healers/sandbox_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef GUARD_SECCOMP
#include <seccomp.h>
#endif

#include "core/base.h"
#include "healers/sandbox.h"
#include "healers/sandbox_proxy.h"

#define BWRAP "/usr/bin/bwrap"
#define GUARD "/run/guard"

/* Newer than the headers of Debian 12. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

enum { ARGS_MAX = 256, FAILED = 125, TMP_BYTES = 64 << 20, OPEN_FILES_MAX = 4096 };

struct limits {
	bool network, home;
	int64_t memory_bytes, file_bytes;
	unsigned processes;
	int64_t cpu_s;
};

static int fail(const char *fmt, ...) PRINTF_LIKE(1, 2);

static int fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vfprintf(stdout, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stdout);
	(void)fflush(stdout);
	return FAILED;
}

static bool read_limits(const char *text, struct limits *out)
{
	int64_t v[6];
	char *end;

	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		v[i] = strtoll(text, &end, 10);
		if (end == text || v[i] < 0 || *end != (i + 1 < ARRAY_LEN(v) ? ',' : '\0'))
			return false;
		text = end + 1;
	}
	*out = (struct limits){ v[0] != 0, v[1] != 0, v[2], v[3], (unsigned)v[4], v[5] };
	return true;
}

/* --- outside --------------------------------------------------------------------------------- */

struct args {
	const char *v[ARGS_MAX];
	size_t n;
};

static void add(struct args *a, const char *const *words)
{
	for (; *words && a->n < ARGS_MAX - 1; words++)
		a->v[a->n++] = *words;
	a->v[a->n] = NULL;
}
#define ADD(a, ...) add((a), (const char *const[]){ __VA_ARGS__, NULL })

/* Of root the number of processes is not limited by the kernel, and what it owns is everything. */
static int stop_being_root(const char *folder)
{
	struct stat st;

	if (geteuid() != 0)
		return 0;
	if (stat(folder, &st) < 0)
		return fail("%s: %s", folder, strerror(errno));
	if (st.st_uid == 0)
		return fail("%s belongs to root, and commands never run as root", folder);
	if (setgroups(0, NULL) < 0 || setresgid(st.st_gid, st.st_gid, st.st_gid) < 0 ||
	    setresuid(st.st_uid, st.st_uid, st.st_uid) < 0)
		return fail("cannot become the owner of %s: %s", folder, strerror(errno));
	return 0;
}

static void add_system(struct args *a)
{
	static const char *const links[] = { "/bin", "/sbin", "/lib", "/lib32", "/lib64" };
	/* Patterns of glob(); PHP has no extensions without its settings. */
	static const char *const parts[] = { "/etc/alternatives", "/etc/ld.so.cache",
					     "/etc/ssl",          "/etc/ca-certificates",
					     "/etc/php/*/cli",    "/etc/php/*/mods-available" };
	static char targets[ARRAY_LEN(links)][64];
	glob_t found;
	ssize_t n;

	ADD(a, "--ro-bind", "/usr", "/usr");
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		n = readlink(links[i], targets[i], sizeof(targets[i]) - 1);
		if (n > 0)
			ADD(a, "--symlink", targets[i], links[i]);
		else
			ADD(a, "--ro-bind-try", links[i], links[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		(void)glob(parts[i], i ? GLOB_APPEND : 0, NULL, &found);
	/* Never freed: the arguments point into it until they are another program's. */
	for (size_t i = 0; i < found.gl_pathc; i++)
		ADD(a, "--ro-bind-try", found.gl_pathv[i], found.gl_pathv[i]);
}

static void add_environment(struct args *a)
{
	static const char *const pairs[][2] = {
		{ "PATH", "/usr/local/bin:/usr/bin:/bin" },
		{ "HOME", "/tmp" },
		{ "LANG", "C.UTF-8" },
		{ "CI", "true" },
		{ "GIT_CONFIG_NOSYSTEM", "1" },
		{ "GIT_CONFIG_GLOBAL", "/dev/null" },
		{ "GIT_TERMINAL_PROMPT", "0" },
		{ "GIT_EDITOR", "true" },
		{ "GIT_COMMITTER_NAME", "Pipeline Guard" },
		{ "GIT_COMMITTER_EMAIL", "pipeline-guard@localhost" },
	};

	ADD(a, "--clearenv");
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		ADD(a, "--setenv", pairs[i][0], pairs[i][1]);
}

/*
 * Where the proxy is, for all who ask in their own way. The environment
 * comes before what a repository says.
 */
static void add_network(struct args *a)
{
	static const char *const proxies[] = {
		"http_proxy",       "https_proxy",     "all_proxy",        "HTTP_PROXY",
		"HTTPS_PROXY",      "ALL_PROXY",       "npm_config_proxy", "npm_config_https_proxy",
		"CARGO_HTTP_PROXY", "YARN_HTTP_PROXY", "YARN_HTTPS_PROXY", "PIP_PROXY",
	};

	for (size_t i = 0; i < ARRAY_LEN(proxies); i++)
		ADD(a, "--setenv", proxies[i], SANDBOX_PROXY_URL);
	ADD(a, "--setenv", "npm_config_noproxy", "none.invalid");
}

static int outside(const char *limits, char **argv)
{
	static char tmp_bytes[32], fd_text[16], home[PATH_MAX];
	const char *folder = argv[0];
	struct args a = { .n = 0 };
	struct limits l;
	int fd = open("/proc/self/exe", O_RDONLY); /* NOLINT(android-cloexec-open): for bwrap */

	if (dup2(STDOUT_FILENO, STDERR_FILENO) < 0 || fd < 0 || !read_limits(limits, &l))
		return fail("the outer stage cannot begin: %s", strerror(errno));
	if (stop_being_root(folder) != 0)
		return FAILED;
	(void)snprintf(tmp_bytes, sizeof(tmp_bytes), "%d", TMP_BYTES);
	(void)snprintf(fd_text, sizeof(fd_text), "%d", fd);
	ADD(&a, BWRAP, "--unshare-user", "--unshare-all", "--die-with-parent", "--new-session",
	    "--cap-drop", "ALL", "--hostname", "sandbox");
	add_environment(&a);
	add_system(&a);
	if (l.home) {
		(void)snprintf(home, sizeof(home), "%s/" SANDBOX_HOME, folder);
		ADD(&a, "--setenv", "HOME", home);
	}
	if (l.network)
		add_network(&a);
	ADD(&a, "--proc", "/proc", "--dev", "/dev", "--size", tmp_bytes, "--tmpfs", "/dev/shm",
	    "--remount-ro", "/dev", "--size", tmp_bytes, "--tmpfs", "/tmp", "--bind", folder,
	    folder, "--perms", "0555", "--ro-bind-data", fd_text, GUARD, "--remount-ro", "/",
	    "--chdir", folder, "--", GUARD, SANDBOX_STAGE, SANDBOX_INSIDE, limits);
	add(&a, (const char *const *)argv);
	if (a.n == ARGS_MAX - 1)
		return fail("too many arguments");
	(void)execv(BWRAP, (char *const *)(uintptr_t)a.v);
	return fail(BWRAP ": %s", strerror(errno));
}

/* --- inside ---------------------------------------------------------------------------------- */

#define MAY_READ \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)

static bool allow_below(int ruleset, const char *folder, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = access,
		.parent_fd = open(folder, O_PATH | O_CLOEXEC),
	};
	long rc;

	if (rule.parent_fd < 0)
		return false;
	rc = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	(void)close(rule.parent_fd);
	return rc == 0;
}

/* A second wall around the files, where the kernel has it: mounts are the first. */
static bool wall_in(const char *folder)
{
	struct landlock_ruleset_attr attr = { 0 };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	int ruleset;
	bool ok;

	if (abi < 1)
		return errno == ENOSYS || errno == EOPNOTSUPP;
	attr.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
	if (abi >= 2)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return false;
	ok = allow_below(ruleset, "/", MAY_READ) &&
	     allow_below(ruleset, "/dev", MAY_READ | LANDLOCK_ACCESS_FS_WRITE_FILE) &&
	     allow_below(ruleset, "/dev/shm", attr.handled_access_fs) &&
	     allow_below(ruleset, "/tmp", attr.handled_access_fs) &&
	     allow_below(ruleset, folder, attr.handled_access_fs) &&
	     syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
	(void)close(ruleset);
	return ok;
}

#ifdef GUARD_SECCOMP
/* What no build tool needs and what kernels were broken with. */
static const char *const refused[] = {
	"ptrace",
	"process_vm_readv",
	"process_vm_writev",
	"kcmp",
	"mount",
	"umount",
	"umount2",
	"pivot_root",
	"chroot",
	"move_mount",
	"open_tree",
	"fsopen",
	"fsconfig",
	"fsmount",
	"fspick",
	"mount_setattr",
	"unshare",
	"setns",
	"keyctl",
	"add_key",
	"request_key",
	"bpf",
	"userfaultfd",
	"io_uring_setup",
	"io_uring_enter",
	"io_uring_register",
	"perf_event_open",
	"fanotify_init",
	"name_to_handle_at",
	"open_by_handle_at",
	"kexec_load",
	"kexec_file_load",
	"init_module",
	"finit_module",
	"delete_module",
	"reboot",
	"swapon",
	"swapoff",
	"acct",
	"quotactl",
	"syslog",
	"settimeofday",
	"clock_settime",
	"clock_adjtime",
	"adjtimex",
	"sethostname",
	"setdomainname",
	"iopl",
	"ioperm",
	"modify_ldt",
	"vhangup",
	"lookup_dcookie",
	"mknod",
	"mknodat",
	"pidfd_getfd",
	"setuid",
	"setgid",
	"setreuid",
	"setregid",
	"setgroups",
	"nfsservctl",
	"personality",
	"move_pages",
	"migrate_pages",
	"mbind",
	"set_mempolicy",
};

static bool refuse_calls(scmp_filter_ctx ctx)
{
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		int nr = seccomp_syscall_resolve_name(refused[i]);

		/* Negative: a name of another architecture, or newer than the library. */
		if (nr >= 0 && seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), nr, 0) < 0)
			return false;
	}
	return true;
}

static bool refuse_by_argument(scmp_filter_ctx ctx)
{
	const uint64_t spaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
				CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;
	const struct {
		int nr;
		unsigned arg;
		uint64_t mask, value;
	} rows[] = {
		{ SCMP_SYS(ioctl), 1, UINT32_MAX, TIOCSTI },
		{ SCMP_SYS(ioctl), 1, UINT32_MAX, TIOCLINUX },
		{ SCMP_SYS(chmod), 1, S_ISUID, S_ISUID },
		{ SCMP_SYS(fchmod), 1, S_ISUID, S_ISUID },
		{ SCMP_SYS(fchmodat), 2, S_ISUID, S_ISUID },
		{ SCMP_SYS(socket), 0, UINT32_MAX, AF_VSOCK }, /* knows no namespaces */
		{ SCMP_SYS(socket), 0, UINT32_MAX, AF_PACKET },
		{ SCMP_SYS(socket), 0, UINT32_MAX, AF_ALG },
		{ SCMP_SYS(socket), 0, UINT32_MAX, AF_KEY },
		{ SCMP_SYS(socket), 0, UINT32_MAX, AF_BLUETOOTH },
		{ SCMP_SYS(socket), 0, UINT32_MAX, AF_CAN },
		{ SCMP_SYS(socket), 0, UINT32_MAX, AF_RDS },
		{ SCMP_SYS(socket), 0, UINT32_MAX, AF_TIPC },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), rows[i].nr, 1,
				     SCMP_CMP(rows[i].arg, SCMP_CMP_MASKED_EQ, rows[i].mask,
					      rows[i].value)) < 0)
			return false;
	for (unsigned bit = 0; bit < 32; bit++)
		if (spaces >> bit & 1 &&
		    seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, UINT64_C(1) << bit,
					     UINT64_C(1) << bit)) < 0)
			return false;
	/* What posix_spawn() calls to stay who it is, as make has it do, changes nothing. */
	if (seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setresuid), 1,
			     SCMP_A0_32(SCMP_CMP_NE, UINT32_MAX, 0)) < 0 ||
	    seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setresgid), 1,
			     SCMP_A0_32(SCMP_CMP_NE, UINT32_MAX, 0)) < 0)
		return false;
	/* Its flags are behind a pointer; told that it is not there, the C library uses clone. */
	return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
}

static bool filter_calls(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	bool ok = ctx && refuse_calls(ctx) && refuse_by_argument(ctx) && seccomp_load(ctx) == 0;

	if (ctx)
		seccomp_release(ctx);
	return ok;
}
#endif

static bool limit(__rlimit_resource_t what, int64_t value)
{
	struct rlimit now, l = { (rlim_t)value, (rlim_t)value };

	/* What this machine allows less of stays so. */
	if (getrlimit(what, &now) == 0 && now.rlim_max < l.rlim_max)
		l = (struct rlimit){ now.rlim_max, now.rlim_max };
	return setrlimit(what, &l) == 0;
}

static bool limit_all(const struct limits *l)
{
	return limit(RLIMIT_CORE, 0) && limit(RLIMIT_NOFILE, OPEN_FILES_MAX) &&
	       limit(RLIMIT_FSIZE, l->file_bytes) && limit(RLIMIT_CPU, l->cpu_s) &&
	       limit(RLIMIT_NPROC, l->processes) && limit(RLIMIT_AS, l->memory_bytes);
}

/*
 * The proxy's socket is made in here, where it can be reached, and goes out over standard input to
 * where it is served (healers/sandbox_proxy.c). The command gets neither.
 */
static bool offer_proxy(void)
{
	const struct sockaddr_in at = { .sin_family = AF_INET,
					.sin_port = htons(SANDBOX_PROXY_PORT),
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int none = open("/dev/null", O_RDONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0 || none < 0)
		return false;
	ok = bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 &&
	     listen(fd, SANDBOX_PROXY_BACKLOG) == 0 && sandbox_proxy_offer(STDIN_FILENO, fd) &&
	     dup2(none, STDIN_FILENO) == STDIN_FILENO;
	(void)close(none);
	return close(fd) == 0 && ok;
}

static int inside(const char *text, char **argv)
{
	static const char ready[] = SANDBOX_READY;
	struct limits l;

	if (!read_limits(text, &l))
		return fail("the inner stage was not told its limits");
#ifdef GUARD_SECCOMP
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail("no_new_privs: %s", strerror(errno));
	if (l.network && !offer_proxy())
		return fail("the way out: %s", strerror(errno));
	if (!wall_in(argv[0]))
		return fail("Landlock: %s", strerror(errno));
	if (!filter_calls())
		return fail("the filter of system calls was not taken: %s", strerror(errno));
	if (!limit_all(&l))
		return fail("limits: %s", strerror(errno));
	if (write(STDOUT_FILENO, ready, sizeof(ready) - 1) < 0)
		return FAILED;
	(void)execv(argv[1], argv + 1);
	return 127;
#else
	UNUSED(argv);
	UNUSED(ready);
	UNUSED(wall_in);
	UNUSED(limit_all);
	UNUSED(offer_proxy);
	return fail("this build has no filter of system calls: it was built without libseccomp");
#endif
}

/* sandbox-stage outside|inside LIMITS FOLDER PROGRAM ARGUMENTS... */
int sandbox_stage_main(int argc, char **argv)
{
	if (argc < 5)
		return fail("for internal use: see docs/sandbox.md");
	if (strcmp(argv[1], SANDBOX_OUTSIDE) == 0)
		return outside(argv[2], argv + 3);
	return inside(argv[2], argv + 3);
}
