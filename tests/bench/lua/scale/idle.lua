-- Holds idle connections until its input ends: `idle.lua COUNT PORT`.

local count, port = ...
local socket = require "socket"
local held = {}

for i = 1, tonumber(count) do held[i] = assert(socket.connect("127.0.0.1", tonumber(port))) end
io.stdout:write("ready\n")
io.stdout:flush()
io.read("*a")
