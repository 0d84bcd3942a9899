-- receive: patterns, prefixes, partial results.
local socket = require "socket"
local show = require "_show"
local client, other = show.pair()
client:settimeout(5)
local function give(text)
  other:send(text)
  socket.select({client}, nil, 5)
end

give("one\ntwo\r\nthree\n\n\r\n\rx\r\ry\r\nnul\0\0\nlast")
for _, pattern in ipairs({"*l", "*line", "*lx", "*l\0", "*l ", "*l\n", "*l*a", "*l"}) do -- covers: 2.7/line 2.7/spellings
  show.values("line by " .. ("%q"):format(pattern):gsub("%z", "\\0"):gsub("\n", "n"), client:receive(pattern))
end
show.values("no argument, nil", (function() give("\nx\n") return client:receive(), client:receive(nil) end)()) -- covers: 2.7/default

for _, pattern in ipairs({"l", "a", "", "*n", "*L", "*", "*A", "**", " *l", "line", "all", "x", "*", "\0*l"}) do -- covers: 2.7/bad-patterns 11/10
  show.method("pattern " .. ("%q"):format(pattern):gsub("%z", "\\0"), client, "receive", pattern)
end
for _, pattern in ipairs({-1, -0.5, -1e15, 0/0, "-3", "nan", "-inf"}) do -- covers: 2.7/negative
  show.method("pattern " .. (tostring(pattern):gsub("^-nan$", "nan")), client, "receive", pattern)
end
for _, pattern in ipairs({true, false, {}, print}) do -- covers: 2.7/types
  show.method("a " .. type(pattern), client, "receive", pattern)
end
for _, prefix in ipairs({true, false, {}, print}) do
  show.method("a prefix that is a " .. type(prefix), client, "receive", "*l", prefix)
end
show.call("by pcall", client.receive, client, "x")
show.call("by pcall, a prefix", client.receive, client, "*l", {})

give("abcdefghijklmnopqrstuvwxyz0123456789")
for _, count in ipairs({1, "2", 2.9, "0x3", "1e0", " 2 ", 0.5, 0, "0", 1.0, "1.9"}) do -- covers: 2.7/count 2.7/zero
  show.values("count " .. tostring(count), client:receive(count))
end
for _, case in ipairs({{3, "ab"}, {2, "ab"}, {1, "ab"}, {0, "ab"}, {5, ""}, {4, 12}, {3, 1.5}, {2.5, "x"}, {"3", "y"}}) do
  show.values("count " .. case[1] .. " after " .. ("%q"):format(case[2]), client:receive(case[1], case[2])) -- covers: 2.7/count-prefix
end
show.values("extra arguments", client:receive(1, nil, {}, 5)) -- covers: 2.7/extra
show.values("three values", select("#", client:receive(1)))
show.values("rest of it", client:receive("*l", (function() give("\n") return "" end)()))

give("a\r\nb\n") -- covers: 2.7/line-prefix
show.values("a prefix is kept as it is", client:receive("*l", "p\r\n\rq\n"))
show.values("a prefix that is a number", client:receive("*l", 5))
give("x\n")
show.values("nil prefix", client:receive("*l", nil))

-- Partial results.
client:settimeout(0.1) -- covers: 2.7/partial 2.7/partial-line
give("part\rial")
show.values("a line without its end", client:receive("*l", "pre\r"))
show.values("it was consumed", client:receive("*l"))
give("12345")
show.values("too few", client:receive(10, "ab"))
show.values("nothing, with a prefix", client:receive(10, "ab"))
give("12345")
show.values("not all", client:receive("*a", "ab")) -- covers: 2.7/all-timeout
show.values("nothing of all", client:receive("*a", "ab"))
show.values("nothing of nothing", client:receive(0)) -- covers: 2.7/zero 11/9
show.values("nothing, but a prefix is enough", client:receive(1, "ab"), client:receive(0, "x")) -- covers: 2.7/count-prefix
give("z")
show.values("zero when there is something", client:receive(0), client:dirty(), client:receive(1))
give("12")
show.values("many", client:receive(1e15)) -- covers: 2.7/huge
show.values("more", client:receive(2^53))

-- All.
client, other = show.pair() -- covers: 2.7/all
client:settimeout(5)
other:send("first\r\nsecond\r\n\0")
other:close()
show.values("all", client:receive("*a"))
show.values("all again", client:receive("*a"), client:receive("*a", "x"))
for _, spelling in ipairs({"*all", "*ax", "*a\0"}) do
  client, other = show.pair()
  other:send("data")
  other:close()
  show.values("all by " .. spelling:sub(1, 3), client:receive(spelling, "prefix "))
  show.values("the end, with a prefix", client:receive(spelling, "prefix "))
end
client, other = show.pair()
other:close()
show.values("nothing at all", client:receive("*a"))
show.values("with a prefix", client:receive("*a", "p"))
client, other = show.pair()
other:send("1234567890")
other:close()
show.values("huge at the end", client:receive(1e15)) -- covers: 2.7/huge
client, other = show.pair()
local long = ("x"):rep(20000)
other:send(long .. "\n" .. long .. "\r\n" .. ("y\r"):rep(10000) .. "\n")
show.values("long lines", #client:receive(), #client:receive(), #client:receive()) -- covers: 2.7/line
other:send(("z"):rep(30000))
show.values("more than a buffer", #client:receive(30000), client:dirty()) -- covers: 2.7/buffer
