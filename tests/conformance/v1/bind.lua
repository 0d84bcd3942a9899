-- bind(address, port [, backlog = 1]): server, bound ip, bound port, nil; or nil, message.
local check = require "_check"
local v1 = require "luasocketd.v1"

local results = check.list(v1.bind("127.0.0.1", 0))
local server, ip, port = results[1], results[2], results[3]
check.ok("a server socket", server and server.accept and server.listen)
check.same("four values, the last is nil", check.list(4, nil), results.n, results[4])
check.same("the bound address is a string", check.list("127.0.0.1"), ip)
check.ok("the bound port is a number above zero", type(port) == "number" and port > 0 and port < 65536, port)
check.ok("and a whole one in print", tostring(port):match("^%d+$"), port)

check.same("the port is taken", check.list(nil, "address already in use"), v1.bind("127.0.0.1", port))
check.same("an address of no machine here", check.list(nil, "address unavailable"), v1.bind("203.0.113.1", 0))

v1.close(server)
local again, same_ip, same_port = v1.bind("127.0.0.1", port, 4)
check.ok("close makes the address available, and a backlog is taken", again, same_ip)
check.same("the port asked for is the port bound", check.list("127.0.0.1", port), same_ip, same_port)
v1.close(again)

local named, name_ip = v1.bind("localhost", "0")
check.ok("a host name and a numeric string", named, name_ip)
check.ok("the bound address of a name is an address", name_ip == "127.0.0.1" or name_ip == "::1", name_ip)

check.raises("no address", "bad argument #1 to 'bind'", function() v1.bind() end)
check.raises("no port", "bad argument #2 to 'bind'", function() v1.bind("127.0.0.1") end)
check.raises("a backlog that is no number", "bad argument #3 to 'bind'", function() v1.bind("127.0.0.1", 0, {}) end)
check.done()
