#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/log_files.h"
#include "cli/term.h"
#include "core/finding.h"
#include "core/json.h"
#include "core/mem.h"
#include "dispatcher/detector.h"
#include "dispatcher/knowledge.h"
#include "dispatcher/rule_cache.h"

struct options {
	const char *rules, *model, *lang;
	struct knowledge *knowledge;
	struct detect_input input;
};

static const char usage[] =
	"usage: pipeline-guard detect [options] FILE...\n"
	"\n"
	"Says why a build failed, from its saved log. Needs no server. \"-\" reads standard "
	"input.\n"
	"With --json one object per file and line.\n"
	"\n"
	"A cause that stays unknown is an answer as well: it does not change the exit status.\n"
	"Exit status: 0 every file was read, 2 wrong usage or a bad rule,\n"
	"3 a file could not be read (the others are still answered).\n";

static bool provider_known(const char *name)
{
	static const char *const names[] = { "github", "gitlab", "jenkins", "plain" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
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
	for (size_t i = 0; i < n; i++) {
		(void)printf("  %-12s ", i ? "" : title);
		term_put(items[i]);
		(void)putchar('\n');
	}
}

static void print_text(const char *name, const struct finding *f)
{
	(void)printf("%s: %s\n", name, f->title);
	(void)printf("  %-12s %s%s%s%s\n", "category", f->category, *f->subcategory ? "/" : "",
		     f->subcategory, f->transient ? " (trying again can help)" : "");
	if (*f->rule)
		(void)printf("  %-12s %s\n", "that is", f->category_title);
	if (*f->rule)
		(void)printf("  %-12s %.0f %% (%s)\n", "confidence", f->confidence * 100, f->rule);
	for (size_t i = 0; i < f->n_evidence; i++) {
		(void)printf("  %-12s %6llu  ",
			     i          ? ""
			     : *f->rule ? "evidence"
					: "last lines",
			     (unsigned long long)f->evidence[i].line);
		term_put(f->evidence[i].text);
		(void)putchar('\n');
	}
	print_list("failed tests", f->failed_tests, f->n_failed_tests);
	for (size_t i = 0; i < f->n_alternatives; i++)
		(void)printf("  %-12s %s (%.0f %%)\n", i ? "" : "or else",
			     f->alternatives[i].category, f->alternatives[i].confidence * 100);
	print_list("what to do", f->suggestions, f->n_suggestions);
	(void)printf("  %-12s %s\n", "more", f->link);
	(void)printf("  %-12s %s\n", "fingerprint", f->fingerprint);
}

static int detect_file(const struct detector *d, const struct options *o, bool json,
		       const char *name, struct err *err)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	OWNED(detect_scan_freep) struct detect_scan *scan = detect_scan_new(d, &o->input);
	struct finding f;

	if (log_file_feed(name, scan, err) < 0)
		return -1;
	detect_scan_end(scan, a, &f);
	knowledge_complete(o->knowledge, a, &f);
	if (json)
		print_json(name, &f);
	else
		print_text(name, &f);
	return 0;
}

static int check(const struct cli *cli, const struct options *o, struct err *err)
{
	if (o->input.provider && !provider_known(o->input.provider))
		return err_set(err, ERR_CONFIG,
			       "provider \"%s\" is not github, gitlab, jenkins or plain",
			       o->input.provider);
	if (cli->argc == 0)
		return err_set(err, ERR_CONFIG, "which log? Give a file, or - for standard input");
	return 0;
}

static int detect_all(const struct cli *cli, const struct options *o, struct err *err)
{
	OWNED(detector_freep) struct detector *d = NULL;
	char cache[RULE_CACHE_PATH_MAX];
	int status = CLI_OK;

	if (check(cli, o, err) < 0 ||
	    detector_new(o->rules, rule_cache_folder(NULL, cache) ? cache : NULL, &d, err) < 0 ||
	    detector_load_model(d, o->model, err) < 0)
		return cli_fail(&cmd_detect, err);
	for (int i = 0; i < cli->argc; i++) {
		if (detect_file(d, o, cli->json, cli->argv[i], err) == 0)
			continue;
		(void)cli_fail(&cmd_detect, err);
		status = CLI_UNREACHABLE;
	}
	if (detector_gave_up(d))
		(void)fprintf(stderr, "pipeline-guard detect: rules gave up on %llu lines\n",
			      (unsigned long long)detector_gave_up(d));
	return status;
}

static int detect_run(int argc, char **argv)
{
	struct options o = { .rules = NULL };
	const struct cli_option own[] = {
		{ .name = "provider",
		  .argument = "NAME",
		  .text = &o.input.provider,
		  .help = "github, gitlab, jenkins or plain" },
		{ .name = "step",
		  .argument = "NAME",
		  .text = &o.input.failed_step,
		  .help = "the step that failed, when known" },
		{ .name = "conclusion",
		  .argument = "NAME",
		  .text = &o.input.conclusion,
		  .help = "what the provider said of the job, such as timed_out" },
		{ .name = "no-failed-step",
		  .flag = &o.input.no_failed_step,
		  .help = "the provider said: the job failed, none of its steps did" },
		{ .name = "rules",
		  .argument = "DIR",
		  .text = &o.rules,
		  .help = "rules other than the built-in ones" },
		{ .name = "text-model",
		  .argument = "FILE",
		  .text = &o.model,
		  .help = "a text model other than the built-in one; \"\" for none" },
		{ .name = "lang",
		  .argument = "LANGUAGE",
		  .text = &o.lang,
		  .help = "explain in en or de; default that of LANG" },
		{ .name = NULL },
	};
	struct err err = { .kind = ERR_NONE };
	struct cli cli;
	int status = cli_begin(&cmd_detect, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	status = (o.lang ? knowledge_load(NULL, o.lang, &o.knowledge, &err)
			 : knowledge_load_or_english(cli_language(NULL), &o.knowledge, &err)) < 0
			 ? cli_fail(&cmd_detect, &err)
			 : detect_all(&cli, &o, &err);
	knowledge_free(o.knowledge);
	cli_end(&cli);
	return status;
}

const struct command cmd_detect = {
	.name = "detect",
	.group = GROUP_LOOK,
	.summary = "say why a build failed, from its saved log",
	.usage = usage,
	.run = detect_run,
};
