#include "tests/simulator/job_log.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "core/text.h"
#include "tests/simulator/world.h"

struct writer {
	struct buf *out;
	const struct run *run;
	struct rng volatile_rng; /* differs from attempt to attempt */
	int64_t at_us, step_us;
	bool plain; /* no times, and none of GitHub's marks */
};

/* --- what {name} stands for ---------------------------------------------- */

static const char *const npms[] = { "left-shift", "tiny-router", "colour-box",
				    "date-lines", "queue-wise",  "form-guard" };
static const char *const pips[] = { "quickframe", "tablekit", "httpmint", "yamlwise", "plotling" };
static const char *const gomods[] = { "example.org/ringbuf", "example.org/mux3",
				      "example.org/jsonkit" };
static const char *const crates[] = { "bytebox", "slotmapper", "tinyhash", "polltree" };
static const char *const hosts[] = { "registry.npmjs.example", "packages.example.net",
				     "mirror.example.org", "artifacts.example.com" };
static const char *const services[] = {
	"checkout", "atlas", "lantern", "harbour", "quill", "meadow"
};
static const char *const images[] = { "postgres", "redis", "node", "alpine", "nginx" };
static const char *const apts[] = { "libpq-dev", "ffmpeg", "libvips-dev", "graphviz" };
static const char *const funcs[] = { "total",    "merge",     "parse_order",
				     "round_up", "next_page", "keep_alive" };
static const char *const caps[] = { "Total", "Merge", "ParseOrder", "RoundUp", "NextPage" };
static const char *const c_files[] = { "parser.c", "cache.c", "route.c", "socket.c", "order.c" };
static const char *const ts_files[] = { "cart.test.ts", "login.spec.ts", "router.test.ts",
					"table.test.ts" };
static const char *const go_files[] = { "store_test.go", "merge_test.go", "page_test.go" };
static const char *const rs_files[] = { "lib.rs", "codec.rs", "index.rs" };
static const char *const py_mods[] = { "pricing", "orders", "session", "reports", "billing" };

#define CHOICE(name, list)                           \
	{                                            \
		name, list, ARRAY_LEN(list), 0, 0, 0 \
	}
#define NUMBER(name, low, high)             \
	{                                   \
		name, NULL, 0, low, high, 0 \
	}
#define HEX(name, digits)                   \
	{                                   \
		name, NULL, 0, 0, 0, digits \
	}

static const struct value {
	const char *name;
	const char *const *list;
	size_t n;
	uint64_t low, high;
	size_t digits;
} values[] = {
	CHOICE("npm", npms),
	CHOICE("pip", pips),
	CHOICE("gomod", gomods),
	CHOICE("crate", crates),
	CHOICE("host", hosts),
	CHOICE("svc", services),
	CHOICE("svc2", services),
	CHOICE("image", images),
	CHOICE("apt", apts),
	CHOICE("func", funcs),
	CHOICE("Func", caps),
	CHOICE("cfile", c_files),
	CHOICE("cfile2", c_files),
	CHOICE("tsfile", ts_files),
	CHOICE("tsfile2", ts_files),
	CHOICE("gofile", go_files),
	CHOICE("rsfile", rs_files),
	CHOICE("pymod", py_mods),
	NUMBER("line", 11, 840),
	NUMBER("col", 2, 60),
	NUMBER("small", 2, 9),
	NUMBER("small2", 10, 19),
	NUMBER("minor", 1, 30),
	NUMBER("big", 90, 99),
	NUMBER("count", 20, 400),
	NUMBER("num", 100, 999),
	NUMBER("num7", 1000000, 9999999),
	NUMBER("pct", 60, 98),
	NUMBER("byte", 2, 250),
	NUMBER("port", 32768, 60999),
	HEX("sha", 40),
	HEX("hex8", 8),
	HEX("hex12", 12),
};

