ngx.req.read_body()
local body = ngx.req.get_body_data()
local headers = ngx.req.get_headers()
if not body or headers["X-Hub-Signature-256"] ~= bench_signature(body) then
  return ngx.exit(401)
end

local function bulk(text) return "$" .. #text .. "\r\n" .. text .. "\r\n" end

local redis = ngx.socket.tcp()
if not redis:connect("unix:@SOCKET@") then return ngx.exit(503) end
redis:send({ "*7\r\n", bulk("XADD"), bulk("bench:events"), bulk("*"), bulk("delivery"),
  bulk(headers["X-GitHub-Delivery"]), bulk("body"), bulk(body) })
local size = redis:receive()
if not size or size:sub(1, 1) ~= "$" then return ngx.exit(503) end
redis:receive()
redis:setkeepalive(60000, 256)
ngx.status = 202
ngx.print("{}")
