#include "core/neutralise.h"

#include <string.h>

#include "core/base.h"
#include "core/buf.h"
#include "unit.h"

#define GAP "\xe2\x80\x8b"

struct row {
	const char *in, *out, *why;
};

static void check(void (*fn)(struct buf *, const char *), const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		OWNED(buf_done) struct buf b;

		buf_init(&b, 1024);
		fn(&b, rows[i].in);
		if (strcmp(buf_text(&b), rows[i].out) != 0)
			fail_msg("%s: \"%s\"", rows[i].why, buf_text(&b));
	}
}

static void text_shows_what_is_there_and_does_nothing(void **state)
{
	static const struct row rows[] = {
		{ "", "", "nothing" },
		{ "plain text", "plain text", "is left alone" },
		{ "Grüße, 世界 🙂", "Grüße, 世界 🙂", "two, three and four bytes" },
		{ "\033[2J", "?[2J", "escape" },
		{ "a\nb\rc\td\be", "a?b?c?d?e", "control characters" },
		{ "\x7f", "?", "delete" },
		{ "\xc2\x9b"
		  "2J",
		  "?2J", "CSI as one character, U+009B" },
		{ "\xc2\xa0", "\xc2\xa0", "U+00A0 is the first that is none" },
		{ "\xff\xc3", "??", "no UTF-8" },
		{ "\xe2\x80\xae"
		  "exe",
		  "?exe", "right-to-left override" },
		{ "\xe2\x81\xa6x\xe2\x81\xa9", "?x?", "isolates" },
		{ "\xe2\x80\x8f", "?", "right-to-left mark" },
		{ "\xe2\x80\xa9", "?", "paragraph separator" },
		{ "\xe2\x80\xaf\xe2\x80\xa6", "\xe2\x80\xaf…", "their neighbours stay" },
		{ "ad\xe2\x80\x8bmin\xc2\xad", "ad?min?", "zero-width space, soft hyphen" },
		{ "\xef\xbb\xbfx", "?x", "byte order mark" },
		{ "\xf3\xa0\x81\x81x", "?x", "tags: text that nobody sees" },
		{ "\xe2\x80\x8d", "\xe2\x80\x8d", "the joiner of emoji stays" },
	};

	UNUSED(state);
	check(neutralise_text, rows, ARRAY_LEN(rows));
}

static void markdown_notifies_links_and_formats_nothing(void **state)
{
	static const struct row rows[] = {
		{ "", "", "nothing" },
		{ "plain text 12", "plain text 12", "is left alone" },
		{ "@mona look", "\\@" GAP "mona look", "a mention" },
		{ "kim@example.org", "kim\\@" GAP "example\\.org", "an address" },
		{ "fixes #12", "fixes \\#" GAP "12", "a keyword that closes an issue" },
		{ "fixes GH-12", "fixes GH\\-" GAP "12", "the same, older" },
		{ "see !7 and ~bug", "see \\!" GAP "7 and \\~" GAP "bug", "GitLab's references" },
		{ "[vulnerability:1]", "\\[" GAP "vulnerability\\:1\\]", "and its longer ones" },
		{ "https://evil.example", "https\\:" GAP "\\/\\/evil\\.example", "an address" },
		{ "www.evil.example", "www\\." GAP "evil\\.example", "one without a scheme" },
		{ "<img src=x>", "\\<img src\\=x\\>", "HTML" },
		{ "&lt;b&gt;", "\\&" GAP "lt\\;b\\&" GAP "gt\\;", "entities" },
		{ "**bold** `code`", "\\*" GAP "\\*" GAP "bold\\*" GAP "\\* \\`code\\`", "markup" },
		{ "a\n# title", "a \\# title", "a line cannot begin" },
		{ "[text](javascript:x)", "\\[" GAP "text\\]\\(javascript\\:x\\)", "a link" },
		{ "a\\b", "a\\\\b", "a backslash" },
		{ "x \xe2\x80\xae y\x1b[0m", "x ? y?\\[" GAP "0m", "what is bad in text, too" },
		{ "100 % @", "100 \\% \\@", "alone they mean nothing" },
	};

	UNUSED(state);
	check(neutralise_markdown, rows, ARRAY_LEN(rows));
}

static void slack_notifies_nobody_and_stays_in_its_code(void **state)
{
	static const struct row rows[] = {
		{ "", "", "nothing" },
		{ "plain_text-12 *b*", "plain_text-12 *b*", "is left alone" },
		{ "<!channel>", "&lt;!channel&gt;", "everybody" },
		{ "<@U123> <#C1|x>", "&lt;@" GAP "U123&gt; &lt;#" GAP "C1|x&gt;", "somebody" },
		{ "@here", "@" GAP "here", "whoever is there" },
		{ "&lt;!here&gt;", "&amp;lt;!here&amp;gt;", "what was escaped before" },
		{ "a`b```c", "a'b'''c", "the end of code" },
		{ "a\nb\tc", "a b c", "one line" },
		{ "x \xe2\x80\xae y\x1b[0m \xff", "x ? y?[0m ?", "what is bad in text, too" },
	};

	UNUSED(state);
	check(neutralise_slack, rows, ARRAY_LEN(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_shows_what_is_there_and_does_nothing),
		cmocka_unit_test(markdown_notifies_links_and_formats_nothing),
		cmocka_unit_test(slack_notifies_nobody_and_stays_in_its_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
