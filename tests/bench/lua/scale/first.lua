-- How long the first connect of a script takes, its way to the daemon included: `first.lua PORT` prints `connected SECONDS`.

local port = ...
local socket = require "socket"
local began = socket.gettime()
local c = assert(socket.connect("127.0.0.1", tonumber(port)))
local elapsed = socket.gettime() - began
c:close()
io.stdout:write(string.format("connected %.9f\n", elapsed))
