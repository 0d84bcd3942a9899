-- socket.unix: the module, its classes, objects and methods.
local socket = require "socket"
local unix = require "socket.unix"
local show = require "_show"

local keys = {} -- covers: 8/module
for key, value in pairs(unix) do keys[#keys + 1] = tostring(key) .. "=" .. type(value) end
table.sort(keys)
print(table.concat(keys, " "))
show.values("tcp is stream, udp is dgram", unix.tcp == unix.stream, unix.udp == unix.dgram)
show.values("it is its own metatable", getmetatable(unix) == unix)
show.values("a call makes a stream", unix().class, unix("extra", {}).class) -- covers: 8/call
show.values("__call makes a stream", unix.__call(unix).class)
show.values("require gives it again", require("socket.unix") == unix) -- covers: 1/entry-points
show.values("require of socket makes no such key", rawget(socket, "unix"), rawget(socket, "serial")) -- covers: 1/no-unix-key

local path, clean = show.path()
local server = unix.stream()
show.values("bind", server:bind(path))
show.values("listen", server:listen())
local client = unix.stream()
show.values("connect", client:connect(path))
local accepted = server:accept()
local connected = unix.dgram()
local target_path, clean_target = show.path()
local target = unix.dgram()
target:bind(target_path)
connected:connect(target_path)
local objects = {unix.stream("extra"), server, client, accepted, unix.dgram("extra"), connected} -- covers: 8/classes

local methods = {
  "accept", "bind", "close", "connect", "dirty", "getfamily", "getfd", "getoption", "getpeername", "getsockname",
  "getstats", "gettimeout", "listen", "receive", "receivefrom", "send", "sendto", "setfd", "setoption", "setpeername",
  "setsockname", "setstats", "settimeout", "shutdown",
}
for _, object in ipairs(objects) do
  print(type(object), object.class, (tostring(object):gsub("0x%x+", "ADDRESS")))
  local words = {}
  for _, name in ipairs(methods) do words[#words + 1] = name .. "=" .. type(object[name]) end -- covers: 8/methods
  print(table.concat(words, " "))
  local meta = getmetatable(object) -- covers: 2.1/metatable
  words = {}
  for key, value in pairs(meta) do words[#words + 1] = tostring(key) .. "=" .. type(value) end
  table.sort(words)
  print(table.concat(words, " "))
  words = {}
  for key, value in pairs(meta.__index) do words[#words + 1] = tostring(key) .. "=" .. type(value) end
  table.sort(words)
  print(table.concat(words, " "))
  show.values("unknown field", object.nothing)
  show.values("dirty", object:dirty())
  show.values("has a descriptor at once", object:getfd() >= 0) -- covers: 8/made-at-once
  local fine, err = pcall(function() object.field = 1 end)
  show.values("assignment", fine, err:match("attempt to index"))
end
show.call("text of a stranger", getmetatable(client).__tostring, {})
show.call("text of a stranger", getmetatable(connected).__tostring, 5)
show.values("accepted and connected have one class", getmetatable(client) == getmetatable(accepted))
show.values("bind is setsockname", target.bind == target.setsockname, server.bind == server.setsockname)
show.values("connect is setpeername", target.connect == target.setpeername, server.connect == server.setpeername)

local index = getmetatable(client).__index -- covers: 2.1/patched
index.greet = function(self) return "hello from " .. self.class end
show.values("a new method", accepted:greet(), server.greet)

for _, object in ipairs(objects) do
  show.values("close " .. object.class, object:close())
  show.values("close again", object:close())
  show.values("descriptor", show.integer(object:getfd()), object.class)
  show.values("setfd returns nothing", object:setfd(-1))
end
show.method("setfd without a number", server, "setfd")
show.method("setfd without a number", connected, "setfd", "x")
target:close()
clean() -- covers: 8/file-stays
clean_target()
