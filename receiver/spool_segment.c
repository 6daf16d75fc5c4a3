#include "receiver/spool_segment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/crypto.h"
#include "core/mem.h"

/*
 * A record: "PGR1", length (4), wall clock in ms (8), the first 12 bytes of the
 * HMAC-SHA256 of the data under length and time, then the data. Integers are little-endian.
 */
static const char record_magic[] = "PGR1";
enum { MAGIC_BYTES = 4, LENGTH_AT = 4, TIME_AT = 8, SUM_AT = 16, SUM_BYTES = 12 };

static void put_le(unsigned char *out, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		out[i] = (unsigned char)(v >> (8 * i));
}

static uint64_t get_le(const char *in, size_t bytes)
{
	uint64_t v = 0;

	for (size_t i = bytes; i-- > 0;)
		v = v << 8 | (unsigned char)in[i];
	return v;
}

static void checksum(const void *head, const void *data, size_t n,
		     unsigned char out[static SUM_BYTES])
{
	unsigned char digest[SHA256_BYTES];

	/* With the head as the key both are covered, and nothing has to be copied side by side. */
	hmac_sha256((const char *)head + LENGTH_AT, SUM_AT - LENGTH_AT, data, n, digest);
	memcpy(out, digest, SUM_BYTES);
}

void segment_frame(struct buf *out, const void *record, size_t n, int64_t at_ms)
{
	unsigned char head[SEGMENT_RECORD_HEAD];

	memcpy(head, record_magic, MAGIC_BYTES);
	put_le(head + LENGTH_AT, n, TIME_AT - LENGTH_AT);
	put_le(head + TIME_AT, (uint64_t)at_ms, SUM_AT - TIME_AT);
	checksum(head, record, n, head + SUM_AT);
	buf_append(out, head, sizeof(head));
	buf_append(out, record, n);
}

enum found { FOUND, CUT_OFF, NO_RECORD };

static enum found record_at(const char *p, size_t left, struct spool_record *out)
{
	unsigned char sum[SUM_BYTES];
	size_t n;

	if (left < SEGMENT_RECORD_HEAD)
		return memcmp(p, record_magic, left < MAGIC_BYTES ? left : MAGIC_BYTES) ? NO_RECORD
											: CUT_OFF;
	if (memcmp(p, record_magic, MAGIC_BYTES) != 0)
		return NO_RECORD;
	n = (size_t)get_le(p + LENGTH_AT, TIME_AT - LENGTH_AT);
	if (n > SPOOL_RECORD_MAX)
		return NO_RECORD;
	if (n > left - SEGMENT_RECORD_HEAD)
		return CUT_OFF;
	checksum(p, p + SEGMENT_RECORD_HEAD, n, sum);
	if (memcmp(p + SUM_AT, sum, SUM_BYTES) != 0)
		return NO_RECORD;
	*out = (struct spool_record){ .data = p + SEGMENT_RECORD_HEAD,
				      .n = n,
				      .at_ms = (int64_t)get_le(p + TIME_AT, SUM_AT - TIME_AT) };
	return FOUND;
}

bool segment_next(const char *data, size_t n, size_t *at, struct spool_record *out,
		  uint64_t *damaged)
{
	size_t from = *at, i = from;
	bool cut_off = false;

	while (i < n) {
		const char *magic;
		enum found f = record_at(data + i, n - i, out);

		if (f == FOUND) {
			*damaged += i - from;
			*at = i + SEGMENT_RECORD_HEAD + out->n;
			return true;
		}
		/* What seems to be cut off may also be a damaged length: look behind it. */
		cut_off |= f == CUT_OFF && i == from;
		magic = memmem(data + i + 1, n - i - 1, record_magic, MAGIC_BYTES);
		i = magic ? (size_t)(magic - data) : n;
	}
	if (!cut_off)
		*damaged += n - from;
	*at = n;
	return false;
}

static void closep(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static int cannot_read(const char *path, struct err *err)
{
	bool never = errno == ENOENT || errno == EIO || errno == ELOOP;

	return err_set(err, never ? ERR_INPUT : ERR_TRANSIENT, "%.160s: %s", path, strerror(errno));
}

int segment_read(const char *path, char **data, size_t *n, struct err *err)
{
	OWNED(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	OWNED(freep) char *all = NULL;
	struct stat st;
	size_t got = 0, size;

	if (fd < 0 || fstat(fd, &st) < 0)
		return cannot_read(path, err);
	if (!S_ISREG(st.st_mode) || st.st_size > 2 * SPOOL_SEGMENT_BYTES)
		return err_set(err, ERR_INPUT, "%.160s: is no segment of a spool", path);
	size = (size_t)st.st_size;
	all = xmalloc(size + 1);
	while (got < size) {
		ssize_t more = read(fd, all + got, size - got);

		if (more < 0 && errno == EINTR)
			continue;
		if (more < 0)
			return cannot_read(path, err);
		if (more == 0)
			break;
		got += (size_t)more;
	}
	*data = TAKE(all);
	*n = got;
	return 0;
}
