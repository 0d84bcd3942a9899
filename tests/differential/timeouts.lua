-- settimeout, its modes, and how long calls last.
local socket = require "socket"
local show = require "_show"
local client, other = show.pair()

show.values("at first", client:gettimeout())
for _, set in ipairs({{5}, {7, "t"}, {-2}, {3, "r"}, {1.5, "block"}, {2.5, "total"}, {nil, "t"}, {"4"}, {0}, {-1, "b"}}) do
  show.values("settimeout", client:settimeout(set[1], set[2]))
  show.values("gettimeout", client:gettimeout())
end
show.values("nothing", client:settimeout())
show.values("gettimeout", client:gettimeout())

client:settimeout(0)
show.timed("zero", 0, 0.2, function() return client:receive() end)
client:settimeout(0.3)
show.timed("block", 0.25, 1.5, function() return client:receive() end)
client:settimeout(-1)
client:settimeout(0.3, "t")
show.timed("total", 0.25, 1.5, function() return client:receive(5) end)
client:settimeout(5, "b")
show.timed("both, total first", 0.25, 1.5, function() return client:receive("*a") end)
client:settimeout(0.3, "b")
client:settimeout(5, "t")
show.timed("both, block first", 0.25, 1.5, function() return client:receive() end)

other:send("here\n")
client:settimeout(5)
show.timed("data does not wait", 0, 1, function() return client:receive() end)
other:send("part")
client:settimeout(0.3)
show.timed("part of a line", 0.25, 1.5, function() return client:receive() end)
show.values("and it is gone", client:receive())

local master = socket.tcp()
show.values("on a master", master:settimeout(2), master:gettimeout())
show.values("kept by connect", (function()
  local server = socket.bind("127.0.0.1", 0)
  local ip, port = server:getsockname()
  return master:connect(ip, port), master:gettimeout()
end)())
client:close()
show.values("on a closed one", client:settimeout(1), client:gettimeout())
