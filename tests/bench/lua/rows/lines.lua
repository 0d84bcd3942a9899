-- receive("*l"): lines of 64 bytes that a peer sends without a pause.

local bench = ...

return function(time)
  local c = bench.connect("source")
  local function step() assert(#assert(c:receive("*l")) == 63) end
  assert(c:send("flow\n"))
  local lines, began = bench.loop(time, 100, step)
  local elapsed = bench.socket.gettime() - began
  c:close()
  return lines, lines * 64, elapsed
end
