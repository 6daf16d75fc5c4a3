#include "dispatcher/log_clean.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"

enum {
	/* Raw bytes kept of one line: escapes and timestamps come on top of the text. */
	RAW_MAX = 2 * CLEAN_LINE_MAX,
	/* A private key has fewer lines; what begins like one and goes on is none. */
	KEY_LINES_MAX = 120,
};

struct log_clean {
	uint64_t number; /* of the line being read */
	size_t raw_len;
	bool raw_cut;
	unsigned key_lines; /* that may still follow of a private key */
	size_t len, n_lines;
	char raw[RAW_MAX];
	char text[CLEAN_BLOCK_MAX];
	struct clean_line lines[CLEAN_LINES_MAX];
};

struct log_clean *log_clean_new(uint64_t skipped_lines)
{
	struct log_clean *c = xcalloc(1, sizeof(*c));

	c->number = skipped_lines + 1;
	return c;
}

void log_clean_free(struct log_clean *c)
{
	free(c);
}

/* Past an escape sequence that starts at s[0] == ESC. */
static const char *skip_escape(const char *s, const char *end)
{
	if (++s == end)
		return s;
	if (*s == '[') {
		for (s++; s < end; s++)
			if (*s >= 0x40 && *s <= 0x7e)
				return s + 1;
		return end;
	}
	if (*s == ']') {
		for (s++; s < end; s++) {
			if (*s == '\a')
				return s + 1;
			if (*s == '\033' && s + 1 < end && s[1] == '\\')
				return s + 2;
		}
		return end;
	}
	return s + 1;
}

typedef int8_t bytes16 __attribute__((vector_size(16)));

static inline bytes16 load(const char *s)
{
	bytes16 b;

	memcpy(&b, s, sizeof(b));
	return b;
}

/* Not zero where a byte cannot be copied as it is. */
static inline bytes16 odd_bytes(bytes16 b)
{
	return (bytes16)(((b < 0x20) & (b != '\t')) | (b == 0x7f));
}

static inline bytes16 line_ends(bytes16 b)
{
	return (bytes16)((b == '\n') | (b == '\r'));
}

/* One bit for each byte that is not zero, which are 0xff. */
static inline uint64_t bits_of(bytes16 b)
{
#ifdef __SSE2__
	typedef char chars16 __attribute__((vector_size(16)));

	return (uint64_t)(uint32_t)__builtin_ia32_pmovmskb128((chars16)b);
#else
	const uint64_t one_each = 0x8040201008040201, sum = 0x0101010101010101;
	uint64_t halves[2];

	memcpy(halves, &b, sizeof(halves));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	halves[0] = __builtin_bswap64(halves[0]);
	halves[1] = __builtin_bswap64(halves[1]);
#endif
	return (halves[0] & one_each) * sum >> 56 | (halves[1] & one_each) * sum >> 56 << 8;
#endif
}

/* What a stretch of 64 bytes holds: bit i is about byte i. */
struct stretch {
	uint64_t ends; /* newlines and carriage returns */
	uint64_t odd;  /* what cannot be copied as it is, these among it */
};

enum { STRETCH = 64 };

static inline struct stretch look_at(const char *s)
{
	/* Written out, as compilers leave loops alone that take half the time so. */
	bytes16 a = load(s), b = load(s + 16), c = load(s + 32), d = load(s + 48);

	return (struct stretch){
		.ends = bits_of(line_ends(a)) | bits_of(line_ends(b)) << 16 |
			bits_of(line_ends(c)) << 32 | bits_of(line_ends(d)) << 48,
		.odd = bits_of(odd_bytes(a)) | bits_of(odd_bytes(b)) << 16 |
		       bits_of(odd_bytes(c)) << 32 | bits_of(odd_bytes(d)) << 48,
	};
}

/* Of the last bytes, which are less than a stretch. */
static struct stretch look_at_rest(const char *s, size_t n)
{
	char rest[STRETCH];

