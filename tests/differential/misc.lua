-- gettime, sleep, skip, dns.getaddrinfo.
local socket = require "socket"
local show = require "_show"

local before = os.time()
local now = socket.gettime()
show.values("gettime", type(now), now >= before - 1 and now <= os.time() + 2)
show.values("it moves on", socket.gettime() >= now)
show.values("in parts of a second", select("#", socket.gettime()))
show.timed("sleep", 0.2, 1, function() return socket.sleep(0.25) end)
show.timed("sleep a string", 0.1, 1, function() return socket.sleep("0.15") end)
show.timed("sleep below zero", 0, 0.1, function() return socket.sleep(-1) end)
show.timed("sleep zero", 0, 0.1, function() return socket.sleep(0) end)

show.values("skip 0", socket.skip(0, "a", "b"))
show.values("skip 1", socket.skip(1, "a", "b"))
show.values("skip 2", socket.skip(2, "a", "b", nil))
show.values("skip all", socket.skip(5, "a", "b"))
show.values("skip a string", socket.skip("1", "a", "b"))

local function addresses(label, list, err)
  if not list then return show.values(label, list, err) end
  for i, entry in ipairs(list) do show.values(label .. " " .. i, entry.family, entry.addr) end
end
addresses("IPv4", socket.dns.getaddrinfo("127.0.0.1"))
addresses("IPv6", socket.dns.getaddrinfo("::1"))
addresses("localhost", socket.dns.getaddrinfo("localhost"))
addresses("not a name", socket.dns.getaddrinfo("not a name"))
addresses("empty", socket.dns.getaddrinfo(""))
