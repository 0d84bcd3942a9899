-- Runs a script as the `lua` command does: the global `arg`, the arguments as `...`, and for an
-- error its message and a traceback on standard error. Returns the exit code.
local path = ...
local traceback, xpcall, stderr, getmetatable = debug.traceback, xpcall, io.stderr, getmetatable

local function report(message)
  stderr:write("luasocketd: ", message, "\n")
  return 1
end

local function message_of(object)
  if type(object) == "string" then return traceback(object, 2) end
  local meta = getmetatable(object)
  if type(meta) == "table" and meta.__tostring then return tostring(object) end
  return traceback("(error object is a " .. type(object) .. " value)", 2)
end

arg = { [-1] = "luasocketd", [0] = path, select(2, ...) }
local script, problem = loadfile(path ~= "-" and path or nil)
if not script then return report(problem) end
local done, message = xpcall(script, message_of, select(2, ...))
if not done then return report(message) end
return 0
