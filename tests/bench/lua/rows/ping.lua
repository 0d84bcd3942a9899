-- Ping-pong of 64 bytes on one socket.

local bench = ...
local message = string.rep("x", 64)

local c = bench.connect("echo")

local function step()
  assert(c:send(message))
  assert(#assert(c:receive(64)) == 64)
end

return function(time)
  local trips, began = bench.loop(time, 10, step)
  return trips, trips * 128, bench.socket.gettime() - began
end
