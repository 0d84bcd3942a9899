-- timeout mode "r": the longest the whole call may last, over all its strings or patterns.
local check = require "_check"
local v1 = require "luasocketd.v1"

local slow = check.peer("drip 50 200")
slow:timeout(0.9, "r")
local data, err = check.takes("the call ends though bytes keep coming", 0.7, 3, function() return slow:receive(50) end)
check.ok("with what came", err == "timeout" and #data >= 1 and #data <= 12 and data:match("^x+$"), data)

slow:timeout(0.9, "return")
local results = check.list(check.takes("over all patterns", 0.7, 3, function()
  return slow:receive(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
end))
check.same("one value for each pattern and the error", check.list(21, "timeout"), results.n, results[21])
check.same("a first one came, the last one did not", check.list("x", nil), results[1], results[20])

slow:timeout(0.5, "b")
slow:timeout(1.1, "r")
data, err = check.takes("both: the whole call's limit ends it", 0.9, 3, function() return slow:receive(50) end)
check.same("by its time", check.list("timeout"), err)

local silent = check.peer("hold ")
silent:timeout(0.3, "b")
silent:timeout(5, "r")
data, err = check.takes("both: one wait's limit ends it", 0.2, 2, function() return silent:receive(1) end)
check.same("by its time, too", check.list("", "timeout"), data, err)

silent:timeout(-1, "b")
silent:timeout(0, "r")
data, err = check.takes("zero does not wait", 0, 0.3, function() return silent:receive(1) end)
check.same("and says so", check.list("", "timeout"), data, err)

local later = check.peer("drip 1 600")
later:timeout(0.1, "r")
later:timeout(-1, "r")
check.same("negative: no limit", check.list("x", nil), later:receive(1))
check.done()
