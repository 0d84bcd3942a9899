-- The backlog is the number of connections that wait for accept; nothing is accepted before it is asked for.
local check = require "_check"
local v1 = require "luasocketd.v1"

local server, ip, port = v1.bind("127.0.0.1", 0, 5)
local clients = {}
for i = 1, 5 do
  clients[i] = v1.connect(ip, port)
  check.ok("client " .. i .. " of 5 connects before any accept", clients[i])
  clients[i]:send("client " .. i .. "\n")
end
for i = 1, 5 do
  local accepted = server:accept()
  check.same("they are accepted in their order", check.list("client " .. i, nil), accepted:receive())
end
check.done()
