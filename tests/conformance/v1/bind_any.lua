-- "*" binds every local address.
local check = require "_check"
local v1 = require "luasocketd.v1"

local server, ip, port = v1.bind("*", 0, 5)
check.ok("bind to *", server, ip)
check.same("its address", check.list("0.0.0.0"), ip)
for _, address in ipairs({"127.0.0.1", "127.0.0.2", "::1"}) do
  local client, err = v1.connect(address, port)
  check.ok("a client reaches it by " .. address, client, err)
  local accepted = v1.accept(server)
  accepted:send("welcome\n")
  check.same("and is served", check.list("welcome", nil), client:receive())
end
check.done()
