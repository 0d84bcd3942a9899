-- echo_server.lua: sends back whatever comes, to any number of clients at once.
--
-- Run:    luasocketd run --allow '*' examples/echo_server.lua [PORT [CLIENTS]]
--         No PORT, or 0: any free one. With CLIENTS it ends when so many have come and gone.
-- Prints: `echo on port 40123`, at once.
-- Try:    nc localhost 40123

local socket = require "socket"

local server = assert(socket.bind("127.0.0.1", arg[1] or 0))
local _, port = server:getsockname()
print("echo on port " .. port)
io.stdout:flush()

local LIMIT = 65536      -- bytes that may wait for one client before we stop reading from it
local left = tonumber(arg[2]) or math.huge
local waiting = {}       -- client -> bytes that it sent and has not got back yet
server:settimeout(0)

-- Whom to watch: for reading those with room left, for writing those with something to get.
local function watched()
  local readers, writers = {server}, {}
  for client, bytes in pairs(waiting) do
    if #bytes < LIMIT then readers[#readers + 1] = client end
    if #bytes > 0 then writers[#writers + 1] = client end
  end
  return readers, writers
end

local function drop(client)
  client:close()
  waiting[client] = nil
  left = left - 1
end

while left > 0 do
  local readable, writable = socket.select(watched())
  for _, ready in ipairs(readable) do
    if ready == server then
      local client = server:accept()
      if client then
        client:settimeout(0)
        waiting[client] = ""
      end
    else
      local data, err, partial = ready:receive(8192)
      waiting[ready] = waiting[ready] .. (data or partial)
      if err == "closed" then
        ready:settimeout(5) -- give it the rest, but do not wait for ever
        ready:send(waiting[ready])
        drop(ready)
      end
    end
  end
  for _, ready in ipairs(writable) do
    if waiting[ready] then
      local last, err, accepted = ready:send(waiting[ready])
      waiting[ready] = waiting[ready]:sub((last or accepted) + 1)
      if err == "closed" then drop(ready) end
    end
  end
end
server:close()
