-- Options and select of Unix sockets.
local socket = require "socket"
local unix = require "socket.unix"
local show = require "_show"
local path, clean = show.path()

local stream, dgram = unix.stream(), unix.dgram()
for _, name in ipairs({"keepalive", "reuseaddr"}) do -- covers: 5/unix
  show.method("stream " .. name, stream, "setoption", name, true)
  show.method("off", stream, "setoption", name, false)
  show.method("no boolean", stream, "setoption", name, 1)
  show.method("nothing", stream, "setoption", name)
end
show.method("linger", stream, "setoption", "linger", {on = true, timeout = 3})
show.method("linger without on", stream, "setoption", "linger", {timeout = 3})
show.method("linger without timeout", stream, "setoption", "linger", {on = false})
show.method("linger no table", stream, "setoption", "linger", 5)
show.method("dgram reuseaddr", dgram, "setoption", "reuseaddr", true)
show.method("off", dgram, "setoption", "reuseaddr", false)
show.method("no boolean", dgram, "setoption", "reuseaddr", "yes")
for _, name in ipairs({"tcp-nodelay", "broadcast", "error", "recv-buffer-size", "no-such-option", "reuseport"}) do
  show.method("stream " .. name, stream, "setoption", name, true) -- covers: 5/unknown
  show.method("dgram " .. name, dgram, "setoption", name, true)
end
for _, name in ipairs({"keepalive", "linger"}) do show.method("dgram " .. name, dgram, "setoption", name, true) end
show.method("no name", stream, "setoption")
show.method("no name", dgram, "setoption")
show.values("no getoption", stream.getoption, dgram.getoption) -- covers: 5/unix
show.values("no gettimeout on streams", stream.gettimeout, type(dgram.gettimeout)) -- covers: 8/no-gettimeout 11/14

stream:close()
dgram:close()
show.values("closed stream", stream:setoption("keepalive", true))
show.values("closed dgram", dgram:setoption("reuseaddr", true))

-- Streams in select.
local server = unix.stream() -- covers: 8/select
server:bind(path)
server:listen()
local r, w, err = socket.select({server}, {server}, 0)
show.values("an idle server", #r, #w, err)
local client = unix.stream()
show.values("connects", client:connect(path))
socket.select({server}, nil, 5)
r, w, err = socket.select({server}, {client}, 5)
show.values("somebody waits", r[1] == server, w[1] == client, err)
local other = server:accept()
r, w, err = socket.select({client, other}, nil, 0)
show.values("nothing to read", #r, err)
client:send("one\ntwo\n")
r, w, err = socket.select({client, other}, nil, 5)
show.values("something to read", #r, r[1] == other, r[other], err)
show.values("a line", other:receive())
r, w, err = socket.select({other}, {other}, 5)
show.values("the buffer counts", other:dirty(), r[1] == other, #w, err)
show.values("the next", other:receive())
client:close()
r, w, err = socket.select({other}, nil, 5)
show.values("the end counts", r[1] == other, err, other:receive())

-- A wrapper, a master, and sockets of all families together.
local tcp_client, tcp_other = show.pair()
tcp_other:send("x")
local second = unix.stream()
second:connect(path)
other = server:accept()
second:send("y")
socket.sleep(0.1)
r, w, err = socket.select({tcp_client, other}, {second}, 5)
show.values("two families", #r, r[tcp_client] ~= nil, r[other] ~= nil, #w, err)

server:settimeout(0) -- covers: 8/inherit
second = unix.stream()
second:connect(path)
other = server:accept()
other:settimeout(0.1)
show.values("an accepted one", other.class, other:receive())

do -- covers: 8/gc
  local left = unix.stream()
  left:connect(path)
  left = nil
end
other = server:accept()
collectgarbage()
collectgarbage()
other:settimeout(5)
show.values("a collected one is closed", other:receive())
clean()

local anonymous = unix.stream() -- covers: 8/nul
show.values("a path is cut at its NUL in getsockname", anonymous:bind(path), anonymous:getsockname() == path)
clean()
