#include "cli/command.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/finding.h"
#include "core/json.h"
#include "core/mem.h"
#include "dispatcher/detector.h"

enum { READ_BYTES = 256 << 10 };

enum exit_code { EXIT_OK = 0, EXIT_USAGE = 2, EXIT_UNREADABLE = 3 };

struct options {
	bool json;
	const char *rules;
	struct detect_input input;
};

static const char usage[] =
	"usage: pipeline-guard detect [options] FILE...\n"
	"\n"
	"Says why a build failed, from its saved log. Needs no server. \"-\" reads standard "
	"input.\n"
	"\n"
	"  --json             one JSON object per file and line\n"
	"  --provider NAME    github, gitlab, jenkins or plain\n"
	"  --step NAME        the step that failed, when known\n"
	"  --conclusion NAME  what the provider said of the job, such as timed_out\n"
	"  --no-failed-step   the provider said: the job failed, none of its steps did\n"
	"  --rules DIR        rules other than the built-in ones\n"
	"  --help\n"
	"\n"
	"A cause that stays unknown is an answer as well: it does not change the exit status.\n"
	"Exit status: 0 every file was read, 2 wrong usage or a bad rule,\n"
	"3 a file could not be read (the others are still answered).\n";

enum option_id {
	OPT_JSON = 1,
	OPT_PROVIDER,
	OPT_STEP,
	OPT_CONCLUSION,
	OPT_NO_STEP,
	OPT_RULES,
	OPT_HELP
};

static const struct option long_options[] = {
	{ "json", no_argument, NULL, OPT_JSON },
	{ "provider", required_argument, NULL, OPT_PROVIDER },
	{ "step", required_argument, NULL, OPT_STEP },
	{ "conclusion", required_argument, NULL, OPT_CONCLUSION },
	{ "no-failed-step", no_argument, NULL, OPT_NO_STEP },
	{ "rules", required_argument, NULL, OPT_RULES },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static bool provider_known(const char *name)
{
	static const char *const names[] = { "github", "gitlab", "jenkins", "plain" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	(void)fprintf(stderr, "detect: provider \"%s\" is not github, gitlab, jenkins or plain\n",
		      name);
	return false;
}

/* 0 go on, 1 help was shown, -1 wrong usage. */
static int parse_options(int argc, char **argv, struct options *o)
{
	int id;

	optind = 1;
	while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (id) {
		case OPT_JSON:
			o->json = true;
			break;
		case OPT_PROVIDER:
			o->input.provider = optarg;
			if (!provider_known(optarg))
				return -1;
			break;
		case OPT_STEP:
			o->input.failed_step = optarg;
			break;
		case OPT_CONCLUSION:
			o->input.conclusion = optarg;
			break;
		case OPT_NO_STEP:
			o->input.no_failed_step = true;
			break;
		case OPT_RULES:
			o->rules = optarg;
			break;
		case OPT_HELP:
			(void)fputs(usage, stdout);
			return 1;
		default:
			return -1;
		}
	}
	if (optind < argc)
		return 0;
	(void)fputs("detect: which log? Give a file, or - for standard input\n", stderr);
	return -1;
}

static void print_json(const char *name, const struct finding *f)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	OWNED(json_putp) struct json_object *body = finding_to_json(f);

	json_add_str(o, "file", name);
	json_object_object_foreach(body, key, value)
	{
		json_add(o, key, json_object_get(value));
	}
	(void)puts(json_text(o));
}

static void print_list(const char *title, const char *const *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)printf("  %-12s %s\n", i ? "" : title, items[i]);
}

static void print_text(const char *name, const struct finding *f)
{
	(void)printf("%s: %s\n", name, f->title);
	(void)printf("  %-12s %s%s%s%s\n", "category", f->category, *f->subcategory ? "/" : "",
		     f->subcategory, f->transient ? " (trying again can help)" : "");
	if (*f->rule)
		(void)printf("  %-12s %.0f %% (%s)\n", "confidence", f->confidence * 100, f->rule);
	for (size_t i = 0; i < f->n_evidence; i++)
		(void)printf("  %-12s %6llu  %s\n",
			     i          ? ""
			     : *f->rule ? "evidence"
					: "last lines",
			     (unsigned long long)f->evidence[i].line, f->evidence[i].text);
	print_list("failed tests", f->failed_tests, f->n_failed_tests);
	for (size_t i = 0; i < f->n_alternatives; i++)
		(void)printf("  %-12s %s (%.0f %%)\n", i ? "" : "or else",
			     f->alternatives[i].category, f->alternatives[i].confidence * 100);
	print_list("what to do", f->suggestions, f->n_suggestions);
	(void)printf("  %-12s %s\n", "fingerprint", f->fingerprint);
}

static void closep(int *fd)
{
	if (*fd > STDERR_FILENO)
		(void)close(*fd);
}

/* Feeds the file in pieces, so that its size does not matter. */
static int read_log(const char *name, struct detect_scan *scan, struct err *err)
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

static int detect_file(const struct detector *d, const struct options *o, const char *name,
		       struct err *err)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	OWNED(detect_scan_freep) struct detect_scan *scan = detect_scan_new(d, &o->input);
	struct finding f;

	if (read_log(name, scan, err) < 0)
		return -1;
	detect_scan_end(scan, a, &f);
	if (o->json)
		print_json(name, &f);
	else
		print_text(name, &f);
	return 0;
}

static int detect_run(int argc, char **argv)
{
	OWNED(detector_freep) struct detector *d = NULL;
	struct options o = { .json = false };
	struct err err = { .kind = ERR_NONE };
	int status = EXIT_OK;
	int rc = parse_options(argc, argv, &o);

	if (rc != 0)
		return rc > 0 ? EXIT_OK : EXIT_USAGE;
	if (detector_new(o.rules, &d, &err) < 0) {
		(void)fprintf(stderr, "detect: %s\n", err.msg);
		return EXIT_USAGE;
	}
	for (int i = optind; i < argc; i++) {
		if (detect_file(d, &o, argv[i], &err) == 0)
			continue;
		(void)fprintf(stderr, "detect: %s\n", err.msg);
		status = EXIT_UNREADABLE;
	}
	if (detector_gave_up(d))
		(void)fprintf(stderr, "detect: rules gave up on %llu lines\n",
			      (unsigned long long)detector_gave_up(d));
	return status;
}

const struct command cmd_detect = {
	.name = "detect",
	.summary = "say why a build failed, from its saved log",
	.usage = usage,
	.run = detect_run,
};
