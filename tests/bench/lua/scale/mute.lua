-- Has many fast senders send, and never reads: `mute.lua COUNT PORT`. Ends with its input.

local count, port = ...
local socket = require "socket"
local held = {}

for i = 1, tonumber(count) do
  held[i] = assert(socket.connect("127.0.0.1", tonumber(port)))
  assert(held[i]:send("flow\n"))
end
io.stdout:write("ready\n")
io.stdout:flush()
io.read("*a")
