-- chat.lua: a chat for any number of people, one line a message.
--
-- Run:    luasocketd run --allow '*' examples/chat.lua [PORT [CLIENTS]]
--         No PORT, or 0: any free one. With CLIENTS it ends when so many have come and gone.
-- Prints: `chat on port 40123`, at once.
-- Try:    nc localhost 40123, in two terminals. The first line you type is your name:
--
--   * ann is here
--   <ann> hello

local socket = require "socket"

local server = assert(socket.bind("127.0.0.1", arg[1] or 0))
local _, port = server:getsockname()
print("chat on port " .. port)
io.stdout:flush()

local left = tonumber(arg[2]) or math.huge
local sockets = {server} -- what select watches
local people = {}        -- socket -> {name = its name, once told; partial = the start of an unfinished line}
server:settimeout(0)

local broadcast

local function leave(guest)
  local name = people[guest].name
  people[guest] = nil
  for i, other in ipairs(sockets) do
    if other == guest then table.remove(sockets, i) break end
  end
  guest:close()
  left = left - 1
  if name then broadcast("* " .. name .. " is gone") end
end

-- To everybody who has a name. Who does not read fast enough to take one line is shown out, so that
-- nobody else has to wait.
function broadcast(line)
  local slow = {}
  for guest, person in pairs(people) do
    if person.name and not guest:send(line .. "\n") then slow[#slow + 1] = guest end
  end
  for _, guest in ipairs(slow) do
    if people[guest] then leave(guest) end
  end
end

local function hear(guest, line)
  local person = people[guest]
  if person.name then
    broadcast("<" .. person.name .. "> " .. line)
  elseif line ~= "" then
    person.name = line
    broadcast("* " .. line .. " is here")
  end
end

-- Takes every whole line that has come. The start of one that has not ended yet is kept, and given to
-- the next receive as its prefix.
local function listen_to(guest)
  while people[guest] do
    local line, err, partial = guest:receive("*l", people[guest].partial)
    if line then
      people[guest].partial = ""
      hear(guest, line)
    elseif err == "timeout" then
      people[guest].partial = partial
      return
    else
      leave(guest)
    end
  end
end

while left > 0 do
  for _, ready in ipairs((socket.select(sockets))) do
    if ready ~= server then
      listen_to(ready)
    else
      local guest = server:accept()
      if guest then
        guest:settimeout(0)
        people[guest] = {partial = ""}
        sockets[#sockets + 1] = guest
      end
    end
  end
end
server:close()
