-- Sockets in coroutines: objects may change hands, calls may come from anywhere.
local socket = require "socket"
local show = require "_show"
local client, other, server, port = show.pair()

local reader = coroutine.wrap(function()
  other:settimeout(0)
  local line, err, partial = nil, nil, ""
  while true do
    line, err, partial = other:receive("*l", partial)
    coroutine.yield(line or err)
    partial = partial or ""
  end
end)
show.values("nothing yet", reader())
client:send("first ")
socket.select({other}, nil, 5)
show.values("half", reader())
client:send("line\nsecond\n")
socket.select({other}, nil, 5)
show.values("whole", reader())
show.values("next", reader())
show.values("nothing more", reader())

local made = coroutine.wrap(function() return socket.connect("127.0.0.1", port) end)()
show.values("made in a coroutine that ended", made.class)
collectgarbage()
show.values("works on", made:send("x"))
show.call("an error inside", coroutine.wrap(function() made:send() end))

local function forget() socket.connect("127.0.0.1", port) end
local first = server:accept()
forget()
collectgarbage()
collectgarbage()
local second = server:accept()
second:settimeout(5)
show.values("a collected socket is closed", second:receive())
