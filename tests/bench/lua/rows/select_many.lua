-- select over 1,000 sockets, of which 10 always have something to read: 64 bytes are taken from each that it names. An operation is
-- one select that names 10; one that names fewer counts for as much less.

local bench = ...
local select = bench.socket.select
local sockets = {}

-- The ready ones stand all over the list.
for i = 1, 1000 do
  local is_ready = i % 100 == 50
  sockets[i] = bench.connect(is_ready and "source" or "crowd")
  if is_ready then assert(sockets[i]:send("flow\n")) end
end

return function(time)
  local served = 0
  local function step()
    for _, c in ipairs((select(sockets, nil, 10))) do
      assert(#assert(c:receive(64)) == 64)
      served = served + 1
    end
  end
  local _, began = bench.loop(time, 10, step)
  return served / 10, served * 64, bench.socket.gettime() - began
end