	memset(rest, ' ', sizeof(rest));
	memcpy(rest, s, n);
	return look_at(rest);
}

/*
 * Removes escapes and control bytes, repairs UTF-8; returns the bytes written, at most cap. More
 * may be read, up to `limit`, and written up to a stretch more.
 */
static size_t scrub(const char *s, const char *end, const char *limit, char *out, size_t cap)
{
	const char *looked = s; /* so far, and what of the stretch before it is odd */
	uint64_t odd = 0;
	size_t n = 0;

	while (s < end && n < cap) {
		unsigned char ch;
		size_t seq;

		if (limit - s >= STRETCH) {
			size_t left = cap - n < (size_t)(end - s) ? cap - n : (size_t)(end - s),
			       plain;
			uint64_t here;

			if (s >= looked) {
				odd = look_at(s).odd;
				looked = s + STRETCH;
			}
			here = odd >> (STRETCH - (looked - s));
			plain = here ? (size_t)__builtin_ctzll(here) : (size_t)(looked - s);
			plain = plain < left ? plain : left;
			memcpy(out + n, s, STRETCH);
			s += plain;
			n += plain;
			if (plain == left || s == looked)
				continue;
		}
		ch = (unsigned char)*s;
		if (ch == '\033') {
			s = skip_escape(s, end);
		} else if (ch == '\b') {
			n -= n > 0;
			s++;
		} else if (ch == '\t' || (ch >= 0x20 && ch < 0x7f)) {
			out[n++] = *s++;
		} else if (ch < 0x20 || ch == 0x7f) {
			s++;
		} else {
			seq = utf8_sequence((const unsigned char *)s, (size_t)(end - s));
			if (seq > cap - n)
				break;
			if (seq)
				memcpy(out + n, s, seq);
			else
				out[n] = '?';
			n += seq ? seq : 1;
			s += seq ? seq : 1;
		}
	}
	return n;
}

static inline bool is_digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

/*
 * Matches a picture: 0 is a digit, everything else is itself. Returns its
 * length when s starts with it, 0 when not.
 */
static size_t picture(const char *s, size_t n, const char *want)
{
	size_t i;

	for (i = 0; want[i]; i++) {
		if (i == n)
			return 0;
		if (want[i] == '0' ? !is_digit(s[i]) : s[i] != want[i])
			return 0;
	}
	return i;
}

/*
 * The same for pictures of eight bytes, on one of which every line of some logs begins. A byte
 * that is right becomes less than 0x80 when what is added to it is, others do not.
 */
static inline bool looks_like(const char *s, const char want[static 8])
{
	const uint64_t high = 0x8080808080808080, low = ~high, zeros = 0x3030303030303030;
	uint64_t word, picture, other;

	memcpy(&word, s, sizeof(word));
	memcpy(&picture, want, sizeof(picture));
	other = (((picture ^ zeros) & low) + low) & high; /* where it is no digit */
	word ^= picture;
	/* 0 to 9 plus 0x76, or 0 plus 0x7f. */
	return (((word + 0x7676767676767676 + (other >> 7) * 9) | word) & high) == 0;
}

/*
 * Most lines: neither time nor mark in front, no command, warning or begin of a key. What is looked
 * for in lines must not be ordinary here. s[n] is there.
 */
static inline bool is_ordinary(const char *s, size_t n)
{
	/* A table, as where a switch jumps to is guessed wrong too often. */
	static const bool telling[UCHAR_MAX + 1] = {
		['0' ... '9'] = true, ['['] = true, ['#'] = true, ['$'] = true,
		['+'] = true,         [':'] = true, ['W'] = true, ['n'] = true,
		['s'] = true,         ['t'] = true, ['w'] = true,
	};

	if (s[n - 1] == '-')
		return false;
	if (!telling[(unsigned char)s[0]])
		return true;
	if (s[0] == '[')
		return !is_digit(s[1]) && s[1] != ' ' && s[1] != 't' && s[1] != 'c' &&
		       s[1] != 'P' && s[1] != 'W';
	if (is_digit(s[0]))
		return n < 8 || (s[2] != ':' && s[4] != '-');
	return (s[0] == 'n' && s[1] != 'p') || (s[0] == 's' && s[1] != 'e') ||
	       (s[0] == 't' && s[1] != 'r');
}

