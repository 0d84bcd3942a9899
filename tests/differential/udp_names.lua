-- Names of UDP sockets: setsockname, getsockname, getfamily.
local socket = require "socket"
local show = require "_show"

local object = socket.udp() -- covers: 7/setsockname
show.name("unmade", object) -- covers: 7/closed-names
show.values("setsockname", object:setsockname("127.0.0.1", 0))
show.name("its name", object)
show.values("class", object.class, object:getfamily())
show.values("second time", object:setsockname("127.0.0.1", 0))
local _, port = object:getsockname()
show.differs("getsockname-port", "type of the port", type(port)) -- covers: 0/getsockname-port
show.values("three values", select("#", object:getsockname()))
show.values("in use", socket.udp():setsockname("127.0.0.1", port))
show.values("in use on udp4", socket.udp4():setsockname("127.0.0.1", port))
local failed = socket.udp()
failed:setsockname("127.0.0.1", port)
show.values("after a failure", failed.class, failed:getfamily())
show.name("its name", failed)
show.values("another port after a failure", failed:setsockname("127.0.0.1", 0))
show.name("its name", failed)

for _, host in ipairs({"*", "localhost", "::1", "0.0.0.0", "127.1", "2130706433", ""}) do
  local made = socket.udp()
  show.values("udp at " .. host, made:setsockname(host, 0)) -- covers: 7/setsockname
  show.name("name", made)
  show.values("family", made:getfamily())
end
for _, make in ipairs({"udp4", "udp6"}) do
  for _, host in ipairs({"*", "127.0.0.1", "::1", "::"}) do
    local made = socket[make]()
    show.values(make .. " at " .. host, made:setsockname(host, 0)) -- covers: 7/setsockname
    show.name("name", made)
    show.values("family", made:getfamily())
  end
end
show.values("an address of another machine", socket.udp():setsockname("203.0.113.1", 0))
show.values("no such service", socket.udp():setsockname("127.0.0.1", "no-such-service"))
show.values("a name that is none", socket.udp():setsockname("not a name", 0))
for _, odd in ipairs({"-1", "80x", "0x50", " 0", "", "65536", "+0"}) do
  show.values("port " .. ("%q"):format(odd), socket.udp():setsockname("127.0.0.1", odd)) -- covers: 7/setsockname
end
local modulo = socket.udp4() -- covers: 7/setsockname
local free = show.dead_udp_port()
show.values("65536 + N", modulo:setsockname("127.0.0.1", tostring(65536 + free):gsub("%.0$", "")))
show.values("is N", tonumber((select(2, modulo:getsockname()))) == free)
show.values("a number as the port", (socket.udp4():setsockname("127.0.0.1", 0)))
show.values("a float as the port", socket.udp4():setsockname("127.0.0.1", 0.0)) -- covers: 2.4/float-port
show.values("a fraction as the port", socket.udp4():setsockname("127.0.0.1", 0.5))

local implicit = socket.udp4() -- covers: 7/implicit-bind
show.name("fresh udp4", implicit)
show.values("sends first", implicit:sendto("x", "127.0.0.1", port))
show.name("has a name then", implicit)
show.values("cannot be bound then", implicit:setsockname("127.0.0.1", 0))
local connected = socket.udp()
connected:setpeername("127.0.0.1", port)
show.name("a connected one has a name", connected)

local fresh6 = socket.udp6() -- covers: 2.3/v6only
show.name("fresh udp6", fresh6)
show.values("udp6 is for IPv6 only", fresh6:getoption("ipv6-v6only"))
local lazy6 = socket.udp()
show.values("lazy IPv6", lazy6:setsockname("::", 0), lazy6:getoption("ipv6-v6only"))
local shared = tonumber((select(2, lazy6:getsockname())))
show.values("so IPv4 can have the port, too", socket.udp4():setsockname("0.0.0.0", shared))

local closed = show.bound_udp() -- covers: 7/closed-names 7/recreate
closed:close()
show.values("closed", closed:getsockname())
show.values("closed, family", closed:getfamily())
show.values("bound again", closed:setsockname("127.0.0.1", 0))
show.name("its name", closed)
local lazily = socket.udp()
lazily:setsockname("::1", 0)
lazily:close()
show.values("closed IPv6, bound to IPv4", lazily:setsockname("127.0.0.1", 0))
show.values("closed IPv6, bound to IPv6", lazily:setsockname("::1", 0))
show.name("its name", lazily)
