-- Names with several addresses, in connect and bind.
local socket = require "socket"
local show = require "_show"

local function listening(host, port)
  local server = assert(socket.bind(host, port or 0))
  server:settimeout(5)
  return server, (select(2, server:getsockname()))
end
local function connected(label, name, port)
  local client, err = socket.connect(name, port)
  if not client then return show.values(label, client, err) end
  show.values(label, client.class, client:getfamily(), (client:getpeername()))
end

-- both.test has ::1 and 127.0.0.1: a change of family makes a new socket.
local server, port = listening("::1") -- covers: 2.5/several-families
connected("the IPv6 one listens", "both.test", port)
server:close()
server, port = listening("127.0.0.1")
connected("the IPv4 one listens", "both.test", port)
server:close()
connected("neither listens", "both.test", port)

-- two.test has 127.0.0.1 and 127.0.0.2: LuaSocket uses one socket for both, which fails after a refusal.
server, port = listening("127.0.0.1") -- covers: 2.5/several-addresses
connected("the first listens", "two.test", port)
server:close()
server, port = listening("127.0.0.2")
show.differs("connect-fallback", "the second listens", (function() -- covers: 11/3
  local client, err = socket.connect("two.test", port)
  return client and client.class, client and client:getpeername() or err
end)())
server:close()
show.differs("connect-fallback", "neither listens", socket.connect("two.test", port))

-- Without time the first address is the only one.
server, port = listening("::1") -- covers: 2.5/first-only
for _, make in ipairs({"tcp", "tcp4", "tcp6"}) do
  local object = socket[make]()
  object:settimeout(0)
  show.values(make .. " without time", object:connect("both.test", port))
  local report = show.values
  if make == "tcp" then report = function(...) return show.differs("lookup-timeout", ...) end end
  report("family", object:getfamily(), object.class)
end
server:close()

-- socket.bind takes the addresses in their order, and the first that works.
local first = socket.bind("both.test", 0) -- covers: 1/bind-order
local second = socket.bind("both.test", (select(2, first:getsockname())))
show.values("first", first:getfamily(), (first:getsockname()))
show.values("second", second and second:getfamily(), second and (second:getsockname()))
show.values("third", socket.bind("both.test", (select(2, first:getsockname()))))
show.values("of one family", (function()
  local one = socket.bind("two.test", 0)
  local two = socket.bind("two.test", (select(2, one:getsockname())))
  return (one:getsockname()), two and (two:getsockname())
end)())

-- The methods on sockets of one family.
server, port = listening("127.0.0.1") -- covers: 2.5/resolve-family
for _, make in ipairs({"tcp", "tcp4", "tcp6"}) do
  local object = socket[make]()
  show.values(make .. " to both", object:connect("both.test", port))
  show.values("family", object:getfamily())
end
for _, make in ipairs({"udp", "udp4", "udp6"}) do
  local object = socket[make]()
  show.values(make .. " to both", object:setpeername("both.test", port))
  show.values("family", object:getfamily(), object.class)
end
connected("local address by a name of both families", "127.0.0.1", port)
show.values("from both.test", socket.connect("127.0.0.1", port, "both.test") ~= nil)
show.values("connect4 from both.test", socket.connect4("127.0.0.1", port, "both.test") ~= nil) -- covers: 1/connect46
show.values("connect6 from both.test", socket.connect6("127.0.0.1", port, "both.test"))