static void put_value(struct writer *w, struct buf *out, const char *name)
{
	bool changes = *name == '~';
	struct rng stable;
	struct rng *r = changes ? &w->volatile_rng : &stable;
	char hex[41];

	name += changes;
	rng_seed(&stable, w->run->seed, rng_hash(name));
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		const struct value *v = &values[i];

		if (strcmp(v->name, name) != 0)
			continue;
		if (v->list) {
			buf_puts(out, v->list[rng_below(r, v->n)]);
		} else if (v->digits) {
			rng_hex(r, hex, v->digits);
			buf_puts(out, hex);
		} else {
			buf_printf(out, "%" PRIu64, v->low + rng_below(r, v->high - v->low + 1));
		}
		return;
	}
	buf_printf(out, "{%s}", name);
}

static bool is_name(const char *s, size_t n)
{
	if (n && *s == '~') {
		s++;
		n--;
	}
	if (!n || n > 12)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]))
			return false;
	return true;
}

/* --- lines ---------------------------------------------------------------- */

static void put_time(struct writer *w)
{
	char iso[25];

	if (w->plain)
		return;
	text_from_ms(iso, w->at_us / 1000);
	iso[23] = '\0';
	buf_printf(w->out, "%s%03d%" PRIu64 "Z ", iso, (int)(w->at_us % 1000),
		   rng_below(&w->volatile_rng, 10));
	w->at_us += w->step_us;
}

static void put_text(struct writer *w, struct buf *out, const char *s, size_t n)
{
	const char *end = s + n;
	char name[16];

	while (s < end) {
		const char *close = *s == '{' ? memchr(s, '}', (size_t)(end - s)) : NULL;
		size_t len = close ? (size_t)(close - s - 1) : 0;

		if (close && is_name(s + 1, len)) {
			(void)text_copy(name, sizeof(name), s + 1, len);
			put_value(w, out, name);
			s = close + 1;
		} else {
			buf_putc(out, *s++);
		}
	}
}

/* Length of the mark of GitHub's in front of a line. */
static size_t mark(const char *s)
{
	static const char *const marks[] = { "##[error]", "##[group]", "##[endgroup]",
					     "##[warning]" };

	for (size_t i = 0; i < ARRAY_LEN(marks); i++)
		if (text_starts(s, marks[i]))
			return strlen(marks[i]);
	return 0;
}

/* Each line of the text gets its time. */
static void put_lines(struct writer *w, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n"), skip = w->plain ? mark(text) : 0;

		put_time(w);
		put_text(w, w->out, text + skip, n - skip);
		buf_putc(w->out, '\n');
		text += n + (text[n] == '\n');
	}
}

/* --- the parts of a log --------------------------------------------------- */

static const char head[] = "Current runner version: '2.321.0'\n"
			   "##[group]Operating System\n"
			   "Ubuntu\n"
			   "22.04.5\n"
			   "LTS\n"
			   "##[endgroup]\n"
			   "##[group]Runner Image\n"
			   "Image: ubuntu-22.04\n"
			   "Version: 20261108.1.0\n"
			   "##[endgroup]\n"
			   "##[group]GITHUB_TOKEN Permissions\n"
			   "Contents: read\n"
			   "Metadata: read\n"
			   "##[endgroup]\n"
			   "Secret source: Actions\n"
			   "Prepare workflow directory\n"
			   "Prepare all required actions\n"
			   "Getting action download info\n"
			   "Download action repository 'actions/checkout@v4' (SHA:{sha})\n";

static const char checkout[] =
	"##[group]Run actions/checkout@v4\n"
	"with:\n"
	"  repository: example/{svc}\n"
	"  token: ***\n"
	"  fetch-depth: 1\n"
	"##[endgroup]\n"
	"Syncing repository: example/{svc}\n"
	"##[group]Getting Git version info\n"
	"Working directory is '/home/runner/work/{svc}/{svc}'\n"
	"[command]/usr/bin/git version\n"
	"git version 2.47.0\n"
	"##[endgroup]\n"
	"hint: Using 'master' as the name for the initial branch.\n"
	"[command]/usr/bin/git checkout --progress --force refs/remotes/origin/main\n"
	"HEAD is now at {sha} Tidy up\n";

