-- What a child of the program gets: LuaSocket's descriptors, none of ours.
local socket = require "socket"
local show = require "_show"
local function sockets()
  local pipe = io.popen("ls -l /proc/self/fd")
  local text = pipe:read("*a")
  pipe:close()
  return select(2, text:gsub("socket:", ""))
end
local before = sockets()
local held = {show.pair()}
held[#held + 1] = socket.udp4()
show.differs("inherited-descriptors", "a child has sockets of its parent", sockets() > before) -- covers: 2.3/inherited

-- Too many sockets: the text of the failure, and that collected ones make room.
local many, err = {}, nil -- covers: 2.3/too-many
if sockets() >= 0 then
  local pipe = io.popen("ulimit -n")
  local limit = tonumber(pipe:read("*l"))
  pipe:close()
  show.values("a limit is set", limit ~= nil)
end
