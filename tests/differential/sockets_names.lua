-- getsockname, getpeername, getfd, setfd, dirty, shutdown, getstats of TCP sockets.
local socket = require "socket"
local show = require "_show"
local client, other, server, port = show.pair()

show.name("client", client) -- covers: 2.4/names
show.name("client's peer", client, "peer")
show.name("other", other)
show.name("other's peer", other, "peer")
show.name("server", server)
show.name("server's peer", server, "peer") -- covers: 2.4/names-errors 11/12
show.values("number of values", select("#", client:getsockname()), select("#", client:getpeername()))
show.differs("getsockname-port", "type of a port", type((select(2, client:getsockname())))) -- covers: 0/getsockname-port 11/5
show.values("type of the peer's port", type((select(2, client:getpeername())))) -- covers: 0/integers
show.values("as a text it has no fraction", tostring((select(2, client:getpeername()))):match("^%d+$") ~= nil)
for _, make in ipairs({"tcp", "tcp4", "tcp6"}) do
  local object = socket[make]() -- covers: 2.3/lazy-names 2.4/names-fresh
  show.name(make, object)
  show.name(make .. "'s peer", object, "peer")
  show.values("family", object:getfamily()) -- covers: 2.4/getfamily 11/12
  object:close()
  show.name("closed " .. make, object)
  show.name("closed " .. make .. "'s peer", object, "peer")
  show.values("family", object:getfamily())
end
show.values("extra arguments", (client:getsockname(1, {})), (client:getpeername("x")), client:getfamily(5))

show.values("a descriptor is a number", type(client:getfd()), client:getfd() >= 0, client:getfd() % 1 == 0) -- covers: 2.4/getfd
show.values("as a text", (tostring(client:getfd()):gsub("%d+", "N", 1)))
show.values("of nothing", socket.tcp():getfd())
show.values("descriptors differ", client:getfd() ~= server:getfd())
for _, wrong in ipairs({"x", {}, true}) do show.method("setfd " .. type(wrong), socket.tcp(), "setfd", wrong) end -- covers: 2.4/setfd
show.method("setfd nothing", client, "setfd")
local a, b = show.pair()
local fd = a:getfd()
show.values("setfd(-1) returns nothing", a:setfd(-1))
show.values("then it is as if closed", a:getfd(), a:send("x"))
show.values("receive", a:receive())
show.differs("setfd", "the peer sees no end", (function() b:settimeout(0.1) return b:receive() end)())
show.values("setfd a string", (pcall(a.setfd, a, "-1")))
show.values("close", a:close(), a.class)
-- LuaSec takes a descriptor away and gives it back.
local c, d = show.pair() -- covers: 2.4/setfd-own 11/18
fd = c:getfd()
c:setfd(-1)
show.differs("setfd", "its own descriptor given back", pcall(c.setfd, c, fd))
show.differs("setfd", "sends", c:send("back\n"))

show.values("dirty at first", client:dirty(), server:dirty(), socket.tcp():dirty()) -- covers: 2.4/dirty
other:send("one\ntwo\n")
client:receive()
show.values("dirty with a buffer", client:dirty())
client:receive()
show.values("dirty without", client:dirty())
other:send("one\ntwo\n")
client:receive()
client:close()
show.values("dirty after close", client:dirty())

for _, how in ipairs({"both", "send", "receive"}) do -- covers: 2.4/shutdown
  local x, y = show.pair()
  show.values("shutdown " .. how, x:shutdown(how), x.class, x:getfd() >= 0)
  show.values("again", x:shutdown(how))
  x:close()
  show.values("closed", x:shutdown(how), x:shutdown())
end
local x = show.pair()
for _, wrong in ipairs({"x", "", "Both", "read", 5}) do show.method("shutdown " .. wrong, x, "shutdown", wrong) end
show.differs_on_jit("luajit-options", "shutdown a table", function() return x:shutdown({}) end)
show.method("shutdown nil", x, "shutdown", nil)
x:close()
show.method("closed, shutdown x", x, "shutdown", "x")
show.values("a failed connect's", (function()
  local failed = socket.tcp()
  failed:connect("not a name", 80)
  return failed:shutdown("send"), failed:shutdown()
end)())

local function stats(label, object) -- covers: 2.4/getstats
  local received, sent, age = object:getstats()
  show.values(label, received, sent, age >= 0 and age < 20)
end
local left, right = show.pair()
stats("new", left)
right:send("line\r\nbuffered\r\n")
left:receive()
stats("what was consumed", left)
left:receive(3)
stats("part of the buffer", left)
left:send("abcdefghij", 3, 5)
left:send("abcdefghij", 20)
stats("a range", left)
stats("the other", right)
left:settimeout(0)
left:receive(100)
stats("a partial result", left)
for _, set in ipairs({{1, 2, 3}, {nil, 7}, {5}, {}, {nil, nil, 100}, {1.9, 2.9}, {"11", "12"}, {8, 9, "x"}, {nil, nil, {}}}) do
  show.values("setstats", left:setstats(set[1], set[2], set[3])) -- covers: 2.4/setstats
  local received, sent, age = left:getstats()
  show.values("is", received, sent, age > 90)
end
show.values("negative ones", left:setstats(-1, -2)) -- covers: 2.4/setstats-negative
local received, sent = left:getstats()
show.values("wrap", received > 1.8e19, sent > 1.8e19)
for _, wrong in ipairs({"x", {}, true}) do show.method("setstats " .. type(wrong), left, "setstats", wrong) end
show.method("setstats sent", left, "setstats", 1, {})
left:close()
stats("closed", right)
show.values("closed, setstats", left:setstats(1, 1), (left:getstats()))
for _, object in ipairs({socket.tcp(), server}) do -- covers: 11/6-stats
  show.method("getstats of a " .. object.class, object, "getstats")
  show.method("setstats of a " .. object.class, object, "setstats", 1)
end
