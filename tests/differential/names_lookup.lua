-- Lookups with a hosts file and a name server of the test's own (tests/peers/name_server.py).
local socket = require "socket"
local show = require "_show"
local dns = socket.dns

local ask = show.deep_call

local names = {
  "main.test", "alias-one", "two.test", "both.test", "six.test", -- the hosts file
  "one.example", "many.example", "six.example", "mixed.example", "alias.example", -- the name server
  "nodata.example", "nothing.example", "servfail.example", "refused.example", -- its failures
  "256.1.1.1", "1.2.3.4.5", "127.0.0.9", "127.0.0.10", "::1", "0.0.0.0", "nine.example",
}
for _, name in ipairs(names) do
  ask("toip " .. name, dns.toip, name) -- covers: 6/toip 6/info 6/nxdomain 6/servfail 6/nodata 11/13
  ask("tohostname " .. name, dns.tohostname, name) -- covers: 6/tohostname
  ask("getaddrinfo " .. name, dns.getaddrinfo, name) -- covers: 6/getaddrinfo 6/order 9/gai-again 9/gai-nodata
  ask("getnameinfo " .. name, dns.getnameinfo, name) -- covers: 6/getnameinfo 6/numeric
  ask("getnameinfo " .. name .. " 80", dns.getnameinfo, name, 80)
end

for _, name in ipairs({"nodata.example", "nothing.example", "servfail.example", "refused.example"}) do
  show.values("connect " .. name, socket.connect(name, 80)) -- covers: 9/gai-again 9/gai-nodata
  show.values("connect method " .. name, socket.tcp():connect(name, 80))
  show.values("bind " .. name, socket.bind(name, 0))
  show.values("bind method " .. name, socket.tcp():bind(name, 0))
  show.values("setpeername " .. name, socket.udp():setpeername(name, 80))
  show.values("setsockname " .. name, socket.udp():setsockname(name, 0))
  show.values("sendto " .. name, socket.udp4():sendto("x", name, 80))
end
-- A family restricts what is found.
for _, name in ipairs({"localhost", "six.test", "both.test", "one.example", "six.example", "mixed.example"}) do
  for _, make in ipairs({"tcp", "tcp4", "tcp6"}) do
    local object = socket[make]()
    show.values(make .. " bind " .. name, object:bind(name, 0)) -- covers: 6/family
    show.name("name", object)
  end
  for _, make in ipairs({"udp", "udp4", "udp6"}) do
    local object = socket[make]()
    show.values(make .. " setsockname " .. name, object:setsockname(name, 0))
    show.name("name", object)
  end
end
-- Without time a lookup is done all the same by LuaSocket, and is never waited for by ours.
local object = socket.tcp()
object:settimeout(0)
show.differs("lookup-timeout", "connect by name without time", object:connect("one.example", 9)) -- covers: 6/blocks
show.values("class", object.class)
