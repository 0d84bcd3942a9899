-- v1/echo_server.lua: an echo server in the style of LuaSocket 1.0.
--
-- Run:    luasocketd run --allow '*' examples/v1/echo_server.lua [PORT [CLIENTS]]
--         No PORT, or 0: any free one. It waits until CLIENTS (2) are there, and ends when all are gone.
-- Prints: `echo on port 40123`, at once.
-- Try:    nc localhost 40123, in two terminals
--
-- LuaSocket 1.0 has no select: the clients are asked in turn, each for a short time.

require("luasocketd.v1").install(_G)

local count = tonumber(arg[2]) or 2
local server, ip, port = bind("127.0.0.1", arg[1] or 0, count)
if not server then error("cannot bind: " .. ip) end
print("echo on port " .. port)
io.stdout:flush()

local clients = {}
for i = 1, count do
  clients[i] = assert(accept(server))
end
close(server)

while #clients > 0 do
  for i = #clients, 1, -1 do
    local client = clients[i]
    timeout(client, 0.05, "return") -- what comes within 50 ms
    local data, err = receive(client, 8192)
    timeout(client, 5, "return")    -- and as long as it takes, within reason, to send that back
    local refused = send(client, data)
    if err == "closed" or refused then
      close(client)
      table.remove(clients, i)
    end
  end
end
