#include "core/approve_link.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "core/http_server.h"
#include "core/text.h"

enum { MAC_HEX = 2 * SHA256_BYTES };

static const char *const words[] = { "reject", "approve" };

/* Each text with its length in front, so that no two links are the same bytes. */
static void sign(const char *key, const struct approve_link *l, char out[static MAC_HEX + 1])
{
	char until[24], lengths[5][24];
	const char *const texts[] = { "pipeline-guard link 1", words[l->approve], l->channel,
				      l->plan, until };
	struct bytes pieces[2 * ARRAY_LEN(texts)];
	unsigned char digest[SHA256_BYTES];

	(void)snprintf(until, sizeof(until), "%" PRId64, l->until_s);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		int n = snprintf(lengths[i], sizeof(lengths[i]), "%zu:", strlen(texts[i]));

		pieces[2 * i] = (struct bytes){ lengths[i], (size_t)n };
		pieces[2 * i + 1] = (struct bytes){ texts[i], strlen(texts[i]) };
	}
	hmac_sha256_of(key, strlen(key), pieces, ARRAY_LEN(pieces), digest);
	hex_encode(digest, sizeof(digest), out);
}

static void put_encoded(struct buf *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (isalnum(c) || strchr("-._~:", c))
			buf_putc(out, *text);
		else
			buf_printf(out, "%%%02X", c);
	}
}

void approve_link_put(const char *key, const struct approve_link *l, struct buf *out)
{
	char mac[MAC_HEX + 1];

	sign(key, l, mac);
	buf_printf(out, "%s?do=%s&channel=", &APPROVE_LINK_PATH[1], words[l->approve]);
	put_encoded(out, l->channel);
	buf_puts(out, "&plan=");
	put_encoded(out, l->plan);
	buf_printf(out, "&until=%" PRId64 "&mac=%s", l->until_s, mac);
}

enum approve_link_fate approve_link_read(const struct conf *conf, const struct http_request *req,
					 int64_t now_s, struct approve_link *out)
{
	char word[16] = "", until[24] = "", mac[MAC_HEX + 1] = "", right[MAC_HEX + 1];
	const char *key;
	bool good = false;

	*out = (struct approve_link){ .until_s = 0 };
	if (!http_request_query(req, "do", word, sizeof(word)) ||
	    !http_request_query(req, "channel", out->channel, sizeof(out->channel)) ||
	    !http_request_query(req, "plan", out->plan, sizeof(out->plan)) ||
	    !http_request_query(req, "until", until, sizeof(until)) ||
	    !http_request_query(req, "mac", mac, sizeof(mac)) || !text_to_i64(until, &out->until_s))
		return APPROVE_LINK_WRONG;
	out->approve = strcmp(word, words[true]) == 0;
	for (size_t i = 0; (key = conf_secret(conf, "approve.key", i)); i++) {
		sign(key, out, right);
		good |= secret_equal(right, strlen(right), mac, strlen(mac));
	}
	if (!good || strcmp(word, words[out->approve]) != 0)
		return APPROVE_LINK_WRONG;
	return out->until_s > now_s ? APPROVE_LINK_GOOD : APPROVE_LINK_EXPIRED;
}
