/* train: learns the text model from labelled logs. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/log_files.h"
#include "cli/train_outcomes.h"
#include "core/finding.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/detector.h"
#include "dispatcher/rule_cache.h"
#include "dispatcher/rule_report.h"
#include "dispatcher/rule_set.h"
#include "ml/text_train.h"

static const char usage[] =
	"usage: pipeline-guard train --text LABELS --out FILE [options] [LABELS...]\n"
	"\n"
	"Learns the words of failures from logs whose cause is known, for logs that no rule "
	"knows.\n"
	"LABELS is a table (columns path, category and, if known, project) or a folder with one\n"
	"folder per category; `passed` is for logs in which nothing failed. A log without a\n"
	"category is learned from where a rule is sure of it, and so are the samples of the "
	"rules.\n"
	"--outcomes adds what Redis has of runs that were healed by running them again.\n"
	"\n"
	"Prints how often it is right on logs of projects that it has not seen. The same logs and\n"
	"rules give the same file, byte for byte.\n"
	"\n"
	"Exit status: 0 the model was written, 2 wrong usage or bad labels, 3 a file could not be\n"
	"read or written, or Redis not reached.\n";

struct trainer {
	const struct detector *detector;
	struct text_samples samples;
	unsigned by_rules, left_out; /* logs without a label: learned from, and not */
	unsigned healed;
	bool progress;
};

static uint64_t project_id(const char *project)
{
	return sha256_id(project, strlen(project));
}

/* Where no project is named: the log itself, wherever the folder of logs lies. */
static const char *project_of(const struct log_file *log, const char *where)
{
	if (log->project)
		return log->project;
	return text_starts(log->path, where) ? log->path + strlen(where) : log->path;
}

/* What is said of the log, else what a rule is so sure of that it can be learned from. */
static const char *category_of(const struct log_file *log, const struct finding *f)
{
	enum { SURE_PERCENT = 90 };

	if (log->label && strcmp(log->label, LABEL_GREEN) == 0)
		return TEXT_PASSED;
	if (log->label && strcmp(log->label, LABEL_RED) != 0)
		return log->label;
	return f->confidence * 100 >= SURE_PERCENT ? f->category : NULL;
}

static int add_log(struct trainer *t, const struct log_file *log, const char *where,
		   struct err *err)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct detect_input in = { .text = NULL };
	OWNED(detect_scan_freep) struct detect_scan *scan = detect_scan_new(t->detector, &in);
	struct text_sample s = { .weight = 1 };
	const char *lines[DETECT_WORDS_MAX], *category;
	struct finding f;
	int class;

	if (log_file_feed(log->path, scan, err) < 0) {
		err->kind = ERR_TRANSIENT;
		return -1;
	}
	detect_scan_end(scan, a, &f);
	category = category_of(log, &f);
	class = category ? text_samples_class(&t->samples, category) : -1;
	s.scored = log->label && strcmp(log->label, LABEL_RED) != 0;
	t->by_rules += !s.scored && class >= 0;
	t->left_out += class < 0;
	if (class < 0)
		return 0;
	s.class = (unsigned)class;
	s.project = project_id(project_of(log, where));
	return text_samples_add(&t->samples, lines, detect_scan_words(scan, lines), &s, err);
}

static int add_labels(struct trainer *t, const char *where, struct err *err)
{
	OWNED(log_files_freep) struct log_files *files = NULL;

	if (log_files_find(where, &files, err) < 0)
		return -1;
	for (size_t i = 0; i < files->n; i++) {
		if (add_log(t, &files->at[i], where, err) < 0)
			return -1;
		if (t->progress && (i + 1) % 100 == 0)
			(void)fprintf(stderr, "\rreading %zu/%zu", i + 1, files->n);
	}
	return 0;
}

/* What a rule is known by teaches the words of categories of which there are few logs. */
static int add_rules(struct trainer *t, struct err *err)
{
	const struct rule_set *rules = detector_rules(t->detector);

	for (size_t i = 0; i < rules->n; i++) {
		const struct rule_spec *spec = rules->rules[i].spec;
		struct text_sample s = { .weight = 0.5, .project = project_id(spec->id) };
		int class = spec->category ? text_samples_class(&t->samples, spec->category) : -1;

		if (class < 0 || spec->class > RULE_HINT || spec->command)
			continue;
		s.class = (unsigned)class;
		for (unsigned k = 0; k < spec->positive_count; k++) {
			const char *line = spec->positive[k];

			if (text_samples_add(&t->samples, &line, 1, &s, err) < 0)
				return -1;
		}
	}
	return 0;
}

