-- select: what is ready, in which order, and what is ignored.
local socket = require "socket"
local show = require "_show"

local function names(known, list)
  local words = {}
  for i, object in ipairs(list) do words[i] = known[object] or "?" end
  return table.concat(words, " ")
end

local a, a_other, server, port = show.pair()
local b, b_other = show.pair()
local known = {[a] = "a", [b] = "b", [a_other] = "a_other", [b_other] = "b_other", [server] = "server"}

show.timed("nothing to watch", 0.2, 1.5, function() return socket.select(nil, nil, 0.25) end)
show.timed("empty lists", 0, 0.2, function() return socket.select({}, {}, 0) end)
show.timed("nobody is ready", 0.2, 1.5, function() return socket.select({a, b, server}, nil, 0.25) end)

local r, w, err = socket.select({a, b}, {b, a}, 5)
show.values("writable in the order of creation", names(known, r), names(known, w), err)
show.values("reverse lookup", w[a], w[b], w[server])

a_other:send("x\ny\n")
r, w, err = socket.select({b, a}, nil, 5)
show.values("readable", names(known, r), #w, err)
show.values("its number of values", select("#", socket.select({a}, nil, 5)))
b_other:send("z\n")
socket.sleep(0.1)
r = socket.select({b, a}, nil, 5)
show.values("both readable", names(known, r), r[a], r[b])

show.values("one line is read", a:receive())
r, w, err = socket.select({a}, nil, 5)
show.values("what lies in the buffer is readable", names(known, r), r[a], a:dirty())
-- Which of the two comes first depends on how far ahead the library reads.
r, w = socket.select({b, a}, {b}, 5)
show.values("buffered and arrived", #r, r[a] and known[r[r[a]]], r[b] and known[r[r[b]]], names(known, w))
r = socket.select({a, a}, nil, 0)
show.values("a duplicate with a buffer", #r)
show.values("the second line", a:receive())
r, w, err = socket.select({a}, nil, 0)
show.values("nothing is left", #r, err)

local fresh = socket.connect("127.0.0.1", port)
r, w, err = socket.select({server}, {server}, 5)
show.values("a server with a waiting client", names(known, r), #w, err)
local accepted = server:accept()
r, w, err = socket.select({server}, nil, 0)
show.values("after accept", #r, err)
-- Of a server whose descriptor is waited on it is told that another one waits while one is accepted.
local polled = assert(socket.bind("127.0.0.1", 0))
local _, polled_port = polled:getsockname()
polled:getfd()
local clients, accepteds = {}, {}
for i = 1, 3 do clients[i] = assert(socket.connect("127.0.0.1", polled_port)) end
for i = 1, 3 do
  accepteds[i] = assert(polled:accept())
  r, w, err = socket.select({polled}, nil, 0)
  show.values("of three there are accepted", i, #r, err)
end
for i = 1, 3 do clients[i] = assert(socket.connect("127.0.0.1", polled_port)) end
for i = 1, 3 do accepteds[i] = assert(polled:accept()) end
r, w, err = socket.select({polled}, nil, 0)
show.values("all three are accepted", #r, err)

fresh:close()
r = socket.select({accepted}, nil, 5)
show.values("a peer that closed makes it readable", r[1] == accepted)
show.values("and it reads the end", accepted:receive())

local closed = socket.tcp4()
closed:close()
show.timed("closed and unmade sockets are ignored", 0.15, 1.5, function()
  return socket.select({closed, socket.tcp()}, {closed}, 0.2)
end)
r, w, err = socket.select({{}, "text", closed, b}, nil, 5)
show.values("so is what has no getfd", names(known, r), err)

local wrapped = setmetatable({}, {__index = {getfd = function() return b:getfd() end}})
r, w, err = socket.select({wrapped}, nil, 5)
show.values("a wrapper with getfd", r[1] == wrapped, #w, err)
local dirty = {getfd = function() return -1 end, dirty = function() return true end}
r, w, err = socket.select({dirty}, nil, 5)
show.values("a wrapper that is dirty", #r, err)
r, w, err = socket.select({nil, b}, nil, 0.1)
show.values("a list ends at its first nil", #r, err)
r, w, err = socket.select({b, x = a}, nil, 5)
show.values("names in a list are no part of it", names(known, r))
show.call("an error in getfd", function()
  socket.select({{getfd = function() error("mine", 0) end}}, nil, 0)
end)
