-- Messages of connect that the kernel gives for an address.
local check = require "_check"
local v1 = require "luasocketd.v1"

local messages = {
  ["connection refused"] = true, ["connection timed out"] = true, ["network is unreachable"] = true,
  ["access denied"] = true, ["address already in use"] = true, ["address not available"] = true,
  ["unknown error"] = true,
}
check.same("refused", check.list(nil, "connection refused"), v1.connect("127.0.0.1", check.refused_port()))
-- No route leads to a multicast group by TCP, and none to a port zero.
check.same("a network that cannot be reached", check.list(nil, "network is unreachable"), v1.connect("224.0.0.1", 80))
for _, address in ipairs({"255.255.255.255", "ff02::1"}) do
  local results = check.list(v1.connect(address, 80))
  check.same("no client for " .. address, check.list(2, nil), results.n, results[1])
  check.ok("one of the documented messages", messages[results[2]], results[2])
end
check.done()
