-- Every method on every state, transitions between states, and the ways of calling with a bad self.
local socket = require "socket"
local show = require "_show"

local methods = { -- each with arguments that are right
  {"accept"}, {"bind", "127.0.0.1", 0}, {"close"}, {"connect", "127.0.0.1", 0}, {"dirty"}, {"getfamily"}, {"getfd"},
  {"getoption", "error"}, {"getpeername"}, {"getsockname"}, {"getstats"}, {"gettimeout"}, {"listen"}, {"receive"},
  {"send", "x"}, {"setfd", -1}, {"setoption", "reuseaddr", true}, {"setpeername", "127.0.0.1", 0},
  {"setsockname", "127.0.0.1", 0}, {"setstats"}, {"settimeout", 0}, {"shutdown"},
}
local held = {} -- so that no peer is collected, and closed with that, in between
local function pair(which)
  local all = {show.pair()}
  held[#held + 1] = all
  return all[which]
end
local makers = {
  {"master", function() return socket.tcp() end},
  {"tcp4 master", function() return socket.tcp4() end},
  {"client", function() return pair(1) end},
  {"accepted", function() return pair(2) end},
  {"server", function() return pair(3) end},
  {"closed master", function() local object = socket.tcp4() object:close() return object end},
  {"closed client", function() local object = pair(1) object:close() return object end},
  {"closed server", function() local object = pair(3) object:close() return object end},
}
local plain = {getfd = true, getpeername = true, getsockname = true, getstats = true}
for _, maker in ipairs(makers) do
  for _, call in ipairs(methods) do
    local object, name = maker[2](), call[1]
    object:settimeout(0)
    local fine, first, second, third = pcall(object[name], object, (table.unpack or unpack)(call, 2))
    if plain[name] and fine then -- what varies stays unprinted
      show.values(maker[1] .. " " .. name, type(first), type(first) == "nil" and second, name == "getfd" and first >= 0)
    else
      show.values(maker[1] .. " " .. name, fine, first, second, third) -- covers: 2.2/master 2.2/server 2.2/client 2.2/any
    end
    show.values("  class", object.class) -- covers: 2.2/transitions
  end
end

-- Transitions.
local server = socket.bind("127.0.0.1", 0)
local _, port = server:getsockname()
local refused, holder = show.refused_port()
local object = socket.tcp() -- covers: 2.2/connect-always
show.values("refused", object:connect("127.0.0.1", refused))
show.values("class", object.class)
object = socket.tcp()
show.values("no such name", object:connect("not a name", 80), object.class)
object = socket.tcp()
object:settimeout(0)
show.values("no time", object:connect("127.0.0.1", port), object.class)
object = socket.tcp()
show.values("an argument error", pcall(object.connect, object, {}), object.class)
object = socket.tcp4()
object:close()
show.values("closed", object:connect("127.0.0.1", port), object.class)

for _, call in ipairs({{"bind", "127.0.0.1", 0}, {"listen"}, {"setsockname", "127.0.0.1", 0}}) do -- covers: 2.2/no-return 11/8
  object = socket.tcp()
  object:connect("127.0.0.1", refused)
  show.method("after a failed connect " .. call[1], object, (table.unpack or unpack)(call)) -- covers: 0/argument-self
end
local other_server = socket.bind("127.0.0.1", 0) -- covers: 2.2/server-connect 11/8
show.values("connect on a server", other_server:connect("127.0.0.1", port))
show.values("makes it a client", other_server.class)
show.method("which no longer accepts", other_server, "accept")
show.values("close keeps the class", other_server:close(), other_server.class) -- covers: 2.2/close
local client = socket.connect("127.0.0.1", port)
server:accept()
show.values("a client connects again", client:connect("127.0.0.1", port), client.class)
object = socket.tcp4()
show.values("listen makes a server", object:listen(), object.class) -- covers: 2.2/listen
show.method("which cannot be bound", object, "bind", "127.0.0.1", 0)
show.method("nor listen again", object, "listen")
object = socket.tcp()
show.values("a failed listen", object:listen())
show.values("leaves a master", object.class)
