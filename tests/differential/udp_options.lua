-- All options of UDP sockets.
local socket = require "socket"
local show = require "_show"

local booleans = { -- covers: 5/udp-bool
  "dontroute", "broadcast", "reuseaddr", "reuseport", "ip-multicast-loop", "ipv6-multicast-loop", "ipv6-v6only",
}
for _, make in ipairs({"udp4", "udp6"}) do
  local object = socket[make]()
  for _, name in ipairs(booleans) do
    local label = make .. " " .. name
    show.method(label .. " at first", object, "getoption", name)
    show.method("set", object, "setoption", name, true)
    show.method("get", object, "getoption", name)
    show.method("unset", object, "setoption", name, false)
    show.method("get", object, "getoption", name)
    for _, wrong in ipairs({1, "true", {}}) do -- covers: 5/bool
      show.method("set to a " .. type(wrong), object, "setoption", name, wrong)
    end
    show.method("set to nothing", object, "setoption", name)
    show.method("set to nil", object, "setoption", name, nil)
  end
end

local object, six = socket.udp4(), socket.udp6()
for _, name in ipairs({"recv-buffer-size", "send-buffer-size"}) do -- covers: 5/udp-int
  show.method(name, object, "setoption", name, 20000)
  show.method("get", object, "getoption", name)
  show.method("a string", object, "setoption", name, "30000") -- covers: 5/int
  show.method("get", object, "getoption", name)
  show.method("a fraction", object, "setoption", name, 25000.9)
  show.method("get", object, "getoption", name)
  for _, odd in ipairs({true, {}, "x"}) do
    show.method("a " .. type(odd), object, "setoption", name, odd)
    show.method("get", object, "getoption", name)
  end
  show.method("nothing", object, "setoption", name)
end
show.method("unicast hops", six, "setoption", "ipv6-unicast-hops", 17) -- covers: 5/udp-int
show.method("get", six, "getoption", "ipv6-unicast-hops")
show.method("-1 is the default", six, "setoption", "ipv6-unicast-hops", -1)
show.method("get", six, "getoption", "ipv6-unicast-hops")
show.method("too many", six, "setoption", "ipv6-unicast-hops", 256) -- covers: 5/os-failure
show.method("nil is 0", six, "setoption", "ipv6-unicast-hops", nil)
show.method("on IPv4, set", object, "setoption", "ipv6-unicast-hops", 17)
show.method("on IPv4, get", object, "getoption", "ipv6-unicast-hops")

six:setoption("ipv6-unicast-hops", 40)
show.method("multicast hops", six, "setoption", "ipv6-multicast-hops", 9)
show.differs_call("ipv6-multicast-hops", "get", six.getoption, six, "ipv6-multicast-hops") -- covers: 5/multicast-hops
show.differs_call("ipv6-multicast-hops", "unicast after it", six.getoption, six, "ipv6-unicast-hops")
show.method("too many", six, "setoption", "ipv6-multicast-hops", 256)
show.method("on IPv4", object, "setoption", "ipv6-multicast-hops", 9)

for _, value in ipairs({"127.0.0.1", "0.0.0.0", "*"}) do -- covers: 5/multicast-if
  show.method("multicast interface " .. value, object, "setoption", "ip-multicast-if", value)
  show.method("get", object, "getoption", "ip-multicast-if")
end
for _, value in ipairs({"x", "::1", "", 5, "203.0.113.77"}) do
  show.method("multicast interface " .. value, object, "setoption", "ip-multicast-if", value)
end
show.method("a table", object, "setoption", "ip-multicast-if", {})
show.method("nothing", object, "setoption", "ip-multicast-if")
show.method("on IPv6, get", six, "getoption", "ip-multicast-if")
show.method("on IPv6, set", six, "setoption", "ip-multicast-if", "127.0.0.1")

for _, value in ipairs({0, 1, 255, 7.9, "3", 256, -1, -2}) do -- covers: 5/multicast-ttl
  show.method("multicast ttl " .. value, object, "setoption", "ip-multicast-ttl", value)
end
for _, value in ipairs({true, {}, "x"}) do
  show.method("multicast ttl, a " .. type(value), object, "setoption", "ip-multicast-ttl", value)
end
show.method("cannot be read", object, "getoption", "ip-multicast-ttl") -- covers: 11/6

show.method("error", object, "getoption", "error") -- covers: 5/udp-error
show.method("error to set", object, "setoption", "error", 1)

for _, name in ipairs({"no-such-option", "", "keepalive", "tcp-nodelay", "linger", ("x"):rep(60)}) do -- covers: 5/unknown
  show.method("get " .. name, object, "getoption", name)
  show.method("set " .. name, object, "setoption", name, true)
end
for _, name in ipairs({"ip-add-membership", "ip-drop-membership", "ipv6-add-membership", "ipv6-drop-membership"}) do
  show.method("get " .. name, object, "getoption", name) -- covers: 11/6 5/unknown
end
show.method("a number as the name", object, "getoption", 5)
show.method("nothing to get", object, "getoption")
show.method("nil to get", object, "getoption", nil)
show.method("nothing to set", object, "setoption")
show.method("a table to get", object, "getoption", {})
show.method("cut at a NUL", object, "getoption", "broadcast\0rest") -- covers: 0/nul

local lazy, closed = socket.udp(), socket.udp4() -- covers: 5/unmade
closed:close()
for _, name in ipairs({"broadcast", "reuseaddr", "ipv6-v6only", "recv-buffer-size", "error", "ip-multicast-if"}) do
  show.method(name .. " of an unmade one", lazy, "getoption", name)
  show.method(name .. " of a closed one", closed, "getoption", name)
end
show.method("set on an unmade one", lazy, "setoption", "broadcast", true)
show.method("set on a closed one", closed, "setoption", "broadcast", true)
show.method("wrong type on a closed one", closed, "setoption", "broadcast", 1)
