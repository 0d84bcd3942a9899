-- A send that times out: "timeout", and the bytes accepted; these arrive, and no others do.
local check = require "_check"
local v1 = require "luasocketd.v1"
local block = ("0123456789abcdef"):rep(4 * 1024 * 1024) -- 64 MiB, more than any buffer on the way

for _, mode in ipairs({"block", "return"}) do
  local client = check.peer("tally 1500")
  client:timeout(0.3, mode)
  local err, sent = check.takes(mode .. ": it ends in time", 0.25, 10, function() return client:send(block) end)
  check.same(mode .. ": timeout", check.list("timeout"), err)
  check.ok(mode .. ": a part was accepted", sent > 0 and sent < #block, sent)
  client:timeout(-1, mode)
  check.same(mode .. ": exactly that part arrives", check.list(("%d"):format(sent), nil), client:receive("*l"))
end

local client = check.peer("tally 1500")
client:timeout(0.3, "return")
local err, sent = client:send("head", block, "never reached")
check.ok("several strings: the count goes over all of them", err == "timeout" and sent > 4 and sent < #block + 4, sent)
client:timeout(-1, "return")
check.same("several strings: exactly that part arrives", check.list(("%d"):format(sent), nil), client:receive("*l"))
check.done()
