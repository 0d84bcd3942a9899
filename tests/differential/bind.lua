-- bind, listen, and their failures.
local socket = require "socket"
local show = require "_show"

local object = socket.tcp()
show.values("bind", object:bind("127.0.0.1", 0))
show.values("class", object.class)
local ip, port, family = object:getsockname()
show.values("name", ip, tonumber(port) > 0, family)
show.values("bind again", object:bind("127.0.0.1", 0))
show.values("port taken while bound", socket.tcp4():bind("127.0.0.1", port))
show.values("listen", object:listen())
show.values("class", object.class)
show.values("socket.bind to a taken port", socket.bind("127.0.0.1", port))
show.values("close", object:close())

for _, wrong in ipairs({"-1", "80x", "0x50", "no-such-service", " 0"}) do
  show.values("port " .. wrong, socket.tcp():bind("127.0.0.1", wrong))
end
show.values("empty port is 0", socket.tcp():bind("127.0.0.1", ""))
show.values("a string port", socket.tcp():bind("127.0.0.1", "0"))
show.values("a number as text", socket.tcp():bind("127.0.0.1", 0))
show.values("empty host", socket.tcp():bind("", 0))
show.values("an address of another machine", socket.tcp():bind("203.0.113.1", 0))
show.values("IPv6 on tcp4", socket.tcp4():bind("::1", 0))
show.values("IPv4 on tcp6", socket.tcp6():bind("127.0.0.1", 0))

local any = socket.tcp()
show.values("any", any:bind("*", 0))
show.values("its name", (any:getsockname()), select(3, any:getsockname()))
local six = socket.tcp6()
show.values("any of IPv6", six:bind("*", 0))
show.values("its name", (six:getsockname()), select(3, six:getsockname()), six:getfamily())

show.values("listen on nothing", socket.tcp():listen())
local unbound = socket.tcp4()
show.values("listen unbound", unbound:listen("5"))
show.values("its name", (unbound:getsockname()))

local server = socket.bind("localhost", 0)
show.values("socket.bind by name", server.class, (server:getsockname()))
server = socket.bind("*", 0, 5)
show.values("socket.bind any", server.class, (server:getsockname()))
server = socket.bind("::1", 0)
show.values("socket.bind IPv6", server.class, (server:getsockname()), server:getfamily())
show.values("socket.bind nowhere", socket.bind("203.0.113.1", 0))

local fresh = socket.tcp()
show.values("getsockname of nothing", fresh:getsockname())
show.values("getpeername of nothing", fresh:getpeername())
show.values("setsockname is bind", fresh:setsockname("127.0.0.1", 0))
show.values("getpeername unconnected", fresh:getpeername())
local four = socket.tcp4()
show.values("name of a new tcp4", (four:getsockname()))
