-- Each UDP method on each class, and on what is no UDP socket.
local socket = require "socket"
local show = require "_show"

local needs = { -- covers: 7/needs 7/wrong-class
  send = "connected", getpeername = "connected",
  sendto = "unconnected", receivefrom = "unconnected", setsockname = "unconnected",
}
local names = {
  "close", "dirty", "getfamily", "getfd", "getoption", "getpeername", "getsockname", "gettimeout", "receive",
  "receivefrom", "send", "sendto", "setfd", "setoption", "setpeername", "setsockname", "settimeout",
}
local connected = (show.udp_pair())
connected:settimeout(0)
local unconnected = show.bound_udp()
unconnected:settimeout(0)
for _, entry in ipairs({{"connected", connected}, {"unconnected", unconnected}}) do
  local class, object = entry[1], entry[2]
  for _, name in ipairs(names) do
    if needs[name] and needs[name] ~= class then
      show.method(name .. " on " .. class, object, name, "127.0.0.1", 1)
      show.call(name .. " by pcall on " .. class, object[name], object, "127.0.0.1", 1)
      local method = object[name]
      show.call(name .. " as a function on " .. class, function() method(object, "127.0.0.1", 1) end)
    end
  end
end

local client, _, server = show.pair() -- covers: 2.1/groups 7/wrong-class
local strangers = {
  {"nil", nil}, {"a number", 42}, {"a string", "text"}, {"a table", {}}, {"a file", io.stdout},
  {"a tcp client", client}, {"a tcp server", server}, {"a tcp master", socket.tcp()},
}
for _, name in ipairs(names) do
  local method = unconnected[name]
  for i = 1, #strangers do
    local stranger = strangers[i][2]
    show.call(name .. " on " .. strangers[i][1], function() method(stranger) end)
    show.call(name .. " by pcall on " .. strangers[i][1], method, stranger)
  end
  show.call(name .. " on nothing", function() method() end)
  show.call(name .. " of a table that has it as a method", function()
    local object = {m = method}
    object:m("127.0.0.1", 1)
  end)
end

for _, name in ipairs({"close", "getfd", "send", "receive", "getsockname", "settimeout"}) do -- covers: 2.1/groups
  local method = client[name]
  show.call("tcp's " .. name .. " on udp", function() method(unconnected, "x") end)
end

-- A table that claims to be in the group is believed by the group check only if it is a userdata.
local liar = setmetatable({}, getmetatable(unconnected)) -- covers: 2.1/liar
show.call("a table with the metatable", function() return liar.class end)
show.method("getfamily of it", liar, "getfamily")
