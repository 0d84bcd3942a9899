-- One measurement of one row: `bench.lua ROW WAY SECONDS WARM_UP PORTS`. The same for every contender.
--
-- WAY is `direct`, `ours` or `socks:PORT`; PORTS is `echo=1,crowd=2,...`, the peers or the relay's doors to them. It prints `ready`
-- once it has warmed up, waits for a line, and prints `result OPERATIONS BYTES SECONDS CPU_SECONDS`.

local row, way, seconds, warm_up, ports = ...
local directory = arg[0]:match("^(.*/)") or "./"
local socket = require "socket"

-- Whoever measures has to be sure whom.
local function is_ours()
  for line in io.lines("/proc/self/maps") do
    if line:find("luasocketd.so", 1, true) then return true end
  end
  return false
end
assert(is_ours() == (way == "ours"), "the module that was found is not the one to be measured")

local bench = {socket = socket, port = {}}

for name, port in ports:gmatch("(%w+)=(%d+)") do bench.port[name] = tonumber(port) end

local proxy = tonumber(way:match("^socks:(%d+)$"))

-- What a script does that has to go through a SOCKS5 proxy (RFC 1928): no authentication, connect by IPv4 address.
local function through_socks(port)
  local c = assert(socket.connect("127.0.0.1", proxy))
  assert(c:send("\5\1\0"))
  assert(c:receive(2) == "\5\0", "the proxy wants a password")
  assert(c:send(string.char(5, 1, 0, 1, 127, 0, 0, 1, math.floor(port / 256), port % 256)))
  local answer = assert(c:receive(10))
  assert(answer:byte(2) == 0, "the proxy refuses")
  return c
end

-- A connection to a peer.
function bench.connect(peer)
  local port = assert(bench.port[peer], "there is no such peer")
  if proxy then return through_socks(port) end
  return assert(socket.connect("127.0.0.1", port))
end

-- Calls `step` until the time is over, so many times between two looks at the clock; gives the number of calls, and when it began.
function bench.loop(time, between, step)
  local began = socket.gettime()
  local ends, calls = began + time, 0
  repeat
    for _ = 1, between do step() end
    calls = calls + between
  until socket.gettime() >= ends
  return calls, began
end

-- What a file of rows/ returns, given this and its arguments.
function bench.part(name, ...)
  return assert(loadfile(directory .. "rows/" .. name .. ".lua"))(bench, ...)
end

local measure = bench.part(row)
measure(tonumber(warm_up))
collectgarbage()
io.stdout:write("ready\n")
io.stdout:flush()
assert(io.read(), "nobody waits for the result")
local cpu = os.clock()
local operations, bytes, elapsed = measure(tonumber(seconds))
cpu = os.clock() - cpu
io.stdout:write(string.format("result %.3f %.0f %.9f %.6f\n", operations, bytes, elapsed, cpu))
