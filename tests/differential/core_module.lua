-- The module tables: keys, types, constants.
local globals = {}
for name in pairs(_G) do globals[name] = true end
local socket = require "socket"
for name in pairs(_G) do
  if not globals[name] then print("a new global: " .. tostring(name)) end -- covers: 1/no-global
end
local show = require "_show"

show.values("the core is the module", require("socket.core") == socket, rawequal(package.loaded["socket.core"], socket)) -- covers: 1/same-table
local keys = {} -- covers: 1/keys
for key, value in pairs(socket) do keys[#keys + 1] = tostring(key) .. "=" .. type(value) end
table.sort(keys)
print(table.concat(keys, "\n"))
show.values("metatable", getmetatable(socket))
show.differs("version", "version", socket._VERSION) -- covers: 1/version 0/version
show.values("type of the version", type(socket._VERSION), socket._VERSION:match("^LuaSocket 3%.%d%.%d$") ~= nil)
show.values("debug", socket._DEBUG) -- covers: 1/debug
show.values("datagram size", socket._DATAGRAMSIZE) -- covers: 1/constants 0/integers
show.values("set size", socket._SETSIZE)
show.values("no socket", socket._SOCKETINVALID)
show.values("block size", socket.BLOCKSIZE) -- covers: 1/BLOCKSIZE

for _, name in ipairs({"sinkt", "sourcet"}) do -- covers: 1/sink-modes 1/source-modes
  keys = {}
  for key, value in pairs(socket[name]) do keys[#keys + 1] = tostring(key) .. "=" .. type(value) end
  table.sort(keys)
  print(name, table.concat(keys, " "))
end
show.values("default sink", socket.sinkt.default == socket.sinkt["keep-open"])
show.values("default source", socket.sourcet.default == socket.sourcet["until-closed"])

for _, name in ipairs({"tcp", "tcp4", "tcp6", "udp", "udp4", "udp6"}) do -- covers: 1/constructors
  show.values(name, socket[name](1, {}, nil).class, select("#", socket[name]()))
end

-- __unload does nothing that could be seen here.
show.values("__unload", socket.__unload()) -- covers: 10/unload
show.values("__unload with arguments", socket.__unload(1, {}))
local client, other = show.pair()
show.values("and everything works on", client:send("x\n"), other:receive())

-- It can be loaded once more.
package.loaded["socket"] = nil -- covers: 1/same-table
local again = require "socket"
show.values("loaded again", again == socket, type(again.bind), type(again.tcp))
local core = package.searchpath and type(package.searchpath("socket.core", package.cpath))
show.values("a script that only needs the core", type(require("socket.core").tcp))

-- Writing to a pipe that nobody reads ends no program.
local left, right = show.pair() -- covers: 1/sigpipe
right:setoption("linger", {on = true, timeout = 0})
right:close()
socket.sleep(0.1)
left:send("x")
left:send("y")
show.values("alive after writing to a reset connection", true)
local trap = io.popen("sh -c 'kill -PIPE $$; echo alive'") -- covers: 1/sigpipe-inherited
show.differs("sigpipe", "a child of the program", trap:read("*a"))
trap:close()
