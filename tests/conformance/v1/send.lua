-- send(client, s1 [, s2, ...]): nil, total bytes.
local check = require "_check"
local v1 = require "luasocketd.v1"
local client, other = check.pair()

check.same("one string", check.list(nil, 5), v1.send(client, "hello"))
check.same("several strings: the total", check.list(nil, 6), v1.send(client, "a", "bc", "def"))
check.same("as a method", check.list(nil, 2), client:send("x", "y"))
check.same("they arrive joined, in order", check.list("helloabcdefxy", nil), v1.receive(other, 13))

check.same("it stops at the first nil", check.list(nil, 2), v1.send(client, "ab", nil, "cd"))
check.same("a first nil sends nothing", check.list(nil, 0), v1.send(client, nil, "cd"))
check.same("no string sends nothing", check.list(nil, 0), v1.send(client))
check.same("an empty string sends nothing", check.list(nil, 0), v1.send(client, ""))
check.same("numbers in their string form", check.list(nil, 6), v1.send(client, 42, "/", 1.5))
check.same("all of that", check.list("ab42/1.5", nil), v1.receive(other, 8))

local bytes = {}
for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
local all = table.concat(bytes)
v1.send(client, all)
check.same("every byte value passes", check.list(all, nil), v1.receive(other, 256))

v1.send(client, "to")
v1.send(other, "fro")
check.same("both directions at once, there", check.list("to", nil), v1.receive(other, 2))
check.same("and back", check.list("fro", nil), v1.receive(client, 3))

check.raises("a table is no string", "bad argument #2 to 'send'", function() v1.send(client, {}) end)
check.raises("nor is a boolean", "bad argument #3 to 'send'", function() v1.send(client, "a", true) end)
check.done()
