-- Signed deliveries, each with an id of its own, so that nobody may answer "duplicate".
local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local work = assert(os.getenv("BENCH_WORK"), "BENCH_WORK")
local body = read(work .. "/body.json")
local headers = {
  ["Content-Type"] = "application/json",
  ["X-GitHub-Event"] = "workflow_run",
  ["X-Hub-Signature-256"] = read(work .. "/signature"),
}
local sent = 0
local run = ""

-- So many milliseconds each connection waits on average before a request: an open stream of
-- events instead of as many as possible.
local pause = tonumber(os.getenv("BENCH_PAUSE_MS") or "0")
function init()
  local seed = io.open("/dev/urandom", "rb")
  run = seed:read(8):gsub(".", function(c) return string.format("%02x", c:byte()) end)
  seed:close()
end

function request()
  sent = sent + 1
  headers["X-GitHub-Delivery"] = run .. "-" .. sent
  return wrk.format("POST", nil, headers, body)
end

if pause > 0 then
  function delay()
    return math.random(0, 2 * pause)
  end
end
