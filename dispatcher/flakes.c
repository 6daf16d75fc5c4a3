#include "dispatcher/flakes.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"

static bool known(const struct flakes_failed *all, const char *name)
{
	for (size_t i = 0; i < all->n; i++)
		if (strcmp(all->tests[i].name, name) == 0)
			return true;
	return false;
}

void flakes_collect(struct flakes_failed *all, const struct finding *f, bool whole_log)
{
	if (strcmp(f->category, "test_failure") != 0 || f->n_failed_tests == 0 || !whole_log)
		all->complete = false;
	if (f->n_failed_tests == FINDING_TESTS_MAX)
		all->complete = false;
	for (size_t i = 0; i < f->n_failed_tests; i++) {
		if (known(all, f->failed_tests[i]))
			continue;
		if (all->n == FLAKES_PER_RUN_MAX) {
			all->complete = false;
			return;
		}
		all->tests[all->n].name = f->failed_tests[i];
		all->tests[all->n++].framework = f->test_framework;
	}
}

/* --- files ---------------------------------------------------------------- */

static bool is_path(const char *s, size_t n)
{
	const char *dot = memrchr(s, '.', n), *slash = memrchr(s, '/', n);

	if (!n || n >= FLAKES_FILE_MAX || !dot || dot == s + n - 1 || (slash && slash > dot))
		return false;
	for (size_t i = 0; i < n; i++)
		if (isspace((unsigned char)s[i]) || !isprint((unsigned char)s[i]))
			return false;
	return true;
}

/* "tests/test_tax.py::TestTax::test_rate", "src/tax.test.ts > Tax > adds" */
static bool file_before(const char *name, const char *separator, char out[static FLAKES_FILE_MAX])
{
	const char *end = strstr(name, separator);

	if (!end || !is_path(name, (size_t)(end - name)))
		return false;
	return text_copy(out, FLAKES_FILE_MAX, name, (size_t)(end - name));
}

/* "org.acme.TaxTest.adds": its packages are folders, its first capital begins the class. */
static bool file_of_class(const char *name, size_t n, const char *root, const char *ending,
			  bool is_module, char out[static FLAKES_FILE_MAX])
{
	size_t at = (size_t)snprintf(out, FLAKES_FILE_MAX, "%s", root), parts = 0;

	for (size_t i = 0; i < n;) {
		size_t len = strcspn(name + i, ".$");

		if (i + len > n)
			len = n - i;
		if (is_module && isupper((unsigned char)name[i]))
			break;
		if (at + len + strlen(ending) + 2 > FLAKES_FILE_MAX)
			return false;
		if (strspn(name + i, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789_") < len)
			return false;
		at += (size_t)snprintf(out + at, FLAKES_FILE_MAX - at, "%s%.*s", parts ? "/" : "",
				       (int)len, name + i);
		parts++;
		if (!is_module && isupper((unsigned char)name[i])) {
			(void)snprintf(out + at, FLAKES_FILE_MAX - at, "%s", ending);
			return parts > 1;
		}
		i += len + 1;
	}
	(void)snprintf(out + at, FLAKES_FILE_MAX - at, "%s", ending);
	return is_module && parts > 1;
}

bool flakes_file(const char *name, const char *framework, char out[static FLAKES_FILE_MAX])
{
	static const char *const separators[] = { "::", " > ", " › ", ": ", ":" };
	const char *open = strrchr(name, '(');

	for (size_t i = 0; i < ARRAY_LEN(separators); i++)
		if (file_before(name, separators[i], out))
			return true;
	*out = '\0';
	if (strcmp(framework, "unittest") == 0 && open && name[strlen(name) - 1] == ')' &&
	    file_of_class(open + 1, strlen(open + 1) - 1, "", ".py", true, out))
		return true;
	if ((strcmp(framework, "junit") == 0 || strcmp(framework, "gradle") == 0) &&
	    file_of_class(name, strlen(name), "src/test/java/", ".java", false, out))
		return true;
	*out = '\0';
	return false;
}

/* --- the verdict ---------------------------------------------------------- */

static const struct flake *least_sure(const struct flakes_failed *all, const struct flake *known)
{
	const struct flake *least = known;

	for (size_t i = 0; i < all->n; i++) {
		if (!known[i].flaky)
			return NULL;
		if (known[i].confidence < least->confidence)
			least = &known[i];
	}
	return least;
}

bool flakes_explain(const struct flakes_failed *all, const struct flake *known, struct arena *a,
		    struct finding *f)
{
	const struct flake *least;

	if (!all->complete || all->n == 0 || strcmp(f->category, "test_failure") != 0)
		return false;
	least = least_sure(all, known);
	if (!least)
		return false;
	f->subcategory = "flaky";
	f->transient = true;
	f->confidence = round(fmin(least->confidence, 0.99) * 1000) / 1000;
	f->title = all->n == 1
			   ? "Only a test failed that is known to be flaky"
			   : arena_printf(a, "Only tests failed that are known to be flaky (%zu)",
					  all->n);
	f->n_suggestions = 0;
	f->suggestions[f->n_suggestions++] = arena_printf(
		a,
		"Run the failed jobs again: of %u commits that %.120s failed on, it passed on %u "
		"when it was run again.",
		least->failed_commits, least->name, least->healed_commits);
	f->suggestions[f->n_suggestions++] =
		*least->owner ? arena_printf(a, "Ask %s to make it reliable.", least->owner)
			      : "Look for a dependence on time, order, or the network in it.";
	return true;
}
