-- bind and listen with every odd argument; names of what was bound.
local socket = require "socket"
local show = require "_show"

for _, make in ipairs({"tcp", "tcp4", "tcp6"}) do
  for _, host in ipairs({"*", "127.0.0.1", "::1", "::", "0.0.0.0", "127.1", "2130706433", "0x7f000001", "", "not a name",
    "203.0.113.1", "2001:db8::1", "::ffff:127.0.0.1", "fe80::1", "*x", "127.0.0.1\0x"}) do
    local object = socket[make]()
    show.values(make .. " at " .. host:gsub("%z", "\\0"), object:bind(host, 0)) -- covers: 2.4/bind-hosts 2.4/star 2.4/empty-host 2.4/wrong-family
    show.values("class and family", object.class, object:getfamily())
    show.name("name", object)
  end
end
for _, make in ipairs({"tcp", "tcp4"}) do
  for _, port in ipairs({"", "0", "-1", "-0", "0x50", "80x", "x", "65536", "131072", "6553600000000000", "1e3", "+0", " 0",
    "0 ", "no-such-service", "HTTP-nope"}) do
    show.values(make .. " port " .. ("%q"):format(port), socket[make]():bind("127.0.0.1", port)) -- covers: 2.4/port-0 2.4/bad-ports 2.4/modulo
  end
  for _, port in ipairs({0, 65536, -1}) do
    show.values(make .. " port " .. port, socket[make]():bind("127.0.0.1", port)) -- covers: 2.4/bad-ports
  end
  show.values(make .. " float port", socket[make]():bind("127.0.0.1", 0.0)) -- covers: 2.4/float-port
  show.values(make .. " fraction port", socket[make]():bind("127.0.0.1", 0.5))
end
-- A service by its name. Other runs of this script may hold the same port, hence reuseport.
local named = socket.tcp4() -- covers: 2.4/service
named:setoption("reuseport", true)
show.values("a service", named:bind("127.0.0.77", "amqp"))
show.values("its number", tonumber((select(2, named:getsockname()))))
show.values("a service elsewhere", socket.tcp():bind("203.0.113.1", "http"))

local free = socket.tcp4()
free:bind("127.0.0.1", 0)
local _, port = free:getsockname()
free:close()
local modulo = socket.tcp4()
show.values("65536 + N", modulo:bind("127.0.0.1", ("%d"):format(65536 + tonumber(port)))) -- covers: 2.4/modulo
show.values("is N", tonumber((select(2, modulo:getsockname()))) == tonumber(port))

for _, make in ipairs({"tcp", "tcp4"}) do
  local object = socket[make]() -- covers: 2.4/taken 2.4/unspec
  show.values(make .. " on a taken port", object:bind("127.0.0.1", port))
  show.values("class", object.class, object:getfd() >= 0)
  show.name("name", object)
  show.values("bind elsewhere", object:bind("127.0.0.1", 0))
  show.name("name", object)
  show.values("second bind", object:bind("127.0.0.1", 0)) -- covers: 2.4/second-bind
  show.values("to the other family", object:bind("::1", 0))
  show.name("name", object)
  show.values("then listen", object:listen(), object.class)

  object = socket[make]() -- covers: 2.4/bind-after-close
  object:bind("127.0.0.1", 0)
  object:close()
  show.values("closed and bound again", object:bind("127.0.0.1", 0), object:listen())
end
local object = socket.tcp() -- covers: 2.4/unspec
show.values("failing with IPv6", object:bind("2001:db8::1", 0))
show.name("name", object)
show.values("then IPv4", object:bind("127.0.0.1", 0))
show.name("name", object)

show.method("nothing", socket.tcp(), "bind") -- covers: 2.4/bind-arguments
show.method("no port", socket.tcp(), "bind", "127.0.0.1")
show.method("nil port", socket.tcp(), "bind", "127.0.0.1", nil)
show.method("nil host", socket.tcp(), "bind", nil, 0)
show.method("a table", socket.tcp(), "bind", {}, 0)
show.method("a boolean port", socket.tcp(), "bind", "127.0.0.1", true)
show.method("a number as host", socket.tcp(), "bind", 2130706433, 0)
show.method("setsockname nothing", socket.tcp(), "setsockname")
show.call("by pcall", socket.tcp().bind, socket.tcp())
show.call("by pcall, no port", socket.tcp().bind, socket.tcp(), "*")

for _, backlog in ipairs({0, 1, 5, 1000000, -1, "7", 2.9, 1e15, -1e15}) do -- covers: 2.4/listen
  show.values("listen " .. tostring(backlog), socket.tcp4():listen(backlog))
end
show.values("listen nil", socket.tcp4():listen(nil), socket.tcp4():listen())
for _, wrong in ipairs({"x", {}, true, ""}) do
  show.method("listen " .. type(wrong), socket.tcp4(), "listen", wrong)
end
local unbound = socket.tcp4() -- covers: 2.4/listen-unbound
show.values("listen unbound", unbound:listen())
show.name("name", unbound)
local six = socket.tcp6()
show.values("IPv6 listen unbound", six:listen())
show.name("name", six)
show.values("listen on nothing", socket.tcp():listen()) -- covers: 2.3/lazy-names
local first, second = socket.tcp4(), socket.tcp4() -- covers: 2.4/listen-taken
first:setoption("reuseaddr", true)
second:setoption("reuseaddr", true)
first:bind("127.0.0.1", 0)
show.values("two with reuseaddr", second:bind("127.0.0.1", (select(2, first:getsockname()))))
show.values("one listens", first:listen())
show.values("the other cannot", second:listen())
show.values("and stays a master", second.class)
