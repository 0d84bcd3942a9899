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

return show
