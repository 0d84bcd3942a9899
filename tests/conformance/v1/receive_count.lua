-- receive with a number: exactly that many bytes.
local check = require "_check"
local v1 = require "luasocketd.v1"
local client, other = check.pair()

client:send("abcdefghij", "\r\n\0\255", "12345", "rest\n")
check.same("three bytes", check.list("abc", nil), v1.receive(other, 3))
check.same("a numeric string", check.list("def", nil), other:receive("3"))
check.same("none", check.list("", nil), other:receive(0))
check.same("none, by a string", check.list("", nil), other:receive("0"))
check.same("several counts", check.list("g", "", "hij", nil), other:receive(1, 0, 3))
check.same("bytes as they are", check.list("\r\n\0\255", nil), other:receive(4))
check.same("a whole number of any kind", check.list("12345", nil), other:receive(10 / 2))
check.same("a line afterwards", check.list("rest", nil), other:receive())

local long = ("0123456789abcdef"):rep(65536)
local echo = check.peer("echo")
check.same("a mebibyte goes out", check.list(nil, #long), echo:send(long))
check.same("and comes back whole", check.list(long, nil), echo:receive(#long))

client:send("ab")
client:close()
check.same("none at the end, too", check.list("", nil), other:receive(0))
check.same("fewer came before the end", check.list("ab", "closed"), other:receive(5))
check.same("none are left", check.list("", "closed"), other:receive(5))
check.same("zero asks for nothing and gets it", check.list("", nil), other:receive(0))
check.done()
