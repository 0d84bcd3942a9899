-- Unix streams: the way from bind to close, sending, receiving, timeouts, counters.
local socket = require "socket"
local unix = require "socket.unix"
local show = require "_show"
local path, clean = show.path()

local server = unix.stream() -- covers: 8/stream-life
show.values("bind", server:bind(path))
show.values("class", server.class)
show.values("listen", server:listen(5))
show.values("class", server.class)
show.values("name", server:getsockname() == path)
show.values("one value", select("#", server:getsockname()))
server:settimeout(0)
show.values("nobody", server:accept())
server:settimeout(0.2)
show.timed("nobody in time", 0.15, 2, function() return server:accept() end)
server:settimeout(5)

local function pair()
  local client = assert(unix.stream())
  assert(client:connect(path))
  local other = assert(server:accept())
  client:settimeout(5)
  other:settimeout(5)
  return client, other
end

local client, other = pair()
show.values("classes", client.class, other.class)
show.values("names", client:getsockname(), other:getsockname() == path) -- covers: 8/getsockname
show.values("send", client:send("line one\r\nline two\nrest"))
show.values("receive", other:receive())
show.values("dirty", other:dirty())
show.values("receive", other:receive("*l", "prefix "))
show.values("receive a count", other:receive(2))
show.values("receive more", other:receive("2"))
show.values("send a range", client:send("abcdefghij", 3, 5), client:send("abcdefghij", 20), client:send("x", 2))
show.values("it arrives", other:receive(3))
other:settimeout(0.2)
show.values("nothing more", other:receive())
show.values("part", (function() client:send("part") return other:receive() end)())
other:settimeout(5)
show.values("answer", other:send("answer\n"), client:receive())
show.method("receive with a bad pattern", client, "receive", "*x") -- covers: 8/stream-arguments
show.method("receive nothing sensible", client, "receive", {})
show.method("send nothing", client, "send")
show.method("send a table", client, "send", {})
show.method("send from a string", client, "send", "x", "y")
show.method("settimeout mode", client, "settimeout", 1, "x")
show.method("listen", unix.stream(), "listen", "x")

local function stats(label, object) -- covers: 8/stats
  local received, sent, age = object:getstats()
  show.values(label, received, sent, age >= 0 and age < 20)
end
stats("client", client)
stats("other", other)
show.values("setstats", client:setstats(5, 6, 7))
stats("client", client)

for _, how in ipairs({"send", "receive", "both"}) do -- covers: 8/shutdown
  client, other = pair()
  other:send("queued\n")
  show.values("shutdown " .. how, client:shutdown(how))
  show.values("send", client:send("x"))
  show.values("receive", client:receive())
  show.values("receive again", (function() client:settimeout(0.1) return client:receive() end)())
end
show.method("shutdown x", client, "shutdown", "x")

client, other = pair() -- covers: 8/peer-closed
client:send("last words")
client:close()
show.values("the rest", other:receive("*a"))
show.values("the end", other:receive("*a"))
show.values("sending to a closed one", other:send("x"))

client, other = pair() -- covers: 8/closed
client:close()
show.values("closed, send", client:send("x"))
show.values("closed, send nothing", client:send(""))
show.values("closed, receive", client:receive())
show.values("closed, receive a prefix", client:receive(2, "abc"))
show.values("closed, getsockname", client:getsockname())
show.values("closed, shutdown", client:shutdown())
show.values("closed, setoption", client:setoption("keepalive", true))
show.values("closed, settimeout", client:settimeout(1))
stats("closed, getstats", client)

client, other = pair()
other:send("one\ntwo\n")
show.values("one", client:receive())
client:close()
show.values("the buffer outlives the close", client:dirty(), client:receive())
show.values("and ends", client:receive())

client, other = pair() -- covers: 8/stream-full
client:settimeout(0)
local done, err, last = client:send(("x"):rep(8 * 1024 * 1024))
show.values("more than fits", done, err, last > 0)
client:settimeout(0.2)
show.timed("still full", 0.15, 2, function()
  local done, err = client:send(("x"):rep(8 * 1024 * 1024))
  return done, err
end)
show.values("what fitted is there", #other:receive(last) == last)

server:settimeout(5)
server:close() -- covers: 8/closed
show.values("closed server, accept", server:accept())
show.values("closed server, class", server.class)
show.values("the file stays", unix.stream():connect(path)) -- covers: 8/file-stays
show.values("and is in the way", unix.stream():bind(path))
clean()
show.values("without it", unix.stream():connect(path))
