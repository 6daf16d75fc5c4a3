#include "receiver/address.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"

enum { MAPPED_BITS = 96 };

static const char separators[] = ", \t";

static bool parse_ip(const char *text, struct address *out)
{
	static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	*out = (struct address){ 0 };
	if (inet_pton(AF_INET6, text, out->ip) == 1)
		return true;
	memcpy(out->ip, mapped, sizeof(mapped));
	return inet_pton(AF_INET, text, out->ip + sizeof(mapped)) == 1;
}

bool address_parse(const char *text, size_t n, struct address *out)
{
	char own[64];
	char *end;

	if (!text_copy(own, sizeof(own), text, n))
		return false;
	if (strcmp(own, "unix") == 0) {
		*out = (struct address){ .local = true };
		return true;
	}
	if (own[0] == '[') {
		end = strchr(own, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
		*end = '\0';
		return parse_ip(own + 1, out);
	}
	end = strchr(own, ':');
	if (end && !strchr(end + 1, ':'))
		*end = '\0';
	return parse_ip(own, out);
}

static bool in_block(const struct address_block *b, const struct address *a)
{
	size_t whole = b->bits / 8;
	unsigned mask = 0xff00u >> (b->bits % 8) & 0xff;

	if (a->local || b->net.local)
		return a->local && b->net.local;
	return memcmp(a->ip, b->net.ip, whole) == 0 &&
	       (!mask || ((a->ip[whole] ^ b->net.ip[whole]) & mask) == 0);
}

bool address_list_has(const struct address_list *list, const struct address *a)
{
	for (size_t i = 0; i < list->n; i++)
		if (in_block(&list->blocks[i], a))
			return true;
	return false;
}

static bool no_bits_beyond(const struct address_block *b)
{
	for (unsigned bit = b->bits; bit < 128; bit++)
		if (b->net.ip[bit / 8] >> (7 - bit % 8) & 1)
			return false;
	return true;
}

static int parse_block(const char *text, size_t n, struct address_block *out, struct err *err)
{
	const char *slash = memchr(text, '/', n);
	size_t ip = slash ? (size_t)(slash - text) : n;
	bool v4 = !memchr(text, ':', ip);
	char own[64];
	uint64_t bits = v4 ? 32 : 128;

	if (!text_copy(own, sizeof(own), text, n))
		return err_set(err, ERR_CONFIG, "\"%.60s\" is no address", text);
	if (strcmp(own, "unix") == 0) {
		*out = (struct address_block){ .net = { .local = true } };
		return 0;
	}
	own[ip] = '\0';
	if (!parse_ip(own, &out->net))
		return err_set(err, ERR_CONFIG, "\"%s\" is no address", own);
	if (slash && (!text_to_u64(own + ip + 1, &bits) || bits > (v4 ? 32 : 128)))
		return err_set(err, ERR_CONFIG, "\"%.*s\" has no usable prefix length", (int)n,
			       text);
	out->bits = (unsigned)bits + (v4 ? MAPPED_BITS : 0);
	if (!no_bits_beyond(out))
		return err_set(err, ERR_CONFIG, "\"%.*s\" has bits beyond its prefix length",
			       (int)n, text);
	return 0;
}

int address_list_parse(const char *text, struct address_list *out, struct err *err)
{
	struct address_list list = { 0 };

	for (const char *p = text + strspn(text, separators); *p; p += strspn(p, separators)) {
		size_t n = strcspn(p, separators);

		if (list.n == ADDRESS_BLOCKS_MAX) {
			address_list_done(&list);
			return err_set(err, ERR_CONFIG, "more than %d addresses",
				       ADDRESS_BLOCKS_MAX);
		}
		list.blocks = xrealloc(list.blocks, (list.n + 1) * sizeof(*list.blocks));
		if (parse_block(p, n, &list.blocks[list.n++], err) < 0) {
			address_list_done(&list);
			return -1;
		}
		p += n;
	}
	*out = list;
	return 0;
}

void address_list_done(struct address_list *list)
{
	free(list->blocks);
	*list = (struct address_list){ 0 };
}

/* Takes the last address off the n bytes of a line; false when it is none. */
static bool take_last(const char *line, size_t *n, struct address *out)
{
	size_t end = *n, start;

	while (end && strchr(separators, line[end - 1]))
		end--;
	for (start = end; start && !strchr(separators, line[start - 1]);)
		start--;
	*n = start;
	while (*n && strchr(separators, line[*n - 1]))
		--*n;
	return end > start && address_parse(line + start, end - start, out) && !out->local;
}

bool address_of_client(const char *peer, const struct address_list *trusted, forwarded_fn *line,
		       const void *request, struct address *out)
{
	size_t lines = 0;

	if (!address_parse(peer, strlen(peer), out))
		return false;
	if (!trusted->n || !address_list_has(trusted, out))
		return true;
	while (line(request, lines))
		lines++;
	while (lines--) {
		const char *s = line(request, lines);
		size_t n = strlen(s);

		while (n) {
			if (!take_last(s, &n, out))
				return false;
			if (!address_list_has(trusted, out))
				return true;
		}
	}
	return true; /* proxies only: the farthest of them */
}
