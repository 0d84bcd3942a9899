-- Ping-pong on one socket within a window of time that many processes have in common: `ping_at.lua PORT`. It reads when the
-- window begins and how long it is, and prints `trips NUMBER`.

local port = ...
local socket = require "socket"
local message = string.rep("x", 64)
local c = assert(socket.connect("127.0.0.1", tonumber(port)))

local function trip()
  assert(c:send(message))
  assert(#assert(c:receive(64)) == 64)
end

trip()
io.stdout:write("ready\n")
io.stdout:flush()
local begins, seconds = io.read():match("^(%S+) (%S+)$")
begins = tonumber(begins)
local ends, trips = begins + tonumber(seconds), 0
local early = begins - socket.gettime()
assert(early > 0, "the window was open before everybody knew")
socket.sleep(early)
while true do
  trip()
  -- What was not back in time does not count.
  if socket.gettime() >= ends then break end
  trips = trips + 1
end
io.stdout:write(string.format("trips %d\n", trips))
