-- receive "*l", the default: a line ended by LF; an optional CR before it is dropped, too.
local check = require "_check"
local v1 = require "luasocketd.v1"
local client, other = check.pair()

client:send("unix\n", "dos\r\n", "\n", "\r\n", "a\rb\r\n", "two\r\r\n", "nul\0byte\n", "default\n", "long form\n")
check.same("LF ends it and is not returned", check.list("unix", nil), v1.receive(other, "*l"))
check.same("nor is a CR before it", check.list("dos", nil), other:receive("*l"))
check.same("an empty line", check.list("", nil), other:receive("*l"))
check.same("an empty line with CR", check.list("", nil), other:receive("*l"))
check.same("a CR elsewhere is data", check.list("a\rb", nil), other:receive("*l"))
check.same("only one CR is dropped", check.list("two\r", nil), other:receive("*l"))
check.same("NUL is data", check.list("nul\0byte", nil), other:receive("*l"))
check.same("the default pattern", check.list("default", nil), v1.receive(other))
check.same("as the second of two", check.list("long form", nil), other:receive("*l"))

client:send("1\n2\r\n3\n")
check.same("several lines at once", check.list("1", "2", "3", nil), other:receive("*l", "*l", "*l"))

local long = ("y"):rep(300000)
client:send(long, "\r\n")
check.same("a line longer than any buffer", check.list(long, nil), other:receive())

client:send("split\r")
other:timeout(0.2)
local head, err = other:receive("*l")
check.same("no end yet", check.list("timeout"), err)
client:send("\nnext\n")
other:timeout(-1)
local rest = other:receive("*l")
check.ok("nothing of a split line is lost", head .. rest == "split" or head .. rest == "split\r", head .. "|" .. rest)
check.same("and the next is whole", check.list("next", nil), other:receive("*l"))
check.done()