static size_t fraction_and_zone(const char *s, size_t n)
{
	size_t i = 0;

	if (i < n && (s[i] == '.' || s[i] == ',')) {
		i++;
		while (i < n && is_digit(s[i]))
			i++;
	}
	if (i < n && s[i] == 'Z')
		return i + 1;
	if (picture(s + i, n - i, "+00:00"))
		return i + 6;
	return i;
}

/* "2024-01-02T03:04:05.678Z", "2024-01-02 03:04:05,678", "03:04:05". */
static size_t clock_at(const char *s, size_t n)
{
	size_t at = 0;

	if (n < 8)
		return 0;
	if (looks_like(s, "00:00:00"))
		at = 8;
	else if (n >= 19 && looks_like(s, "0000-00-") && looks_like(s + 11, "00:00:00") &&
		 is_digit(s[8]) && is_digit(s[9]) && (s[10] == 'T' || s[10] == ' '))
		at = 19;
	return at ? at + fraction_and_zone(s + at, n - at) : 0;
}

static size_t spaces_at(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n && s[i] == ' ')
		i++;
	return i;
}

/* GitLab's stream mark after its timestamp: "00O ", "01E ", "00O+". */
static size_t gitlab_stream_at(const char *s, size_t n)
{
	bool mark = n >= 4 && (s[2] == 'O' || s[2] == 'E') && (s[3] == ' ' || s[3] == '+') &&
		    isxdigit((unsigned char)s[0]) && isxdigit((unsigned char)s[1]);

	return mark ? 4 : 0;
}

/* "[2024-01-02T03:04:05Z] ", "[task 2024-...] ", "[   12.345678] " (kernel). */
static size_t bracketed_clock_at(const char *s, size_t n)
{
	size_t at = 1, inner;

	if (n < 4 || s[0] != '[' || (!is_digit(s[1]) && s[1] != ' ' && s[1] != 't'))
		return 0;
	if (n > 6 && memcmp(s + 1, "task ", 5) == 0)
		at = 6;
	at += spaces_at(s + at, n - at);
	inner = clock_at(s + at, n - at);
	if (!inner) {
		while (at + inner < n && is_digit(s[at + inner]))
			inner++;
		if (!inner || !picture(s + at + inner, n - at - inner, ".000000"))
			return 0;
		inner += 7;
	}
	at += inner;
	if (at == n || s[at] != ']')
		return 0;
	return at + 1;
}

/* Length of everything in front that only says when. */
static size_t timestamp_at(const char *s, size_t n)
{
	size_t at = 0, step;

	/* Two in a row happen: the runner's and the tool's. */
	for (int i = 0; i < 2; i++) {
		step = s[at] == '[' ? bracketed_clock_at(s + at, n - at) : clock_at(s + at, n - at);
		if (!step || (at + step < n && s[at + step] != ' '))
			return at;
		at += step;
		if (at < n)
			at++;
		/* After the hour alone Jenkins puts two. */
		if (step == strlen("00:00:00") && at < n && s[at] == ' ')
			at++;
		step = gitlab_stream_at(s + at, n - at);
		at += step;
		if (at == n)
			break;
	}
	return at;
}

/* "#12 4.567 ", which BuildKit puts before what a step of a Dockerfile prints. */
static size_t buildkit_at(const char *s, size_t n)
{
	size_t at = 1;

	if (n < 6 || s[0] != '#' || !isdigit((unsigned char)s[1]))
		return 0;
	while (at < n && isdigit((unsigned char)s[at]))
		at++;
	if (at == n || s[at++] != ' ' || at == n || !isdigit((unsigned char)s[at]))
		return 0;
	while (at < n && isdigit((unsigned char)s[at]))
		at++;
	if (at == n || s[at++] != '.' || at == n || !isdigit((unsigned char)s[at]))
		return 0;
	while (at < n && isdigit((unsigned char)s[at]))
		at++;
	return at < n && s[at] == ' ' ? at + 1 : 0;
}

