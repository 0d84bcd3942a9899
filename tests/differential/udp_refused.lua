-- A connected UDP socket hears that nobody listens: once, by the next call that asks.
local socket = require "socket"
local show = require "_show"

-- A socket that has sent to a port where nobody listens, and has been told so.
local function told(make)
  local object = (make or socket.udp)()
  assert(object:setpeername("127.0.0.1", show.dead_udp_port()))
  object:settimeout(5)
  assert(object:send("anybody there?"))
  local r = socket.select({object}, nil, 5)
  return object, #r
end

local object, ready = told() -- covers: 7/refused
show.values("select shows it as readable", ready) -- covers: 7/refused-select
show.values("receive", object:receive())
object:settimeout(0)
show.values("only once", object:receive())
show.values("no longer readable", #socket.select({object}, nil, 0))

object = told(socket.udp4)
show.values("send", object:send("again")) -- covers: 7/refused
show.values("and the next is sent", object:send("again"))

object = told()
show.values("the option error", object:getoption("error")) -- covers: 7/refused-option 5/udp-error
show.values("clears it", object:getoption("error"))
object:settimeout(0)
show.values("nothing is left", object:receive())

object = told()
show.values("it is writable, too", #(select(2, socket.select(nil, {object}, 5))))
show.differs("udp-dirty", "dirty", object:dirty())
show.values("class", object.class)
show.values("to somebody who is there", (function()
  local peer, port = show.bound_udp()
  object:getoption("error")
  local set = object:setpeername("127.0.0.1", port)
  return set, object:send("hello"), (peer:receive())
end)())

-- An unconnected socket never hears of it.
local lone = show.bound_udp() -- covers: 7/refused-unconnected
show.values("sendto", lone:sendto("x", "127.0.0.1", show.dead_udp_port()))
socket.sleep(0.1)
show.values("sendto again", lone:sendto("x", "127.0.0.1", show.dead_udp_port()))
lone:settimeout(0)
show.values("receivefrom", lone:receivefrom())
show.values("error", lone:getoption("error"))

-- What had arrived before is not lost with the error.
local a, b = show.udp_pair()
a:send("before the end")
socket.select({b}, nil, 5)
a:close()
b:send("to nobody")
socket.sleep(0.1)
show.values("error first", b:receive())
show.values("then the data", b:receive())
