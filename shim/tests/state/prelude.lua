-- An interpreter's surroundings for the scripts of the suites. Luau has no io.
local emit, beside, variables = ...
function print(...)
  local words = {}
  for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))) end
  emit(table.concat(words, "\t") .. "\n")
end
local others, loaded = require, {}
function require(name)
  if name:sub(1, 1) ~= "_" then return others(name) end
  if loaded[name] == nil then loaded[name] = beside(name) end
  return loaded[name]
end
local function nothing() end
io = io or {stdout = {setvbuf = nothing, flush = nothing}}
io.stderr = {write = function(_, ...) emit("stderr: " .. table.concat({...})) end}
os.getenv = function(name) return variables[name] end
os.exit = function() error("the script has ended itself", 0) end
