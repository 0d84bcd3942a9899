-- What kind of objects sockets are: metatables, text, fields, patched methods, collection.
local socket = require "socket"
local show = require "_show"
local client, other, server = show.pair()
local objects = {socket.tcp(), client, server}

for _, object in ipairs(objects) do
  local meta = getmetatable(object)
  local words = {} -- covers: 2.1/metatable
  for key, value in pairs(meta) do words[#words + 1] = tostring(key) .. "=" .. type(value) end
  table.sort(words)
  print(object.class, table.concat(words, " "))
  show.values("__name", meta.__name)
  show.values("not there", meta.__close, meta.__eq, meta.__len, meta.__metatable, meta.__newindex)
  words = {} -- covers: 2.2/methods 2.1/class-field
  for key, value in pairs(meta.__index) do words[#words + 1] = tostring(key) .. "=" .. type(value) end
  table.sort(words)
  print(table.concat(words, " "))
  show.values("class", meta.__index.class, rawget(meta.__index, "class"))
  show.values("groups", meta["tcp{any}"], meta["udp{any}"], meta["select{able}"])
  show.values("type", type(object), io.type(object))
  print((tostring(object):gsub("0x%x+", "ADDRESS"))) -- covers: 2.1/tostring
  show.values("the same text each time", tostring(object) == tostring(object))
  show.values("by the metamethod", meta.__tostring(object) == tostring(object))
  for _, stranger in ipairs({{}, 5, "text", io.stdout, true}) do -- covers: 2.1/tostring-foreign
    show.call("text of a " .. type(stranger), meta.__tostring, stranger)
  end
  show.call("text of nothing", meta.__tostring)
  show.values("text of another class's object", (meta.__tostring(socket.udp()):gsub("0x%x+", "ADDRESS")))
  show.values("unknown", object.no_such_method, object[1], object[true])
  for _, key in ipairs({"field", "class", 1}) do -- covers: 2.1/assignment
    local fine, err = pcall(function() object[key] = 1 end)
    show.values("assignment", fine, err:match("attempt to index"))
  end
  show.values("no length", (pcall(function() return #object end)))
  show.values("no call", (pcall(function() return object() end)))
  show.values("equal to itself only", object == object, object == socket.tcp())
end
show.values("one metatable a class", getmetatable(client) == getmetatable(other), getmetatable(client) ~= getmetatable(server))
show.values("the state change is a change of metatable", (function()
  local object = socket.tcp()
  local before = getmetatable(object)
  local text = tostring(object)
  object:bind("127.0.0.1", 0)
  local bound = getmetatable(object) == before
  object:listen()
  return bound, getmetatable(object) == getmetatable(server), tostring(object):match(" .*$") == text:match(" .*$")
end)()) -- covers: 2.1/swap

local index = getmetatable(client).__index -- covers: 2.1/patched
local send = index.send
index.send = function(self, data, ...) return send(self, "<" .. data .. ">", ...) end
show.values("a patched send", client:send("x\n"), other:receive(1), (other:receive()))
index.send = send
show.values("the rest", (other:receive(1)))
index.shout = function(self, text) return self:send(text:upper() .. "\n") end
show.values("a new method", client:shout("loud"))
show.values("arrives", other:receive())
show.values("not on other classes", server.shout, socket.tcp().shout)
index.shout = nil
local meta = getmetatable(server)
local old = meta.__index
meta.__index = function(_, key) return key == "extra" and 42 or old[key] end
show.values("another __index", server.extra, server.class, server:getfamily())
meta.__index = old
meta.__len = function() return 7 end
show.values("a new metamethod", _VERSION ~= "Lua 5.1" and #server or 7)
meta.__len = nil

-- A group check looks for the key, a class check compares metatables.
local client_meta = getmetatable(client) -- covers: 2.1/groups 2.1/class-check
client_meta["tcp{any}"] = nil
show.differs_call("metatable-groups", "out of the group", function() return client:getfamily() end)
show.method("but in the class", client, "send", "in the class\n")
client_meta["tcp{any}"] = 1
show.method("any true value will do", client, "getfamily")
client_meta["tcp{any}"] = true
show.values("what was sent arrives", other:receive())

show.values("__gc is a close", getmetatable(client).__gc(client), show.integer(client:getfd())) -- covers: 2.1/gc
show.values("the peer sees it", other:receive())
local left, right = show.pair()
left = nil
collectgarbage()
collectgarbage()
right:settimeout(5)
show.values("a collected one is closed", right:receive())

if _VERSION >= "Lua 5.4" then -- covers: 2.1/close-variable
  local chunk = load("local x <close> = ... return 1")
  show.call("a variable to be closed", chunk, socket.tcp4())
  show.call("a udp variable to be closed", chunk, socket.udp4())
  show.call("nil is fine", chunk, nil)
end
