-- settimeout and gettimeout: values, modes, wrong arguments, on all classes.
local socket = require "socket"
local show = require "_show"
local client, other, server = show.pair()
local connected = show.udp_pair()
local objects = {socket.tcp(), client, server, socket.udp(), connected}

local function words(object)
  local block, total = object:gettimeout()
  return (tostring(block):gsub("^-nan$", "nan")), (tostring(total):gsub("^-nan$", "nan")), select("#", object:gettimeout())
end
for _, object in ipairs(objects) do
  show.values(object.class .. " at first", words(object)) -- covers: 2.3/timeouts 3/values
  local sets = {
    {5}, {7, "t"}, {nil}, {9, "b"}, {nil, "t"}, {3, "r"}, {-7, "t"}, {1.5, "block"}, {2.5, "total"}, {0.25, "receive"},
    {"4"}, {"0x10", "t"}, {0}, {0, "t"}, {-1, "b"}, {-0.5, "rx"}, {1e300}, {1/0, "t"}, {0/0}, {1, "bogus"}, {2, "trash"}, {3, "run"},
  }
  for _, set in ipairs(sets) do
    show.values("settimeout " .. tostring(set[2]), object:settimeout(set[1], set[2])) -- covers: 3/modes 3/set-one
    show.values("is", words(object))
  end
  show.values("nothing", object:settimeout()) -- covers: 3/nil
  show.values("is", words(object))
  object:settimeout(3, "t")
  show.values("nil clears only block", object:settimeout(nil), words(object))
  show.values("extra arguments", object:settimeout(1, "b", {}, 5), words(object))
  for _, mode in ipairs({"", "x", "B", "T", "R", " b", "1", 5}) do -- covers: 3/bad-mode
    show.method("mode " .. mode, object, "settimeout", 1, mode)
  end
  show.values("nothing was changed", words(object))
  show.method("a mode that is a table", object, "settimeout", 1, {})
  show.method("a mode that is a boolean", object, "settimeout", 1, true)
  show.method("nil mode", object, "settimeout", 2, nil)
  for _, wrong in ipairs({"soon", {}, true, ""}) do -- covers: 3/arguments
    show.method("a " .. type(wrong), object, "settimeout", wrong)
  end
  show.call("by pcall", object.settimeout, object, 1, "x")
  show.call("by pcall, a table", object.settimeout, object, {})
  object:close()
  show.values("closed", object:settimeout(4), object:settimeout(5, "t"), words(object)) -- covers: 3/closed
end

server = socket.bind("127.0.0.1", 0) -- covers: 2.3/accepted
server:settimeout(7)
server:settimeout(8, "t")
local ip, port = server:getsockname()
client = socket.tcp()
client:settimeout(3)
client:settimeout(4, "t")
client:connect(ip, port)
show.values("kept by connect", words(client))
show.values("not inherited by accept", words(server:accept()))
local master = socket.tcp()
master:settimeout(2)
master:bind("127.0.0.1", 0)
master:listen()
show.values("kept by bind and listen", words(master))
