-- Options of TCP sockets that programs set most.
local socket = require "socket"
local show = require "_show"
local client, other, server = show.pair()

for _, name in ipairs({"keepalive", "reuseaddr", "tcp-nodelay"}) do
  show.values(name .. " at first", client:getoption(name))
  show.values("set", client:setoption(name, true))
  show.values("get", client:getoption(name))
  show.values("unset", client:setoption(name, false))
  show.values("get", client:getoption(name))
  show.call("not a boolean", function() client:setoption(name, 1) end)
end
show.values("linger", client:setoption("linger", {on = true, timeout = 7}))
local linger = client:getoption("linger")
show.values("is", linger.on, linger.timeout)
show.call("linger without on", function() client:setoption("linger", {timeout = 1}) end)
show.call("linger without timeout", function() client:setoption("linger", {on = true}) end)
show.call("linger no table", function() client:setoption("linger", 1) end)
show.values("error", client:getoption("error"))
show.call("unknown", function() client:setoption("no-such-option", true) end)
show.call("unknown to get", function() client:getoption("no-such-option") end)
show.call("no name", function() client:setoption() end)
show.call("no value", function() client:setoption("keepalive") end)
show.values("on nothing", socket.tcp():setoption("keepalive", true))
show.values("on nothing, get", socket.tcp():getoption("keepalive"))
show.values("on a server", server:getoption("reuseaddr"))
show.values("IPv6 only", socket.tcp6():setoption("ipv6-v6only", false))
client:close()
show.values("closed", client:setoption("keepalive", true))
show.values("closed, get", client:getoption("keepalive"))
