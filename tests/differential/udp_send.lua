-- send and sendto of UDP: byte counts, errors, arguments.
local socket = require "socket"
local show = require "_show"
local a, b = show.udp_pair()
local peer, port = show.bound_udp()

for _, data in ipairs({"x", "", "hello", "nul\0inside", 42, 1.5, ("x"):rep(8192), ("y"):rep(8193), ("z"):rep(65507)}) do
  local label = #tostring(data) > 20 and #data .. " bytes" or ("%q"):format(tostring(data))
  show.values("send " .. label:gsub("%z", "\\0"), a:send(data)) -- covers: 7/send-count 11/4
  show.values("arrives", b:receive(65536))
end
show.values("too long", a:send(("x"):rep(65508))) -- covers: 7/too-long
show.values("much too long", a:send(("x"):rep(1000000)))
show.values("extra arguments are ignored", a:send("abc", 2, 3), b:receive())

local object = socket.udp() -- covers: 7/sendto-first
show.name("before", object)
show.values("sendto", object:sendto("first", "127.0.0.1", port))
show.values("arrives", (peer:receive()))
show.name("after", object)
show.values("family", object:getfamily(), object.class)
show.values("IPv6 afterwards", object:sendto("x", "::1", port))

local sender = socket.udp4()
for _, host in ipairs({"127.1", "0x7f000001", "2130706433", "017700000001", "*", "127.0.0.1"}) do -- covers: 7/sendto-numeric
  show.values("to " .. host, sender:sendto("to " .. host, host, port))
  show.values("arrives", (peer:receive()))
end
show.values("a numeric host", sender:sendto("n", 2130706433, port), (peer:receive()))
show.values("a port as a string", sender:sendto("s", "127.0.0.1", tostring(port)), (peer:receive()))
show.values("an empty datagram", sender:sendto("", "127.0.0.1", port), (peer:receive()))
show.values("a number as data", sender:sendto(12, "127.0.0.1", port), (peer:receive()))
for _, host in ipairs({"localhost", "no-such-name", "not a name", "", "::1", "fe80::1%lo", "1.2.3.4.5", "256.1.1.1"}) do
  show.values("to " .. ("%q"):format(host), sender:sendto("x", host, port)) -- covers: 7/sendto-raw 9/raw
end
for _, service in ipairs({"http", "domain", "80x", "0x50", "", "-1", " 80"}) do
  show.values("to port " .. ("%q"):format(service), sender:sendto("x", "127.0.0.1", service)) -- covers: 7/sendto-raw
end
show.values("port 0", sender:sendto("x", "127.0.0.1", 0)) -- covers: 7/port-0
show.values("a float as the port", sender:sendto("x", "127.0.0.1", 80.0)) -- covers: 2.4/float-port
show.values("a fraction as the port", sender:sendto("x", "127.0.0.1", 80.5))
show.values("broadcast without leave", sender:sendto("x", "127.255.255.255", port)) -- covers: 7/broadcast
show.values("too long", sender:sendto(("x"):rep(65508), "127.0.0.1", port)) -- covers: 7/too-long
show.values("IPv4 on udp6", socket.udp6():sendto("x", "127.0.0.1", port))
local modulo = ("%d"):format(port + 65536)
show.values("65536 + N", sender:sendto("modulo", "127.0.0.1", modulo), (peer:receive()))

local fresh = socket.udp()
show.values("a name on nothing", fresh:sendto("x", "localhost", port))
show.name("makes no socket", fresh)
show.values("port 0 on nothing", fresh:sendto("x", "127.0.0.1", 0))
show.name("makes one", fresh)
local star = socket.udp()
show.values("* on nothing", star:sendto("star", "*", port), star:getfamily())
show.name("its name", star)

local six, six_port = socket.udp6(), nil
six:setsockname("::1", 0)
six:settimeout(5)
six_port = select(2, six:getsockname())
local lazy = socket.udp()
show.values("IPv6 first", lazy:sendto("six", "::1", six_port), (six:receive())) -- covers: 7/sendto-first
show.values("family", lazy:getfamily())
show.values("IPv4 afterwards", lazy:sendto("x", "127.0.0.1", port))
show.values("a scoped address", pcall(lazy.sendto, lazy, "x", "::1%lo", six_port))

-- Arguments.
for _, count in ipairs({0, 1, 2}) do -- covers: 7/arguments
  local list = {"data", "127.0.0.1"}
  show.method("sendto with " .. count, sender, "sendto", (table.unpack or unpack)(list, 1, count))
end
show.method("sendto a table", sender, "sendto", {}, "127.0.0.1", port)
show.method("sendto to a table", sender, "sendto", "x", {}, port)
show.method("sendto to a port that is a table", sender, "sendto", "x", "127.0.0.1", {})
show.method("sendto nil", sender, "sendto", nil, "127.0.0.1", port)
show.method("sendto a boolean", sender, "sendto", true, "127.0.0.1", port)
show.method("send nothing", a, "send")
show.method("send nil", a, "send", nil)
show.method("send a table", a, "send", {})
show.method("send a boolean", a, "send", false)

-- Closed.
a:close() -- covers: 7/closed-send
show.values("closed, send", a:send("x"))
show.values("closed, send nothing", a:send(""))
sender:close()
show.values("closed udp4, sendto", sender:sendto("x", "127.0.0.1", port)) -- covers: 7/recreate
show.values("closed udp4, sendto a name", sender:sendto("x", "localhost", port))
object:close()
show.values("closed udp, sendto", object:sendto("x", "127.0.0.1", port))
show.name("has no socket", object)
local unsent = socket.udp()
unsent:close()
show.values("closed before it was made", unsent:sendto("x", "127.0.0.1", port))
