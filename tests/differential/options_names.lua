-- Names of options: unknown ones, those of one direction, of other classes; options without a socket.
local socket = require "socket"
local show = require "_show"
local client, other, server = show.pair()

for _, name in ipairs({ -- covers: 5/unknown
  "no-such-option", "", "KEEPALIVE", "keepalive ", "broadcast", "dontroute", "ip-multicast-ttl", "ip-add-membership",
  "ipv6-unicast-hops", "tcp-no-delay", ("x"):rep(34), ("x"):rep(35), ("x"):rep(36), ("y"):rep(500), "%s%d", "a'b`c",
}) do
  show.method("get " .. name:sub(1, 40), client, "getoption", name)
  show.method("set " .. name:sub(1, 40), client, "setoption", name, true)
end
show.method("get by a number", client, "getoption", 12)
show.method("set by a number", client, "setoption", 12.5, true)
show.method("cut at a NUL", client, "getoption", "keepalive\0more") -- covers: 0/nul
show.method("cut at a NUL, unknown", client, "getoption", "nothing\0more")
for _, name in ipairs({"getoption", "setoption"}) do
  show.method(name .. " without a name", client, name)
  show.method(name .. " nil", client, name, nil)
  show.method(name .. " a table", client, name, {})
  show.method(name .. " true", client, name, true)
  show.call(name .. " by pcall, unknown", client[name], client, "nothing")
  show.call(name .. " by pcall, no name", client[name], client) -- covers: 0/argument-pcall
end
show.call("setoption by pcall, wrong type", client.setoption, client, "keepalive", 1)
show.call("setoption by pcall, no linger", client.setoption, client, "linger", {})
show.method("extra arguments", client, "setoption", "keepalive", true, {}, 5)
show.method("extra arguments", client, "getoption", "keepalive", {}, 5)

-- Without a socket: each way and each state.
local closed_client, _, closed_server = show.pair() -- covers: 5/unmade
closed_client:close()
closed_server:close()
local closed_six = socket.tcp6()
closed_six:close()
local objects = {
  {"unmade", socket.tcp()}, {"closed client", closed_client}, {"closed server", closed_server}, {"closed tcp6", closed_six},
}
for _, entry in ipairs(objects) do
  for _, name in ipairs({
    "keepalive", "reuseaddr", "reuseport", "tcp-nodelay", "tcp-keepidle", "tcp-keepcnt", "tcp-keepintvl",
    "recv-buffer-size", "send-buffer-size", "linger", "error",
  }) do
    show.method(entry[1] .. " get " .. name, entry[2], "getoption", name)
  end
  for _, set in ipairs({
    {"keepalive", true}, {"reuseaddr", true}, {"reuseport", false}, {"tcp-nodelay", true}, {"tcp-keepidle", 5},
    {"recv-buffer-size", 10000}, {"linger", {on = true, timeout = 1}}, {"ipv6-v6only", true}, {"tcp-defer-accept", 1},
    {"tcp-fastopen", 1}, {"tcp-fastopen-connect", 1},
  }) do
    show.method(entry[1] .. " set " .. set[1], entry[2], "setoption", set[1], set[2])
  end
  show.method(entry[1] .. " wrong type", entry[2], "setoption", "keepalive", 1)
  show.method(entry[1] .. " unknown", entry[2], "setoption", "nothing", 1)
end

-- Options are of the socket, not of the object: a new socket has none of them.
local object = socket.tcp4() -- covers: 2.5/options-lost
object:setoption("keepalive", true)
show.values("set", object:getoption("keepalive"))
object:close()
show.values("bound again", object:bind("127.0.0.1", 0), object:getoption("keepalive"))

-- socket.bind sets reuseaddr, the method does not; accepted sockets take over what their server had.
local bound = socket.tcp4() -- covers: 1/bind-reuseaddr 2.4/bind-reuseaddr
bound:bind("127.0.0.1", 0)
show.values("bind", bound:getoption("reuseaddr"))
show.values("socket.bind", server:getoption("reuseaddr"))
server:setoption("keepalive", true)
server:setoption("tcp-nodelay", true)
local ip, port = server:getsockname()
local second = socket.connect(ip, port)
local accepted = server:accept()
show.values("an accepted one", accepted:getoption("keepalive"), accepted:getoption("tcp-nodelay"))
show.values("a connected one", second:getoption("keepalive"), second:getoption("tcp-nodelay"))

-- Options that are set before connect stay.
local early = socket.tcp4()
early:setoption("tcp-nodelay", true)
early:setoption("keepalive", true)
early:setoption("tcp-keepidle", 33)
show.values("connect", early:connect(ip, port))
show.values("kept", early:getoption("tcp-nodelay"), early:getoption("keepalive"), early:getoption("tcp-keepidle"))