/* `text` has two bytes or more. */
static inline bool begins(const char *s, size_t n, const char *text)
{
	size_t len;

	if (n < 2 || s[0] != text[0] || s[1] != text[1])
		return false;
	len = strlen(text);
	return n >= len && memcmp(s, text, len) == 0;
}

/* "    ERROR - text" after a time, as Python's logging and harnesses on it print it. */
static size_t level_at(const char *s, size_t n, uint16_t *flags)
{
	static const struct {
		const char *text;
		uint16_t flags;
	} levels[] = {
		{ "INFO - ", 0 },
		{ "WARNING - ", 0 }, /* of the harness: what it passes on may be an error */
		{ "ERROR - ", CLEAN_ERROR },
		{ "CRITICAL - ", CLEAN_ERROR },
		{ "FATAL - ", CLEAN_ERROR },
	};
	size_t at = spaces_at(s, n);

	for (size_t i = 0; at < n && i < ARRAY_LEN(levels); i++) {
		if (!begins(s + at, n - at, levels[i].text))
			continue;
		*flags |= levels[i].flags;
		at += strlen(levels[i].text);
		return at + (at < n && s[at] == ' ');
	}
	return 0;
}

/* Length of all in front that says when, and of a level after it. */
static size_t time_at(const char *s, size_t n, uint16_t *flags)
{
	size_t at = timestamp_at(s, n);

	return at ? at + level_at(s + at, n - at, flags) : 0;
}

struct mark {
	const char *text;
	uint16_t flags;
	bool drop; /* nothing on the line is worth reading */
};

/* What CI systems print in front of, or instead of, the output of a step. */
static const struct mark marks[] = {
	{ "##[error]", CLEAN_ERROR, false },
	{ "##[warning]", CLEAN_WARNING, false },
	{ "##[group]Run ", CLEAN_STEP | CLEAN_COMMAND, false },
	{ "##[group]", CLEAN_COMMAND, false },
	{ "##[endgroup]", 0, true },
	{ "##[section]", CLEAN_STEP | CLEAN_COMMAND, false },
	{ "##[command]", CLEAN_COMMAND, false },
	{ "##[debug]", CLEAN_COMMAND, false },
	{ "::error", CLEAN_ERROR, false },
	{ "::warning", CLEAN_WARNING, false },
	{ "::group::", CLEAN_COMMAND, false },
	{ "::endgroup::", 0, true },
	{ "[command]", CLEAN_COMMAND, false },
	{ "section_start:", CLEAN_STEP, true },
	{ "section_end:", 0, true },
	{ "travis_fold:start:", CLEAN_STEP, true },
	{ "travis_fold:end:", 0, true },
	{ "travis_time:", 0, true },
	{ "[Pipeline] { (Declarative: Post", 0, true }, /* tidies up; its stage has ended the log */
	{ "[Pipeline] { (", CLEAN_STEP, true },
	{ "[Pipeline] ", 0, true },
};

/* "::error file=a.c,line=3::text" has its text after the second "::". */
static size_t annotation_at(const char *s, size_t n)
{
	const char *p = memmem(s + 2, n - 2, "::", 2);

	return p ? (size_t)(p - s) + 2 : 0;
}

/* Length of the mark in front; sets the flags. */
static size_t mark_at(const char *s, size_t n, uint16_t *flags)
{
	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		size_t len;

		if (!begins(s, n, marks[i].text))
			continue;
		len = strlen(marks[i].text);
		*flags |= marks[i].flags;
		if (marks[i].drop)
			return n;
		if (s[0] == ':' && s[2] != 'g')
			return annotation_at(s, n);
		return s[len - 1] == ' ' ? len - strlen("Run ") : len;
	}
	return 0;
}

