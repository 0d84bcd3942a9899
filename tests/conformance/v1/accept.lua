-- accept(server): client, nil; blocks until one comes.
local check = require "_check"
local v1 = require "luasocketd.v1"

local server, ip, port = v1.bind("127.0.0.1", 0, 5)
local client = v1.connect(ip, port)
local results = check.list(v1.accept(server))
check.same("two values, the second nil", check.list(2, nil), results.n, results[2])
check.ok("the first is a client socket", results[1].send and results[1].receive and results[1].timeout)
check.ok("another socket than the connecting one", results[1] ~= client)
results[1]:send("from the server\n")
check.same("connected to it", check.list("from the server", nil), client:receive())

check.peer("dial " .. port .. " 700")
local late = check.takes("it waits for a client that comes late", 0.4, 20, function() return server:accept() end)
check.same("and gives that one", check.list("hello", nil), late:receive())

check.peer("dial " .. port .. " 700")
local client2 = v1.connect(ip, port)
client2:timeout(0)
client2:timeout(0, "return")
local first = server:accept()
local second = check.takes("no timeout of a client applies to a server", 0.2, 20, function() return server:accept() end)
check.same("accepted all the same", check.list("hello", nil), second:receive())
check.done()
