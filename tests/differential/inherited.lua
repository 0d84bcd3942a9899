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
