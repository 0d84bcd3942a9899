-- accept, its timeouts, and what an accepted socket is.
local socket = require "socket"
local show = require "_show"
local server = socket.bind("127.0.0.1", 0, 5)
local ip, port = server:getsockname()

server:settimeout(0)
show.timed("nobody, at once", 0, 0.2, function() return server:accept() end)
server:settimeout(0.3)
show.timed("nobody, in time", 0.25, 1.5, function() return server:accept() end)
server:settimeout(nil)
server:settimeout(0.3, "t")
show.timed("nobody, total", 0.25, 1.5, function() return server:accept() end)

local clients = {}
for i = 1, 3 do
  clients[i] = socket.connect(ip, port)
  clients[i]:send(i .. "\n")
end
for i = 1, 3 do
  local accepted = server:accept()
  show.values("accepted " .. i, accepted.class, accepted:getfamily(), accepted:receive())
  show.values("its timeouts are its own", accepted:gettimeout())
  show.values("bound as the server", (select(2, accepted:getsockname())) == port)
end
show.call("accept on a client", function() return clients[1]:accept() end)
server:close()
show.values("closed", server:accept())
show.values("class", server.class)
