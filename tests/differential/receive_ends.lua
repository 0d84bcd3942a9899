-- receive at and after ends: peers that close or reset, local close and shutdown, sockets never connected.
local socket = require "socket"
local show = require "_show"
local patterns = {"*l", "*a", 3, 0, 100}
local client, other
local function fresh(text, read)
  client, other = show.pair()
  client:settimeout(5)
  if text then other:send(text) end
  socket.select({client}, nil, text and 5 or 0)
  if read then client:receive(read) end
end
local function each(label)
  for _, pattern in ipairs(patterns) do
    show.values(label .. " " .. pattern, client:receive(pattern))
    show.values("  with a prefix", client:receive(pattern, "abcd"))
  end
end

fresh("queued")
other:close() -- covers: 2.7/peer-closed
show.values("what is queued comes first", client:receive(3), client:receive(3))
each("then")
fresh("no line end")
other:close()
show.values("a line without its end", client:receive()) -- covers: 2.7/line-eof
show.values("then", client:receive())
fresh("cr\rlf\r\nand\r")
other:close()
show.values("carriage returns", client:receive(), (select(3, client:receive())))
fresh("0123456789")
other:close()
show.values("a count that the end cuts", client:receive(20, "ab")) -- covers: 2.7/count-eof
show.values("then", client:receive(20, "ab"))
fresh("ab")
other:close()
show.values("zero before the end", client:receive(0), client:receive(2), client:receive(0))

fresh() -- covers: 2.7/closed
client:close()
each("closed")
for _, pattern in ipairs(patterns) do -- covers: 2.7/closed-buffer 11/11
  fresh("1buffered line\nmore", 1)
  client:close()
  show.values("closed with a buffer, " .. pattern, client:receive(pattern))
  show.values("then", client:receive(pattern))
  show.values("then", client:receive("*a"))
  show.values("then", client:receive("*a"))
end
fresh("1more", 1)
client:close()
show.values("the page's example", client:receive(2), client:receive("*a"))
show.values("and its end", client:receive(), client:dirty())
fresh("1more", 1)
client:close()
show.values("a line of it", client:receive("*l"))
fresh("1more", 1)
client:close()
show.timed("select ignores it", 0.1, 2, function() -- covers: 2.7/closed-select
  return select("#", socket.select({client}, nil, 0.15)), client:dirty()
end)

fresh("queued\nmore\n") -- covers: 2.7/shutdown
client:shutdown("receive")
show.values("after shutdown", client:receive(), client:receive())
show.values("then", client:receive())
show.values("the other way works", client:send("answer\n"), other:receive())
fresh()
client:shutdown("receive")
show.values("after shutdown of nothing", client:receive())

fresh() -- covers: 2.7/reset
other:setoption("linger", {on = true, timeout = 0})
other:close()
socket.sleep(0.1)
show.values("reset", client:receive("*l", "prefix"))
show.values("then", client:receive(5))
fresh("1buffered", 1)
other:setoption("linger", {on = true, timeout = 0})
other:close()
socket.sleep(0.1)
show.values("what was buffered is not lost", client:receive(8))
show.values("then", client:receive())

-- Never connected.
local refused, holder = show.refused_port()
for _, make in ipairs({"tcp", "tcp4"}) do -- covers: 2.7/never
  local failed = socket[make]()
  failed:connect("not a name", 80)
  show.values(make .. " after a failed lookup", failed:receive())
  show.values("send", failed:send("x"))
  failed = socket[make]()
  failed:connect("127.0.0.1", refused)
  show.values(make .. " after a refusal", failed:receive())
  show.values("send", failed:send("x"))
  failed:close()
  show.values("closed", failed:receive())
end

-- A connection in progress.
local silent, held = show.silent_port()
local pending = socket.tcp4() -- covers: 2.7/in-progress
pending:settimeout(0)
pending:connect("127.0.0.1", silent)
show.values("in progress, receive", pending:receive())
show.values("in progress, send", pending:send("x"))
pending:settimeout(0.2)
show.timed("in progress, receive with time", 0.15, 2, function() return pending:receive("*a", "p") end)
show.timed("in progress, send with time", 0.15, 2, function() return pending:send("xyz", 2) end)
show.name("name", pending, "peer")

client, other = show.pair() -- covers: 2.7/steady
client:settimeout(0)
other:send("ready\n")
socket.select({client}, nil, 5)
show.values("what is there needs no time", client:receive())
