-- newtry and protect of socket.core. They are written in Lua because Lua allows a coroutine to yield
-- across a pcall of Lua's, and across no C function of ours.

local wrapped = setmetatable({}, {__mode = "k"}) -- the errors that try has raised
local hidden = {__metatable = false}

local function newtry(finalizer)
  return function(...)
    if (...) then return ... end
    if finalizer ~= nil then
      -- Called from C's side, so that what cannot be called is reported as LuaSocket reports it.
      local ok, problem = pcall(finalizer)
      if not ok then error(problem, 0) end
    end
    local failure = setmetatable({(select(2, ...))}, hidden)
    wrapped[failure] = true
    error(failure, 0)
  end
end

local function finish(ok, ...)
  if ok then return ... end
  local problem = ...
  if wrapped[problem] then return nil, problem[1] end
  error(problem, 0)
end

local function protect(f)
  return function(...) return finish(pcall(f, ...)) end
end

return newtry, protect
