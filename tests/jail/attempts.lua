-- Tries to break out of the jail as a Lua script would, one way for each name: `--list` prints the names.
-- Exit code 0 when the attempt was stopped, 1 with a line that begins with ESCAPED when it was not.
local escaped = false

local function out(what)
  escaped = true
  print("ESCAPED: " .. what)
end

-- What a shell command prints.
local function shell(line)
  local pipe = assert(io.popen("{ " .. line .. "; } 2>&1", "r"))
  local text = pipe:read("*a")
  pipe:close()
  return text
end

local daemon = shell("ps -o ppid= -p $PPID"):match("%d+")

local attempts = {}

-- The machine's own LuaSocket makes sockets itself.
attempts["lua-own-socket"] = function()
  package.loaded["socket.core"] = nil
  package.cpath = os.getenv("JAIL_LUASOCKET")
  package.path = ""
  package.preload["socket.core"] = nil
  local found, core = pcall(require, "socket.core")
  if not found then
    -- The Lua in `run` shares no symbols with modules made for another one.
    if not core:find("undefined symbol", 1, true) then out(core) end
    return
  end
  if debug.getinfo(core.tcp, "S").what ~= "C" then out("that is not LuaSocket") end
  local client, problem = core.tcp()
  if client then
    local done
    done, problem = client:connect("127.0.0.1", 80)
    if done then out("connected") end
  end
  if not tostring(problem):find("[Ff]amily not supported") then out("the problem is " .. tostring(problem)) end
  if core.udp() and core.udp():sendto("x", "127.0.0.1", 9) then out("sent a datagram") end
end

attempts["lua-dev-tcp"] = function()
  local text = shell("bash -c 'exec 9<>/dev/tcp/127.0.0.1/" .. os.getenv("JAIL_PORT") .. " && echo through'")
  if text:find("through", 1, true) then out(text) end
end

attempts["lua-process"] = function()
  for _, file in ipairs { "mem", "environ", "fd/0", "maps" } do
    local opened = io.open("/proc/" .. daemon .. "/" .. file, "rb")
    if opened and opened:read(1) then out(file .. " of the daemon can be read") end
  end
  local text = shell("kill -9 " .. daemon .. "; kill -9 " .. os.getenv("JAIL_PID"))
  if not text:find("not permitted", 1, true) then out(text) end
end

attempts["lua-child"] = function()
  local text = shell("env -i /usr/bin/python3 -c 'import socket; socket.socket()'")
  if not text:find("Address family not supported", 1, true) then out(text) end
  text = shell("ls /proc/self/fd/" .. (os.getenv("LUASOCKETD_FD") or "none"))
  -- Once the state has the pipe, its children do not.
  require("socket").connect("127.0.0.1", 1)
  text = shell("readlink /proc/self/fd/" .. os.getenv("LUASOCKETD_FD"))
  if text:find("socket", 1, true) then out("a child has the pipe: " .. text) end
end

local wanted = ...
if wanted == "--list" then
  for name in pairs(attempts) do print(name) end
else
  attempts[wanted]()
  if not escaped then print("stopped") end
  os.exit(escaped and 1 or 0)
end
