-- getstats and setstats count the bytes that the script took and gave.
local socket = require "socket"
local show = require "_show"
local client, other = show.pair()

local function stats(label, object)
  local received, sent, age = object:getstats()
  show.values(label, received, sent, age >= 0 and age < 10)
end
stats("new", client)
client:send("12345\r\nabc")
other:send("reply\r\nrest")
show.values("line", other:receive())
stats("the sender", client)
stats("the receiver counts what it took", other)
show.values("line", client:receive())
stats("both ways", client)
show.values("setstats", client:setstats(1, 2, 3))
local received, sent, age = client:getstats()
show.values("set", received, sent, age >= 2.9 and age < 5)
show.values("one", client:setstats(100))
show.values("kept", (client:getstats()), (select(2, client:getstats())))
client:close()
stats("closed", other)
show.values("closed", (select(2, client:getstats())))
