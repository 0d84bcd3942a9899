-- The wrong kind of socket, or no socket, raises an error that names the kind wanted.
local check = require "_check"
local v1 = require "luasocketd.v1"
local server = v1.bind("127.0.0.1", 0)
local client = check.pair()

local wanted = {
  {"send", "client socket expected", server}, {"receive", "client socket expected", server},
  {"timeout", "client socket expected", server},
  {"accept", "server socket expected", client}, {"listen", "server socket expected", client},
  {"close", "socket expected"},
}
for _, case in ipairs(wanted) do
  local name, message, wrong_kind = case[1], case[2], case[3]
  local text = "(" .. message
  local strangers = {"text", 42, true, {}, print, io.stdout}
  if wrong_kind then strangers[#strangers + 1] = wrong_kind end
  for _, stranger in ipairs(strangers) do
    check.raises(name .. " on " .. type(stranger), text, function() v1[name](stranger, "1") end)
  end
  check.raises(name .. " on nil", text, function() v1[name](nil, "1") end)
  check.raises(name .. " on nothing", text, function() v1[name]() end)
end
check.raises("send says where", "bad argument #1 to 'send' (client socket expected", function() v1.send(server, "x") end)
check.raises("accept says where", "bad argument #1 to 'accept' (server socket expected", function() v1.accept(client) end)
check.raises("close says where", "bad argument #1 to 'close' (socket expected", function() v1.close("text") end)
check.same("the server still works", check.list(nil), server:listen(2))
check.same("and the client", check.list(nil, 1), client:send("x"))
check.done()
