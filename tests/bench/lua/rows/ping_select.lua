-- Ping-pong of 64 bytes on 50 sockets under select.

local bench = ...
local select = bench.socket.select
local message = string.rep("x", 64)
local sockets = {}

for i = 1, 50 do
  sockets[i] = bench.connect("crowd")
  assert(sockets[i]:send(message))
end

return function(time)
  local trips = 0
  local function step()
    for _, c in ipairs((select(sockets, nil, 10))) do
      assert(#assert(c:receive(64)) == 64)
      assert(c:send(message))
      trips = trips + 1
    end
  end
  local _, began = bench.loop(time, 10, step)
  return trips, trips * 128, bench.socket.gettime() - began
end
