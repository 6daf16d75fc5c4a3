#include "core/tail_buf.h"

#include <string.h>

#include <openssl/crypto.h>

#include "core/mem.h"

enum { FIRST_BYTES = 16 << 10 };

void tail_buf_init(struct tail_buf *t, size_t max_bytes, bool keep_tail)
{
	*t = (struct tail_buf){ .max = max_bytes, .keep_tail = keep_tail };
}

void tail_buf_done(struct tail_buf *t)
{
	if (t->data)
		OPENSSL_cleanse(t->data, t->cap);
	free(t->data);
	*t = (struct tail_buf){ 0 };
}

void tail_buf_move(struct tail_buf *to, struct tail_buf *from)
{
	*to = *from;
	*from = (struct tail_buf){ 0 };
}

void tail_buf_reset(struct tail_buf *t)
{
	t->len = t->start = 0;
	t->dropped_bytes = t->dropped_lines = 0;
	t->over = false;
}

static void count_dropped(struct tail_buf *t, const char *p, size_t n)
{
	const char *end = p + n;

	t->dropped_bytes += n;
	while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
		t->dropped_lines++;
		p++;
	}
}

/* Overwrites the oldest bytes of a full buffer. */
static void ring_put(struct tail_buf *t, const char *p, size_t n)
{
	if (!t->max)
		count_dropped(t, p, n);
	while (n && t->max) {
		size_t run = t->max - t->start;

		if (run > n)
			run = n;
		count_dropped(t, t->data + t->start, run);
		memcpy(t->data + t->start, p, run);
		t->start = (t->start + run) % t->max;
		p += run;
		n -= run;
	}
}

/* Not realloc(), which leaves what it moved behind in memory. */
static void grow(struct tail_buf *t, size_t want)
{
	size_t cap = t->cap ? t->cap : FIRST_BYTES;
	char *data;

	if (t->data && want <= t->cap)
		return;
	while (cap < want)
		cap *= 2;
	if (cap > t->max)
		cap = t->max;
	data = xmalloc(cap + 1);
	if (t->data) {
		memcpy(data, t->data, t->len);
		OPENSSL_cleanse(t->data, t->cap);
		free(t->data);
	}
	t->data = data;
	t->cap = cap;
}

bool tail_buf_put(struct tail_buf *t, const char *p, size_t n)
{
	size_t room = t->max - t->len;
	size_t first = n < room ? n : room;

	if (n > room && !t->keep_tail) {
		t->over = true;
		return false;
	}
	grow(t, t->len + first);
	if (first)
		memcpy(t->data + t->len, p, first);
	t->len += first;
	p += first;
	n -= first;
	ring_put(t, p, n);
	return true;
}

static void reverse(char *p, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		char c = p[i];

		p[i] = p[n - 1 - i];
		p[n - 1 - i] = c;
	}
}

const char *tail_buf_text(struct tail_buf *t)
{
	if (!t->data)
		return "";
	/* Three reversals turn the ring in place. */
	if (t->start) {
		reverse(t->data, t->start);
		reverse(t->data + t->start, t->len - t->start);
		reverse(t->data, t->len);
		t->start = 0;
	}
	t->data[t->len] = '\0';
	return t->data;
}

const char *tail_buf_piece(const struct tail_buf *t, size_t at, size_t *n)
{
	size_t first = t->len - t->start;

	*n = at < first ? first - at : t->len - at;
	return at < first ? t->data + t->start + at : t->data + at - first;
}

size_t tail_buf_copy(const struct tail_buf *t, size_t at, char *out, size_t n)
{
	size_t copied = 0;

	while (copied < n && at + copied < t->len) {
		size_t run;
		const char *piece = tail_buf_piece(t, at + copied, &run);

		run = run < n - copied ? run : n - copied;
		memcpy(out + copied, piece, run);
		copied += run;
	}
	return copied;
}
