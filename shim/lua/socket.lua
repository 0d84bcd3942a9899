-- socket: what LuaSocket has in Lua on top of socket.core.

-- The module that brings this file with it hands its own core over; on a path, the core has to be found.
local core = ...
local socket = type(core) == "table" and core or require "socket.core"

socket.BLOCKSIZE = 2048
socket.try = socket.newtry()

function socket.connect4(address, port, local_address, local_port)
  return socket.connect(address, port, local_address, local_port, "inet")
end

function socket.connect6(address, port, local_address, local_port)
  return socket.connect(address, port, local_address, local_port, "inet6")
end

-- A server on the first address of the host that can be bound.
function socket.bind(host, port, backlog)
  if host == "*" then host = "0.0.0.0" end
  local addresses, err = socket.dns.getaddrinfo(host)
  if not addresses then return nil, err end
  err = "no info on address"
  for _, address in ipairs(addresses) do
    local server
    server, err = (address.family == "inet" and socket.tcp4 or socket.tcp6)()
    if not server then return nil, err end
    server:setoption("reuseaddr", true)
    local ok
    ok, err = server:bind(address.addr, port)
    if ok then
      ok, err = server:listen(backlog)
      if ok then return server end
    end
    server:close()
  end
  return nil, err
end

-- A function that picks one of the makers in a table by its name.
function socket.choose(makers)
  return function(name, first, second)
    if type(name) ~= "string" then name, first, second = "default", name, first end
    local make = makers[name]
    if not make then error("unknown key (" .. name .. ")", 3) end
    return make(first, second)
  end
end

-- A callable that select can watch in the place of its socket.
local function watchable(sock, call)
  return setmetatable({
    getfd = function() return sock:getfd() end,
    dirty = function() return sock:dirty() end,
  }, {__call = call})
end

local sinkt = {}

sinkt["close-when-done"] = function(sock)
  return watchable(sock, function(_, chunk)
    if chunk then return sock:send(chunk) end
    sock:close()
    return 1
  end)
end

sinkt["keep-open"] = function(sock)
  return watchable(sock, function(_, chunk)
    if chunk then return sock:send(chunk) end
    return 1
  end)
end

sinkt.default = sinkt["keep-open"]

local sourcet = {}

sourcet["by-length"] = function(sock, left)
  return watchable(sock, function()
    if left <= 0 then return nil end
    local chunk, err = sock:receive(left < socket.BLOCKSIZE and left or socket.BLOCKSIZE)
    if err then return nil, err end
    left = left - #chunk
    return chunk
  end)
end

sourcet["until-closed"] = function(sock)
  local done = false
  return watchable(sock, function()
    if done then return nil end
    local chunk, err, partial = sock:receive(socket.BLOCKSIZE)
    if not err then return chunk end
    if err ~= "closed" then return nil, err end
    sock:close()
    done = true
    return partial
  end)
end

sourcet.default = sourcet["until-closed"]

socket.sinkt = sinkt
socket.sink = socket.choose(sinkt)
socket.sourcet = sourcet
socket.source = socket.choose(sourcet)

return socket
