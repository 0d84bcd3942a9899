-- dns.toip, tohostname, getaddrinfo, getnameinfo, gethostname: names that need no name server.
local socket = require "socket"
local show = require "_show"
local dns = socket.dns

local keys = {} -- covers: 1/dns
for key, value in pairs(dns) do keys[#keys + 1] = key .. "=" .. type(value) end
table.sort(keys)
print(table.concat(keys, " "))

local ask = show.deep_call

local own = dns.gethostname() -- covers: 6/gethostname
local file = io.open("/proc/sys/kernel/hostname")
show.values("gethostname", type(own), own == file:read("*l"), select("#", dns.gethostname()))
file:close()
show.values("arguments are ignored", dns.gethostname({}, 5) == own)

ask("toip localhost", dns.toip, "localhost") -- covers: 6/toip 6/info
ask("toip LOCALHOST", dns.toip, "LOCALHOST")
for _, host in ipairs({"127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1"}) do
  ask("toip " .. host, dns.toip, host) -- covers: 6/toip-reverse 11/13
  ask("tohostname " .. host, dns.tohostname, host) -- covers: 6/tohostname
end
ask("tohostname localhost", dns.tohostname, "localhost")
ask("toip of a number", dns.toip, 2130706433)
for _, host in ipairs({"::1", "fe80::1", "not a name", "a..b", ("x"):rep(300)}) do -- covers: 6/not-found 6/ipv6-literal
  ask("toip " .. host:sub(1, 20), dns.toip, host)
  ask("tohostname " .. host:sub(1, 20), dns.tohostname, host)
end
ask("toip empty", dns.toip, "") -- covers: 6/empty
ask("tohostname empty", dns.tohostname, "")
ask("cut at a NUL", dns.toip, "localhost\0.example") -- covers: 0/nul

for _, host in ipairs({"localhost", "127.0.0.1", "::1", "fe80::1%lo", "127.1", "0x7f000001", "2130706433",
  "::ffff:127.0.0.1", "0.0.0.0", "::", "224.0.0.1", "1.2.3.4", "LocalHost", "*", "", "not a name", "a..b",
  ("x"):rep(300), "::1%nosuch", "[::1]", "127.0.0.1 ", "localhost\0x"}) do
  ask("getaddrinfo " .. host:sub(1, 20):gsub("%z", "\\0"), dns.getaddrinfo, host) -- covers: 6/getaddrinfo 6/scope
end
ask("getaddrinfo of a number", dns.getaddrinfo, 2130706433)
ask("extra arguments", dns.getaddrinfo, "127.0.0.1", "x", {})

for _, host in ipairs({"127.0.0.1", "localhost", "127.1", "not a name", ""}) do
  ask("getnameinfo " .. host, dns.getnameinfo, host) -- covers: 6/getnameinfo
  ask("with a service", dns.getnameinfo, host, "25")
end
ask("the page's example", dns.getnameinfo, "127.0.0.1", 25) -- covers: 6/getnameinfo-service
for _, service in ipairs({"http", "80", 80, "25", "1", "54321", "no-such-service", "", "-1", "70000", "53"}) do
  ask("service " .. tostring(service), dns.getnameinfo, nil, service) -- covers: 6/getnameinfo-service-only
  ask("and host", dns.getnameinfo, "127.0.0.1", service)
end
