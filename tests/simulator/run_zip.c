#include "tests/simulator/run_zip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/job_log.h"

static la_ssize_t take(struct archive *a, void *arg, const void *data, size_t n)
{
	UNUSED(a);
	buf_append(arg, data, n);
	return (la_ssize_t)n;
}

/* GitHub leaves out what a file name cannot have. */
static void file_name(char *out, size_t cap, const char *name)
{
	size_t n = 0;

	for (; *name && n < cap - 1; name++)
		if ((unsigned char)*name >= ' ' && !strchr("\"/\\:*?<>|", *name))
			out[n++] = *name;
	out[n] = '\0';
}

static void add_file(struct archive *zip, const char *path, const char *text, size_t n,
		     int64_t at_ms)
{
	struct archive_entry *e = archive_entry_new();

	if (!e)
		abort();
	archive_entry_set_pathname(e, path);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_size(e, (la_int64_t)n);
	archive_entry_set_mtime(e, at_ms / 1000, 0);
	if (archive_write_header(zip, e) != ARCHIVE_OK ||
	    archive_write_data(zip, text, n) != (la_ssize_t)n)
		abort();
	archive_entry_free(e);
}

/* Where the next step's output begins; NULL when this is the last one. */
static const char *next_step(const char *text)
{
	const char *line = strchr(text, '\n');
	const char *group = line ? strstr(line, "##[group]Run ") : NULL;

	while (group && group[-1] != '\n')
		group--;
	return group;
}

static void add_steps(struct archive *zip, const struct run *r, const struct job *j,
		      const char *folder, const char *text)
{
	struct step steps[JOB_STEPS_MAX];
	char names[256], step[256], path[600];
	unsigned n = job_steps(r, j, steps, names);

	for (unsigned i = 0; i < n && text; i++) {
		const char *next = i + 1 < n ? next_step(text) : NULL;
		size_t len = next ? (size_t)(next - text) : strlen(text);

		file_name(step, sizeof(step), steps[i].name);
		(void)snprintf(path, sizeof(path), "%s/%u_%s.txt", folder, i + 1, step);
		add_file(zip, path, text, len, j->completed_ms);
		text = next;
	}
}

void run_zip_write(struct buf *out, const struct run *r, unsigned attempt, unsigned noise)
{
	const struct attempt *a = run_attempt(r, attempt);
	struct archive *zip = archive_write_new();
	struct buf log;

	if (!zip || archive_write_set_format_zip(zip) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(zip, 1) != ARCHIVE_OK ||
	    archive_write_open(zip, out, NULL, take, NULL) != ARCHIVE_OK)
		abort();
	buf_init(&log, JOB_LOG_MAX);
	for (unsigned i = 0, n = 0; i < a->n_jobs; i++) {
		const struct job *j = &a->jobs[i];
		char name[NAME_MAX_BYTES], path[NAME_MAX_BYTES + 20];

		if (j->state != STATE_COMPLETED || strcmp(j->conclusion, "skipped") == 0)
			continue;
		buf_reset(&log);
		job_log_write(&log, r, j, noise);
		file_name(name, sizeof(name), j->name);
		(void)snprintf(path, sizeof(path), "%u_%s.txt", n++, name);
		add_file(zip, path, buf_text(&log), log.len, j->completed_ms);
		add_steps(zip, r, j, name, buf_text(&log));
	}
	buf_done(&log);
	if (archive_write_close(zip) != ARCHIVE_OK)
		abort();
	(void)archive_write_free(zip);
}
