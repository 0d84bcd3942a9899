-- Connecting UDP sockets: setpeername, getpeername, and disconnecting again.
local socket = require "socket"
local show = require "_show"
local peer, port = show.bound_udp()
local other, other_port = show.bound_udp()

for _, make in ipairs({"udp", "udp4"}) do
  local object = socket[make]() -- covers: 7/setpeername
  show.values(make, object:setpeername("127.0.0.1", port))
  show.values("class and family", object.class, object:getfamily())
  show.name("own name", object)
  show.name("peer", object, "peer")
  show.values("it is that port", tonumber((select(2, object:getpeername()))) == port)
  show.values("type of its peer's port", type((select(2, object:getpeername()))))
  show.values("values of getpeername", select("#", object:getpeername()))
  show.values("send", object:send("to the first"))
  show.values("arrives", (peer:receive()))
  show.values("once more while connected", object:setpeername("127.0.0.1", other_port)) -- covers: 7/setpeername-again
  show.values("class", object.class)
  show.values("send", object:send("to the second"))
  show.values("arrives", (other:receive()))
  show.values("by name", object:setpeername("localhost", tostring(port))) -- covers: 7/setpeername
  show.values("send", object:send("by name"))
  show.values("arrives", (peer:receive()))
end
show.values("a service name", socket.udp():setpeername("127.0.0.1", "domain"))

local function failing(label, object, host, service) -- covers: 7/setpeername-fails
  show.values(label, object:setpeername(host, service))
  show.values("class", object.class, object:getfamily())
  show.name("name", object)
end
failing("IPv6 on udp4", socket.udp4(), "::1", port)
failing("IPv4 on udp6", socket.udp6(), "127.0.0.1", port)
failing("no such service", socket.udp(), "127.0.0.1", "no-such-service")
failing("a bad port", socket.udp(), "127.0.0.1", "80x")
failing("a negative port", socket.udp(), "127.0.0.1", -1)
failing("an empty host", socket.udp(), "", port)
failing("not a name", socket.udp(), "not a name", port)
failing("broadcast without leave", socket.udp4(), "127.255.255.255", port)
failing("port 0", socket.udp4(), "127.0.0.1", 0)
failing("a fraction", socket.udp4(), "127.0.0.1", 80.5)
local bound_here = show.bound_udp()
failing("bound to IPv4, to IPv6", bound_here, "::1", port)
local a, b = show.udp_pair()
show.values("a failure while connected", a:setpeername("::1", port)) -- covers: 7/setpeername-fails
show.values("class", a.class)
show.values("still sends", a:send("same peer"))
show.values("arrives", b:receive())

-- Disconnecting.
show.values("disconnect", a:setpeername("*")) -- covers: 7/disconnect
show.values("class", a.class)
show.method("getpeername after it", a, "getpeername")
show.method("send after it", a, "send", "x")
show.values("sendto works", a:sendto("again", "127.0.0.1", port))
show.values("arrives", (peer:receivefrom()))
show.values("port is ignored", (show.udp_pair()):setpeername("*", {}))
show.values("a bad port, too", (show.udp_pair()):setpeername("*", "80x"))
local lazy = socket.udp()
show.values("on nothing", lazy:setpeername("*"), lazy.class)
show.name("which makes no socket", lazy)
show.values("on an unconnected one", socket.udp4():setpeername("*", 0))

local ephemeral = socket.udp4() -- covers: 7/disconnect-port
ephemeral:setpeername("127.0.0.1", port)
show.name("an ephemeral name", ephemeral)
ephemeral:setpeername("*")
show.name("is forgotten", ephemeral)
show.values("a send makes a new one", ephemeral:sendto("x", "127.0.0.1", port), (peer:receive()))
show.name("name", ephemeral)
local bound, bound_port = show.bound_udp()
bound:setpeername("127.0.0.1", port)
bound:setpeername("*")
show.name("a bound name stays", bound)
show.values("its port is the same", tonumber((select(2, bound:getsockname()))) == bound_port)

local six = socket.udp() -- covers: 7/setpeername
local six_peer = socket.udp6()
six_peer:setsockname("::1", 0)
six_peer:settimeout(5)
show.values("IPv6", six:setpeername("::1", (select(2, six_peer:getsockname()))), six:getfamily())
show.name("name", six)
show.name("peer", six, "peer")
show.values("send", six:send("six"))
show.values("arrives", (six_peer:receive()))

-- A connected socket hears its peer only.
a, b = show.udp_pair() -- covers: 7/connected-filters
local a_port = tonumber((select(2, a:getsockname())))
show.values("a stranger sends", other:sendto("from a stranger", "127.0.0.1", a_port))
show.values("the peer sends", b:send("from the peer"))
show.values("only the peer is heard", a:receive())

local closed = show.bound_udp() -- covers: 7/recreate
closed:close()
show.values("closed udp4", closed:setpeername("127.0.0.1", port), closed.class)
show.values("sends", closed:send("from a new socket"))
show.values("arrives", (peer:receive()))
local gone = (show.udp_pair())
gone:close()
show.values("closed while connected", gone.class, gone:getpeername()) -- covers: 7/closed-names
show.values("connected again", gone:setpeername("127.0.0.1", port), gone:send("back"))
show.values("arrives", (peer:receive()))

show.method("nothing", socket.udp(), "setpeername") -- covers: 7/arguments
show.method("no port", socket.udp(), "setpeername", "127.0.0.1")
show.method("a table", socket.udp(), "setpeername", {}, 1)
show.method("a table as port", socket.udp(), "setpeername", "127.0.0.1", {})
show.method("nil as port", socket.udp(), "setpeername", "127.0.0.1", nil)
show.method("a number as host", socket.udp(), "setpeername", 2130706433, port)
