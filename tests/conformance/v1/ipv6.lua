-- IPv6 is accepted wherever IPv4 is.
local check = require "_check"
local v1 = require "luasocketd.v1"

local server, ip, port = v1.bind("::1", 0)
check.ok("bind to ::1", server, ip)
check.same("the bound address", check.list("::1", "number"), ip, type(port))
local client, err = v1.connect("::1", port)
check.ok("connect to ::1", client, err)
local accepted = v1.accept(server)
check.same("bytes go out", check.list(nil, 6), client:send("hello\n"))
check.same("and arrive", check.list("hello", nil), accepted:receive())
v1.close(server)
check.same("refused there, too", check.list(nil, "connection refused"), v1.connect("::1", port))
check.done()
