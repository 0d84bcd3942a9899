-- Only the first letter of a timeout's mode counts; any other than b and r raises.
local check = require "_check"
local v1 = require "luasocketd.v1"
local client = check.peer("hold ")

for _, mode in ipairs({"b", "block", "bytes", "r", "return", "rest"}) do
  check.same(("mode %q"):format(mode), check.list(), v1.timeout(client, 0.2, mode))
  local text, err = check.takes("it works", 0.1, 2, function() return client:receive(1) end)
  check.same("and ends the call", check.list("", "timeout"), text, err)
  v1.timeout(client, -1, mode)
end
for _, mode in ipairs({"x", "", "t", "B", "Return"}) do
  check.raises(("mode %q"):format(mode), "invalid timeout mode", function() v1.timeout(client, 1, mode) end)
end
check.same("a numeric string is a value", check.list(), v1.timeout(client, "0.2"))
check.raises("no value", "bad argument #2 to 'timeout'", function() v1.timeout(client) end)
check.raises("a value that is no number", "bad argument #2 to 'timeout'", function() v1.timeout(client, {}) end)
check.done()
