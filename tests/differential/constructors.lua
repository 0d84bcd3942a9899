-- tcp, tcp4, tcp6: class, text, methods, metatable.
local socket = require "socket"
local show = require "_show"

for _, name in ipairs({"tcp", "tcp4", "tcp6"}) do
  local object = socket[name]("extra", "arguments")
  print(name, type(object), object.class, (tostring(object):gsub("0x%x+", "ADDRESS")))
  show.values("family", object:getfamily())
  show.values("unknown field", object.nothing)
  show.values("descriptor below zero", object:getfd() < 0)
  show.values("dirty", object:dirty())
  show.values("timeouts", object:gettimeout())
  local fine, err = pcall(function() object.field = 1 end)
  show.values("assignment", fine, err:match("attempt to index"))
  show.values("close", object:close())
  show.values("close again", object:close())
end

local methods = {
  "accept", "bind", "close", "connect", "dirty", "getfamily", "getfd", "getoption", "getpeername", "getsockname",
  "getstats", "gettimeout", "listen", "receive", "send", "setfd", "setoption", "setpeername", "setsockname",
  "setstats", "settimeout", "shutdown",
}
local client, other, server = show.pair()
for _, object in ipairs({socket.tcp(), client, server}) do
  local names = {}
  for _, name in ipairs(methods) do names[#names + 1] = name .. "=" .. type(object[name]) end
  print(object.class, table.concat(names, " "))
  local meta = getmetatable(object)
  show.values("metatable", type(meta), type(meta.__index), meta.__index.class, meta["tcp{any}"], type(meta.__gc))
  show.values("methods can be found there", meta.__index.send == object.send)
end

show.values("core is the module", require("socket.core") == socket)
for _, name in ipairs({"_DATAGRAMSIZE", "_SETSIZE", "_SOCKETINVALID", "BLOCKSIZE"}) do
  show.values(name, tonumber(socket[name]) and ("%d"):format(socket[name]))
end
for _, name in ipairs({"tcp", "tcp4", "tcp6", "connect", "connect4", "connect6", "bind", "select", "gettime", "sleep",
  "skip", "newtry", "protect", "try", "dns"}) do
  show.values(name, type(socket[name]))
end
