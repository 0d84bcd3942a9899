-- v1/chat.lua: a line-based chat in the style of LuaSocket 1.0.
--
-- Run:    luasocketd run --allow '*' examples/v1/chat.lua [PORT [CLIENTS]]
--         No PORT, or 0: any free one. It waits until CLIENTS (2) are there, and ends when all are gone.
-- Prints: `chat on port 40123`, at once.
-- Try:    nc localhost 40123, in two terminals. The first line you type is your name:
--
--   * ann is here
--   <ann> hello
--
-- LuaSocket 1.0 has no select: the clients are asked in turn, each for a short time.

require("luasocketd.v1").install(_G)

local count = tonumber(arg[2]) or 2
local server, ip, port = bind("127.0.0.1", arg[1] or 0, count)
if not server then error("cannot bind: " .. ip) end
print("chat on port " .. port)
io.stdout:flush()

local people = {} -- {socket =, name = once told, partial = the start of an unfinished line}
for i = 1, count do
  people[i] = {socket = assert(accept(server)), partial = ""}
  timeout(people[i].socket, 0.05, "return")
end
close(server)

local function broadcast(line)
  for _, person in ipairs(people) do
    if person.name then send(person.socket, line, "\n") end
  end
end

local function hear(person, line)
  if person.name then
    broadcast("<" .. person.name .. "> " .. line)
  elseif line ~= "" then
    person.name = line
    broadcast("* " .. line .. " is here")
  end
end

while #people > 0 do
  for i = #people, 1, -1 do
    local person = people[i]
    -- What came of a line that did not end in time is returned with the error: keep it.
    local text, err = receive(person.socket, "*l")
    person.partial = person.partial .. text
    if not err then
      hear(person, (person.partial:gsub("\r$", "")))
      person.partial = ""
    elseif err == "closed" then
      close(person.socket)
      table.remove(people, i)
      if person.name then broadcast("* " .. person.name .. " is gone") end
    end
  end
end
