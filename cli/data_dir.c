#include "cli/data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/crypto.h"
#include "core/mem.h"
#include "core/text.h"

static int join(char out[static DATA_PATH_MAX], const char *a, const char *b, struct err *err)
{
	int n = snprintf(out, DATA_PATH_MAX, "%s/%s", a, b);

	if (n < 0 || n >= DATA_PATH_MAX)
		return err_set(err, ERR_CONFIG, "data_dir: the path is too long");
	return 0;
}

int data_dir_path(const struct conf *conf, const char *name, char out[static DATA_PATH_MAX],
		  struct err *err)
{
	const char *given = conf_str(conf, "data_dir");
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char base[DATA_PATH_MAX];

	if (given) {
		OWNED(freep) char *cwd = given[0] == '/' ? NULL : getcwd(NULL, 0);

		if (cwd)
			return join(out, cwd, given, err);
		if (!text_copy(out, DATA_PATH_MAX, given, strlen(given)))
			return err_set(err, ERR_CONFIG, "data_dir: the path is too long");
		return 0;
	}
	if (state && state[0] == '/')
		return join(out, state, name, err);
	if (!home || home[0] != '/')
		return err_set(err, ERR_CONFIG,
			       "HOME is not set: say where to keep data with --data-dir");
	if (join(base, home, ".local/state", err) < 0)
		return -1;
	return join(out, base, name, err);
}

int data_dir_spool(const struct conf *conf, char out[static DATA_PATH_MAX], struct err *err)
{
	const char *given = conf_str(conf, "receiver.spool_dir");
	char folder[DATA_PATH_MAX];

	if (given) {
		if (!text_copy(out, DATA_PATH_MAX, given, strlen(given)))
			return err_set(err, ERR_CONFIG, "receiver.spool_dir: the path is too long");
		return 0;
	}
	if (data_dir_path(conf, "pipeline-guard", folder, err) < 0)
		return err_wrap(err, "receiver.spool_dir is not set");
	return join(out, folder, "spool", err);
}

static int make_folder(const char *path, struct err *err)
{
	char part[DATA_PATH_MAX];

	(void)text_copy(part, sizeof(part), path, strlen(path));
	for (char *p = part + 1;; p++) {
		char was = *p;

		if (was && was != '/')
			continue;
		*p = '\0';
		if (mkdir(part, was ? 0755 : 0700) < 0 && errno != EEXIST)
			return err_set(err, ERR_CONFIG, "cannot make %s: %s", part,
				       strerror(errno));
		*p = was;
		if (!was)
			return 0;
	}
}

/* Whoever can write here can plant a link where a secret is going to be written. */
static int check_folder(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(err, ERR_CONFIG, "%.150s is not a folder", path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(err, ERR_CONFIG, "%.150s belongs to another user", path);
	if (st.st_mode & S_IWOTH)
		return err_set(err, ERR_CONFIG,
			       "everybody can write into %.150s: chmod o-w, or choose another "
			       "--data-dir",
			       path);
	return 0;
}

int data_dir_open(const char *path, struct err *err)
{
	char lock[DATA_PATH_MAX];
	int fd;

	if (make_folder(path, err) < 0 || check_folder(path, err) < 0 ||
	    join(lock, path, "lock", err) < 0)
		return -1;
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(err, ERR_CONFIG, "cannot open %s: %s", lock, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		(void)close(fd);
		return err_set(err, ERR_TRANSIENT,
			       "%s is in use by another `pipeline-guard start`; stop that one, or "
			       "choose another --data-dir",
			       path);
	}
	/* The descriptor stays open on purpose: it is the lock. */
	return 0;
}

static int write_file(const char *path, const char *text, int flags, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	size_t n = strlen(text);
	bool good;

	if (fd < 0)
		return err_set(err, ERR_CONFIG, "cannot write %s: %s", path, strerror(errno));
	/* One that was there before keeps its mode otherwise. */
	good = fchmod(fd, 0600) == 0 && write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;
	if (close(fd) < 0 || !good)
		return err_set(err, ERR_TRANSIENT, "cannot write %s: %s", path, strerror(errno));
	return 0;
}

int data_dir_secret(const char *path, bool *created, struct err *err)
{
	char secret[66], temp[DATA_PATH_MAX];
	struct stat st;
	int n;

	if (stat(path, &st) == 0 && st.st_size > 0) {
		*created = false;
		return 0;
	}
	random_hex(secret, 32);
	secret[64] = '\n';
	secret[65] = '\0';
	n = snprintf(temp, sizeof(temp), "%s.new", path);
	if (n < 0 || (size_t)n >= sizeof(temp))
		return err_set(err, ERR_CONFIG, "data_dir: the path is too long");
	/* Renamed into place, so that a crash leaves no half secret behind. */
	if (write_file(temp, secret, O_TRUNC, err) < 0)
		return -1;
	explicit_bzero(secret, sizeof(secret));
	if (rename(temp, path) < 0)
		return err_set(err, ERR_TRANSIENT, "cannot write %s: %s", path, strerror(errno));
	*created = true;
	return 0;
}

int data_dir_redis(const char *folder, char conf_path[static DATA_PATH_MAX],
		   char url[static DATA_PATH_MAX], struct err *err)
{
	OWNED(freep) char *text = NULL;
	char data[DATA_PATH_MAX], sock[DATA_PATH_MAX];
	struct sockaddr_un un;

	if (join(data, folder, "redis", err) < 0 || join(sock, folder, "redis.sock", err) < 0 ||
	    join(conf_path, folder, "redis.conf", err) < 0 || make_folder(data, err) < 0)
		return -1;
	if (strlen(sock) >= sizeof(un.sun_path))
		return err_set(err, ERR_CONFIG,
			       "%s is too long for a socket (%zu bytes at most): choose a shorter "
			       "--data-dir",
			       sock, sizeof(un.sun_path) - 1);
	if (strpbrk(folder, "\"\\\n"))
		return err_set(err, ERR_CONFIG,
			       "data_dir: quotes, backslashes and line ends cannot be used");
	text = xasprintf("# Written by `pipeline-guard start` at every start.\n"
			 "port 0\n"
			 "unixsocket \"%s\"\n"
			 "unixsocketperm 700\n"
			 "daemonize no\n"
			 "dir \"%s\"\n"
			 "logfile \"%s/redis.log\"\n"
			 "save \"\"\n"
			 "appendonly yes\n"
			 "appendfsync always\n"
			 "maxmemory-policy noeviction\n",
			 sock, data, folder);
	(void)snprintf(url, DATA_PATH_MAX, "unix://%.1000s", sock);
	return write_file(conf_path, text, O_TRUNC, err);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	UNUSED(st);
	UNUSED(kind);
	return ftw->level == 0 ? 0 : remove(path);
}

int data_dir_forget_redis(const char *folder, struct err *err)
{
	char data[DATA_PATH_MAX];

	if (join(data, folder, "redis", err) < 0)
		return -1;
	if (access(data, F_OK) == 0 &&
	    nftw(data, remove_entry, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
		return err_set(err, ERR_TRANSIENT, "cannot empty %s: %s", data, strerror(errno));
	return 0;
}
