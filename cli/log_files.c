#include "cli/log_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/finding.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/detector.h"
#include "dispatcher/rule_report.h"

enum { READ_BYTES = 256 << 10, DEPTH_MAX = 16, ROW_BYTES_MAX = 8192 };

/* --- labels ------------------------------------------------------------------------ */

/* NULL when the word says nothing. */
static const char *label_of(const char *word)
{
	static const struct {
		const char *word, *label;
	} rows[] = {
		{ "green", LABEL_GREEN },   { "red", LABEL_RED },       { "passed", LABEL_GREEN },
		{ "failed", LABEL_RED },    { "passing", LABEL_GREEN }, { "failing", LABEL_RED },
		{ "success", LABEL_GREEN }, { "failure", LABEL_RED },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].word, word) == 0)
			return rows[i].label;
	for (size_t i = 0; finding_categories[i]; i++)
		if (strcmp(finding_categories[i], word) == 0)
			return finding_categories[i];
	return NULL;
}

/* Only "failed" leaves something open that a folder in it may say. */
static const char *label_below(const char *label, const char *folder)
{
	const char *says = label_of(folder);

	return says && (!label || strcmp(label, LABEL_RED) == 0) ? says : label;
}

/* --- finding ------------------------------------------------------------------------ */

static int add(struct log_files *files, char *path, const char *label, const char *project,
	       struct err *err)
{
	if (files->n == LOG_FILES_MAX) {
		free(path);
		return err_set(err, ERR_CONFIG, "more than %d logs", LOG_FILES_MAX);
	}
	if (files->n == files->cap) {
		files->cap = files->cap ? 2 * files->cap : 64;
		files->at = xrealloc(files->at, files->cap * sizeof(*files->at));
	}
	files->at[files->n++] = (struct log_file){
		.path = path,
		.label = label,
		.project = project && *project ? xstrdup(project) : NULL,
	};
	files->unlabelled += !label;
	return 0;
}

static int not_hidden(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int walk(struct log_files *files, const char *dir, const char *label, int depth,
		struct err *err);

/* Links are not followed: they may lead in circles. */
static int visit(struct log_files *files, char *path, const char *name, const char *label,
		 int depth, struct err *err)
{
	struct stat st;
	int rc = 0;

	if (lstat(path, &st) < 0)
		rc = err_set(err, ERR_TRANSIENT, "%s: %s", path, strerror(errno));
	else if (S_ISREG(st.st_mode))
		return add(files, path, label, NULL, err);
	else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
		rc = walk(files, path, label_below(label, name), depth + 1, err);
	free(path);
	return rc;
}

static int walk(struct log_files *files, const char *dir, const char *label, int depth,
		struct err *err)
{
	struct dirent **names;
	int n = scandir(dir, &names, not_hidden, alphasort), rc = 0;

	if (n < 0)
		return err_set(err, ERR_TRANSIENT, "%s: %s", dir, strerror(errno));
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;

		if (rc == 0)
			rc = visit(files, xasprintf("%s/%s", dir, name), name, label, depth, err);
		free(names[i]);
	}
	free(names);
	return rc;
}

/* --- tables -------------------------------------------------------------------------- */

/* Cuts one cell off in place, quoted or not; NULL when there is none left. */
static char *next_cell(char **row)
{
	char *cell = *row, *to = cell, *s = cell;
	bool quoted = cell && *cell == '"';

	if (!cell)
		return NULL;
	for (s += quoted; *s; s++) {
		if (quoted && *s == '"' && s[1] == '"')
			s++;
		else if (quoted && *s == '"') {
			quoted = false;
			continue;
		} else if (!quoted && *s == ',')
			break;
		*to++ = *s;
	}
	*row = *s ? s + 1 : NULL;
	*to = '\0';
	return cell;
}

struct columns {
	int path, category, project;
};

