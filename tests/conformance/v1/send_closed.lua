-- A failed send: "closed", and the bytes accepted so far.
local check = require "_check"
local v1 = require "luasocketd.v1"

local client = check.peer("reset bye")
check.same("the peer's words before it resets", check.list("bye", nil), client:receive(3))
client:send("!")
local err, sent, total = nil, 0, 0
for _ = 1, 2000 do
  local results = check.list(client:send(("x"):rep(1000)))
  if results.n ~= 2 then check.ok("send gives two values", false, results.n) end
  err, sent = results[1], results[2]
  if err then break end
  total = total + 1
  if total % 50 == 0 then require("socket").sleep(0.05) end
end
check.same("send to a reset connection ends with closed", check.list("closed"), err)
check.ok("and the count of what was accepted", type(sent) == "number" and sent >= 0 and sent < 1000, sent)
check.same("so does the next", check.list("closed", 0), client:send("more"))
check.same("and a receive", check.list("", "closed"), client:receive("*l"))
check.done()
