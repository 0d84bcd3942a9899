-- close(socket): nothing. A closed socket raises; closing one twice is allowed.
local check = require "_check"
local v1 = require "luasocketd.v1"

local client, other = check.pair()
client:send("last words")
check.same("close returns nothing", check.list(), v1.close(client))
check.same("twice is allowed", check.list(), v1.close(client))
check.same("as a method, too", check.list(), client:close())
check.same("what was sent arrives, then the end", check.list("last words", nil), other:receive("*a"))

local calls = {
  send = function() v1.send(client, "x") end,
  receive = function() v1.receive(client) end,
  timeout = function() v1.timeout(client, 1) end,
  ["send as a method"] = function() client:send("x") end,
  ["receive as a method"] = function() client:receive() end,
}
for name, call in pairs(calls) do check.raises(name, "operation on closed socket", call) end

local server, ip, port = v1.bind("127.0.0.1", 0)
check.same("a server closes alike", check.list(), v1.close(server))
check.same("twice", check.list(), v1.close(server))
check.raises("accept", "operation on closed socket", function() v1.accept(server) end)
check.raises("listen", "operation on closed socket", function() v1.listen(server, 1) end)
check.same("nobody listens any more", check.list(nil, "connection refused"), v1.connect(ip, port))
check.ok("its address is available", (v1.bind(ip, port)))

local big_client, big_other = check.pair()
local big = ("z"):rep(100000)
check.same("much data", check.list(nil, #big), big_client:send(big))
big_client:close()
check.same("close does not cut it off", check.list(big, nil), big_other:receive("*a"))
check.done()
