-- receive("*a"): 32 MiB a connection. Connecting is not counted.

local bench = ...
local gettime = bench.socket.gettime
local size = 32 * 1024 * 1024

return function(time)
  local times, elapsed = 0, 0
  repeat
    local c = bench.connect("source")
    local began = gettime()
    assert(c:send("give " .. size .. "\n"))
    assert(#assert(c:receive("*a")) == size)
    elapsed = elapsed + gettime() - began
    times = times + 1
    c:close()
  until elapsed >= time
  return times, times * size, elapsed
end
