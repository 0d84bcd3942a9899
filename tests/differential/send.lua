-- send and its ranges.
local socket = require "socket"
local show = require "_show"
local client, other = show.pair()

local data = "abcdefghij"
local ranges = {
  {}, {3}, {3, 5}, {-3}, {-3, -2}, {-100, 2}, {0, 3}, {5, 4}, {1, 0}, {1, -11}, {11}, {20}, {"2", "4"}, {2, 100},
  {10, 10}, {1, -1}, {-1, -1}, {8, -2},
}
for _, range in ipairs(ranges) do
  show.values("send " .. table.concat(range, ","), client:send(data, range[1], range[2]))
end
show.values("empty", client:send(""))
show.values("a number", client:send(42))
show.values("a fraction", client:send(1.5))
show.values("nil range", client:send("x", nil, nil))
client:send("\n")
show.values("what came", other:receive())

local big = ("0123456789abcdef"):rep(4096)
show.values("64 KiB", client:send(big))
show.values("arrive", other:receive(#big))

local huge = ("x"):rep(64 * 1024 * 1024)
client:settimeout(0)
local done, err, last = client:send(huge)
show.values("more than fits", done, err, last > 0 and last < #huge)
client:settimeout(0.3)
show.timed("still full", 0.25, 2, function()
  local done, err, sent = client:send(huge)
  return done, err, sent < #huge
end)
client:close()
show.values("closed", client:send("xyz"))
show.values("closed, from 3", client:send("xyz", 3))
show.values("closed, an empty range", client:send("xyz", 3, 2))
show.values("closed, nothing", client:send(""))
