/*
 * Any text of a stranger gives text that may be shown: valid UTF-8 with nothing in it that moves
 * a cursor, hides, or means something in Markdown.
 */
#include <ctype.h>
#include <string.h>

#include "core/buf.h"
#include "core/mask.h"
#include "core/mem.h"
#include "core/neutralise.h"
#include "core/text.h"
#include "tests/fuzz/fuzz.h"

enum { ROOM = 300 };

static const char gap[] = "\xe2\x80\x8b";

static void check_shown(const char *text, bool gaps)
{
	size_t left = strlen(text), n;

	FUZZ_ASSERT(utf8_valid((const unsigned char *)text, left));
	for (; left; text += n, left -= n)
		FUZZ_ASSERT(!neutralise_is_bad(text, left, &n) ||
			    (gaps && strncmp(text, gap, strlen(gap)) == 0));
}

/* Every punctuation is escaped, and nobody is mentioned. */
static void check_markdown(const char *text)
{
	for (size_t i = 0; text[i]; i++) {
		if (!ispunct((unsigned char)text[i]) || text[i] == '?')
			continue;
		FUZZ_ASSERT(text[i] == '\\' && ispunct((unsigned char)text[i + 1]));
		i++;
		FUZZ_ASSERT(text[i] != '@' || !isalnum((unsigned char)text[i + 1]));
	}
}

/* Nothing that Slack reads as more than text. */
static void check_slack(const char *text)
{
	FUZZ_ASSERT(!strpbrk(text, "<>`\n"));
	for (; *text; text++)
		FUZZ_ASSERT(*text != '@' || !isalnum((unsigned char)text[1]));
}

struct whole {
	const char *s;
	size_t n;
};

static void check_found(const char *secret, size_t n, bool sure, void *arg)
{
	const struct whole *w = arg;

	(void)sure;
	FUZZ_ASSERT(secret >= w->s && n <= w->n && secret + n <= w->s + w->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWNED(freep) char *text = xstrndup((const char *)data, size);
	OWNED(buf_done) struct buf plain, markdown, slack;
	struct whole whole = { (const char *)data, size };
	char masked[ROOM];

	buf_init(&plain, 1 << 20);
	buf_init(&markdown, 1 << 20);
	buf_init(&slack, 1 << 20);
	neutralise_text(&plain, text);
	neutralise_markdown(&markdown, text);
	if (!plain.overflow && plain.len)
		check_shown(buf_text(&plain), false);
	if (!markdown.overflow && markdown.len) {
		check_shown(buf_text(&markdown), true);
		check_markdown(buf_text(&markdown));
	}
	neutralise_slack(&slack, text);
	if (!slack.overflow && slack.len) {
		check_shown(buf_text(&slack), true);
		check_slack(buf_text(&slack));
	}
	mask_each((const char *)data, size, check_found, &whole);
	FUZZ_ASSERT(mask_text((const char *)data, size, masked, sizeof(masked)) < sizeof(masked));
	check_shown(masked, false);
	return 0;
}