/* What a tool calls a warning itself did not end the step. */
static bool is_warning(const char *s, size_t n)
{
	static const char *const words[] = { "[WARNING]", "[WARN]",   "npm WARN",
					     "npm warn",  "WARNING:", "Warning:",
					     "warning:",  "W: ",      "WARN " };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (begins(s, n, words[i]))
			return true;
	return false;
}

/* Base64, or one of the headers of an encrypted key. */
static bool is_key_body(const char *s, size_t n)
{
	size_t at = spaces_at(s, n);

	if (picture(s + at, n - at, "Proc-Type:") || picture(s + at, n - at, "DEK-Info:"))
		return true;
	while (n > at && strchr(" \"'", s[n - 1]))
		n--;
	for (; at < n; at++)
		if (!isalnum((unsigned char)s[at]) && !strchr("+/=", s[at]))
			return false;
	return true;
}

/* Private keys come here and no further: a line of one has no mark of its own. */
static bool is_of_key(struct log_clean *c, const char *line, size_t n)
{
	static const char dashes[] = "-----";
	bool ends_so = n > 2 * strlen(dashes) && line[n - 1] == '-' &&
		       memcmp(line + n - 5, dashes, strlen(dashes)) == 0;

	if (ends_so && memmem(line, n, "-----BEGIN ", 11) && memmem(line, n, "PRIVATE KEY", 11)) {
		c->key_lines = KEY_LINES_MAX;
		return false;
	}
	if (!c->key_lines || !n)
		return false;
	c->key_lines--;
	if (is_key_body(line, n))
		return true;
	c->key_lines = 0;
	return false;
}

/* Faster than exactly n bytes, where as many are there to read. */
static inline void copy_line(char *out, const char *s, size_t n, const char *limit)
{
	if (limit - s >= (ptrdiff_t)n + STRETCH)
		for (size_t i = 0; i < n; i += STRETCH)
			memcpy(out + i, s + i, STRETCH);
	else if (s != out)
		memmove(out, s, n);
}

static inline void put_line(struct log_clean *c, const char *s, size_t n, const char *limit,
			    uint16_t flags)
{
	copy_line(c->text + c->len, s, n, limit);
	c->text[c->len + n] = '\n';
	c->lines[c->n_lines++] = (struct clean_line){
		.number = c->number,
		.start = (uint32_t)c->len,
		.len = (uint16_t)n,
		.flags = flags,
	};
	c->len += n + 1;
}

static void add_marked_line(struct log_clean *c, const char *s, size_t n, const char *limit,
			    uint16_t flags)
{
	static const char hidden[] = "[masked]";
	size_t skip = mark_at(s, n, &flags);

	skip += buildkit_at(s + skip, n - skip);
	if (skip == n && !(flags & CLEAN_STEP))
		return;
	s += skip;
	n -= skip;
	if (is_of_key(c, s, n)) {
		s = hidden;
		n = strlen(hidden);
		limit = s + n;
	}
	if (n >= 2 && (s[0] == '$' || s[0] == '+') && s[1] == ' ')
		flags |= CLEAN_COMMAND;
	if (is_warning(s, n))
		flags |= CLEAN_WARNING;
	put_line(c, s, n, limit, flags);
}

static void add_telling_line(struct log_clean *c, const char *s, size_t n, const char *limit,
			     uint16_t flags)
{
	size_t skip = time_at(s, n, &flags);

	if (skip == n)
		return;
	s += skip;
	n -= skip;
	if (c->key_lines || !is_ordinary(s, n))
		add_marked_line(c, s, n, limit, flags);
	else
		put_line(c, s, n, limit, flags);
}

/*
 * The line s[0..n), free of odd bytes, becomes one of the block; one that says nothing does not.
 * It may be where it comes to be: then there is nothing behind it to read.
 */
