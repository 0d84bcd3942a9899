-- Wrong arguments of dns.*, and names in connect and bind.
local socket = require "socket"
local show = require "_show"
local dns = socket.dns

for _, name in ipairs({"toip", "tohostname", "getaddrinfo"}) do -- covers: 6/arguments
  local call = dns[name]
  show.call(name .. " nothing", function() dns[name]() end)
  show.call(name .. " nil", function() call(nil) end)
  show.call(name .. " a table", function() call({}) end)
  show.call(name .. " a boolean", function() call(true) end)
  show.call(name .. " by pcall", call)
  show.call(name .. " by pcall with a table", call, {})
end
show.call("getnameinfo nothing", function() dns.getnameinfo() end) -- covers: 6/both-nil
show.call("getnameinfo nil, nil", function() dns.getnameinfo(nil, nil) end)
show.call("getnameinfo a table", function() dns.getnameinfo({}) end)
show.call("getnameinfo a service that is a table", function() dns.getnameinfo("127.0.0.1", {}) end)
show.call("getnameinfo by pcall", dns.getnameinfo)

for _, host in ipairs({"", "not a name", "a..b", ("x"):rep(300), "::1%nosuch"}) do -- covers: 9/gai
  local label = host:sub(1, 20)
  show.values("connect " .. label, socket.connect(host, 80))
  show.values("connect method " .. label, socket.tcp():connect(host, 80))
  show.values("bind " .. label, socket.bind(host, 0))
  show.values("bind method " .. label, socket.tcp():bind(host, 0))
  show.values("setsockname " .. label, socket.udp():setsockname(host, 0))
  show.values("setpeername " .. label, socket.udp():setpeername(host, 80))
end
local client = socket.tcp() -- covers: 2.5/resolve-fails
show.values("a name that is none", client:connect("not a name", 80))
show.values("leaves a client without a socket", client.class, show.integer(client:getfd()))
show.values("sends", client:send("x"))
show.values("receives", client:receive())

-- A lookup does not depend on the socket's family, except in what it finds.
for _, make in ipairs({"tcp4", "tcp6"}) do -- covers: 9/gai-addrfamily
  for _, host in ipairs({"127.0.0.1", "::1", "0.0.0.0", "::"}) do
    show.values(make .. " bind " .. host, socket[make]():bind(host, 0))
  end
  for _, service in ipairs({"no-such-service", "80x", "0x50", "-1", "65536000"}) do -- covers: 9/gai-service
    show.values(make .. " bind to port " .. service, socket[make]():bind("*", service))
  end
end
