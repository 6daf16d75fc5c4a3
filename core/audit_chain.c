#include "core/audit_chain.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"

const char *audit_field(const struct audit_record *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->pairs[i].name, name) == 0)
			return r->pairs[i].value;
	return NULL;
}

void audit_key_id(const char *key, char out[static AUDIT_KEY_ID_HEX + 1])
{
	static const char label[] = "pipeline-guard audit key";
	unsigned char digest[SHA256_BYTES];

	hmac_sha256(key, strlen(key), label, strlen(label), digest);
	hex_encode(digest, AUDIT_KEY_ID_HEX / 2, out);
}

/* Every text with its length in front, so that no two records are the same bytes. */
void audit_mac(const char *key, const struct audit_record *r, char out[static AUDIT_MAC_HEX + 1])
{
	struct bytes pieces[4 * AUDIT_FIELDS_MAX];
	char lengths[2 * AUDIT_FIELDS_MAX][24];
	unsigned char digest[SHA256_BYTES];
	size_t n = 0;

	for (size_t i = 0; i < 2 * r->n; i++) {
		const char *text = i % 2 ? r->pairs[i / 2].value : r->pairs[i / 2].name;
		int len = snprintf(lengths[i], sizeof(lengths[i]), "%zu:", strlen(text));

		pieces[n++] = (struct bytes){ lengths[i], (size_t)len };
		pieces[n++] = (struct bytes){ text, strlen(text) };
	}
	hmac_sha256_of(key, strlen(key), pieces, n, digest);
	hex_encode(digest, sizeof(digest), out);
}

static const char *key_of(const struct audit_record *r, const char *const *keys, size_t n)
{
	const char *name = audit_field(r, "key");
	char id[AUDIT_KEY_ID_HEX + 1];

	for (size_t i = 0; name && i < n; i++) {
		audit_key_id(keys[i], id);
		if (strcmp(id, name) == 0)
			return keys[i];
	}
	return NULL;
}

bool audit_genuine(const struct audit_record *r, const char *mac, const char *const *keys,
		   size_t n_keys)
{
	const char *key = key_of(r, keys, n_keys);
	char right[AUDIT_MAC_HEX + 1];

	if (!key)
		return false;
	audit_mac(key, r, right);
	return secret_equal(right, strlen(right), mac, strlen(mac));
}

bool audit_through_of(const struct audit_record *r, const char *mac, struct audit_through *out)
{
	const char *writer = audit_field(r, "writer"), *seq = audit_field(r, "seq");
	const char *at = audit_field(r, "at_ms"), *key = audit_field(r, "key");

	return writer && seq && at && key &&
	       text_copy(out->writer, sizeof(out->writer), writer, strlen(writer)) &&
	       text_copy(out->mac, sizeof(out->mac), mac, strlen(mac)) &&
	       text_copy(out->key, sizeof(out->key), key, strlen(key)) &&
	       text_to_u64(seq, &out->seq) && text_to_i64(at, &out->at_ms);
}

void audit_through_write(const struct audit_through *t, char out[static AUDIT_VALUE_MAX])
{
	(void)snprintf(out, AUDIT_VALUE_MAX, "%s %" PRIu64 " %s %s %" PRId64, t->writer, t->seq,
		       t->mac, t->key, t->at_ms);
}

/* The next word of a text, which it moves behind it. */
static bool take_word(const char **text, char *out, size_t cap)
{
	const char *word = *text;
	size_t n = strcspn(word, " ");

	*text = word + n + (word[n] == ' ');
	return n > 0 && text_copy(out, cap, word, n);
}

bool audit_through_read(const struct audit_record *r, size_t i, struct audit_through *out)
{
	const char *what = audit_field(r, "what"), *text = r->pairs[i].value;
	char seq[24], at[24];

	return what && strcmp(what, "trimmed") == 0 && text_starts(r->pairs[i].name, "of") &&
	       take_word(&text, out->writer, sizeof(out->writer)) &&
	       take_word(&text, seq, sizeof(seq)) && take_word(&text, out->mac, sizeof(out->mac)) &&
	       take_word(&text, out->key, sizeof(out->key)) && take_word(&text, at, sizeof(at)) &&
	       text_to_u64(seq, &out->seq) && text_to_i64(at, &out->at_ms);
}

static enum audit_fault place(const struct audit_check *c, uint64_t seq, const char *prev,
			      const char *mac)
{
	if (seq == c->seq && strcmp(mac, c->mac) == 0)
		return AUDIT_REPEATED;
	if (seq <= c->seq)
		return AUDIT_MOVED;
	if (seq > c->seq + 1)
		return AUDIT_MISSING;
	return strcmp(prev, c->mac) == 0 ? AUDIT_GOOD : AUDIT_FOREIGN;
}

enum audit_fault audit_check(struct audit_check *c, const struct audit_record *r, const char *mac,
			     const char *const *keys, size_t n_keys)
{
	const char *number = audit_field(r, "seq"), *prev = audit_field(r, "prev");
	const char *key = key_of(r, keys, n_keys);
	char right[AUDIT_MAC_HEX + 1];
	enum audit_fault where;
	uint64_t seq;

	if (!number || !text_to_u64(number, &seq) || !prev || !mac)
		return AUDIT_CHANGED;
	if (key) {
		audit_mac(key, r, right);
		if (!secret_equal(right, strlen(right), mac, strlen(mac)))
			return AUDIT_CHANGED;
	}
	where = place(c, seq, prev, mac);
	if (where == AUDIT_MOVED || where == AUDIT_REPEATED)
		return where;
	c->seq = seq;
	(void)text_copy(c->mac, sizeof(c->mac), mac, strlen(mac));
	return where == AUDIT_GOOD && !key ? AUDIT_NO_KEY : where;
}
