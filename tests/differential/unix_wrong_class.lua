-- Each method of Unix sockets on each class, and on what is no Unix socket.
local socket = require "socket"
local unix = require "socket.unix"
local show = require "_show"
local path, clean = show.path()
local target_path, clean_target = show.path()

local server, client, target, connected = unix.stream(), unix.stream(), unix.dgram(), unix.dgram()
server:bind(path)
server:listen()
client:connect(path)
target:bind(target_path)
connected:connect(target_path)
local objects = {unix.stream(), server, client, unix.dgram(), connected}
for _, object in ipairs(objects) do object:settimeout(0) end

local needs = { -- covers: 8/needs
  ["unixstream{master}"] = {bind = 1, setsockname = 1, listen = 1, connect = 1, setpeername = 1},
  ["unixstream{server}"] = {accept = 1},
  ["unixstream{client}"] = {send = 1, receive = 1, getstats = 1, setstats = 1, shutdown = 1},
  ["unixdgram{connected}"] = {send = 1},
  ["unixdgram{unconnected}"] = {bind = 1, setsockname = 1, sendto = 1, receivefrom = 1},
}
for _, object in ipairs(objects) do
  local names = {}
  for class, methods in pairs(needs) do
    if class ~= object.class and class:match("^%a+") == object.class:match("^%a+") then
      for name in pairs(methods) do
        if not needs[object.class][name] then names[#names + 1] = name end
      end
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    show.method(name .. " on " .. object.class, object, name, "x", 1)
    show.call("by pcall", object[name], object, "x", 1)
  end
end

local strangers = { -- covers: 8/strangers
  {"nil", nil}, {"a number", 42}, {"a string", "text"}, {"a table", {}}, {"a file", io.stdout},
  {"tcp", socket.tcp()}, {"udp", socket.udp()}, {"a stream", unix.stream()}, {"a dgram", unix.dgram()},
}
for _, object in ipairs({client, target}) do
  local kind = object.class:match("^%a+")
  local names = {}
  for name, method in pairs(getmetatable(object).__index) do
    if type(method) == "function" then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local method = object[name]
    for i = 1, #strangers do
      local stranger = strangers[i][2]
      if i < 6 or not (pcall(tostring, stranger) and tostring(stranger):match("^" .. kind)) then
        show.call(kind .. "'s " .. name .. " on " .. strangers[i][1], function() method(stranger) end)
      end
    end
    show.call("by pcall on nothing", method)
  end
end

for _, name in ipairs({"close", "getfd", "send", "receive", "settimeout"}) do -- covers: 8/strangers
  local tcp_method, udp_method = socket.tcp()[name], socket.udp()[name]
  show.call("tcp's " .. name .. " on a stream", function() tcp_method(client, "x") end)
  show.call("udp's " .. name .. " on a dgram", function() udp_method(target, "x") end)
end
clean()
clean_target()
