-- receive: lines, counts, all, prefixes, partials.
local socket = require "socket"
local show = require "_show"
local client, other = show.pair()

client:send("plain\ncrlf\r\n\n\r\na\rb\r\r\nnul\0byte\nline two\n")
for i = 1, 7 do show.values("line " .. i, other:receive(i % 2 == 0 and "*l" or nil)) end

client:send("one\r\ntwo\n")
show.values("line with a prefix", other:receive("*l", "pre\r\n"))
show.values("long name, number prefix", other:receive("*line", 12))

client:send("abcdefghijklmnopqrstuvwxyz")
show.values("three", other:receive(3))
show.values("a string count", other:receive("2"))
show.values("a fraction", other:receive(2.9))
show.values("zero", other:receive(0))
show.values("with a prefix", other:receive(5, "xyz"))
show.values("prefix long enough", other:receive(2, "xyz"))
show.values("prefix just right", other:receive(3, "xyz"))
show.values("dirty", other:dirty())
other:settimeout(0.2)
show.values("more than there is", other:receive(100))
show.values("dirty", other:dirty())
show.values("nothing at all", other:receive(1))
show.values("nothing, with a prefix", other:receive(5, "pre"))
show.values("no line", other:receive())
show.values("not all", other:receive("*a", "so far"))
show.values("zero of nothing", other:receive(0))
client:send("half a li")
show.values("half a line", other:receive("*l", "prefix "))
client:send("ne\n")
show.values("the rest", other:receive("*l", "half a li"))

client:send("some\r\nmore\r\ntail")
client:close()
show.values("first line", other:receive("*l"))
show.values("all the rest", other:receive("*a"))
show.values("all again", other:receive("*a"))
show.values("all again with a prefix", other:receive("*all", "p"))
show.values("line at the end", other:receive("*l"))
show.values("line at the end with a prefix", other:receive("*l", "p"))
show.values("count at the end", other:receive(3))
show.values("prefix at the end", other:receive(3, "abc"))

client, other = show.pair()
client:send("no newline")
client:close()
show.values("a line that the end cut", other:receive("*l"))
show.values("then", other:receive("*l"))

client, other = show.pair()
client:send("1234567")
client:close()
show.values("a count that the end cut", other:receive(10, ">"))
show.values("then", other:receive(10))

client, other = show.pair()
client:close()
show.values("at once", other:receive("*a"))

client, other = show.pair()
local big = ("0123456789abcdef\n"):rep(20000)
client:settimeout(0)
local sent, chunks = 0, {}
while sent < #big do
  local last, err, partial = client:send(big, sent + 1)
  sent = last or partial
  other:settimeout(0)
  local data, err, part = other:receive(#big)
  chunks[#chunks + 1] = data or part
end
client:close()
other:settimeout(10)
chunks[#chunks + 1] = other:receive("*a") or ""
show.values("what went out came in", table.concat(chunks) == big)
