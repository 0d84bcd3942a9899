-- socket.bind.
local socket = require "socket"
local show = require "_show"

local function made(label, server, err)
  if not server then return show.values(label, server, err) end
  show.values(label, server.class, server:getfamily(), server:getoption("reuseaddr"))
  show.name("  name", server)
  return server
end
made("IPv4", socket.bind("127.0.0.1", 0)) -- covers: 1/bind-order 1/bind-reuseaddr
made("IPv6", socket.bind("::1", 0))
made("a name", socket.bind("localhost", 0))
made("any", socket.bind("*", 0)) -- covers: 1/bind-star
made("any IPv6", socket.bind("::", 0))
made("with a backlog", socket.bind("127.0.0.1", 0, 7))
made("with a string backlog", socket.bind("127.0.0.1", "0", "7"))
made("a number as host", socket.bind(2130706433, 0))
show.values("one value", select("#", socket.bind("127.0.0.1", 0)))
made("empty host", socket.bind("", 0)) -- covers: 1/bind-fails
made("not a name", socket.bind("not a name", 0))
made("somebody else's address", socket.bind("203.0.113.1", 0))
made("somebody else's IPv6 address", socket.bind("2001:db8::1", 0))
made("no such service", socket.bind("127.0.0.1", "no-such-service"))
made("a negative port", socket.bind("127.0.0.1", -1))
made("a float port", socket.bind("127.0.0.1", 0.0)) -- covers: 2.4/float-port

local holder = socket.bind("127.0.0.1", 0)
local _, port = holder:getsockname()
made("taken", socket.bind("127.0.0.1", port)) -- covers: 1/bind-fails
made("taken, other address", socket.bind("127.0.0.2", port))
holder:close()
made("free again at once", socket.bind("127.0.0.1", port))
local server = socket.bind("127.0.0.1", 0) -- covers: 1/bind-reuseaddr
_, port = server:getsockname()
local client = socket.connect("127.0.0.1", port)
local accepted = server:accept()
accepted:close()
client:close()
server:close()
made("although a connection lingers", socket.bind("127.0.0.1", port))

show.raises("nothing", socket.bind) -- covers: 1/bind-arguments
show.raises("no port", socket.bind, "127.0.0.1")
show.raises("a table", socket.bind, {}, 0)
show.raises("a table as port", socket.bind, "127.0.0.1", {})
show.raises("a bad backlog", socket.bind, "127.0.0.1", 0, "x")

for _, host in ipairs({"*", "127.0.0.1"}) do -- covers: 1/bind-star
  server = socket.bind(host, 0)
  server:settimeout(5)
  _, port = server:getsockname()
  show.values("reached at " .. host, socket.connect("127.0.0.1", port) ~= nil, server:accept().class)
end
show.values("not by IPv6", (function()
  local any = socket.bind("*", 0)
  return socket.connect("::1", (select(2, any:getsockname())))
end)())
show.values("IPv6 is not reached by IPv4", (function() -- covers: 2.3/v6only
  local any = socket.bind("::", 0)
  return socket.connect("127.0.0.1", (select(2, any:getsockname())))
end)())
local lazy = socket.tcp()
lazy:bind("::", 0)
lazy:listen()
show.values("nor one that was made by bind", socket.connect("127.0.0.1", (select(2, lazy:getsockname()))))
local dual = socket.tcp6() -- covers: 2.4/dual-stack
show.values("a dual one", dual:setoption("ipv6-v6only", false), dual:bind("::", 0), dual:listen())
client = socket.connect("127.0.0.1", (select(2, dual:getsockname())))
accepted = dual:accept()
show.name("accepted", accepted)
show.name("peer", accepted, "peer")
show.values("family", accepted:getfamily())