static void read_heading(char *row, struct columns *c)
{
	char *cell;

	*c = (struct columns){ -1, -1, -1 };
	for (int i = 0; (cell = next_cell(&row)); i++) {
		if (strcmp(cell, "path") == 0)
			c->path = i;
		if (strcmp(cell, "category") == 0)
			c->category = i;
		if (strcmp(cell, "project") == 0)
			c->project = i;
	}
}

static int read_row(struct log_files *files, const struct columns *c, const char *folder, char *row,
		    struct err *err)
{
	const char *path = "", *category = "", *project = "";
	char *cell;

	for (int i = 0; row && (cell = next_cell(&row)); i++) {
		if (i == c->path)
			path = cell;
		if (i == c->category)
			category = cell;
		if (i == c->project)
			project = cell;
	}
	if (!*path)
		return err_set(err, ERR_CONFIG, "no path");
	if (*category && !label_of(category))
		return err_set(err, ERR_CONFIG, "\"%.60s\" is no category, nor green or red",
			       category);
	return add(files, *path == '/' ? xstrdup(path) : xasprintf("%s/%s", folder, path),
		   label_of(category), project, err);
}

static void fclosep(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

static int read_table(struct log_files *files, const char *name, struct err *err)
{
	OWNED(fclosep) FILE *f = fopen(name, "re");
	OWNED(freep) char *folder = xstrdup(name);
	char *slash = strrchr(folder, '/');
	char row[ROW_BYTES_MAX];
	struct columns columns = { -1, -1, -1 };

	if (!f)
		return err_set(err, ERR_TRANSIENT, "%s: %s", name, strerror(errno));
	if (slash)
		*slash = '\0';
	else
		(void)text_copy(folder, strlen(folder) + 1, ".", 1);
	for (unsigned long line = 1; fgets(row, sizeof(row), f); line++) {
		if (strlen(row) == sizeof(row) - 1)
			return err_set(err, ERR_CONFIG, "%s:%lu: longer than %d bytes", name, line,
				       ROW_BYTES_MAX - 2);
		row[strcspn(row, "\r\n")] = '\0';
		if (line == 1) {
			read_heading(row, &columns);
			if (columns.path < 0 || columns.category < 0)
				return err_set(err, ERR_CONFIG,
					       "%s: the first line has to name the columns path "
					       "and category",
					       name);
		} else if (*row && read_row(files, &columns, folder, row, err) < 0) {
			return err_wrap(err, "%s:%lu", name, line);
		}
	}
	return 0;
}

int log_files_find(const char *where, struct log_files **out, struct err *err)
{
	OWNED(log_files_freep) struct log_files *files = xcalloc(1, sizeof(*files));
	struct stat st;
	int rc;

	if (stat(where, &st) < 0)
		return err_set(err, ERR_TRANSIENT, "%s: %s", where, strerror(errno));
	rc = S_ISDIR(st.st_mode) ? walk(files, where, NULL, 0, err) : read_table(files, where, err);
	if (rc == 0 && files->n == 0)
		rc = err_set(err, ERR_CONFIG, "%s: no logs there", where);
	*out = rc == 0 ? TAKE(files) : NULL;
	return rc;
}

void log_files_free(struct log_files *files)
{
	if (!files)
		return;
	for (size_t i = 0; i < files->n; i++) {
		free(files->at[i].path);
		free(files->at[i].project);
	}
	free(files->at);
	free(files);
}

/* --- reading --------------------------------------------------------------------------- */

static void closep(int *fd)
{
	if (*fd > STDERR_FILENO)
		(void)close(*fd);
}

int log_file_feed(const char *name, struct detect_scan *scan, struct err *err)
{
	bool standard_input = strcmp(name, "-") == 0;
	OWNED(closep) int fd = standard_input ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	OWNED(freep) char *data = xmalloc(READ_BYTES);
	ssize_t n;

	if (fd < 0)
		return err_set(err, ERR_INPUT, "%s: %s", name, strerror(errno));
	while ((n = read(fd, data, READ_BYTES)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, ERR_INPUT, "%s: %s", name, strerror(errno));
		detect_scan_feed(scan, data, (size_t)n);
	}
	return 0;
}
