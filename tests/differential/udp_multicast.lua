-- Membership of multicast groups: values, errors, and the datagrams that come.
local socket = require "socket"
local show = require "_show"

local add, drop = "ip-add-membership", "ip-drop-membership"
local object = socket.udp4()
show.method("join", object, "setoption", add, {multiaddr = "239.1.2.3", interface = "127.0.0.1"}) -- covers: 5/membership
show.method("join again", object, "setoption", add, {multiaddr = "239.1.2.3", interface = "127.0.0.1"})
show.method("leave", object, "setoption", drop, {multiaddr = "239.1.2.3", interface = "127.0.0.1"})
show.method("leave again", object, "setoption", drop, {multiaddr = "239.1.2.3", interface = "127.0.0.1"})
show.method("no group", object, "setoption", add, {multiaddr = "10.1.2.3", interface = "127.0.0.1"})
for _, name in ipairs({add, drop}) do -- covers: 5/membership-errors
  show.method(name .. " no table", object, "setoption", name, "239.1.2.3")
  show.method("nothing", object, "setoption", name)
  show.method("an empty table", object, "setoption", name, {})
  show.method("a number as the group", object, "setoption", name, {multiaddr = 5, interface = "*"})
  show.method("a boolean as the group", object, "setoption", name, {multiaddr = true, interface = "*"})
  show.method("a bad group", object, "setoption", name, {multiaddr = "x", interface = "*"})
  show.method("no interface", object, "setoption", name, {multiaddr = "239.1.2.3"})
  show.method("a boolean interface", object, "setoption", name, {multiaddr = "239.1.2.3", interface = true})
  show.method("a bad interface", object, "setoption", name, {multiaddr = "239.1.2.3", interface = "eth99"})
  show.method("an IPv6 group", object, "setoption", name, {multiaddr = "ff02::1", interface = "*"})
end

add, drop = "ipv6-add-membership", "ipv6-drop-membership"
local six = socket.udp6()
show.method("IPv6 leave what was not joined", six, "setoption", drop, {multiaddr = "ff02::1:7", interface = 1})
show.method("IPv6 join", six, "setoption", add, {multiaddr = "ff02::1:7", interface = 1}) -- covers: 5/membership6
show.method("IPv6 join again", six, "setoption", add, {multiaddr = "ff02::1:7", interface = 1})
show.method("IPv6 leave", six, "setoption", drop, {multiaddr = "ff02::1:7", interface = 1})
show.method("a string of a number", six, "setoption", add, {multiaddr = "ff02::1:8", interface = "1"})
for _, name in ipairs({add, drop}) do -- covers: 5/membership6
  show.method(name .. " no table", six, "setoption", name, "ff02::1")
  show.method("nothing", six, "setoption", name)
  show.method("an empty table", six, "setoption", name, {})
  show.method("a bad group", six, "setoption", name, {multiaddr = "x"})
  show.method("an IPv4 group", six, "setoption", name, {multiaddr = "239.1.2.3"})
  show.method("no group", six, "setoption", name, {multiaddr = "::1", interface = 1})
  for _, wrong in ipairs({true, "lo", {}}) do -- LuaJIT counts this negative argument from the top of its stack
    show.differs_on_jit("luajit-negative", "interface a " .. type(wrong), function()
      six:setoption(name, {multiaddr = "ff02::1", interface = wrong})
    end)
  end
  show.method("an interface that is none", six, "setoption", name, {multiaddr = "ff02::1", interface = 999999})
end
show.method("IPv6 join on IPv4", object, "setoption", add, {multiaddr = "ff02::1", interface = 1})
show.method("IPv4 join on an unmade one", socket.udp(), "setoption", "ip-add-membership",
  {multiaddr = "239.1.2.3", interface = "127.0.0.1"}) -- covers: 5/unmade

-- A datagram to a group reaches each member on the loopback interface.
local function member() -- covers: 5/membership
  local made = socket.udp4()
  assert(made:setoption("reuseaddr", true))
  made:settimeout(5)
  return made
end
local first, second = member(), member()
show.values("the first is bound", first:setsockname("0.0.0.0", 0))
local _, port = first:getsockname()
first:setoption("reuseport", true)
local joined = {multiaddr = "239.77.1.2", interface = "127.0.0.1"}
show.values("and joins", first:setoption("ip-add-membership", joined))
local sender = socket.udp4()
sender:setoption("ip-multicast-if", "127.0.0.1")
sender:setoption("ip-multicast-loop", true)
show.values("to the group", sender:sendto("to all", "239.77.1.2", port))
show.values("arrives", (first:receive()))
first:setoption("ip-drop-membership", joined)
sender:sendto("nobody hears this", "239.77.1.2", port)
sender:sendto("direct", "127.0.0.1", port)
show.values("after leaving", (first:receive()))
second:close()
