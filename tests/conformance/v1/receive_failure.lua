-- A failed receive: the strings of the patterns that completed, what arrived of the one that failed, nil for
-- each later one, then "closed" or "timeout".
local check = require "_check"
local v1 = require "luasocketd.v1"

local client, other = check.pair()
client:send("one\n", "two")
client:close()
check.same("closed in the second of four", check.list("one", "two", nil, nil, "closed"),
  v1.receive(other, "*l", "*l", "*l", 5))
check.same("again: nothing is left", check.list("", nil, "closed"), other:receive(5, "*l"))

client, other = check.pair()
client:send("one\n", "tw")
other:timeout(0.3)
check.same("timeout in the second of three", check.list("one", "tw", nil, "timeout"), other:receive("*l", 5, "*l"))
client:send("o\n", "three\n")
check.same("what was returned is not returned again", check.list("o", "three", nil), other:receive("*l", "*l"))

client:send("12345")
check.same("timeout in the first", check.list("12345", nil, "timeout"), other:receive(10, "*l"))
check.same("nothing came at all", check.list("", "timeout"), other:receive())
client:send("word")
check.same("part of a word", check.list("word", "timeout"), other:receive("*w"))
client:send("line\r")
local line, err = other:receive("*l")
check.ok("part of a line", (line == "line\r" or line == "line") and err == "timeout", line)
check.done()