static inline void add_line(struct log_clean *c, const char *s, size_t n, const char *limit,
			    uint16_t flags)
{
	if (c->key_lines || !is_ordinary(s, n))
		add_telling_line(c, s, n, limit, flags);
	else
		put_line(c, s, n, limit, flags);
}

/* Cleans the raw line into the block. Lines that are empty then are left out. */
static void flush_line(struct log_clean *c, const char *raw, size_t len, const char *limit)
{
	char *out = c->text + c->len;
	uint16_t flags = c->raw_cut ? CLEAN_CUT : 0;
	size_t n = scrub(raw, raw + len, limit, out, CLEAN_LINE_MAX);

	c->raw_len = 0;
	c->raw_cut = false;
	if (n >= 3 && memcmp(out, "\xef\xbb\xbf", 3) == 0)
		memmove(out, out + 3, n -= 3);
	if (n)
		add_line(c, out, n, out + n, flags);
}

static bool block_full(const struct log_clean *c)
{
	/* One line more is kept free for log_clean_end(). */
	return c->len + 2 * (CLEAN_LINE_MAX + 1) > CLEAN_BLOCK_MAX ||
	       c->n_lines + 2 > CLEAN_LINES_MAX;
}

static void keep_raw(struct log_clean *c, const char *data, size_t n)
{
	size_t room = RAW_MAX - c->raw_len;

	if (n > room) {
		c->raw_cut = true;
		n = room;
	}
	memcpy(c->raw + c->raw_len, data, n);
	c->raw_len += n;
}

/* A line that is in pieces, too long, or has something to repair. */
static void take_odd(struct log_clean *c, const char *s, size_t n, const char *limit)
{
	if (c->raw_len || n > RAW_MAX) {
		keep_raw(c, s, n);
		flush_line(c, c->raw, c->raw_len, c->raw + RAW_MAX);
	} else {
		flush_line(c, s, n, limit);
	}
}

/* The line s[0..n) has ended. Most lines of most logs have nothing to repair, and are here whole.
 */
static inline void take_line(struct log_clean *c, const char *s, size_t n, const char *limit,
			     bool odd)
{
	if (odd || c->raw_len || n > CLEAN_LINE_MAX) {
		take_odd(c, s, n, limit);
	} else if (n) {
		add_line(c, s, n, limit, 0);
	}
}

size_t log_clean_feed(struct log_clean *c, const char *data, size_t n)
{
	size_t at = 0;    /* where the line begins */
	uint64_t odd = 0; /* not 0: it has something to repair before the stretch */

	for (size_t i = 0; i < n; i += STRETCH) {
		struct stretch left =
			n - i < STRETCH ? look_at_rest(data + i, n - i) : look_at(data + i);

		while (left.ends) {
			uint64_t end = left.ends & -left.ends;
			size_t len = i + (size_t)__builtin_ctzll(end) - at;

			if (block_full(c))
				return at;
			take_line(c, data + at, len, data + n, odd | (left.odd & (end - 1)));
			at += len;
			/* Nothing is between that and the next end. */
			if (data[at] == '\r' && (left.ends & end << 1)) {
				end |= end << 1;
				at++;
			}
			c->number += data[at++] == '\n';
			left.ends &= ~end;
			left.odd &= ~(end | (end - 1));
			odd = 0;
		}
		odd |= left.odd;
	}
	keep_raw(c, data + at, n - at);
	return n;
}

void log_clean_end(struct log_clean *c)
{
	if (c->raw_len)
		flush_line(c, c->raw, c->raw_len, c->raw + RAW_MAX);
}

const char *log_clean_text(const struct log_clean *c, size_t *len)
{
	*len = c->len;
	return c->text;
}

const struct clean_line *log_clean_lines(const struct log_clean *c, size_t *n)
{
	*n = c->n_lines;
	return c->lines;
}

void log_clean_reset(struct log_clean *c)
{
	c->len = 0;
	c->n_lines = 0;
}
