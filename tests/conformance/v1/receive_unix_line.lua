-- receive "*lu": a Unix line, ended by LF; a CR is kept as data.
local check = require "_check"
local v1 = require "luasocketd.v1"
local client, other = check.pair()

client:send("unix\n", "dos\r\n", "\r\n", "\n", "a\rb\n", "mixed\r\n", "mixed\r\n")
check.same("LF ends it and is not returned", check.list("unix", nil), v1.receive(other, "*lu"))
check.same("CR is kept", check.list("dos\r", nil), other:receive("*lu"))
check.same("a line of CR", check.list("\r", nil), other:receive("*lu"))
check.same("an empty line", check.list("", nil), other:receive("*lu"))
check.same("CR within", check.list("a\rb", nil), other:receive("*lu"))
check.same("beside *l", check.list("mixed", "mixed\r", nil), other:receive("*l", "*lu"))
client:send("rest")
client:close()
check.same("no end came", check.list("rest", "closed"), other:receive("*lu"))
check.done()
