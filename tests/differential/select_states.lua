-- select on sockets in each state; failures.
local socket = require "socket"
local show = require "_show"
local client, other, server, port = show.pair()
local function ready(label, object, time)
  local r, w, err = socket.select({object}, {object}, time or 0.1)
  show.values(label, #r, #w, err)
end
local function readable(label, object)
  local r, w, err = socket.select({object}, nil, 5)
  show.values(label, r[1] == object, err)
end

ready("connected", client) -- covers: 4/states
ready("idle server", server) -- covers: 4/server
local waiting = socket.connect("127.0.0.1", port)
readable("server with a client", server)
ready("never writable", server)
ready("unmade", socket.tcp()) -- covers: 4/ignored
local closed = socket.tcp4()
closed:close()
ready("closed", closed)
ready("made, not connected, to be written", show.bound_udp())

local fresh = socket.tcp4()
fresh:bind("127.0.0.1", 0)
show.differs("select-unconnected", "bound, not listening", (function()
  local r, w = socket.select({fresh}, {fresh}, 0)
  return #r, #w
end)()) -- covers: 4/unconnected

other:close() -- covers: 4/ends
readable("the peer closed", client)
ready("and it can be written", client)
client, other = show.pair()
other:setoption("linger", {on = true, timeout = 0})
other:close()
readable("the peer reset", client)
client, other = show.pair()
other:shutdown("send")
readable("the peer shut down", client)
client, other = show.pair()
client:shutdown("receive")
readable("shut down for reading", client)
client, other = show.pair()
client:shutdown("send")
show.values("shut down for writing", #(select(2, socket.select(nil, {client}, 5))))

local refused, holder = show.refused_port() -- covers: 4/failed-connect 11/7
local failed = socket.tcp4()
failed:settimeout(0)
failed:connect("127.0.0.1", refused)
socket.select(nil, {failed}, 5)
ready("a refused connection", failed)
local silent, held = show.silent_port()
local pending = socket.tcp4()
pending:settimeout(0)
pending:connect("127.0.0.1", silent)
ready("a connection in progress", pending)
local good = socket.tcp4()
good:settimeout(0)
good:connect("127.0.0.1", port)
local r, w = socket.select({good}, {good}, 5)
show.values("a connection that is there", #r, #w)

client, other = show.pair() -- covers: 4/full
client:settimeout(0)
local huge = ("x"):rep(64 * 1024 * 1024)
repeat local done, err = client:send(huge) until err
socket.sleep(0.1)
client:send(huge)
do
  local r, w, err = socket.select({client}, {client}, 0.1)
  show.differs("full-buffer", "a full buffer", #r, #w, err)
end

-- Failures raise, without a place.
client, other = show.pair() -- covers: 4/fails 11/7
local fd = client:getfd()
show.differs_call("select-time", "a time that is too long", function()
  other:send("x")
  return #(socket.select({client}, nil, 2^40))
end)
client:close()
show.differs_call("select-stale", "a stale descriptor", function()
  return #(socket.select({{getfd = function() return fd end}}, nil, 0))
end)
show.differs_call("select-stale", "a stale descriptor hidden by a dirty object", function()
  local stale = {getfd = function() return fd end}
  local dirty = {getfd = function() return -1 end, dirty = function() return true end}
  return #(socket.select({dirty, stale}, nil, 0))
end) -- covers: 4/hidden

-- Inside a coroutine, and from a wrapper as TLS libraries make them.
client, other = show.pair()
other:send("x")
local made = setmetatable({socket = client}, {__index = function(self, key)
  return function(wrapper, ...) return wrapper.socket[key](wrapper.socket, ...) end
end})
show.values("a wrapper in a coroutine", coroutine.wrap(function() -- covers: 4/wrapper 11/18
  local r = socket.select({made}, nil, 5)
  return r[1] == made, r[made], made:receive(1)
end)())
