-- fetch.lua: a plug-in of the example host; prints the first line that an HTTP server answers with.
-- Run: luasocketd-host DAEMON-SOCKET examples/host/plugins/fetch.lua -- HOST PORT
local host, port = ...
local socket = require "socket"

local client, err = socket.connect(host, port)
if not client then error(("cannot connect to %s:%s: %s"):format(host, port, err), 0) end
client:settimeout(3)
assert(client:send(("GET / HTTP/1.0\r\nHost: %s\r\n\r\n"):format(host)))
print((assert(client:receive())))
client:close()
