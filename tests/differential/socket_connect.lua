-- socket.connect, connect4, connect6: arguments, local addresses, families.
local socket = require "socket"
local show = require "_show"
local server = socket.bind("127.0.0.1", 0)
local _, port = server:getsockname()
local six_server = socket.bind("::1", 0)
local _, six_port = six_server:getsockname()
local refused, holder = show.refused_port()

local function made(label, client, err)
  if not client then return show.values(label, client, err) end
  show.values(label, client.class, client:getfamily(), (client:getsockname()), (client:getpeername()))
  show.values("  times", client:gettimeout())
  client:close()
end
made("plain", socket.connect("127.0.0.1", port)) -- covers: 2.5/socket-connect
show.values("one value", select("#", socket.connect("127.0.0.1", port)))
made("IPv6", socket.connect("::1", six_port))
made("a name", socket.connect("localhost", port))
made("a string port", socket.connect("127.0.0.1", tostring(port)))
made("refused", socket.connect("127.0.0.1", refused))
made("empty host", socket.connect("", port)) -- covers: 2.5/empty-host
local star = socket.bind("*", 0)
made("any host is loopback", socket.connect("*", (select(2, star:getsockname())))) -- covers: 2.5/star-host

made("local address", socket.connect("127.0.0.1", port, "127.0.0.3")) -- covers: 2.5/laddr
made("local address and port 0", socket.connect("127.0.0.1", port, "127.0.0.3", 0))
made("local address and port as a string", socket.connect("127.0.0.1", port, "127.0.0.3", "0"))
made("local name", socket.connect("127.0.0.1", port, "localhost"))
made("any local address", socket.connect("127.0.0.1", port, "*"))
made("a bad local address", socket.connect("127.0.0.1", port, "203.0.113.1"))
made("a bad local name", socket.connect("127.0.0.1", port, "not a name"))
made("an empty local name", socket.connect("127.0.0.1", port, ""))
made("a bad local port", socket.connect("127.0.0.1", port, "127.0.0.3", "80x"))
made("a taken local port", socket.connect("127.0.0.1", port, "127.0.0.1", refused))
made("local address of the other family", socket.connect("127.0.0.1", port, "::1"))
made("IPv6 local address", socket.connect("::1", six_port, "::1"))
made("a local port alone is ignored", socket.connect("127.0.0.1", port, nil, refused)) -- covers: 2.5/lport-alone
made("nil, nil, nil", socket.connect("127.0.0.1", port, nil, nil, nil))

for _, family in ipairs({"unspec", "inet", "inet6"}) do -- covers: 2.5/family 11/2
  made(family .. " to IPv4", socket.connect("127.0.0.1", port, nil, nil, family))
  made(family .. " to IPv6", socket.connect("::1", six_port, nil, nil, family))
  made(family .. " from IPv4", socket.connect("127.0.0.1", port, "127.0.0.1", nil, family))
  made(family .. " from IPv6", socket.connect("::1", six_port, "::1", nil, family))
end
for _, family in ipairs({"inet4", "INET", "", "x", 5}) do
  show.call("family " .. family, function() socket.connect("127.0.0.1", port, nil, nil, family) end)
end
show.differs_on_jit("luajit-options", "family a table", function() socket.connect("127.0.0.1", port, nil, nil, {}) end)
for name, call in pairs({connect4 = socket.connect4}) do -- covers: 1/connect46
  made(name, call("127.0.0.1", port))
  made(name .. " to IPv6", call("::1", six_port))
  made(name .. " from IPv4", call("127.0.0.1", port, "127.0.0.4"))
  made(name .. " from IPv6", call("::1", six_port, "::1"))
end
made("connect6", socket.connect6("::1", six_port))
made("connect6 to IPv4", socket.connect6("127.0.0.1", port)) -- covers: 1/connect46 11/2
made("connect6 from IPv6", socket.connect6("::1", six_port, "::1", 0))
made("connect6 from IPv4", socket.connect6("127.0.0.1", port, "127.0.0.1"))

show.call("nothing", function() socket.connect() end) -- covers: 2.5/arguments
show.call("nil", function() socket.connect(nil, port) end)
show.call("no port", function() socket.connect("127.0.0.1") end)
show.call("nil port", function() socket.connect("127.0.0.1", nil) end)
show.call("a table", function() socket.connect({}, port) end)
show.call("a boolean port", function() socket.connect("127.0.0.1", true) end)
show.call("a table as local address", function() socket.connect("127.0.0.1", port, {}) end)
show.call("a table as local port", function() socket.connect("127.0.0.1", port, "127.0.0.1", {}) end)
show.bare("by pcall, nothing", socket.connect)
show.bare("by pcall, bad family", socket.connect, "127.0.0.1", port, nil, nil, "x")
show.raises("connect4 of nothing", function() socket.connect4() end)
made("a host that is a number", socket.connect(2130706433, port)) -- covers: 0/strings
made("cut at a NUL", socket.connect("127.0.0.1\0x", port .. "\0y")) -- covers: 0/nul

for _, service in ipairs({"-1", "0x50", "80x", "no-such-service"}) do -- covers: 2.5/bad-ports
  made("port " .. service, socket.connect("127.0.0.1", service))
  show.values("method, port " .. service, socket.tcp():connect("127.0.0.1", service))
end
made("port 65536 + N", socket.connect("127.0.0.1", ("%d"):format(65536 + tonumber(port))))
show.values("a float port", socket.tcp4():connect("127.0.0.1", tonumber(port) + 0.0)) -- covers: 2.4/float-port
show.values("a fraction port", socket.tcp4():connect("127.0.0.1", tonumber(port) + 0.5))

-- Nothing is left behind by a failed local bind: LuaSocket loses a descriptor there.
local function descriptors()
  local count = 0
  for _ in io.popen("ls /proc/$PPID/fd"):lines() do count = count + 1 end
  return count
end
local before = descriptors()
for _ = 1, 20 do socket.connect("127.0.0.1", port, "203.0.113.1") end
collectgarbage()
collectgarbage()
show.differs("failed-local-bind", "descriptors stay", descriptors() - before < 10) -- covers: 2.5/leak 11/17-leak
