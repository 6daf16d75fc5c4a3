/* Runs a fuzz target over saved inputs: what was found once stays fixed, under any compiler. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/mem.h"
#include "tests/fuzz/fuzz.h"

enum { INPUT_MAX = 64 << 20 };

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	size_t n;

	if (!f || fstat(fileno(f), &st) < 0 || st.st_size > INPUT_MAX) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		if (f)
			(void)fclose(f);
		return -1;
	}
	/* Exactly as long as the input, so that one byte beyond it is seen by ASan. */
	data = xmalloc(st.st_size ? (size_t)st.st_size : 1);
	n = fread(data, 1, (size_t)st.st_size, f);
	(void)fclose(f);
	(void)LLVMFuzzerTestOneInput(data, n);
	free(data);
	return 0;
}

/* Returns the number of inputs run, -1 when one cannot be read. */
static int run_dir(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int n = 0;

	if (!dir) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	while (n >= 0 && (e = readdir(dir))) {
		OWNED(freep) char *name = xasprintf("%s/%s", path, e->d_name);

		if (e->d_name[0] != '.')
			n = run_file(name) < 0 ? -1 : n + 1;
	}
	(void)closedir(dir);
	return n;
}

int main(int argc, char **argv)
{
	int total = 0;

	for (int i = 1; i < argc; i++) {
		int n = run_dir(argv[i]);

		if (n < 0)
			return 1;
		total += n;
	}
	printf("%d inputs\n", total);
	return total ? 0 : 1; /* an empty corpus tests nothing */
}
