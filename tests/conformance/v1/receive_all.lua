-- receive "*a": everything until the peer closes, which is then no error.
local check = require "_check"
local v1 = require "luasocketd.v1"

local client, other = check.pair()
client:send("line\r\n", "and \0 more")
client:close()
check.same("everything, as it was sent", check.list("line\r\nand \0 more", nil), v1.receive(other, "*a"))
check.same("again: nothing, and still no error", check.list("", nil), other:receive("*a"))
check.same("other patterns: closed", check.list("", "closed"), other:receive("*l"))

client, other = check.pair()
client:close()
check.same("an immediate close", check.list("", nil), v1.receive(other, "*a"))

client, other = check.pair()
client:send("head\n", "body")
client:close()
check.same("after a line", check.list("head", "body", nil), other:receive("*l", "*a"))

client, other = check.pair()
client:send("first")
client:close()
check.same("a pattern after *a finds the end", check.list("first", "", "closed"), other:receive("*a", "*l"))

client, other = check.pair()
client:send("so far")
other:timeout(0.3)
check.same("a timeout gives what came", check.list("so far", "timeout"), other:receive("*a"))

local long = ("0123456789"):rep(20000)
local big = check.peer("say " .. long)
check.same("two hundred thousand bytes", check.list(long, nil), big:receive("*a"))

local reset = check.peer("reset part")
reset:send("!")
local data, err = reset:receive("*a")
check.ok("a reset is no proper end", err == "closed" or err == nil, err)
check.ok("and what arrived before it is returned", data == "part" or data == "", data)
check.done()
