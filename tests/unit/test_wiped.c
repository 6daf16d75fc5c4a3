/* Memory with a secret in it is wiped before it is freed: what free() is given is looked at. */
#include "unit.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "core/child.h"
#include "core/conf.h"
#include "core/mem.h"
#include "healers/change.h"
#include "healers/change_tree.h"
#include "healers/healer.h"
#include "healers/security.h"

#if defined(__SANITIZE_ADDRESS__)
#define WATCHED false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATCHED false
#endif
#endif

static const char secret[] = "s3cret-of-the-test-of-wiping";

#ifndef WATCHED
#define WATCHED true

static unsigned n_found;

void __libc_free(void *p); /* NOLINT(bugprone-reserved-identifier): glibc's name for it */

/* In place of the library's, for all that this program is linked with. */
void free(void *__ptr) /* NOLINT(bugprone-reserved-identifier): so do its headers call it */
{
	if (__ptr && memmem(__ptr, malloc_usable_size(__ptr), secret, sizeof(secret) - 1))
		n_found++;
	__libc_free(__ptr);
}
#else
static unsigned n_found;
#endif

static const struct conf_table *const tables[] = { &provider_api_conf, &change_conf,
						   &security_conf };

static int setup(void **state)
{
	struct err err;
	struct conf *conf;

	(void)setenv("PIPELINE_GUARD_GITHUB_TOKEN", secret, 1);
	conf = conf_new(tables, ARRAY_LEN(tables));
	assert_ok(conf_load_env(conf, &err), &err);
	*state = conf;
	n_found = 0;
	return 0;
}

/* The watch sees something. */
static void what_is_not_wiped_is_found(void **state)
{
	char *copy = xstrdup(secret);

	conf_free(*state);
	n_found = 0;
	free(copy);
	assert_int_equal(n_found, 1);
}

static void a_token_of_the_configuration_is_wiped(void **state)
{
	conf_free(*state);
	assert_int_equal(n_found, 0);
}

static void nothing(const struct tree_end *e, void *arg)
{
	UNUSED(e);
	UNUSED(arg);
}

/* The child is this program, which does nothing when it is given arguments. */
static void the_password_of_a_copy_is_wiped(void **state)
{
	struct event_base *base = event_base_new();
	struct attempt at = { .base = base, .conf = *state };
	const struct tree_request req = { .url = "https://git.example/a.git",
					  .user = "guard",
					  .password = secret,
					  .branch = "main",
					  .sha = "aa",
					  .new_branch = "pipeline-guard/x",
					  .message = "m" };
	struct change_tree *tree = NULL;
	struct err err;

	assert_ok(change_tree_start(&at, &req, nothing, NULL, &tree, &err), &err);
	change_tree_cancel(tree);
	event_base_free(base);
	conf_free(*state);
	assert_int_equal(n_found, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test_setup(what_is_not_wiped_is_found, setup),
		cmocka_unit_test_setup(a_token_of_the_configuration_is_wiped, setup),
		cmocka_unit_test_setup(the_password_of_a_copy_is_wiped, setup),
	};

	UNUSED(argv);
	if (argc > 1)
		return 0;
	if (!WATCHED) {
		print_message("skipped: the sanitizer has a free() of its own\n");
		return 77;
	}
	return cmocka_run_group_tests(all, NULL, NULL);
}
