-- receive and receivefrom of UDP: sizes, what is cut, ends, timeouts.
local socket = require "socket"
local show = require "_show"
local a, b = show.udp_pair()
local peer, port = show.bound_udp()
local sender, sender_port = show.bound_udp()

local function sent(text)
  assert(sender:sendto(text, "127.0.0.1", port))
end
local function from(label, ...) -- the address of the sender is fixed, its port is not printed
  local data, ip, from_port, more = peer:receivefrom(...)
  if not data then return show.values(label, data, ip) end
  show.values(label, data, ip, tonumber(from_port) == sender_port, type(from_port), more)
end

sent("hello") -- covers: 7/receivefrom
from("receivefrom")
show.values("three values", (function() sent("x") return select("#", peer:receivefrom()) end)())
sent("hello") -- covers: 7/receive
show.values("receive", peer:receive())
show.values("one value", (function() sent("x") return select("#", peer:receive()) end)())
sent("") -- covers: 7/zero-length
show.values("an empty datagram", peer:receive())
sent("")
from("an empty datagram from")
sent("nul\0 and \r\n stay")
show.values("bytes are bytes", peer:receive())

for _, size in ipairs({5, 1, 3.9, "4", 10, 100000}) do -- covers: 7/cut
  sent("0123456789")
  show.values("receive " .. tostring(size), peer:receive(size))
  sent("0123456789")
  from("receivefrom " .. tostring(size), size)
end
sent("long one") -- covers: 7/cut
sent("next")
show.values("the rest is lost", peer:receive(4), peer:receive())
sent("lost") -- covers: 7/size-0
sent("kept")
show.values("size 0 takes a datagram", peer:receive(0), peer:receive())
sent("lost")
sent("kept")
from("size 0", 0)
from("then")
sent(("x"):rep(9000)) -- covers: 7/default-size
show.values("by default no more than", #peer:receive())
sent(("x"):rep(9000))
show.values("but all with its size", #peer:receive(9000))
sent(("x"):rep(60000)) -- covers: 7/large-size
show.values("60000 bytes", #peer:receive(65536))
show.values("nil is the default", (function() sent("nil") return peer:receive(nil) end)())

-- Several datagrams keep their order and borders.
for i = 1, 20 do sent("datagram " .. i) end -- covers: 7/receive
local got = {}
for i = 1, 20 do got[i] = peer:receive() end
show.values("in order", got[1], got[2], got[19], got[20])
peer:settimeout(0)
show.values("and no more", peer:receive())

for _, size in ipairs({-1, -2.5, 1e15, 2^53}) do -- covers: 7/absurd-size
  show.call("receive " .. tostring(size), function() return peer:receive(size) end)
  show.call("receivefrom " .. tostring(size), function() return peer:receivefrom(size) end)
end
for _, wrong in ipairs({"x", "*l", {}, true}) do -- covers: 7/arguments
  show.method("receive " .. type(wrong), peer, "receive", wrong)
  show.method("receivefrom " .. type(wrong), peer, "receivefrom", wrong)
end

-- Timeouts.
show.timed("zero", 0, 0.3, function() return peer:receive() end) -- covers: 7/timeout 3/zero
show.timed("zero from", 0, 0.3, function() return peer:receivefrom() end)
show.timed("zero of nothing", 0, 0.3, function() return peer:receive(0) end)
peer:settimeout(0.3)
show.timed("block", 0.25, 2, function() return peer:receive() end)
peer:settimeout(-1)
peer:settimeout(0.3, "t")
show.timed("total", 0.25, 2, function() return peer:receivefrom() end)
peer:settimeout(5)
show.timed("both", 0.25, 2, function() return peer:receive() end)
sent("waiting")
show.timed("what is there does not wait", 0, 1, function() return peer:receive() end)

-- Closed and never made.
local never = socket.udp() -- covers: 7/closed-receive 11/4
never:settimeout(1)
show.values("never made, receive", never:receive())
-- What LuaSocket answers here is what lies in its memory by chance.
show.differs("closed-receivefrom", "never made, receivefrom", never:receivefrom())
local closed = show.bound_udp()
closed:close()
show.values("closed, receive", closed:receive())
show.values("closed, receive 3", closed:receive(3))
show.values("closed, receive 0", closed:receive(0))
show.differs("closed-receivefrom", "closed, receivefrom", closed:receivefrom())
b:close()
show.values("closed while connected", b:receive())

-- A socket without a name can wait, and a connected one receives.
local unbound = socket.udp4() -- covers: 7/timeout
unbound:settimeout(0.1)
show.values("unbound", unbound:receive())
show.values("unbound from", unbound:receivefrom())
a, b = show.udp_pair()
show.values("connected, sends", a:send("direct"))
show.values("connected, receives", b:receive())
show.method("connected, receivefrom", b, "receivefrom")

local six = socket.udp6() -- covers: 7/receivefrom
six:setsockname("::1", 0)
six:settimeout(5)
local _, six_port = six:getsockname()
local from_six = socket.udp6()
from_six:setsockname("::1", 0)
from_six:sendto("six", "::1", six_port)
local data, ip, its_port = six:receivefrom()
show.values("IPv6", data, ip, tonumber(its_port) == tonumber((select(2, from_six:getsockname()))))
