-- listen(server, backlog): nil.
local check = require "_check"
local v1 = require "luasocketd.v1"

local server, ip, port = v1.bind("127.0.0.1", 0, 1)
check.same("as a function: one nil", check.list(nil), v1.listen(server, 3))
check.same("as a method", check.list(nil), server:listen(4))
check.same("a numeric string", check.list(nil), server:listen("5"))
local clients = {}
for i = 1, 5 do
  clients[i] = v1.connect(ip, port)
  check.ok("client " .. i .. " of the larger backlog", clients[i])
end
for i = 1, 5 do check.ok("accepted " .. i, server:accept()) end
check.raises("no backlog", "bad argument", function() v1.listen(server) end)
check.done()
