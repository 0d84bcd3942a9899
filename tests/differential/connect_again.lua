-- connect after connect: in progress, refused, timed out, connected, closed, bound.
local socket = require "socket"
local show = require "_show"
local server = socket.bind("127.0.0.1", 0)
local _, port = server:getsockname()
local refused, holder = show.refused_port()
local silent, held = show.silent_port()

local function zero(make)
  local object = socket[make]()
  object:settimeout(0)
  return object
end

for _, make in ipairs({"tcp", "tcp4"}) do
  local object = zero(make) -- covers: 2.5/timeout-0
  show.values(make .. " without time", object:connect("127.0.0.1", port))
  show.values("class and family", object.class, object:getfamily(), select(3, object:getsockname()))
  socket.select(nil, {object}, 5)
  show.values("again", object:connect("127.0.0.1", port)) -- covers: 2.5/then-writable
  show.values("and again", object:connect("127.0.0.1", port))
  show.values("even elsewhere", object:connect("127.0.0.1", refused))
  show.values("sends", object:send("x"))

  object = zero(make) -- covers: 2.5/in-progress
  show.values(make .. " to a silent port", object:connect("127.0.0.1", silent))
  show.values("again", object:connect("127.0.0.1", silent))
  show.values("elsewhere", object:connect("127.0.0.1", port))
  object:settimeout(0.2)
  show.values("with time", object:connect("127.0.0.1", silent))
  show.values("not writable", #(select(2, socket.select(nil, {object}, 0))))
  show.values("close", object:close(), object:connect("127.0.0.1", port))

  object = zero(make) -- covers: 2.5/refused-async
  show.values(make .. " refused", object:connect("127.0.0.1", refused))
  local r, w = socket.select({object}, {object}, 5)
  show.values("readable and writable", #r, #w)
  show.values("again", object:connect("127.0.0.1", port))
  show.values("anew", object:connect("127.0.0.1", port))
  socket.select(nil, {object}, 5)
  show.values("which works", object:connect("127.0.0.1", port))

  object = zero(make) -- covers: 2.5/refused-option 2.5/error-consumed
  object:connect("127.0.0.1", refused)
  socket.select(nil, {object}, 5)
  show.values(make .. " error", object:getoption("error"), object:getoption("error"))
  show.differs("connect-again", "then", object:connect("127.0.0.1", port))
  show.differs("connect-again", "then", object:connect("127.0.0.1", port))

  object = zero(make) -- covers: 2.5/refused-send
  object:connect("127.0.0.1", refused)
  socket.select(nil, {object}, 5)
  show.values(make .. " refused, send", object:send("x"))
  show.values("send again", object:send("x"))
  show.values("receive", object:receive())
  object = zero(make) -- covers: 2.5/refused-receive
  object:connect("127.0.0.1", refused)
  socket.select(nil, {object}, 5)
  show.values(make .. " refused, receive", object:receive())
  show.values("receive again", object:receive())
  show.values("with a prefix", object:receive("*a", "prefix"))

  object = socket[make]() -- covers: 2.5/blocking-again
  show.values(make .. " connects", object:connect("127.0.0.1", port))
  show.values("second", object:connect("127.0.0.1", port))
  show.values("third", object:connect("127.0.0.1", port))

  object = socket[make]() -- covers: 2.5/timeout-again-lazy 2.5/timeout-again-made
  object:settimeout(0.2)
  show.timed(make .. " to a silent port in time", 0.15, 2, function() return object:connect("127.0.0.1", silent) end)
  show.values("class", object.class)
  show.differs("pending-name", "family", select(3, object:getsockname()))
  show.timed("again", 0, 2, function() return object:connect("127.0.0.1", silent) end)

  object = socket[make]() -- covers: 2.5/refused-live-lazy 2.5/refused-live-made
  show.values(make .. " refused", object:connect("127.0.0.1", refused))
  show.differs("connect-again", "to a live port", object:connect("127.0.0.1", port))
  show.values("again", object:connect("127.0.0.1", port))

  object = socket[make]() -- covers: 2.5/bound-other-family
  show.values(make .. " bound", object:bind("127.0.0.1", 0))
  show.values("to the other family", object:connect("::1", port))
  show.values("class", object.class)

  object = socket[make]() -- covers: 2.5/bound-connect
  object:bind("127.0.0.2", 0)
  local _, own = object:getsockname()
  show.values(make .. " from a bound one", object:connect("127.0.0.1", port))
  local name, now = object:getsockname()
  show.values("keeps its name", name, now == own)
end

local client, other, accepting = show.pair() -- covers: 2.5/blocking-again
show.values("socket.connect's, second", client:connect("127.0.0.1", port))
show.values("third", client:connect("127.0.0.1", port))
show.values("accepted", other:connect("127.0.0.1", port))
show.values("listening", accepting:connect("127.0.0.1", port))

local fresh = socket.bind("127.0.0.1", 0)
local _, fresh_port = fresh:getsockname()
client, other = show.pair() -- covers: 2.5/after-close 11/11
client:setoption("keepalive", true)
client:settimeout(3)
client:settimeout(4, "t")
other:send("left over\nnew line")
socket.select({client}, nil, 5)
show.values("a line", client:receive("*l"))
client:close()
show.values("connects anew", client:connect("127.0.0.1", fresh_port))
show.values("options are lost, times stay", client:getoption("keepalive"), client:gettimeout())
show.values("and so does the buffer", client:dirty(), client:receive(8))
local newest = fresh:accept()
newest:send("yours\n")
show.values("the new peer", client:receive())
