-- Texts of errors: each errno that can be had on the loopback interface, and the constants.
local socket = require "socket"
local unix = require "socket.unix"
local show = require "_show"
local client, other, server, port = show.pair()
local refused, holder = show.refused_port()
local silent, held = show.silent_port()
local path, clean = show.path()

show.values("in use", socket.tcp():bind("127.0.0.1", port)) -- covers: 0/failure 9/EADDRINUSE
show.values("already connected", server:connect("127.0.0.1", port)) -- covers: 9/EISCONN
show.values("broadcast", show.bound_udp():sendto("x", "127.255.255.255", 9)) -- covers: 9/EACCES
show.values("refused", socket.connect("127.0.0.1", refused)) -- covers: 9/ECONNREFUSED
show.values("not connected", socket.tcp4():getpeername()) -- covers: 9/others
show.values("in progress", (function()
  local object = socket.tcp4()
  object:settimeout(0)
  object:connect("127.0.0.1", silent)
  return object:connect("127.0.0.1", silent)
end)())
show.values("bad descriptor", socket.tcp():getsockname())
show.values("second bind", (function()
  local object = socket.tcp4()
  object:bind("127.0.0.1", 0)
  return object:bind("127.0.0.1", 0)
end)())
show.values("not local", socket.tcp():bind("203.0.113.1", 0))
show.values("too long", socket.udp4():sendto(("x"):rep(70000), "127.0.0.1", 9))
show.values("unreachable", socket.connect("224.0.0.1", 80))
show.values("nowhere", unix.stream():connect(path))
show.values("not a directory", unix.stream():connect("/proc/version/x"))
show.values("wrong kind", (function()
  local stream = unix.stream()
  stream:bind(path)
  stream:listen()
  return unix.dgram():connect(path)
end)())
clean()
show.values("invalid", socket.udp4():sendto("x", "127.0.0.1", 0))

local function reset() -- covers: 9/ECONNRESET 9/EPIPE 9/ECONNABORTED
  local left, right = show.pair()
  right:setoption("linger", {on = true, timeout = 0})
  right:close()
  socket.sleep(0.1)
  return left
end
show.values("reset, receive", reset():receive())
show.values("reset, send", reset():send("x"))
local twice = reset()
twice:receive()
show.values("reset, then send", twice:send("x"))
local half = show.pair()
half:shutdown("send")
show.values("a broken pipe", half:send("x"))

local one = socket.tcp4() -- covers: 9/closed
one:close()
local client_closed = show.pair()
client_closed:close()
local server_closed = select(3, show.pair())
server_closed:close()
show.values("closed, accept", server_closed:accept())
show.values("closed, send", client_closed:send("x"))
show.values("closed, receive", client_closed:receive())
local stream_closed = unix.stream()
stream_closed:close()
show.values("closed, Unix connect", stream_closed:connect(path))
show.values("closed, names", one:getsockname())
show.values("closed, options", one:getoption("keepalive"), one:setoption("keepalive", true)) -- covers: 9/constants
show.values("refused datagram", (function()
  local left = show.udp_pair()
  left:close()
  return left:send("x")
end)())
show.values("timeout", (function() other:settimeout(0) return other:receive(5) end)())
show.values("memory", show.bound_udp():receive(-1))
show.values("path", unix.dgram():bind(("x"):rep(300)))

-- A server on which nobody listens any more, and one that never did.
local never = socket.tcp4() -- covers: 2.4/accept-errors
show.method("accept of a master", never, "accept")
show.values("listening and connected", (function()
  local object = socket.tcp4()
  object:listen()
  return object:connect("127.0.0.1", port)
end)())
local stopped, _, stopped_server = show.pair()
stopped_server:settimeout(0)
show.values("accept of nobody", stopped_server:accept())
stopped_server:close()
show.values("accept of the closed one", stopped_server:accept(), stopped_server:accept())

-- Texts of the resolver.
show.values("no name", socket.connect("", 80)) -- covers: 9/gai
show.values("no service", socket.connect("127.0.0.1", "nothing")) -- covers: 9/gai-service
show.values("other family", socket.tcp4():connect("::1", 80)) -- covers: 9/gai-addrfamily
show.values("raw name", socket.udp4():sendto("x", "", 80)) -- covers: 9/raw
show.values("raw service", socket.udp4():sendto("x", "127.0.0.1", "-1"))
show.values("raw family", socket.udp4():sendto("x", "::1", 80))
