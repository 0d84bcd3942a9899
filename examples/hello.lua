-- hello.lua: a script that serves one web page to itself, through the daemon.
--
-- Run:    luasocketd run --allow '*' examples/hello.lua
-- Prints: the three lines that came back over the socket:
--
--   HTTP/1.0 200 OK
--   Content-Type: text/plain
--   Hello from Lua, through luasocketd!

local socket = require "socket"

-- A server on any free port, and a client that asks it for a page. The connection waits in the
-- server's queue until accept, so one script can play both parts.
local server = assert(socket.bind("127.0.0.1", 0))
local ip, port = server:getsockname()
local client = assert(socket.connect(ip, port))
assert(client:send("GET / HTTP/1.0\r\n\r\n"))

local guest = assert(server:accept())
assert(guest:receive("*l") == "GET / HTTP/1.0")
assert(guest:receive("*l") == "")
assert(guest:send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nHello from Lua, through luasocketd!\n"))
guest:close()
server:close()

for line in function() return (client:receive("*l")) end do
  if line ~= "" then print(line) end
end
client:close()