static const char tail[] =
	"Post job cleanup.\n"
	"[command]/usr/bin/git version\n"
	"git version 2.47.0\n"
	"[command]/usr/bin/git config --local --unset-all http.https://github.com/.extraheader\n"
	"Cleaning up orphan processes\n";

/* Ordinary output, some of it with words that a careless reader takes for a failure. */
static const char *const ordinary[] = {
	"\x1b[32m✓\x1b[0m {func} keeps its order ({~small} ms)\n",
	"  CC       src/{cfile}\n",
	"added {~num} packages in {~small}s\n",
	"npm warn deprecated {npm}@1.{~small}.0: please move on to version 4\n",
	"Downloading {pip}-2.{~small}.0-py3-none-any.whl ({~num} kB)\n",
	"[INFO] Downloaded from central: {~num} kB at {~num} kB/s\n",
	"ok      example.org/{svc}/internal/{pymod}      0.{~num}s\n",
	"test {func}_handles_errors ... ok\n",
	"   Compiling {crate} v0.{~small}.{~small}\n",
	"\x1b[36;1m> {svc}@1.{~small}.0 step {~num}\x1b[0m\n",
	"0 errors, 0 warnings\n",
	"::debug::cache hit for {hex8}\n",
	"Get:{~small} http://azure.archive.example.org/ubuntu jammy/main {apt} amd64 [{~num} kB]\n",
	"#{~small} sha256:{~hex12} {~num}kB / {~num}kB done\n",
	"retry 0 of 3 was enough for {svc}\n",
};

static void put_noise(struct writer *w, unsigned lines)
{
	for (unsigned i = 0; i < lines; i++)
		put_lines(w, ordinary[rng_below(&w->volatile_rng, ARRAY_LEN(ordinary))]);
}

static void put_command(struct writer *w, const char *command)
{
	bool action = strchr(command, '@') && !strchr(command, ' ');

	put_time(w);
	buf_puts(w->out, "##[group]Run ");
	put_text(w, w->out, command, strlen(command));
	buf_putc(w->out, '\n');
	if (!action) {
		put_time(w);
		buf_puts(w->out, "\x1b[36;1m");
		put_text(w, w->out, command, strlen(command));
		buf_puts(w->out, "\x1b[0m\n");
		put_lines(w, "shell: /usr/bin/bash -e {0}\n");
	}
	put_lines(w, "##[endgroup]\n");
}

/* --- GitLab: sections, colours, and the last word is the runner's ----------- */

static void put_section(struct writer *w, const char *what, const char *name, const char *title)
{
	buf_printf(w->out, "section_%s:%" PRId64 ":%s\r\x1b[0K%s", what, w->at_us / 1000000, name,
		   *title ? "\x1b[0K\x1b[36;1m" : "");
	if (*title)
		buf_printf(w->out, "%s\x1b[0;m\n", title);
}

static void gitlab_log(struct writer *w, const struct job *job, const struct story *story,
		       unsigned noise)
{
	put_lines(w, "\x1b[0KRunning with gitlab-runner 17.5.0 (12030cf4)\x1b[0;m\n");
	put_section(w, "start", "prepare_executor", "Preparing the \"docker\" executor");
	put_lines(w, "Using Docker executor with image {image} ...\n");
	put_section(w, "end", "prepare_executor", "");
	put_section(w, "start", "get_sources", "Getting source from Git repository");
	put_lines(w, "\x1b[32;1mFetching changes with git depth set to 20...\x1b[0;m\n"
		     "\x1b[32;1mChecking out {sha} as detached HEAD...\x1b[0;m\n");
	put_section(w, "end", "get_sources", "");
	put_section(w, "start", "step_script", "Executing \"step_script\" stage of the job script");
	buf_puts(w->out, "\x1b[32;1m$ ");
	put_lines(w, story ? story->command : "make check");
	buf_puts(w->out, "\x1b[0;m");
	put_noise(w, noise);
	if (story)
		put_lines(w, story->text);
	if (job->cause && job->cause->no_failed_step) {
		put_lines(w, "\x1b[31;1mERROR: Job failed (system failure): runner gone\x1b[0;m\n");
		return;
	}
	put_section(w, "end", "step_script", "");
	buf_puts(w->out, "\n");
	if (!story)
		put_lines(w, "\x1b[32;1mJob succeeded\x1b[0;m\n");
	else
		buf_printf(w->out, "\x1b[31;1mERROR: Job failed: exit code %d\n\x1b[0;m\n",
			   story->exit_code ? story->exit_code : 1);
}

