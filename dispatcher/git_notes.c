#include "dispatcher/git_notes.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <git2.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"

enum { NOTES_MAX = 100, NOTE_BYTES_MAX = 4096, HOOK_NAME_MAX = 40 };

static int is_note(const struct dirent *e)
{
	return e->d_name[0] != '.' && text_ends(e->d_name, ".json");
}

static struct json_object *read_note(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct json_object *o = NULL;
	char text[NOTE_BYTES_MAX];
	struct err err;
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = read(fd, text, sizeof(text));
	(void)close(fd);
	if (n <= 0 || json_parse(text, (size_t)n, &o, &err) < 0)
		return NULL;
	return o;
}

static bool name_ok(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return n && n <= HOOK_NAME_MAX && !s[n];
}

static void take(const char *path, git_note_fn *fn, void *arg)
{
	OWNED(json_putp) struct json_object *o = read_note(path);
	const char *hook = json_str(o, "hook", "");
	struct git_note note = {
		.hook = name_ok(hook) && json_i64(o, "at_ms", 0) > 0 ? hook : "",
		.sha = json_str(o, "sha", ""),
		.file = path,
		.at_ms = json_i64(o, "at_ms", 0),
		.status = json_i64(o, "exit", 0),
		.seconds = json_i64(o, "seconds", 0),
	};

	fn(&note, arg);
}

void git_notes(const char *gitdir, git_note_fn *fn, void *arg)
{
	OWNED(freep) char *folder = xasprintf("%spipeline-guard", gitdir);
	struct dirent **list = NULL;
	int n = scandir(folder, &list, is_note, alphasort);

	for (int i = 0; i < n; i++) {
		OWNED(freep) char *path = xasprintf("%s/%s", folder, list[i]->d_name);

		if (i < NOTES_MAX)
			take(path, fn, arg);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
}

static int with_repository(const char *path, bool hooks, char *out, size_t cap, struct err *err)
{
	git_repository *repo = NULL;
	git_config *config = NULL;
	git_buf value = { 0 };
	int n = -1;

	(void)git_libgit2_init();
	if (git_repository_open(&repo, path) < 0) {
		const git_error *e = git_error_last();

		err_format(err, ERR_INPUT, "%.100s: %.120s", path, e ? e->message : "?");
	} else if (hooks && git_repository_config(&config, repo) == 0 &&
		   git_config_get_string_buf(&value, config, "core.hooksPath") == 0) {
		err_format(err, ERR_INPUT,
			   "%.80s: core.hooksPath is %.80s, whose hooks are not this repository's "
			   "alone",
			   path, value.ptr);
	} else {
		n = snprintf(out, cap, "%s%s", git_repository_commondir(repo),
			     hooks ? "hooks/" : "");
		if (n >= (int)cap)
			n = err_set(err, ERR_INPUT, "%.100s: its path is too long", path);
	}
	git_buf_dispose(&value);
	git_config_free(config);
	git_repository_free(repo);
	(void)git_libgit2_shutdown();
	return n < 0 ? -1 : 0;
}

int git_folder(const char *path, char *out, size_t cap, struct err *err)
{
	return with_repository(path, false, out, cap, err);
}

int git_hooks_folder(const char *path, char *out, size_t cap, struct err *err)
{
	return with_repository(path, true, out, cap, err);
}
