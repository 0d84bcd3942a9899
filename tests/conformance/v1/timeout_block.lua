-- timeout mode "b": the longest the call may wait at one stretch. It is the default mode.
local check = require "_check"
local v1 = require "luasocketd.v1"

local slow = check.peer("drip 8 200")
check.same("timeout returns nothing", check.list(), v1.timeout(slow, 1, "b"))
local data, err = check.takes("each wait is short, the call may last longer", 1.2, 20, function() return slow:receive(8) end)
check.same("all of it", check.list("xxxxxxxx", nil), data, err)
local text, late = check.takes("silence ends it", 0.8, 5, function() return slow:receive(1) end)
check.same("with nothing", check.list("", "timeout"), text, late)

local silent = check.peer("hold ab")
check.same("as a method, default mode", check.list(), silent:timeout(0.4))
data, err = check.takes("the default mode is block", 0.3, 5, function() return silent:receive(5) end)
check.same("what came is returned", check.list("ab", "timeout"), data, err)

silent:timeout(0, "block")
data, err = check.takes("zero does not wait", 0, 0.3, function() return silent:receive("*l") end)
check.same("and has nothing", check.list("", "timeout"), data, err)

local client, other = check.pair()
client:send("ready\n")
check.same("first a byte, so that the rest is there", check.list("r", nil), other:receive(1))
other:timeout(0)
check.same("zero takes what is there", check.list("eady", nil), other:receive("*l"))

local later = check.peer("drip 1 600")
later:timeout(0.1)
later:timeout(-1)
data, err = check.takes("negative: no limit", 0.4, 10, function() return later:receive(1) end)
check.same("and the byte comes", check.list("x", nil), data, err)
check.done()