/* --- Jenkins: one log of a Pipeline ---------------------------------------- */

/* A declarative Pipeline says which stages it left out. */
static void put_skipped(struct writer *w, const struct job *job)
{
	for (unsigned a = 0; a < w->run->n_attempts; a++) {
		const struct attempt *at = w->run->attempts[a];

		if (job < at->jobs || job >= at->jobs + at->n_jobs)
			continue;
		for (unsigned i = 0; i < at->n_jobs; i++)
			if (at->jobs[i].conclusion &&
			    strcmp(at->jobs[i].conclusion, "skipped") == 0)
				buf_printf(w->out,
					   "Stage \"%s\" skipped due to earlier failure(s)\n",
					   at->jobs[i].name);
	}
}

static void jenkins_log(struct writer *w, const struct job *job, const struct story *story,
			unsigned noise)
{
	put_lines(w, "Started by an SCM change\n"
		     "[Pipeline] Start of Pipeline\n"
		     "[Pipeline] node\n"
		     "Running on agent-{small} in /var/lib/jenkins/workspace/{svc}\n"
		     "[Pipeline] {\n"
		     "[Pipeline] stage\n");
	buf_printf(w->out, "[Pipeline] { (%s)\n[Pipeline] sh\n", job->name);
	buf_puts(w->out, "+ ");
	put_lines(w, story ? story->command : "make check");
	put_noise(w, noise);
	if (story)
		put_lines(w, story->text);
	put_skipped(w, job);
	put_lines(w, "[Pipeline] }\n[Pipeline] // stage\n[Pipeline] }\n[Pipeline] // node\n"
		     "[Pipeline] End of Pipeline\n");
	if (story)
		buf_printf(w->out, "ERROR: script returned exit code %d\n",
			   story->exit_code ? story->exit_code : 1);
	buf_printf(w->out, "Finished: %s\n", story ? "FAILURE" : "SUCCESS");
}

void job_log_write(struct buf *out, const struct run *run, const struct job *job, unsigned noise)
{
	int64_t length_us = (job->completed_ms - job->started_ms) * 1000;
	struct writer w = { .out = out, .run = run, .at_us = job->started_ms * 1000 };
	const struct story *story = job->cause ? &job->cause->stories[job->story] : NULL;

	rng_seed(&w.volatile_rng, run->seed ^ job->id, 77);
	w.step_us = length_us / ((int64_t)noise + 80);
	w.plain = run->flavour != FLAVOUR_GITHUB;
	if (run->flavour == FLAVOUR_GITLAB) {
		gitlab_log(&w, job, story, noise);
		return;
	}
	if (run->flavour == FLAVOUR_JENKINS) {
		jenkins_log(&w, job, story, noise);
		return;
	}
	put_lines(&w, head);
	put_time(&w);
	buf_printf(out, "Complete job name: %s\n", job->name);
	put_lines(&w, checkout);
	put_command(&w, "./scripts/prepare.sh");
	put_noise(&w, noise / 2);
	put_command(&w, story ? story->command : "make check");
	put_noise(&w, noise - noise / 2);
	if (story) {
		put_lines(&w, story->text);
		if (job->cause->no_failed_step)
			return;
		if (story->exit_code) {
			put_time(&w);
			buf_printf(out, "##[error]Process completed with exit code %d.\n",
				   story->exit_code);
		}
	}
	put_lines(&w, tail);
}

void job_log_expand(struct buf *out, const struct run *run, const char *text)
{
	struct writer w = { .out = out, .run = run };

	rng_seed(&w.volatile_rng, run->seed, 78);
	put_text(&w, out, text, strlen(text));
}
