-- UDP sockets in select.
local socket = require "socket"
local show = require "_show"
local a, port = show.bound_udp()
local sender = socket.udp4()

show.timed("nothing has come", 0.15, 2, function() return socket.select({a}, nil, 0.2) end)
sender:sendto("one", "127.0.0.1", port)
local r, w, err = socket.select({a}, nil, 5) -- covers: 4/7
show.values("readable", r[1] == a, r[a], #w, err)
show.differs("udp-dirty", "is not dirty", a:dirty()) -- covers: 7/methods
show.values("once more", #(socket.select({a}, nil, 0)))
show.values("receive", a:receive())
r, w, err = socket.select({a}, nil, 0)
show.values("nothing is left", #r, #w, err)

r, w, err = socket.select({a}, {a}, 5)
show.values("writable", #r, w[1] == a, err)
sender:sendto("", "127.0.0.1", port) -- covers: 7/zero-length
r = socket.select({a}, nil, 5)
show.values("an empty datagram makes it readable", #r, a:receive())

for i = 1, 3 do sender:sendto("number " .. i, "127.0.0.1", port) end
r = socket.select({a}, nil, 5)
show.values("three have come", #r, a:receive(), a:receive())
r = socket.select({a}, nil, 5)
show.values("one is left", #r, a:receive())

local lazy, closed = socket.udp(), socket.udp4()
closed:close()
show.timed("unmade and closed ones are ignored", 0.15, 2, function() -- covers: 4/ignored
  return socket.select({lazy, closed}, {closed, lazy}, 0.2)
end)

-- All kinds in one call.
local client, other, server, server_port = show.pair()
local waiting = socket.connect("127.0.0.1", server_port)
other:send("stream")
sender:sendto("datagram", "127.0.0.1", port)
socket.sleep(0.2)
r, w, err = socket.select({client, server, a}, nil, 5)
show.values("tcp client, tcp server and udp", #r, r[client] ~= nil, r[server] ~= nil, r[a] ~= nil, err)
show.values("their data", client:receive(6), server:accept().class, a:receive())

local x, y = show.udp_pair()
x:send("to y")
r, w = socket.select({x, y}, {x, y}, 5)
show.values("connected ones", #r, r[1] == y, #w)
y:close()
show.values("closed in between", #(socket.select({x}, nil, 0)))
