-- A process of a moment: a connection, a line, its echo, and the end without closing anything. Argument: PORT.
local socket = require "socket"
local client = assert(socket.connect("127.0.0.1", tonumber(arg[1])))
assert(client:send("echo\nshort\n"))
assert(client:receive() == "short")
