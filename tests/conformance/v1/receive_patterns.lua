-- Anything that is no pattern raises an error that names the argument, and takes nothing from the stream.
local check = require "_check"
local v1 = require "luasocketd.v1"
local client, other = check.pair()
client:send("untouched\n")

for _, pattern in ipairs({"l", "*x", "", "line", "*", "5x"}) do
  check.raises(("%q as a function"):format(pattern), "bad argument #2 to 'receive' (invalid receive pattern)",
    function() v1.receive(other, pattern) end)
  check.raises(("%q as a method"):format(pattern), "bad argument #1 to 'receive' (invalid receive pattern)",
    function() other:receive(pattern) end)
end
check.raises("the third argument", "bad argument #3 to 'receive' (invalid receive pattern)",
  function() v1.receive(other, "*l", "*nonsense") end)
check.raises("a table", "bad argument #2 to 'receive'", function() v1.receive(other, {}) end)
check.raises("a boolean", "bad argument #2 to 'receive'", function() v1.receive(other, true) end)
check.raises("a negative number", "bad argument #2 to 'receive'", function() v1.receive(other, -1) end)
other:timeout(5)
check.same("the stream is as it was", check.list("untouched", nil), other:receive("*l"))
check.done()
