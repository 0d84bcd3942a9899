-- UDP sockets as objects: construction, class, text, methods, metatable.
local socket = require "socket"
local show = require "_show"

for _, name in ipairs({"udp", "udp4", "udp6"}) do
  local object = socket[name]("extra", {}) -- covers: 1/constructors 7/lazy
  print(name, type(object), object.class, (tostring(object):gsub("0x%x+", "ADDRESS"))) -- covers: 7/classes
  show.values("Copas knows it by its text", tostring(object):sub(1, 3)) -- covers: 11/18
  show.values("family", object:getfamily()) -- covers: 7/lazy
  show.values("made yet", object:getfd() >= 0)
  show.name("name", object)
  show.values("reuseaddr", object:setoption("reuseaddr", true))
  show.values("unknown field", object.nothing)
  show.values("class can be read", object.class)
  local fine, err = pcall(function() object.field = 1 end)
  show.values("assignment", fine, err:match("attempt to index"))
  show.values("timeouts", object:gettimeout())
  show.values("dirty", object:dirty()) -- covers: 7/methods
  show.values("close", object:close())
  show.values("close again", object:close())
  show.values("descriptor of a closed one", show.integer(object:getfd()))
  show.values("class of a closed one", object.class)
end

local expected = { -- covers: 7/methods
  "close", "dirty", "getfamily", "getfd", "getoption", "getpeername", "getsockname", "gettimeout", "receive",
  "receivefrom", "send", "sendto", "setfd", "setoption", "setpeername", "setsockname", "settimeout",
}
local absent = {"bind", "connect", "listen", "accept", "shutdown", "getstats", "setstats"}
local unconnected, connected = socket.udp4(), (show.udp_pair())
for _, object in ipairs({unconnected, connected}) do
  local words = {}
  for _, name in ipairs(expected) do words[#words + 1] = name .. "=" .. type(object[name]) end
  for _, name in ipairs(absent) do words[#words + 1] = name .. "=" .. type(object[name]) end
  print(object.class, table.concat(words, " "))

  local meta = getmetatable(object) -- covers: 2.1/metatable 2.1/groups
  local keys = {}
  for key, value in pairs(meta) do keys[#keys + 1] = tostring(key) .. "=" .. type(value) end
  table.sort(keys)
  print("metatable", table.concat(keys, " "))
  show.values("groups", meta["udp{any}"], meta["select{able}"], meta["tcp{any}"])
  keys = {}
  for key, value in pairs(meta.__index) do keys[#keys + 1] = tostring(key) .. "=" .. type(value) end
  table.sort(keys)
  print("methods", table.concat(keys, " "))
  show.values("__name", meta.__name)
end
show.values("udp is udp{unconnected}", getmetatable(socket.udp()) == getmetatable(unconnected))
show.values("the two classes differ", getmetatable(unconnected) ~= getmetatable(connected))

local index = getmetatable(unconnected).__index -- covers: 2.1/patched
local getfamily = index.getfamily
index.getfamily = function(self) return "patched " .. getfamily(self) end
index.greet = function(self, name) return "hello " .. name .. " from " .. self.class end
show.values("a patched method", socket.udp6():getfamily())
show.values("a new method", socket.udp():greet("you"))
show.values("only on its class", connected:getfamily(), connected.greet)
index.getfamily = getfamily

show.call("text of a stranger", getmetatable(unconnected).__tostring, {}) -- covers: 2.1/tostring
show.values("__gc is close", getmetatable(connected).__gc(connected), show.integer(connected:getfd())) -- covers: 2.1/gc

do -- covers: 2.1/gc
  local object, port = show.bound_udp()
  object = nil
  collectgarbage()
  collectgarbage()
  show.values("a collected socket gives its port back", socket.udp4():setsockname("127.0.0.1", port))
end

for _, name in ipairs({"udp4", "udp6"}) do -- covers: 7/setfd
  local object = socket[name]()
  show.values("setfd returns nothing", object:setfd(-1))
  show.values("and takes the descriptor away", show.integer(object:getfd()), object:getsockname())
  show.method("setfd without a number", object, "setfd")
  show.method("setfd with a string", object, "setfd", "x")
end
