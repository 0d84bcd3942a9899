-- receive "*w": a word; white space before it is skipped, the white space that ends it is consumed.
local check = require "_check"
local v1 = require "luasocketd.v1"
local client, other = check.pair()

client:send("alpha beta\n", "  \t\r\n gamma\t", "delta\n\nnext line\n", "x y\n")
check.same("a word", check.list("alpha", nil), v1.receive(other, "*w"))
check.same("the next", check.list("beta", nil), other:receive("*w"))
check.same("white space of all kinds is skipped", check.list("gamma", nil), other:receive("*w"))
check.same("one more", check.list("delta", nil), other:receive("*w"))
check.same("exactly one white space was consumed behind it", check.list("", nil), other:receive("*l"))
check.same("a line after it", check.list("next line", nil), other:receive("*l"))
check.same("two words in one call", check.list("x", "y", nil), other:receive("*w", "*w"))

client:send("last")
client:close()
local word, err = other:receive("*w")
check.same("the end of the stream does not lose a word", check.list("last"), word)
check.same("but nothing ended it", check.list("closed"), err)
check.same("no word is left", check.list("", "closed"), other:receive("*w"))

client, other = check.pair()
client:send("   ")
other:timeout(0.3)
check.same("only white space so far", check.list("", "timeout"), other:receive("*w"))
client:send("wo")
check.same("half a word", check.list("wo", "timeout"), other:receive("*w"))
check.done()
