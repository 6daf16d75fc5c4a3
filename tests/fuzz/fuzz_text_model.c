/*
 * A model's file is refused or is whole: what is read back is what was given, and any answer is a
 * probability. Once as the bytes are, and once with the checksum that fits them.
 */
#include <string.h>

#include "core/mem.h"
#include "ml/text_model.h"
#include "tests/fuzz/fuzz.h"

static void ask(const struct text_model *m, const uint8_t *data, size_t size)
{
	OWNED(freep) char *text = xstrndup((const char *)data, size);
	const char *lines[] = { "error: tests failed", text, "make: *** stop" };
	struct text_opinion o;

	text_model_ask(m, lines, ARRAY_LEN(lines), &o);
	FUZZ_ASSERT(o.best[0].class && o.n_reasons <= TEXT_REASONS);
	for (size_t i = 0; i < TEXT_ANSWERS && o.best[i].class; i++)
		FUZZ_ASSERT(o.best[i].probability >= 0 && o.best[i].probability <= 1);
	for (size_t i = 0; i < o.n_reasons; i++)
		FUZZ_ASSERT(o.reasons[i] < ARRAY_LEN(lines));
}

static void look(const uint8_t *data, size_t size)
{
	OWNED(text_model_freep) struct text_model *m = NULL;
	struct err err;
	size_t n;

	if (text_model_parse(data, size, &m, &err) < 0)
		return;
	OWNED(freep) unsigned char *bytes = text_model_bytes(m, &n);

	FUZZ_ASSERT(n == size && memcmp(bytes, data, n) == 0);
	ask(m, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWNED(freep) uint8_t *fitting = xmalloc(size + SHA256_BYTES);

	look(data, size);
	memcpy(fitting, data, size);
	if (size > SHA256_BYTES) {
		sha256(fitting, size - SHA256_BYTES, fitting + size - SHA256_BYTES);
		look(fitting, size);
	}
	return 0;
}
