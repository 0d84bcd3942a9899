-- How long calls wait: both modes, alone and together, with data that trickles, with odd values.
local socket = require "socket"
local show = require "_show"

local client, other, server = show.pair()
local function limits(block, total)
  client:settimeout(block)
  client:settimeout(total, "t")
end
local function receives(label, least, most, ...)
  local arguments = {...}
  show.timed(label, least, most, function() return client:receive((table.unpack or unpack)(arguments)) end)
end
limits(-1, 0.3) -- covers: 3/total
receives("total only", 0.25, 2, 5)
limits(0.3, -1) -- covers: 3/block
receives("block only", 0.25, 2, "*l")
limits(0.3, 5) -- covers: 3/both
receives("both, block is shorter", 0.25, 2, "*a", "prefix")
limits(5, 0.3)
receives("both, total is shorter", 0.25, 2)
limits(0, -1) -- covers: 3/zero
receives("block 0", 0, 0.2)
limits(0, 5)
receives("block 0, total 5", 0, 0.2)
limits(-1, 0) -- covers: 3/total-zero
receives("total 0", 0, 0.2)
limits(5, 0)
receives("block 5, total 0", 0, 0.2)
limits(0.0005, -1) -- covers: 3/milliseconds
receives("less than a millisecond", 0, 0.2)
limits(-1, 0.0005)
receives("less than a millisecond, total", 0, 0.2)
limits(0/0, -1) -- covers: 3/nan
receives("nan", 0, 0.2)
limits(-1, 0/0)
receives("nan, total", 0, 0.2)
limits(-1, -1)
client:settimeout(0.2, "r")
receives("r is total", 0.15, 2)
limits(0.2, -1)
receives("a partial result", 0.15, 2, 3)

-- Data that is there is delivered, whatever the limit.
other:send("one\ntwo\nthree\n") -- covers: 3/available
socket.select({client}, nil, 5)
limits(0, 0)
receives("at once", 0, 0.5)
receives("at once", 0, 0.5)
limits(0.0001, -1)
receives("at once", 0, 0.5)

-- The server and the datagrams.
server:settimeout(0) -- covers: 3/accept
show.timed("accept 0", 0, 0.2, function() return server:accept() end)
server:settimeout(-1)
server:settimeout(0.2, "t")
show.timed("accept, total", 0.15, 2, function() return server:accept() end)
server:settimeout(0.2)
server:settimeout(5, "t")
show.timed("accept, both", 0.15, 2, function() return server:accept() end)

-- Each call has its own clock.
limits(-1, 0.4) -- covers: 3/start
socket.sleep(0.5)
receives("time before the call does not count", 0.35, 2)
other:send("here\n")
receives("nor do earlier calls", 0, 0.3)

-- A peer that sends a byte each 0.2 s: a child that waits for nobody but this script.
local trickle = [[
  local socket = require "socket"
  local peer = assert(socket.connect("127.0.0.1", %d))
  for _ = 1, %d do socket.sleep(0.2) if not peer:send("x") then break end end
  peer:receive()
]]
local interpreter, at = arg[-1], -1
while arg[at - 1] do at = at - 1 interpreter = arg[at] end
local _, port = server:getsockname()
server:settimeout(20)
server:settimeout(-1, "t")
local function trickling(label, count, block, total, least, most)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(trickle:format(port, count))
  file:close()
  os.execute(interpreter .. " " .. path .. " &")
  client = assert(server:accept())
  os.remove(path)
  limits(block, total)
  show.timed(label, least, most, function()
    local data, err, partial = client:receive(count)
    -- How many bytes come before a limit depends on the load of the machine.
    return data, err, partial and #partial < count
  end)
  client:close()
end
trickling("block is a limit of the whole call", 20, 0.5, -1, 0.45, 3) -- covers: 3/deadline 11/1
trickling("with a total limit it is one of each wait", 7, 1.1, 20, 1.2, 8) -- covers: 3/per-wait
trickling("total is a limit of the whole call", 20, 5, 0.5, 0.45, 3) -- covers: 3/deadline
