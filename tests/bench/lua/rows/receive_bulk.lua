-- receive(1 MiB) from a peer that sends without a pause.

local bench = ...
local size = 1024 * 1024

return function(time)
  local c = bench.connect("source")
  local function step() assert(#assert(c:receive(size)) == size) end
  assert(c:send("flow\n"))
  local pieces, began = bench.loop(time, 1, step)
  local elapsed = bench.socket.gettime() - began
  c:close()
  return pieces, pieces * size, elapsed
end
