-- gettime, sleep, skip, newtry, try, protect: every statement about them.
local socket = require "socket"
local show = require "_show"

local now = socket.gettime() -- covers: 10/gettime
show.values("gettime", type(now), math.abs(now - os.time()) < 5, select("#", socket.gettime({}, 5)))
show.values("has parts of a second", (function()
  for _ = 1, 50 do
    if socket.gettime() % 1 ~= 0 then return true end
  end
end)())
for _, time in ipairs({0.1, "0.1", "1e-1"}) do -- covers: 10/sleep
  show.timed("sleep " .. tostring(time), 0.09, 2, function() return socket.sleep(time) end)
end
for _, time in ipairs({0, -1, -1e300, "-5", 1e-9}) do
  show.timed("sleep " .. tostring(time), 0, 0.3, function() return socket.sleep(time) end)
end
show.values("returns nothing", select("#", socket.sleep(0)))
for _, wrong in ipairs({"x", {}, true, ""}) do show.call("sleep a " .. type(wrong), function() socket.sleep(wrong) end) end
show.call("sleep nothing", function() socket.sleep() end)
show.call("sleep nil", function() socket.sleep(nil) end)
show.bare("sleep by pcall", socket.sleep)
-- LuaSocket's sleep(0/0) never returns, so nothing can be compared there.

for _, n in ipairs({0, 1, 2, 3, 4, 100, "1"}) do -- covers: 10/skip
  show.values("skip " .. tostring(n), socket.skip(n, "a", nil, "c"))
end
show.values("skip of nothing", socket.skip(0), socket.skip(3))
show.call("skip a fraction", function() return socket.skip(1.5, "a", "b") end)
show.call("skip an integral float", function() return socket.skip(1.0, "a", "b") end)
for _, wrong in ipairs({"x", {}, true}) do show.call("skip a " .. type(wrong), function() socket.skip(wrong, 1) end) end
show.call("skip nothing", function() socket.skip() end)
show.differs_call("skip-negative", "skip -1", socket.skip, -1, "a", "b") -- covers: 10/skip-negative 11/17-skip

