-- Connect, send 64 bytes, receive them back, close.

local bench = ...
local message = string.rep("x", 64)

local function step()
  local c = bench.connect("visit")
  assert(c:send(message))
  assert(#assert(c:receive(64)) == 64)
  c:close()
end

return function(time)
  local visits, began = bench.loop(time, 5, step)
  return visits, visits * 128, bench.socket.gettime() - began
end
