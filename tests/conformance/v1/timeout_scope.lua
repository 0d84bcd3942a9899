-- A timeout bounds nothing but send and receive, of its own socket only.
local check = require "_check"
local v1 = require "luasocketd.v1"

local server, ip, port = v1.bind("127.0.0.1", 0, 5)
local one = v1.connect(ip, port)
one:timeout(0)
one:timeout(0, "r")
check.ok("connect is not bounded by another socket's", v1.connect(ip, port))

local fresh = check.peer("drip 1 500")
local text, err = check.takes("a new socket has none", 0.3, 10, function() return fresh:receive(1) end)
check.same("and waits for its byte", check.list("x", nil), text, err)

local accepted = server:accept()
check.peer("dial " .. port .. " 0")
check.ok("accept neither", server:accept() and server:accept())
check.same("an accepted one has none either", check.list(nil, 3), accepted:send("abc"))
check.raises("a server takes no timeout", "client socket expected", function() v1.timeout(server, 1) end)
check.done()
