-- Each method on each class: which raise, and with what text.
local socket = require "socket"
local show = require "_show"
local client, other, server = show.pair()
client:settimeout(0)
server:settimeout(0)

local needs = {
  bind = "master", setsockname = "master", listen = "master", accept = "server",
  send = "client", receive = "client", getstats = "client", setstats = "client", shutdown = "client",
}
local objects = {{"master", socket.tcp()}, {"client", client}, {"server", server}}
local names = {}
for name in pairs(needs) do names[#names + 1] = name end
table.sort(names)

for _, entry in ipairs(objects) do
  local class, object = entry[1], entry[2]
  for _, name in ipairs(names) do
    if needs[name] ~= class then
      local call = assert((loadstring or load)("local object = ... return object:" .. name .. "('x', 1)", "=call"))
      show.call(name .. " on " .. class, call, object)
    end
  end
end

local strangers = {{"nil", nil}, {"a number", 42}, {"a string", "text"}, {"a table", {}}, {"a file", io.stdout}}
for _, name in ipairs({"send", "close", "settimeout", "accept", "bind", "getsockname"}) do
  for i = 1, #strangers do
    local method = socket.tcp()[name]
    show.call(name .. " on " .. strangers[i][1], function() return method(strangers[i][2]) end)
    show.call(name .. " by pcall on " .. strangers[i][1], method, strangers[i][2])
  end
  show.call(name .. " on nothing", function() return socket.tcp()[name]() end)
end
show.call("the text of a stranger", function() return (getmetatable(client).__tostring({})) end)
