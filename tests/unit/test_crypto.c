#include "core/crypto.h"

#include <stdint.h>
#include <string.h>

#include "core/mem.h"
#include "tests/unit/unit.h"

static void repeat(unsigned char *out, unsigned char byte, size_t n)
{
	memset(out, byte, n);
}

/* RFC 4231 section 4, test cases 1 to 7 (5 is a truncation, which we do not offer). */
static void hmac_is_that_of_rfc_4231(void **state)
{
	static const struct {
		const char *why;
		unsigned char key_byte, data_byte;
		size_t key_len, data_len;
		const char *key, *data, *mac;
	} rows[] = {
		{ "case 1", 0x0b, 0, 20, 8, NULL, "Hi There",
		  "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
		{ "case 2: a key shorter than the output", 0, 0, 4, 28, "Jefe",
		  "what do ya want for nothing?",
		  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
		{ "case 3", 0xaa, 0xdd, 20, 50, NULL, NULL,
		  "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe" },
		{ "case 4", 0, 0xcd, 25, 50,
		  "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13"
		  "\x14\x15\x16\x17\x18\x19",
		  NULL, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b" },
		{ "case 6: a key longer than a block", 0xaa, 0, 131, 54, NULL,
		  "Test Using Larger Than Block-Size Key - Hash Key First",
		  "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
		{ "case 7: key and data longer than a block", 0xaa, 0, 131, 152, NULL,
		  "This is a test using a larger than block-size key and a larger than block-size "
		  "data. The key needs to be hashed before being used by the HMAC algorithm.",
		  "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned char key[160], data[160], mac[SHA256_BYTES];
		char hex[SHA256_HEX + 1];

		if (rows[i].key)
			memcpy(key, rows[i].key, rows[i].key_len);
		else
			repeat(key, rows[i].key_byte, rows[i].key_len);
		if (rows[i].data)
			memcpy(data, rows[i].data, rows[i].data_len);
		else
			repeat(data, rows[i].data_byte, rows[i].data_len);
		hmac_sha256(key, rows[i].key_len, data, rows[i].data_len, mac);
		hex_encode(mac, sizeof(mac), hex);
		assert_case(strcmp(hex, rows[i].mac) == 0, rows[i].why);
	}
}

/* NIST FIPS 180 examples, and the well-known digests of nothing. */
static void digests_are_the_published_ones(void **state)
{
	static const struct {
		const char *why, *in, *sha256, *sha1;
	} rows[] = {
		{ "nothing", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		  "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
		{ "one block", "abc",
		  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		  "a9993e364706816aba3e25717850c26c9cd0d89d" },
		{ "two blocks", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
		  "84983e441c3bd26ebaae4aa1f95129e5e54670f1" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned char md[SHA256_BYTES];
		char hex[SHA256_HEX + 1];

		sha256(rows[i].in, strlen(rows[i].in), md);
		hex_encode(md, sizeof(md), hex);
		assert_case(strcmp(hex, rows[i].sha256) == 0, rows[i].why);
		sha1_hex(rows[i].in, strlen(rows[i].in), hex);
		assert_case(strcmp(hex, rows[i].sha1) == 0, rows[i].why);
	}
}

static void an_empty_key_and_empty_data_have_a_mac(void **state)
{
	unsigned char mac[SHA256_BYTES];
	char hex[SHA256_HEX + 1];

	UNUSED(state);
	hmac_sha256("", 0, "", 0, mac);
	hex_encode(mac, sizeof(mac), hex);
	assert_string_equal(hex,
			    "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void secrets_are_equal_only_as_a_whole(void **state)
{
	static const struct {
		const char *why, *a, *b;
		bool equal;
	} rows[] = {
		{ "equal", "secret", "secret", true },
		{ "the last byte differs", "secret", "secres", false },
		{ "the first byte differs", "secret", "tecret", false },
		{ "a prefix", "secret", "secre", false },
		{ "the other way round", "secre", "secret", false },
		{ "case counts", "secret", "Secret", false },
		{ "nothing and something", "", "s", false },
		{ "nothing and nothing", "", "", true },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_case(secret_equal(rows[i].a, strlen(rows[i].a), rows[i].b,
					 strlen(rows[i].b)) == rows[i].equal,
			    rows[i].why);
	assert_false(secret_equal("a\0b", 3, "a\0c", 3));
}

/* RFC 4648 section 10. */
static void base64_is_that_of_rfc_4648(void **state)
{
	static const struct {
		const char *in, *out, *url;
	} rows[] = {
		{ "", "", "" },
		{ "f", "Zg==", "Zg" },
		{ "fo", "Zm8=", "Zm8" },
		{ "foo", "Zm9v", "Zm9v" },
		{ "foob", "Zm9vYg==", "Zm9vYg" },
		{ "fooba", "Zm9vYmE=", "Zm9vYmE" },
		{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
		/* Both characters in which the URL alphabet differs. */
		{ "\xfb\xff\xfe", "+//+", "-__-" },
		{ "\xfb\xff", "+/8=", "-_8" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(freep) char *text = base64_encode(rows[i].in, strlen(rows[i].in));
		OWNED(freep) char *url = base64url_encode(rows[i].in, strlen(rows[i].in));

		assert_string_equal(text, rows[i].out);
		assert_string_equal(url, rows[i].url);
	}
}

static void hex_reads_exactly_what_it_writes(void **state)
{
	static const struct {
		const char *why, *in;
		size_t n;
		bool ok;
	} rows[] = {
		{ "lower case", "00ff7f80", 4, true },
		{ "upper case", "00FF7F80", 4, true },
		{ "an odd digit more", "00ff7f800", 4, false },
		{ "too short", "00ff7f", 4, false },
		{ "too long", "00ff7f8000", 4, false },
		{ "g", "00ff7f8g", 4, false },
		{ "before 0", "/0ff7f80", 4, false },
		{ "after 9", ":0ff7f80", 4, false },
		{ "before A", "@0ff7f80", 4, false },
		{ "before a", "`0ff7f80", 4, false },
		{ "blank", " 0ff7f80", 4, false },
		{ "prefix", "0x00ff7f", 4, false },
		{ "nothing", "", 0, true },
	};
	static const unsigned char bytes[] = { 0x00, 0xff, 0x7f, 0x80 };
	char text[9];

	UNUSED(state);
	hex_encode(bytes, sizeof(bytes), text);
	assert_string_equal(text, "00ff7f80");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned char out[4] = { 0 };

		assert_case(hex_decode(rows[i].in, strlen(rows[i].in), out, rows[i].n) ==
				    rows[i].ok,
			    rows[i].why);
		if (rows[i].ok && rows[i].n)
			assert_memory_equal(out, bytes, sizeof(bytes));
	}
}

static void every_digit_is_read(void **state)
{
	static const char digits[] = "0123456789abcdef", capitals[] = "0123456789ABCDEF";
	unsigned char lower[8], upper[8];

	UNUSED(state);
	assert_true(hex_decode(digits, 16, lower, sizeof(lower)));
	assert_true(hex_decode(capitals, 16, upper, sizeof(upper)));
	assert_memory_equal(lower, "\x01\x23\x45\x67\x89\xab\xcd\xef", 8);
	assert_memory_equal(upper, lower, 8);
}

static void randomness_differs_and_stays_in_range(void **state)
{
	unsigned seen[5] = { 0 };
	char a[33], b[33], longest[129];

	UNUSED(state);
	random_hex(a, 16);
	random_hex(b, 16);
	assert_int_equal(strlen(a), 32);
	assert_int_equal(strspn(a, "0123456789abcdef"), 32);
	assert_string_not_equal(a, b);
	for (int i = 0; i < 1000; i++) {
		unsigned v = random_below(5);

		assert_in_range(v, 0, 4);
		seen[v]++;
	}
	for (size_t i = 0; i < ARRAY_LEN(seen); i++)
		assert_true(seen[i] > 0); /* missing one has a chance of 1e-97 */
	assert_int_equal(random_below(1), 0);
	random_hex(longest, 64);
	assert_int_equal(strlen(longest), 128);
	assert_int_equal(random_below(0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hmac_is_that_of_rfc_4231),
		cmocka_unit_test(digests_are_the_published_ones),
		cmocka_unit_test(an_empty_key_and_empty_data_have_a_mac),
		cmocka_unit_test(secrets_are_equal_only_as_a_whole),
		cmocka_unit_test(base64_is_that_of_rfc_4648),
		cmocka_unit_test(hex_reads_exactly_what_it_writes),
		cmocka_unit_test(every_digit_is_read),
		cmocka_unit_test(randomness_differs_and_stays_in_range),
	};

	return cmocka_run_group_tests_name("crypto", tests, NULL, NULL);
}
