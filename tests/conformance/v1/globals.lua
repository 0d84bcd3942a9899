-- install(_G) makes the eight functions global; before it, and without it, no global is touched.
local before = {}
for name in pairs(_G) do before[name] = true end
local v1 = require "luasocketd.v1"
local names = {"connect", "bind", "listen", "accept", "close", "send", "receive", "timeout"}
local created = {}
for name in pairs(_G) do if not before[name] then created[#created + 1] = name end end

local check = require "_check"
check.same("require creates no global", check.list(""), table.concat(created, " "))
for _, name in ipairs(names) do check.same("v1." .. name, check.list("function"), type(v1[name])) end
check.same("v1.install", check.list("function"), type(v1.install))

local own = {}
v1.install(own)
for _, name in ipairs(names) do
  check.ok("in a table of one's own: " .. name, own[name] == v1[name])
  check.same("and not in _G", check.list(nil), rawget(_G, name))
end
local count = 0
for _ in pairs(own) do count = count + 1 end
check.same("these eight and nothing else", check.list(8), count)

v1.install(_G)
for _, name in ipairs(names) do check.ok("global " .. name, _G[name] == v1[name]) end

local server, ip, port = bind("127.0.0.1", 0)
listen(server, 2)
local client = connect(ip, port)
local other = accept(server)
timeout(client, 5)
check.same("send", check.list(nil, 3), send(client, "hi\n"))
check.same("receive", check.list("hi", nil), receive(other))
close(client)
check.same("close", check.list("", nil), receive(other, "*a"))
check.raises("errors name the global", "bad argument #1 to 'send' (client socket expected", function() send(server, "x") end)
check.done()
