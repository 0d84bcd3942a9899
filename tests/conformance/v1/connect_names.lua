-- Name errors have four messages, no other. Which one a missing name gets depends on the machine's resolver.
local check = require "_check"
local v1 = require "luasocketd.v1"

local messages = {
  ["host not found"] = true, ["unable to resolve host name"] = true,
  ["name server error"] = true, ["name server unavailable, try again later"] = true,
}
for _, call in ipairs({"connect", "bind"}) do
  for _, name in ipairs({"no-such-host.invalid", "not a name", ("x"):rep(300)}) do
    local results = check.list(v1[call](name, 80))
    check.same(call .. " to " .. name:sub(1, 20) .. " gives two values", check.list(2, nil), results.n, results[1])
    check.ok("with a message for names", messages[results[2]], results[2])
  end
end
check.done()
