-- send of messages of one size, without a pause. The clock stops when the peer says that it has all of them.

local bench, size, between = ...
local message = string.rep("x", size)

return function(time)
  local c = bench.connect("sink")
  local function step() assert(c:send(message) == size) end
  local messages, began = bench.loop(time, between, step)
  -- The line's end is the end; half of a connection cannot be closed through every relay.
  assert(c:send("\n"))
  local total = tonumber((assert(c:receive("*l"))))
  local elapsed = bench.socket.gettime() - began
  assert(total == messages * size + 1, "the peer has got something else")
  c:close()
  return messages, messages * size, elapsed
end
