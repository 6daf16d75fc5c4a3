-- HMAC through OpenSSL, as the plain Lua ones are many times slower.
local ffi = require("ffi")
ffi.cdef [[
const void *EVP_sha256(void);
unsigned char *HMAC(const void *md, const void *key, int key_len, const char *data, size_t n,
                    unsigned char *out, unsigned int *out_len);
]]
local crypto = ffi.load("libcrypto.so.3")
local digest = ffi.new("unsigned char[32]")
local length = ffi.new("unsigned int[1]")
local secret = os.getenv("BENCH_SECRET")
local hex = {}
for i = 0, 255 do hex[i] = string.format("%02x", i) end

function bench_signature(body)
  local out = {}
  crypto.HMAC(crypto.EVP_sha256(), secret, #secret, body, #body, digest, length)
  for i = 0, 31 do out[i + 1] = hex[digest[i]] end
  return "sha256=" .. table.concat(out)
end
