-- Random sequences of calls: sequence.lua SEED COUNT does COUNT sequences, of the seeds from SEED on, and prints
-- what each call answers. Two implementations that agree print the same.
local socket = require "socket"
local random = require "_random"
local world = require "_world"
local streams = require "_streams"
local others = require "_others"

local steps = 30 -- calls, about, of one sequence
local choices = { -- how often which
  {streams.send, 10}, {streams.receive, 10}, {streams.connect, 4}, {streams.accept, 2}, {streams.select, 4},
  {streams.shutdown, 1}, {streams.close, 1}, {streams.serve, 1},
  {others.datagram, 4}, {others.take, 4}, {others.peer, 1}, {others.udp, 1}, {others.end_udp, 1},
  {others.master, 1}, {others.bind, 2}, {others.listen, 1}, {others.refuse, 1}, {others.end_server, 1},
  {others.ask, 4}, {others.limits, 1}, {others.option, 2}, {others.misuse, 2},
}
local wheel = {}
for _, choice in ipairs(choices) do
  for _ = 1, choice[2] do wheel[#wheel + 1] = choice[1] end
end

-- Numbers are whole or as they are, texts are short.
local function word(value)
  if type(value) == "number" then return ("%.14g"):format(value) end
  if type(value) == "userdata" or type(value) == "table" then return type(value) end
  if type(value) ~= "string" then return tostring(value) end
  if #value > 60 then
    local sum = 0 -- so that a long text is not taken for another one
    for i = 1, #value do sum = (sum * 31 + value:byte(i)) % 1000003 end
    return ("<%d bytes, %d>"):format(#value, sum)
  end
  return '"' .. value:gsub("[%c\\]", function(c) return ("\\%d"):format(c:byte()) end) .. '"'
end

local function report(...)
  local words = {}
  for i = 3, select("#", ...) do words[#words + 1] = word((select(i, ...))) end
  local name, call = ...
  print(name, call, table.concat(words, " "))
end

local holder = assert(socket.tcp4()) -- a port that refuses for as long as the program runs
assert(holder:bind("127.0.0.1", 0))
local _, refused = holder:getsockname()

local first, count = tonumber(arg[1]), tonumber(arg[2])
for seed = first, first + count - 1 do
  print(("sequence %d"):format(seed))
  local w = world.new(random.new(seed), report)
  w.refused_host, w.refused_port = "127.0.0.1", refused
  for _ = 1, steps do w.random:of(wheel)(w) end
  w:finish()
end
print("done")