-- newtry and try.
local function raised(label, ...) -- covers: 10/try
  local fine, err = ...
  show.values(label, fine, type(err), type(err) == "table" and #err, type(err) == "table" and err[1], select("#", ...))
end
show.values("passes all", socket.try(1, nil, false, "x", nil))
show.values("true", socket.try(true, "error?"))
show.values("zero and empty are true", socket.try(0), socket.try(""))
raised("nil and a message", pcall(socket.try, nil, "message", "lost"))
raised("false", pcall(socket.try, false, "message"))
raised("no message", pcall(socket.try, nil))
raised("nothing", pcall(socket.try))
raised("a message that is nil", pcall(socket.try, nil, nil, "third"))
raised("a number", pcall(socket.try, nil, 42))
local object = {}
local _, err = pcall(socket.try, nil, object)
show.values("an object", err[1] == object, err ~= object)
local _, other = pcall(socket.try, nil, "again")
show.values("its metatable", getmetatable(err), getmetatable(other), pcall(setmetatable, err, {})) -- covers: 10/try-metatable
show.values("a table without a text", (tostring(err):gsub("0x%x+", "ADDRESS"))) -- covers: 11/15
show.values("keys", next(other), next(other, 1))
show.values("each its own", err ~= other)

local called, try = 0, nil
try = socket.newtry(function(...) called = called + 1 show.values("finalizer", ...) end) -- covers: 10/newtry
show.values("one value", select("#", socket.newtry()), type(try))
show.values("passes", try("a", "b"), called)
raised("raises", pcall(try, nil, "message"))
raised("false raises", pcall(try, false))
raised("nothing raises", pcall(try))
show.values("called", called)
show.values("not validated", type(socket.newtry(5)), type(socket.newtry("x")), type(socket.newtry({})), type(socket.newtry(nil))) -- covers: 10/newtry-unchecked
raised("no finalizer", pcall(socket.newtry(), nil, "message"))
show.values("which passes", socket.newtry(5)("fine"))
for _, wrong in ipairs({5, "text", {}, true}) do
  show.call("a finalizer that is a " .. type(wrong), socket.newtry(wrong), nil, "lost")
end
show.values("a callable finalizer", pcall(socket.newtry(setmetatable({}, {__call = function() error("called", 0) end})), nil, "lost"))
show.call("its error wins", socket.newtry(function() error("finalizer's own", 0) end), nil, "original") -- covers: 10/finalizer-error 11/15
show.call("inside protect, too", socket.protect(function()
  socket.newtry(function() error("finalizer's own", 0) end)(nil, "original")
end))
show.values("try inside a finalizer", socket.protect(function()
  socket.newtry(function() socket.try(nil, "inner") end)(nil, "outer")
end)())

-- protect.
show.values("results", socket.protect(function(...) return ... end)(1, nil, "x", nil)) -- covers: 10/protect
show.values("no results", socket.protect(function() end)())
show.values("caught", socket.protect(function() socket.try(nil, "message", "more") end)()) -- covers: 10/protect-caught
show.values("caught nil", socket.protect(function() socket.try() end)())
show.values("caught false", socket.protect(function() socket.try(false, false) end)())
show.values("caught object", (select(2, socket.protect(function() socket.try(nil, object) end)())) == object)
for _, foreign in ipairs({"text", 5, true}) do -- covers: 10/protect-others
  show.values("a " .. type(foreign), pcall(socket.protect(function() error(foreign, 0) end)))
end
show.values("nil", pcall(socket.protect(function() error(nil) end)))
show.values("the same table", (select(2, pcall(socket.protect(function() error(object) end)))) == object)
show.values("a table like it", type((select(2, pcall(socket.protect(function() error({"message"}) end))))))
show.values("an assertion", pcall(socket.protect(function() assert(false, "asserted") end)))
show.values("an assertion of a table", (select(2, pcall(socket.protect(function() assert(nil, object) end)))) == object)
show.values("a place", (select(2, pcall(socket.protect(function() error("with a place") end)))):match("with a place$"))
show.values("by hand", socket.protect(function() error((select(2, pcall(socket.try, nil, "again")))) end)())
show.values("deep", socket.protect(function() -- covers: 10/protect-nested
  local function level(n) if n == 0 then socket.try(nil, "bottom") end level(n - 1) return 1 end
  level(50)
end)())
show.values("nested", socket.protect(function()
  local inner, message = socket.protect(function() socket.try(nil, "inner") end)()
  socket.try(inner, "outer after " .. message)
end)())
show.values("a callable table", socket.protect(setmetatable({}, {__call = function(_, x) return "called", x end}))(7))
for _, wrong in ipairs({5, "x", true}) do -- covers: 10/protect-unchecked
  show.values("made of a " .. type(wrong), type(socket.protect(wrong)))
  show.values("called", (pcall(socket.protect(wrong))))
end
show.values("made of nothing", pcall(socket.protect))
show.values("one protect for all tries", socket.protect(function() socket.newtry()(nil, "newtry's") end)())

-- Yielding across protect depends on the Lua version.
local function on_jit(label, ...) -- where LuaSocket cannot yield at all
  if rawget(_G, "jit") then return show.differs("yield-protect", label, ...) end
  return show.values(label, ...)
end
local function resumed(label, body, print_values) -- covers: 10/yield
  print_values = print_values or on_jit
  local thread = coroutine.create(function(...) return socket.protect(body)(...) end)
  print_values(label, coroutine.resume(thread, "in"))
  print_values("  again", coroutine.resume(thread, "back"))
  print_values("  status", coroutine.status(thread))
end
resumed("yield", function(value) return coroutine.yield(value, "out"), "end" end)
resumed("yield, then fail", function() coroutine.yield() socket.try(nil, "after the yield") end)
resumed("yield, then raise", function() coroutine.yield() error("after the yield", 0) end)
resumed("yield in a finalizer", -- covers: 10/yield-finalizer
  function() socket.newtry(function() coroutine.yield() end)(nil, "lost") end,
  function(...) return show.differs("yield-finalizer", ...) end)
