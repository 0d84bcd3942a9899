-- select, point by point: arguments, what is indexed, dirty objects, orders, duplicates, failures.
local socket = require "socket"
local show = require "_show"
local client, other, server, port = show.pair()

show.bare("a number as the first set", socket.select, 1) -- covers: 4/1-sets
show.bare("a number as the second set", socket.select, nil, 1)
show.bare("a socket as a set", socket.select, client)
show.bare("a socket as the second set", socket.select, {}, client)
show.bare("a text", socket.select, "x")
show.bare("false", socket.select, false)
show.bare("a text as the time", socket.select, nil, nil, "x") -- covers: 4/1-time
show.bare("a table as the time", socket.select, nil, nil, {})
show.call("a boolean as the time", function() socket.select(nil, nil, true) end)
show.call("a number as a set", function() socket.select(5) end)
for _, time in ipairs({0, 0/0, "0", 0.0001, -0.0}) do
  show.timed("polls", 0, 0.3, function() return select("#", socket.select({client}, nil, time)) end)
end
show.timed("waits", 0.15, 2, function() return select("#", socket.select(nil, nil, 0.2)) end) -- covers: 4/nothing
show.timed("waits", 0.15, 2, function() return select("#", socket.select({}, {}, "0.2")) end)
show.values("negative waits until something comes", (function() -- covers: 4/1-forever
  other:send("x\n")
  return #(socket.select({client}, nil, -1)), #(socket.select({client}, nil)), #(socket.select({client})), client:receive()
end)())

for _, wrong in ipairs({5, true, print, false}) do -- covers: 4/2-indexed 11/7
  show.bare("an element that is a " .. type(wrong), socket.select, {wrong}, nil, 0)
  show.bare("in the second set", socket.select, nil, {wrong}, 0)
  show.bare("behind others", socket.select, {client, wrong}, nil, 0)
end
for _, ignored in ipairs({"text", {}, io.stdout, setmetatable({}, {__index = function() end})}) do
  show.values("ignored, a " .. type(ignored), select(3, socket.select({ignored}, {ignored}, 0)))
end
for _, fd in ipairs({-1, "x", {}, true, -2.5, 1e308 * -1}) do -- covers: 4/2-getfd
  show.values("a getfd of " .. type(fd), select(3, socket.select({{getfd = function() return fd end}}, nil, 0)))
end
show.values("a getfd of nothing", select(3, socket.select({{getfd = function() end}}, nil, 0)))
local own = client:getfd()
for _, fd in ipairs({own, own + 0.5, ("%d"):format(own)}) do
  local _, w = socket.select(nil, {{getfd = function() return fd end}}, 5)
  show.values("a getfd of " .. type(fd), #w)
end
show.call("a getfd that is no function", function() socket.select({{getfd = 5}}, nil, 0) end)
local list = setmetatable({}, {__index = function(_, i) return i == 1 and client or i == 2 and other or nil end})
local _, w = socket.select(nil, list, 5) -- covers: 4/2-walk
show.values("a set may answer by __index", #w)
_, w = socket.select(nil, {client, nil, other}, 5)
show.values("a set ends at nil", #w)
_, w = socket.select(nil, {client, x = other, [5] = server}, 5)
show.values("other keys are nothing", #w, w[1] == client)

-- Descriptors out of range.
show.differs_call("select-limit", "a descriptor that is too large", function() -- covers: 4/3
  socket.select({{getfd = function() return 1024 end}}, nil, 0)
end)
show.differs_call("select-limit", "in the second set", function()
  socket.select(nil, {{getfd = function() return 100000 end}}, 0)
end)

-- One descriptor, two objects.
local one = {getfd = function() return client:getfd() end} -- covers: 4/4
local two = {getfd = function() return client:getfd() end}
_, w = socket.select(nil, {one, two}, 5)
show.values("the last of two wins", #w, w[1] == two, w[one], w[two] ~= nil)
_, w = socket.select(nil, {client, client}, 5)
show.values("twice the same", #w, w[client] ~= nil)

-- Dirty objects.
local calls = {} -- covers: 4/5
local function dirty(name, is, fd)
  return {
    getfd = function() calls[#calls + 1] = name .. ".getfd" return fd or -1 end,
    dirty = function() calls[#calls + 1] = name .. ".dirty" return is end,
  }
end
local held = {} -- idle sockets, whose descriptors the objects show
local function idle()
  held[#held + 1] = show.bound_udp()
  return held[#held]:getfd()
end
local a, b, c = dirty("a", true, idle()), dirty("b", 1, idle()), dirty("c", false, idle())
local r
r, w = socket.select({a, c, b, a}, {c}, 5)
show.values("dirty ones come at once, in their order", #r, r[1] == a, r[2] == b, r[3] == a, r[a], r[b], r[c], #w)
show.values("calls", table.concat(calls, " "))
show.values("without a descriptor nobody asks", #(socket.select({dirty("f", true)}, nil, 0)), calls[#calls])
calls = {}
socket.select({dirty("d", false, client:getfd())}, {dirty("e", true, client:getfd())}, 5)
show.values("calls", table.concat(calls, " "))
show.values("dirty that is a value", (pcall(socket.select, {{getfd = idle, dirty = true}}, nil, 0)))
show.call("an error in dirty", function()
  socket.select({{getfd = idle, dirty = function() error("mine", 0) end}}, nil, 0)
end)
show.call("an error in getfd", function() socket.select({{getfd = function() error({}) end}}, nil, 0) end)
show.values("a yield in getfd", (coroutine.resume(coroutine.create(function()
  socket.select({{getfd = function() coroutine.yield() end}}, nil, 0)
end))))

other:send("one\ntwo\n")
client:receive()
local second, second_other = show.pair()
second_other:send("x")
socket.sleep(0.1)
r, w = socket.select({second, client}, {second}, 5)
show.values("dirty first, then ready ones", #r, r[1] == client, r[2] == second, #w, w[1] == second)
r = socket.select({client, client}, nil, 0) -- covers: 4/duplicates
show.values("dirty twice", #r, r[1] == client, r[2] == client, r[client])
r, w = socket.select(nil, {client}, 5) -- covers: 4/dirty-in-sendt
show.values("dirty to be written", #r, #w, w[1] == client)
client:receive()
r = socket.select({second, second}, nil, 5)
show.values("ready twice", #r, r[second])

-- Order, reverse lookup, number of values.
local third, third_other = show.pair() -- covers: 4/6
third_other:send("y")
socket.sleep(0.1)
r, w = socket.select({third, second}, {third, client, second}, 5)
show.values("all of them", #r, #w, r[r[second]] == second, w[w[client]] == client)
-- Which of them has the smallest descriptor depends on which numbers are free.
show.differs("select-order", "as they were made", r[1] == second, r[2] == third, w[1] == client, w[2] == second)
show.values("values", select("#", socket.select({third}, nil, 5)), select("#", socket.select({client}, nil, 0))) -- covers: 4/7
r, w = socket.select({third}, nil, 5)
show.values("new tables", type(r), type(w), getmetatable(r), r ~= w)
