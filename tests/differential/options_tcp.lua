-- All options of TCP sockets, on each class, with each type of value.
local socket = require "socket"
local show = require "_show"
local client, other, server = show.pair()
local fresh, six = socket.tcp4(), socket.tcp6()

local objects = {{"client", client}, {"server", server}, {"tcp4", fresh}, {"tcp6", six}}
for _, name in ipairs({"keepalive", "reuseaddr", "reuseport", "tcp-nodelay"}) do -- covers: 5/tcp-bool
  for _, entry in ipairs(objects) do
    local label, object = entry[1] .. " " .. name, entry[2]
    -- Whether socket.bind's own reuseaddr and reuseport are set already is seen here, too.
    show.method(label .. " at first", object, "getoption", name)
    show.method("set", object, "setoption", name, true)
    show.method("get", object, "getoption", name)
    show.method("unset", object, "setoption", name, false)
    show.method("get", object, "getoption", name)
  end
  for _, wrong in ipairs({1, "true", {}, 0}) do -- covers: 5/bool
    show.method("set to a " .. type(wrong), client, "setoption", name, wrong)
  end
  show.method("set to nothing", client, "setoption", name)
  show.method("set to nil", client, "setoption", name, nil)
end

for _, name in ipairs({"tcp-keepidle", "tcp-keepcnt", "tcp-keepintvl"}) do -- covers: 5/tcp-keep
  show.method(name .. " at first", client, "getoption", name)
  for _, value in ipairs({7, "9", 5.9, 100000, -1, 0, true, {}, "x"}) do -- covers: 5/int
    show.method("set " .. (type(value) == "table" and "a table" or tostring(value)), client, "setoption", name, value)
    show.method("get", client, "getoption", name)
  end
  show.method("set nothing", client, "setoption", name)
  show.method("set nil", client, "setoption", name, nil)
  show.method("of a server", server, "getoption", name)
end

for _, name in ipairs({"recv-buffer-size", "send-buffer-size"}) do -- covers: 5/tcp-buffers
  for _, value in ipairs({20000, "30000", 25000.7}) do
    show.method(name .. " " .. value, fresh, "setoption", name, value)
    show.method("get", fresh, "getoption", name)
  end
  show.method("nothing", fresh, "setoption", name)
  show.method("get", fresh, "getoption", name)
  show.method("a server's", server, "setoption", name, 40000)
  show.method("get", server, "getoption", name)
  show.method("on IPv6", six, "setoption", name, 50000)
  show.method("get", six, "getoption", name)
end

local function linger(label, object) -- covers: 5/linger
  local value, err = object:getoption("linger")
  if not value then return show.values(label, value, err) end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = tostring(key) end
  table.sort(keys)
  show.values(label, value.on, value.timeout, table.concat(keys, " "))
end
linger("linger at first", client)
for _, value in ipairs({
  {on = true, timeout = 7}, {on = false, timeout = 3}, {on = true, timeout = 0}, {on = true, timeout = "12"},
  {on = true, timeout = 2.9}, {on = true, timeout = -1}, {on = true, timeout = 65536 + 5}, {on = false, timeout = 0, more = 1},
}) do
  show.method("linger " .. tostring(value.on) .. " " .. value.timeout, client, "setoption", "linger", value)
  linger("is", client)
end
for _, value in ipairs({{timeout = 1}, {on = true}, {on = 1, timeout = 1}, {on = "true", timeout = 1}, {}, -- covers: 5/linger
  {on = true, timeout = true}, {on = true, timeout = "x"}, {on = true, timeout = {}}, {true, 5}}) do
  show.method("a table that lacks something", client, "setoption", "linger", value)
end
for _, value in ipairs({1, "x", true}) do show.method("a " .. type(value), client, "setoption", "linger", value) end
show.method("nothing", client, "setoption", "linger")
show.method("nil", client, "setoption", "linger", nil)
linger("a server's", server)
linger("an IPv6 one's", six)

show.method("error", client, "getoption", "error") -- covers: 5/tcp-error
show.method("error cannot be set", client, "setoption", "error", 1)
local refused, holder = show.refused_port()
local failing = socket.tcp4()
failing:settimeout(0)
failing:connect("127.0.0.1", refused)
socket.select(nil, {failing}, 5)
show.method("a refused one's", failing, "getoption", "error") -- covers: 5/tcp-error 2.5/refused-option
show.method("once", failing, "getoption", "error")

show.method("v6only, set", six, "setoption", "ipv6-v6only", false) -- covers: 5/v6only
show.method("v6only, set", six, "setoption", "ipv6-v6only", true)
show.method("v6only, no boolean", six, "setoption", "ipv6-v6only", 1)
show.method("v6only, get", six, "getoption", "ipv6-v6only") -- covers: 11/6-v6only
show.method("v6only on IPv4", fresh, "setoption", "ipv6-v6only", true) -- covers: 5/os-failure
local bound = socket.tcp6()
bound:bind("::1", 0)
show.method("v6only after bind", bound, "setoption", "ipv6-v6only", false)

for _, name in ipairs({"tcp-defer-accept", "tcp-fastopen", "tcp-fastopen-connect"}) do -- covers: 5/linux-int
  for _, value in ipairs({0, 1, "1", 1.9, true}) do
    show.method(name .. " " .. tostring(value), socket.tcp4(), "setoption", name, value)
  end
  show.method(name .. " nothing", socket.tcp4(), "setoption", name)
  show.method(name .. " a table", socket.tcp4(), "setoption", name, {})
  show.method(name .. " of a server", server, "setoption", name, 5)
  show.method(name .. " cannot be read", fresh, "getoption", name)
end

show.differs_call("bindtodevice", "bindtodevice, get", fresh.getoption, fresh, "bindtodevice") -- covers: 0/bindtodevice
show.differs_call("bindtodevice", "bindtodevice, set", fresh.setoption, fresh, "bindtodevice", "no-such-device")
