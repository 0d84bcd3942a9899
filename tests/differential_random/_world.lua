-- The sockets of one sequence, and what is known of them: both ends of each connection are played by this
-- program, so it knows which bytes are under way, and asks for no more than what the contract fixes.
local socket = require "socket"
local world = {}
world.__index = world

world.patience = 10 -- seconds that a call may take which will succeed; none comes near
local buffer_size = 8192 -- what LuaSocket reads ahead at most

function world.new(random, report)
  return setmetatable({random = random, report = report, entries = {}, ports = {}, made = 0}, world)
end

-- A socket under a name. `kind` is "master", "server", "end" (of a connection), "udp" or "plain" (no longer known).
function world:add(kind, object, fields)
  self.made = self.made + 1
  local entry = fields or {}
  entry.kind, entry.object, entry.name = kind, object, kind:sub(1, 1) .. self.made
  self.entries[#self.entries + 1] = entry
  return entry
end

-- A random entry of a kind that `fits`, or nil.
function world:pick(kind, fits)
  local list = {}
  for _, entry in ipairs(self.entries) do
    if entry.kind == kind and (not fits or fits(entry)) then list[#list + 1] = entry end
  end
  return #list > 0 and self.random:of(list) or nil
end

function world:any()
  return #self.entries > 0 and self.random:of(self.entries) or nil
end

-- Two ends of a connection. Of each is kept: `queue`, the bytes that will come; `buffered`, how many of them
-- LuaSocket holds itself already; `ended`, whether nothing comes after them.
function world:connection(one, two, family)
  local a = self:add("end", one, {queue = "", buffered = 0, consumed = 0, sent = 0, family = family, connects = 0})
  local b = self:add("end", two, {queue = "", buffered = 0, consumed = 0, sent = 0, family = family, accepted = true})
  a.peer, b.peer = b, a
  return a, b
end

-- A server on the loopback interface.
function world:server()
  local host = self.random:of({"127.0.0.1", "127.0.0.1", "::1"})
  local object = assert(socket.bind(host, 0, 16))
  local _, port = object:getsockname()
  return self:add("server", object, {host = host, port = port, pending = {}})
end

-- Takes `count` bytes from an end's queue, as a receive does.
function world.consume(entry, count)
  local left = count
  while left > 0 do
    if entry.buffered == 0 then entry.buffered = math.min(buffer_size, #entry.queue) end
    local step = math.min(left, entry.buffered)
    entry.queue, entry.buffered = entry.queue:sub(step + 1), entry.buffered - step
    entry.consumed, left = entry.consumed + step, left - step
  end
end

-- Fills the buffer of an end as a receive does that asks for more.
function world.fill(entry)
  if entry.buffered == 0 then entry.buffered = math.min(buffer_size, #entry.queue) end
end

-- What is sure about `dirty`: false, or nil when it depends on how much had come when a library last read.
function world.dirty(entry)
  if #entry.queue == 0 then return false end
end

-- Sets limits that a call which will succeed never meets.
function world:relax(object)
  object:settimeout(self.random:of({-1, world.patience, 100}))
  object:settimeout(self.random:of({-1, world.patience, 100}), "t")
end

-- Sets limits that end soon.
function world:hurry(object)
  local block = self.random:of({0, 0, 0.001, 0.005, -1})
  object:settimeout(block)
  object:settimeout(block == -1 and self.random:of({0, 0.001, 0.005}) or self.random:of({-1, 0, 1}), "t")
end

-- Closes everything without leaving ports that wait.
function world:finish()
  for _, entry in ipairs(self.entries) do
    pcall(function() entry.object:setoption("linger", {on = true, timeout = 0}) end)
    entry.object:close()
  end
end

return world