/* Its evidence is what is left of the log. */
static int add_outcome(const struct finding *f, const char *repo, void *arg, struct err *err)
{
	struct trainer *t = arg;
	struct text_sample s = { .weight = 0.5, .project = project_id(repo) };
	const char *lines[FINDING_EVIDENCE_MAX];
	int class = text_samples_class(&t->samples, f->category);

	if (class < 0)
		return 0;
	s.class = (unsigned)class;
	for (size_t i = 0; i < f->n_evidence; i++)
		lines[i] = f->evidence[i].text;
	t->healed++;
	return text_samples_add(&t->samples, lines, f->n_evidence, &s, err);
}

/* ---- results ------------------------------------------------------------------------------- */

static void on_progress(unsigned done, unsigned of, void *arg)
{
	const struct trainer *t = arg;

	if (t->progress)
		(void)fprintf(stderr, "\rlearning %u/%u%s", done, of, done == of ? "\n" : "");
}

static unsigned labels_of(const struct text_report *r, unsigned c)
{
	unsigned n = 0;

	for (unsigned k = 0; k < TEXT_CLASSES_MAX; k++)
		n += r->got[c][k];
	return n;
}

static unsigned answers_of(const struct text_report *r, unsigned c)
{
	unsigned n = 0;

	for (unsigned k = 0; k < TEXT_CLASSES_MAX; k++)
		n += r->got[k][c];
	return n;
}

static double round2(float f)
{
	return round((double)f * 100) / 100;
}

static double share(unsigned part, unsigned whole)
{
	return whole ? (double)part / whole : 0;
}

static void print_text(const struct trainer *t, const struct text_model *m,
		       const struct text_report *r)
{
	printf("learned from %u logs with labels, %u more that a rule is sure of, %u healed runs\n",
	       r->logs + r->passed, t->by_rules, t->healed);
	printf("validated by project: %u logs, %.1f %% right\n", r->logs,
	       100 * share(r->right, r->logs));
	printf("sure enough to speak: %.1f %% of the logs, %.1f %% of those right; "
	       "%u of %u passed logs\n",
	       100 * share(r->answered, r->logs), 100 * share(r->answered_right, r->answered),
	       r->alarms, r->passed);
	printf("samples of rules not seen: %u, %.1f %% right\n", r->others,
	       100 * share(r->others_right, r->others));
	printf("\n%-24s %6s %6s %6s %6s  answers\n", "category", "logs", "recall", "prec.",
	       "speaks");
	for (unsigned c = 0; c < m->n_classes; c++) {
		unsigned n = labels_of(r, c);

		if (n == 0)
			continue;
		printf("%-24s %6u %6.2f %6.2f ", m->classes[c], n, share(r->got[c][c], n),
		       share(r->got[c][c], answers_of(r, c)));
		if (m->threshold[c] < TEXT_NEVER)
			printf("%6.2f ", (double)m->threshold[c]);
		else
			printf("%6s ", "never");
		for (unsigned k = 0; k < m->n_classes; k++)
			if (r->got[c][k])
				printf(" %s %u", m->classes[k], r->got[c][k]);
		printf("\n");
	}
}

static struct json_object *confusion(const struct text_model *m, const struct text_report *r,
				     unsigned c)
{
	struct json_object *o = json_object_new_object();

	for (unsigned k = 0; k < m->n_classes; k++)
		if (r->got[c][k])
			json_add_i64(o, m->classes[k], r->got[c][k]);
	return o;
}

static void print_json(const struct trainer *t, const struct text_model *m,
		       const struct text_report *r, size_t bytes)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	struct json_object *each = json_object_new_object();

	json_add_i64(o, "logs", r->logs);
	json_add_i64(o, "by_rules", t->by_rules);
	json_add_i64(o, "left_out", t->left_out);
	json_add_i64(o, "healed", t->healed);
	json_add_num(o, "accuracy", share(r->right, r->logs));
	json_add_num(o, "temperature", round2(m->temperature));
	json_add_num(o, "answered", share(r->answered, r->logs));
	json_add_num(o, "answered_accuracy", share(r->answered_right, r->answered));
	json_add_i64(o, "passed", r->passed);
	json_add_i64(o, "alarms", r->alarms);
	json_add_i64(o, "rows", m->n_rows);
	json_add_i64(o, "bytes", (int64_t)bytes);
	for (unsigned c = 0; c < m->n_classes; c++) {
		struct json_object *one = json_object_new_object();

		json_add_i64(one, "logs", labels_of(r, c));
		if (m->threshold[c] < TEXT_NEVER)
			json_add_num(one, "threshold", round2(m->threshold[c]));
		json_add_num(one, "recall", share(r->got[c][c], labels_of(r, c)));
		json_add_num(one, "precision", share(r->got[c][c], answers_of(r, c)));
		json_add(one, "answers", confusion(m, r, c));
		json_add(each, m->classes[c], one);
	}
	json_add(o, "categories", each);
	printf("%s\n", json_text(o));
}

