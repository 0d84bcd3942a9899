-- Unix datagrams: named and unnamed, connected and not.
local socket = require "socket"
local unix = require "socket.unix"
local show = require "_show"
local path, clean = show.path()
local other_path, clean_other = show.path()
local known = {[path] = "first", [other_path] = "second", [""] = "nobody"}

local first, second = unix.dgram(), unix.dgram()
show.values("bind", first:bind(path), first:getsockname() == path) -- covers: 8/dgram-bind
show.values("class", first.class)
show.values("setsockname is bind", second:setsockname(other_path))
first:settimeout(5)
second:settimeout(5)

show.values("sendto", second:sendto("hello", path)) -- covers: 8/sendto
local data, from = first:receivefrom() -- covers: 8/receivefrom
show.values("receivefrom", data, known[from])
show.values("number of values", (function()
  second:sendto("x", path)
  return select("#", first:receivefrom())
end)())
show.values("receive", second:sendto("again", path), first:receive())
show.values("number of values", (function() second:sendto("x", path) return select("#", first:receive()) end)())
local unnamed = unix.dgram()
unnamed:sendto("from nobody", path)
data, from = first:receivefrom()
show.values("from nobody", data, known[from], from)
show.values("an unnamed name", unnamed:getsockname())

for _, size in ipairs({5, "3", 2.9, 100, 20000}) do -- covers: 8/dgram-sizes
  second:sendto("0123456789", path)
  show.values("receive " .. tostring(size), first:receive(size))
  second:sendto("0123456789", path)
  data, from = first:receivefrom(size)
  show.values("receivefrom " .. tostring(size), data, known[from])
end
second:sendto("lost", path)
second:sendto("kept", path)
show.values("size 0", first:receive(0), first:receive())
second:sendto("", path)
show.values("an empty datagram", first:receive())
second:sendto("", path)
data, from = first:receivefrom()
show.values("an empty datagram from", data, known[from])
second:sendto(("x"):rep(9000), path)
show.values("by default no more than", #first:receive())
show.values("a number as data", second:sendto(42, path), first:receive())
first:settimeout(0)
for _, size in ipairs({-1, 1e15}) do -- covers: 8/dgram-absurd
  show.call("receive " .. tostring(size), function() return first:receive(size) end)
  show.call("receivefrom " .. tostring(size), function() return first:receivefrom(size) end)
end
show.values("too long", second:sendto(("x"):rep(10000000), path)) -- covers: 8/dgram-too-long

first:settimeout(0.2) -- covers: 8/dgram-timeout
show.timed("nothing comes", 0.15, 2, function() return first:receive() end)
show.timed("nothing comes from", 0.15, 2, function() return first:receivefrom() end)
first:settimeout(0)
show.timed("at once", 0, 0.2, function() return first:receive() end)
show.values("gettimeout", first:gettimeout())
show.values("settimeout total", first:settimeout(3, "t"), first:gettimeout())
show.method("settimeout mode", first, "settimeout", 1, "x")
first:settimeout(-1, "t")
first:settimeout(5)

show.values("connect", second:connect(path)) -- covers: 8/dgram-connect
show.values("class", second.class)
show.values("send", second:send("to the peer"))
data, from = first:receivefrom()
show.values("arrives", data, known[from])
show.values("send nothing", second:send(""), first:receive())
show.values("too long", second:send(("x"):rep(10000000)))
show.values("connect again", second:connect(path), second.class) -- covers: 8/dgram-connect-again
show.values("* is a path", second:connect("*")) -- covers: 8/no-disconnect
show.values("class", second.class, second:getfd() >= 0)

local third = unix.dgram()
show.values("setpeername is connect", third:setpeername(path), third.class)
show.values("reads nothing", (function() third:settimeout(0) return third:receive() end)())
show.method("sendto when connected", third, "sendto", "x", path)
show.method("receivefrom when connected", third, "receivefrom")

for count = 0, 1 do -- covers: 8/arguments
  show.method("sendto with " .. count, first, "sendto", (table.unpack or unpack)({"x"}, 1, count))
end
show.method("sendto a table", first, "sendto", {}, path)
show.method("sendto to a table", first, "sendto", "x", {})
show.method("send nothing at all", third, "send")
show.method("receive a string", first, "receive", "x")
show.method("receivefrom a table", first, "receivefrom", {})
show.values("sendto a long path", first:sendto("x", ("y"):rep(200))) -- covers: 8/too-long
show.values("sendto nowhere", first:sendto("x", path .. "-absent"))
show.values("sendto an empty path", first:sendto("x", ""))

local r, w, err = socket.select({first}, {first}, 0) -- covers: 8/select
show.values("select", #r, w[1] == first, err)
unnamed:sendto("now", path)
r, w, err = socket.select({first}, nil, 5)
show.values("readable", r[1] == first, err, first:receive())

first:close() -- covers: 8/dgram-closed
show.values("send to a closed one", third:send("x"))
show.values("sendto a closed one", unnamed:sendto("x", path))
show.values("closed, receive", first:receive())
show.values("closed, receivefrom", first:receivefrom())
show.values("closed, sendto", first:sendto("x", other_path))
show.values("closed, getsockname", first:getsockname())
third:close()
show.values("closed, send", third:send("x"))
show.values("closed, receive", third:receive())
clean()
clean_other()
