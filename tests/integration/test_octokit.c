/*
 * GitHub's published example payloads, when they are beside the checkout, and its published
 * signer, when there is node: every payload is answered 2xx, none is taken for malformed.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/integration/product.h"

static const char examples[] = "../shared/data/webhooks/github_octokit_examples";

enum { PAYLOADS_MAX = 2000 };

struct counts {
	unsigned payloads, accepted, ignored;
};

static void post_example(struct rig *r, const char *topic, const char *path, struct counts *c)
{
	const char *body = rig_read(r, path), *word;
	struct answer a;

	assert_non_null(body);
	a = webhook_post_text(r, topic, rig_printf(r, "octokit-%u", c->payloads), body);
	word = answer_str(&a, "status");
	if (a.status / 100 != 2 || (strcmp(word, "accepted") != 0 && strcmp(word, "ignored") != 0))
		fail_msg("%s: %d %s", path, a.status, a.body);
	c->payloads++;
	c->accepted += strcmp(word, "accepted") == 0;
	c->ignored += strcmp(word, "ignored") == 0;
}

static void post_folder(struct rig *r, const char *topic, struct counts *c)
{
	const char *folder = rig_printf(r, "%s/%s", examples, topic);
	DIR *dir = opendir(folder);
	struct dirent *e;

	if (!dir)
		return;
	while ((e = readdir(dir)) && c->payloads < PAYLOADS_MAX)
		if (strstr(e->d_name, ".json"))
			post_example(r, topic, rig_printf(r, "%s/%s", folder, e->d_name), c);
	(void)closedir(dir);
}

static void takes_every_published_payload(struct rig *r)
{
	struct counts c = { 0 };
	struct proc *receiver, *dispatcher;
	struct dirent *e;
	DIR *dir = opendir(examples);

	if (!dir)
		rig_skip(r, rig_printf(r, "no example payloads in %s", examples));
	receiver = receiver_start(r, NULL);
	dispatcher = dispatcher_start(r, "dispatcher", NULL);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			post_folder(r, e->d_name, &c);
	(void)closedir(dir);
	print_message("%u payloads: %u accepted, %u ignored\n", c.payloads, c.accepted, c.ignored);
	assert_true(c.payloads >= 300);
	assert_true(c.accepted >= 10);
	assert_int_equal(redis_int_of(r, "XLEN %s", EVENTS), c.accepted);
	/* The dispatcher can read every one of them too. */
	WAIT(r, redis_int_of(r, "EVAL %s 1 %s",
			     "local g = redis.call('XINFO', 'GROUPS', KEYS[1])[1] "
			     "local i = {} for k = 1, #g, 2 do i[g[k]] = g[k + 1] end "
			     "return i['entries-read'] - i['pending']",
			     EVENTS) == c.accepted);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
	assert_int_equal(proc_stop(receiver), 0);
	assert_int_equal(proc_stop(dispatcher), 0);
}

/* --- the signer --------------------------------------------------------------------------- */

static const char *octokit_folder(struct rig *r)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	assert_true(n > 0);
	exe[n] = '\0';
	*strrchr(exe, '/') = '\0';
	return rig_printf(r, "%s/octokit", exe);
}

static bool runs(struct rig *r, const char *const *argv)
{
	struct proc *p = proc_start(r, "node", argv, NULL);

	return proc_wait(p, 4 * PATIENCE_MS) == 0;
}

/* Into the build folder, once. */
static bool signer_installed(struct rig *r, const char *folder)
{
	const char *const install[] = { "npm",
					"install",
					"--prefix",
					folder,
					"--no-audit",
					"--no-fund",
					"--ignore-scripts",
					"--no-save",
					"@octokit/webhooks-methods@5",
					NULL };
	const char *const node[] = { "node", "--version", NULL }, *const npm[] = { "npm",
										   "--version",
										   NULL };
	const char *module =
		rig_printf(r, "%s/node_modules/@octokit/webhooks-methods/package.json", folder);

	if (!runs(r, node))
		return false;
	if (access(module, R_OK) == 0)
		return true;
	(void)mkdir(folder, 0755);
	return runs(r, npm) && runs(r, install) && access(module, R_OK) == 0;
}

static void agrees_with_the_published_signer(struct rig *r)
{
	const char *const bodies[] = {
		run_body(r, &(struct run_hook){ 0 }),
		run_body(r, &(struct run_hook){ .name = "gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\x80" }),
		"{\"action\":\"not an event of ours\"}\n\n",
	};
	const char *folder = octokit_folder(r), *script, *text;
	const char *argv[8] = { "node" };
	struct proc *p;

	if (!signer_installed(r, folder))
		rig_skip(r, "needs node, npm and @octokit/webhooks-methods");
	text = rig_read(r, "tests/integration/sign.mjs");
	assert_non_null(text);
	/* Modules are looked for from where the script is. */
	script = rig_printf(r, "%s/sign-%d.mjs", folder, (int)getpid());
	rig_write(r, "sign.mjs", text, 0600);
	(void)unlink(script);
	assert_int_equal(symlink(rig_path(r, "sign.mjs"), script), 0);
	(void)receiver_start(r, NULL);
	argv[1] = "--preserve-symlinks-main";
	argv[2] = script;
	argv[3] = rig_path(r, "secret");
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		const char *name = rig_printf(r, "body-%zu", i);

		rig_write(r, name, bodies[i], 0600);
		argv[4 + i] = rig_path(r, name);
	}
	p = proc_start(r, "sign", argv, NULL);
	assert_int_equal(proc_wait(p, PATIENCE_MS), 0);
	(void)unlink(script);
	text = proc_output(p);
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		const char *at = strstr(text, "signed sha256="), *headers;
		struct answer a;

		assert_non_null(at);
		text = at + 1;
		headers = rig_printf(
			r,
			"Content-Type: application/json\r\nX-GitHub-Event: workflow_run\r\n"
			"X-Hub-Signature-256: %.71s\r\n",
			at + strlen("signed "));
		a = http_ask(r, receiver_port(r), "POST", "/webhooks/github", headers, bodies[i],
			     strlen(bodies[i]));
		assert_int_equal(a.status, 202);
		assert_string_equal(answer_str(&a, "status"), i < 2 ? "accepted" : "quarantined");
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(takes_every_published_payload),
		RIG_TEST(agrees_with_the_published_signer),
	};

	return rig_main(tests);
}
