-- try, newtry and protect.
local socket = require "socket"
local show = require "_show"

show.values("try passes all", socket.try(1, 2, nil, "x"))
show.values("try of true", socket.try(true))
local fine, err = pcall(socket.try, nil, "message", "lost")
show.values("try raises", fine, type(err), type(err) == "table" and err[1])
show.values("its metatable is closed", getmetatable(err))
fine, err = pcall(socket.try, false, {"any type"})
show.values("of any type", type(err[1]), err[1][1])
fine, err = pcall(socket.try)
show.values("of nothing", type(err), err[1])

local called = 0
local try = socket.newtry(function(...) called = called + 1 show.values("finalizer", ...) end)
show.values("newtry passes", try("ok", "extra"))
show.values("not called", called)
pcall(try, nil, "bad")
show.values("called", called)
show.values("no finalizer", pcall(function() return select("#", socket.newtry()("a", "b")) end))
show.call("a finalizer that fails", socket.newtry(function() error("its own", 0) end), nil, "lost")
show.call("a finalizer that is none", function() socket.newtry(5)(nil, "lost") end)

show.values("protect passes", socket.protect(function(...) return "a", nil, ... end)("b", nil))
show.values("protect catches try", socket.protect(function() socket.try(nil, "caught") end)())
show.values("protect catches newtry", socket.protect(function() try(nil, "caught, too") end)())
show.values("nil as the error", socket.protect(function() socket.try(nil) end)())
show.call("another error passes", socket.protect(function() error("plain", 0) end))
local object = {}
fine, err = pcall(socket.protect(function() error(object) end))
show.values("the same object", fine, err == object)
show.values("nested", socket.protect(function()
  return "outer", socket.protect(function() socket.try(nil, "inner") end)()
end)())
show.values("raised again by hand", socket.protect(function()
  local _, err = pcall(socket.try, nil, "again")
  error(err)
end)())
show.call("protect of nothing", socket.protect(nil))

local get = socket.protect(function(port)
  local closing
  local try = socket.newtry(function() if closing then closing:close() end end)
  closing = try(socket.tcp())
  try(closing:connect("127.0.0.1", port))
  return "connected"
end)
local refused, holder = show.refused_port()
show.values("as it is used", get(refused))
