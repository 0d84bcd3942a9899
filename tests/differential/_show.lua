-- What the differential scripts share. They print what LuaSocket does, so that two implementations can be
-- compared line by line; so nothing that differs from run to run is printed: no ports, addresses of objects
-- or exact times.

local socket = require "socket"
local show = {}
io.stdout:setvbuf("line") -- so that a script that hangs shows how far it came

local function word(value)
  local kind = type(value)
  if kind == "string" then
    if #value > 200 then return ("string of %d bytes, last %q"):format(#value, value:sub(-5)) end
    return (("%q"):format(value):gsub("\\\n", "\\n"):gsub("\r", "\\r"):gsub("\\13", "\\r"):gsub("%z", "\\0"))
  elseif kind == "userdata" then
    return tostring(value):match("^[^:]*")
  elseif kind == "table" or kind == "function" or kind == "thread" then
    return kind
  end
  return tostring(value)
end

-- Prints all values of a call, their number included.
function show.values(label, ...)
  local words = {}
  for i = 1, select("#", ...) do words[i] = word((select(i, ...))) end
  print(label .. ": " .. #words .. " (" .. table.concat(words, ", ") .. ")")
end

-- Prints what a call returns, or the error that it raises.
function show.call(label, call, ...)
  local function report(fine, ...)
    if fine then return show.values(label, ...) end
    show.values(label .. " raises", ...)
  end
  report(pcall(call, ...))
end

-- Prints whether a call takes between `least` and `most` seconds, and what it returns.
function show.timed(label, least, most, call)
  local start = socket.gettime()
  local function report(...)
    local took = socket.gettime() - start
    local in_time = took >= least and took <= most
    print(label .. (in_time and ": in time" or ": NOT in time, " .. took))
    return show.values(label, ...)
  end
  report(call())
end

-- Prints what a method of an object returns, or the error that it raises when it is called as a method.
function show.method(label, object, name, ...)
  local source = "local object = ... local function all(...) return ... end " ..
    "return all(object:" .. name .. "(select(2, ...)))"
  return show.call(label, assert((loadstring or load)(source, "=call")), object, ...)
end

-- Prints the error that a call raises without the place in a file of the library's own, or what it returns.
function show.raises(label, call, ...)
  local function report(fine, ...)
    if fine then return show.values(label, ...) end
    local err = ...
    show.values(label .. " raises", type(err) == "string" and err:gsub("^[^ ]+:%d+: ", "") or err)
  end
  report(pcall(call, ...))
end

-- Prints the error of a library function that was called by pcall. From 5.2 on its name is looked for in
-- package.loaded, where the two names of the module come in no order.
function show.bare(label, call, ...)
  local fine, err = pcall(call, ...)
  show.values(label, fine, type(err) == "string" and err:gsub("socket%.core%.", "socket.") or err)
end

-- Prints a line that may differ from LuaSocket's, because of a row of docs/compatibility.md.
function show.differs(row, label, ...)
  io.write("[", row, "] ")
  return show.values(label, ...)
end

-- The same for a call.
function show.differs_call(row, label, call, ...)
  io.write("[", row, "] ")
  return show.call(label, call, ...)
end

-- A call that may differ from LuaSocket's on LuaJIT only.
function show.differs_on_jit(row, label, call, ...)
  if rawget(_G, "jit") then io.write("[", row, "] ") end
  return show.call(label, call, ...)
end

-- A call that may differ from LuaSocket's on LuaJIT only.
function show.differs_on_jit(row, label, call, ...)
  if rawget(_G, "jit") then io.write("[", row, "] ") end
  return show.call(label, call, ...)
end

-- A number without the ".0" that it has in some versions.
function show.integer(value)
  return type(value) == "number" and ("%d"):format(value) or value
end

-- A server, and the two ends of a connection to it.
function show.pair()
  local server = assert(socket.bind("127.0.0.1", 0))
  local ip, port = server:getsockname()
  local client = assert(socket.connect(ip, port))
  local other = assert(server:accept())
  return client, other, server, port
end

-- A port of 127.0.0.1 on which nobody listens, for as long as the second value is held.
function show.refused_port()
  local holder = assert(socket.tcp4())
  assert(holder:bind("127.0.0.1", 0))
  local _, port = holder:getsockname()
  return port, holder
end

-- A port of 127.0.0.1 that lets who connects wait: its queue is full. The second value keeps it so.
function show.silent_port()
  local server = assert(socket.tcp4())
  assert(server:bind("127.0.0.1", 0))
  assert(server:listen(0))
  local _, port = server:getsockname()
  local held = {server}
  for i = 1, 4 do
    local client = socket.tcp4()
    client:settimeout(0)
    client:connect("127.0.0.1", port)
    held[#held + 1] = client
  end
  socket.sleep(0.1)
  return port, held
end

-- Prints the name of a socket (or of its peer), whose port is just one or none.
function show.name(label, object, whose)
  local ip, port, family = object[whose == "peer" and "getpeername" or "getsockname"](object)
  if not ip then return show.values(label, ip, port, family) end
  show.values(label, ip, tonumber(port) == 0 and "no port" or "a port", family)
end

-- A UDP socket that is bound to 127.0.0.1, which no receive waits for longer than 5 s, and its port.
function show.bound_udp(make)
  local object = assert((make or socket.udp4)())
  assert(object:setsockname("127.0.0.1", 0))
  object:settimeout(5)
  local _, port = object:getsockname()
  return object, tonumber(port)
end

-- Two UDP sockets that are connected to each other.
function show.udp_pair()
  local a, a_port = show.bound_udp()
  local b, b_port = show.bound_udp()
  assert(a:setpeername("127.0.0.1", b_port))
  assert(b:setpeername("127.0.0.1", a_port))
  return a, b
end

-- A UDP port of 127.0.0.1 that was free a moment ago.
function show.dead_udp_port()
  local object, port = show.bound_udp()
  object:close()
  return port
end

-- A name for a file that does not exist, and a function that removes what was made under it.
function show.path()
  local path = os.tmpname()
  os.remove(path)
  return path, function() os.remove(path) end
end

-- A value with all that is in it: lists in their order, then names in theirs.
local function flat(value)
  if type(value) ~= "table" then return tostring(value) end
  local words, names = {}, {}
  for i, entry in ipairs(value) do words[i] = flat(entry) end
  for key in pairs(value) do
    if type(key) == "string" then names[#names + 1] = key end
  end
  table.sort(names)
  for _, key in ipairs(names) do words[#words + 1] = key .. "=" .. flat(value[key]) end
  return "{" .. table.concat(words, ", ") .. "}"
end

local function deep(label, ...)
  local words = {}
  for i = 1, select("#", ...) do words[i] = flat((select(i, ...))) end
  print(label .. ": " .. #words .. " (" .. table.concat(words, ", ") .. ")")
end

-- What a call answers, tables in full.
function show.deep_call(label, call, ...)
  deep(label, call(...))
end

return show
