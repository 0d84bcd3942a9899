-- What socket.lua adds: choose, sinks and sources, BLOCKSIZE.
local socket = require "socket"
local show = require "_show"

local chosen = socket.choose({ -- covers: 1/choose
  default = function(...) show.values("default", ...) return "d" end,
  other = function(...) show.values("other", ...) return "o", 2 end,
})
show.values("no name", chosen())
show.values("one option", chosen(1))
show.values("two options", chosen({}, 2))
show.values("three options", chosen(1, 2, 3))
show.values("a name", chosen("other"))
show.values("a name and options", chosen("other", 1, 2, 3))
show.values("nil and options", chosen(nil, 1, 2))
show.call("unknown", function() chosen("nothing") end)
show.call("unknown, default missing", function() socket.choose({})(5) end)

local client, other = show.pair()
client:settimeout(5)
other:settimeout(5)
for _, mode in ipairs({"default", "keep-open", "close-when-done"}) do -- covers: 1/sink-modes 1/sink-table
  local client, other = show.pair()
  other:settimeout(5)
  local sink = socket.sink(mode, client)
  show.values(mode, type(sink), type(getmetatable(sink).__call), type(sink.getfd), type(sink.dirty))
  show.values("descriptor", sink.getfd() == client:getfd(), sink:getfd() == client:getfd(), sink.dirty())
  show.values("a chunk", sink("chunk\n"))
  show.values("arrives", other:receive())
  show.values("an empty chunk", sink(""))
  show.values("the end", sink(nil, "an error"))
  show.values("closed", client:getfd() < 0) -- covers: 1/sink-close
  show.values("a chunk after it", sink("x"))
  show.values("in select", #(select(2, socket.select(nil, {sink}, 0.1))))
end
show.values("without a mode", (socket.sink(client)("by default\n")), (other:receive()))
show.raises("unknown mode", socket.sink, "no-such-mode", client)
show.raises("unknown source", socket.source, "no-such-mode", client)
show.values("http-chunked is http's", socket.sinkt["http-chunked"], socket.sourcet["http-chunked"]) -- covers: 1/http-chunked

local function pump(label, source, most)
  for i = 1, most do
    local chunk, err, extra = source()
    show.values(label .. " " .. i, chunk and #chunk > 20 and #chunk or chunk, err, extra)
    if not chunk then break end
  end
end
for _, mode in ipairs({"default", "until-closed"}) do -- covers: 1/source-modes 1/source-until-closed 1/BLOCKSIZE
  local client, other = show.pair()
  client:settimeout(5)
  other:send(("x"):rep(socket.BLOCKSIZE * 2 + 3))
  other:close()
  local source = socket.source(mode, client)
  show.values(mode, type(source), type(source.getfd), type(source.dirty), source.getfd() == client:getfd())
  pump(mode, source, 6)
  show.values("closes", client:getfd() < 0)
  show.values("then", source())
end
local exact, exact_other = show.pair()
exact:settimeout(5)
exact_other:send(("x"):rep(socket.BLOCKSIZE))
exact_other:close()
pump("one block exactly", socket.source(exact), 4)

client, other = show.pair() -- covers: 1/source-error
client:settimeout(0.1)
other:send("partial")
pump("an error", socket.source("until-closed", client), 2)
show.values("its partial result is lost", client:receive(1))

client, other = show.pair() -- covers: 1/source-by-length
client:settimeout(5)
other:send(("y"):rep(5000))
pump("by length", socket.source("by-length", client, 4100), 5)
show.values("the rest stays", #client:receive(900))
pump("nothing", socket.source("by-length", client, 0), 2)
pump("less than nothing", socket.source("by-length", client, -5), 2)
client:settimeout(0.1)
other:send("abc")
pump("an error", socket.source("by-length", client, 10), 2)
other:send("abc")
other:close()
pump("the end", socket.source("by-length", client, 10), 2)

local size = socket.BLOCKSIZE -- covers: 1/BLOCKSIZE
socket.BLOCKSIZE = 10
client, other = show.pair()
other:send(("0123456789"):rep(2) .. "end")
other:close()
pump("small blocks", socket.source(client), 5)
socket.BLOCKSIZE = size

-- try is newtry() without a finalizer.
show.values("try", type(socket.try), socket.try("x"), pcall(function() socket.try(nil, "y") end) == false) -- covers: 1/try

-- A pump as ltn12 does it.
client, other = show.pair() -- covers: 1/sink-table 1/source-modes
local from, from_other = show.pair()
from_other:send(("z"):rep(10000))
from_other:close()
local source, sink = socket.source(from), socket.sink("close-when-done", client)
local chunks = 0
repeat
  local chunk = source()
  assert(sink(chunk))
  chunks = chunks + 1
until not chunk
other:settimeout(5)
show.values("pumped", #other:receive("*a"), chunks)
