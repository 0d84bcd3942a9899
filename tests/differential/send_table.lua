-- send: ranges, types, errors with the last byte, closed and half-closed connections.
local socket = require "socket"
local show = require "_show"
local client, other = show.pair()
other:settimeout(5)

local data, total = "abcdefghij", 0
local ranges = { -- covers: 2.6/ranges 2.6/defaults
  {}, {3}, {3, 5}, {-3}, {-3, -2}, {-100, 2}, {0, 3}, {5, 4}, {1, 0}, {1, -11}, {11}, {20}, {"2", "4"}, {2.7, 4.9},
  {2, 100}, {10, 10}, {-1, -1}, {8, -2}, {-2, -5}, {0, 0}, {-100, -100}, {100, 200}, {1, 1e15}, {-1e15, 1}, {2.9, 2.1},
  {"-3", "-2"}, {nil, 4}, {3, nil}, {0.9, 1}, {-0.5, 3}, {11, 11}, {12, 11},
}
for _, range in ipairs(ranges) do
  local label = tostring(range[1]) .. ", " .. tostring(range[2])
  local last, err, partial = client:send(data, range[1], range[2])
  show.values("send " .. label, last, err, partial)
end
client:send("\n")
show.values("what came", other:receive())
show.values("empty", client:send(""), client:send("", 1), client:send("", 5, 9)) -- covers: 2.6/nothing 11/9
show.values("numbers are texts", client:send(42), client:send(-1.5), client:send(1e15), client:send(2^53)) -- covers: 0/strings 2.6/numbers
show.values("three values", select("#", client:send("x")), select("#", client:send("", 2)))
client:send("\n")
show.values("what came", other:receive())
show.values("bytes are bytes", client:send("a\0b\r\n\255"), other:receive(6))
show.values("extra arguments", client:send("x", 1, 1, {}, 5), other:receive(1))

for _, wrong in ipairs({{}, true, {1}}) do show.method("send a " .. type(wrong), client, "send", wrong) end -- covers: 2.6/arguments
show.method("send nothing", client, "send")
show.method("send nil", client, "send", nil)
show.method("send from a text", client, "send", "x", "y")
show.method("send from a table", client, "send", "x", {})
show.method("send from a boolean", client, "send", "x", true)
show.method("send to a text", client, "send", "x", 1, "y")
show.method("send to a boolean", client, "send", "x", 1, false)
show.call("by pcall", client.send, client)
show.call("by pcall, from a table", client.send, client, "x", {})

-- Large data goes in one piece as far as anybody sees.
local big = ("0123456789abcdef"):rep(1024 * 64)
client:settimeout(0) -- covers: 2.6/pieces 2.6/resume
local sent, got, parts, misses = 0, 0, {}, 0
other:settimeout(0)
while got < #big do
  if sent < #big then
    local last, err, partial = client:send(big, sent + 1)
    if last then sent = last elseif err == "timeout" and partial >= sent then sent = partial else misses = misses + 1 end
  end
  local piece, err, partial = other:receive(65536)
  piece = piece or partial
  parts[#parts + 1], got = piece, got + #piece
  if #piece == 0 then socket.select({other}, nil, 1) end
end
show.values("resumed until all is there", sent == #big, misses, table.concat(parts) == big)

-- A peer that does not read.
local huge = ("x"):rep(64 * 1024 * 1024)
client, other = show.pair() -- covers: 2.6/timeout-0
client:settimeout(0)
local done, err, last = client:send(huge)
show.values("without time", done, err, last > 0 and last < #huge)
local from = 1000
show.timed("the last byte counts from the start of the string", 0, 2, function()
  local done, err, last = client:send(huge, from)
  return done, err, last >= from - 1 and last < #huge
end) -- covers: 2.6/error-last
client:settimeout(0.2)
show.timed("with time", 0.15, 3, function()
  local done, err, last = client:send(huge)
  return done, err, last < #huge
end)
show.values("an empty range does not wait", client:send(huge, 5, 4)) -- covers: 2.6/nothing

-- Closed.
client, other = show.pair() -- covers: 2.6/closed
client:close()
for _, range in ipairs({{}, {3}, {1}, {3, 3}, {-1}, {2, 1}, {4}, {9}}) do
  show.values("closed, " .. tostring(range[1]) .. " " .. tostring(range[2]), client:send("xyz", range[1], range[2]))
end
show.values("closed, empty", client:send(""))
show.method("closed, a table", client, "send", {})
client = show.pair() -- covers: 2.6/shutdown
client:shutdown("send")
show.values("after shutdown", client:send("xyz"))
show.values("from 3", client:send("xyz", 3))
show.values("nothing", client:send(""))

client, other = show.pair() -- covers: 2.6/peer-closed
other:close()
socket.sleep(0.1)
show.values("the peer has closed, first", client:send("x"))
socket.sleep(0.1)
show.values("second", client:send("yz"))
show.values("third, from 2", client:send("yz", 2))
client, other = show.pair() -- covers: 2.7/reset
other:setoption("linger", {on = true, timeout = 0})
other:close()
socket.sleep(0.1)
show.values("the peer has reset", client:send("x"))
show.values("again", client:send("x"))