static void closep(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

/* The old file stays until the new one is whole. */
static int write_model(const char *path, const unsigned char *data, size_t n, struct err *err)
{
	OWNED(freep) char *fresh = xasprintf("%s.new", path);
	OWNED(closep) int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		return err_set(err, ERR_TRANSIENT, "%s: %s", fresh, strerror(errno));
	for (size_t at = 0; at < n;) {
		ssize_t k = write(fd, data + at, n - at);

		if (k < 0)
			return err_set(err, ERR_TRANSIENT, "%s: %s", fresh, strerror(errno));
		at += (size_t)k;
	}
	if (fsync(fd) < 0 || rename(fresh, path) < 0)
		return err_set(err, ERR_TRANSIENT, "%s: %s", path, strerror(errno));
	return 0;
}

/* ---- the command --------------------------------------------------------------------------- */

struct options {
	const char *text, *out, *rules;
	bool outcomes;
};

static int gather(struct trainer *t, const struct options *o, const struct cli *cli,
		  struct err *err)
{
	for (unsigned i = 0; finding_categories[i]; i++)
		(void)text_samples_class(&t->samples, finding_categories[i]);
	(void)text_samples_class(&t->samples, TEXT_PASSED);
	if (add_labels(t, o->text, err) < 0)
		return -1;
	for (int i = 0; i < cli->argc; i++)
		if (add_labels(t, cli->argv[i], err) < 0)
			return -1;
	if (o->outcomes && train_outcomes(cli->conf, add_outcome, t, err) < 0)
		return -1;
	return add_rules(t, err);
}

static void trainer_done(struct trainer *t)
{
	text_samples_done(&t->samples);
}

static int train(const struct cli *cli, const struct options *o, struct err *err)
{
	OWNED(detector_freep) struct detector *d = NULL;
	OWNED(trainer_done)
	struct trainer t = {
		.progress = isatty(STDERR_FILENO),
	};
	OWNED(text_model_freep) struct text_model *m = NULL;
	OWNED(freep) unsigned char *data = NULL;
	char cache[RULE_CACHE_PATH_MAX];
	struct text_report report;
	size_t n;

	if (!o->text)
		return err_set(err, ERR_CONFIG, "from what? Give --text LABELS");
	if (!o->out)
		return err_set(err, ERR_CONFIG, "where to? Give --out FILE");
	if (detector_new(o->rules, rule_cache_folder(NULL, cache) ? cache : NULL, &d, err) < 0)
		return -1;
	t.detector = d;
	if (gather(&t, o, cli, err) < 0 ||
	    text_train(&t.samples, on_progress, &t, &m, &report, err) < 0)
		return -1;
	data = text_model_bytes(m, &n);
	if (write_model(o->out, data, n, err) < 0)
		return -1;
	if (cli->json)
		print_json(&t, m, &report, n);
	else
		print_text(&t, m, &report);
	return 0;
}

static int train_run(int argc, char **argv)
{
	struct options o = { .out = NULL };
	const struct cli_option own[] = {
		{ .name = "text",
		  .argument = "LABELS",
		  .text = &o.text,
		  .help = "a table, a list or a folder of labelled logs" },
		{ .name = "out",
		  .argument = "FILE",
		  .text = &o.out,
		  .help = "where the model goes" },
		{ .name = "rules",
		  .argument = "DIR",
		  .text = &o.rules,
		  .help = "rules other than the built-in ones" },
		{ .name = "outcomes",
		  .flag = &o.outcomes,
		  .help = "also from runs in Redis that were healed" },
		{ .name = NULL },
	};
	struct err err = { .kind = ERR_NONE };
	struct cli cli;
	int status = cli_begin(&cmd_train, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	status = train(&cli, &o, &err) < 0 ? cli_fail(&cmd_train, &err) : CLI_OK;
	cli_end(&cli);
	return status;
}

const struct command cmd_train = {
	.name = "train",
	.group = GROUP_OTHER,
	.summary = "learn the words of failures from labelled logs",
	.usage = usage,
	.run = train_run,
};
