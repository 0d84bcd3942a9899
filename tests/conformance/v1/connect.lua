-- connect(address, port): client, nil; or nil, message.
local check = require "_check"
local v1 = require "luasocketd.v1"

local server, ip, port = v1.bind("127.0.0.1", 0, 5)
assert(server, ip)

local results = check.list(v1.connect("127.0.0.1", port))
check.same("an address and a number: two values", check.list(2, nil), results.n, results[2])
check.ok("the first is a client socket", results[1] and results[1].send and results[1].receive)

local by_name, err = v1.connect("localhost", port)
check.ok("a host name", by_name, err)
local by_string = v1.connect("127.0.0.1", tostring(port))
check.ok("a port that is a numeric string", by_string)

v1.send(by_name, "x\n")
for i = 1, 3 do
  local accepted = v1.accept(server)
  check.ok("connection " .. i .. " reaches the server", accepted)
  if i == 2 then check.same("and carries bytes", check.list("x", nil), v1.receive(accepted)) end
end

check.same("nobody listens there", check.list(nil, "connection refused"),
  v1.connect("127.0.0.1", check.refused_port()))
check.raises("no address", "bad argument #1 to 'connect'", function() v1.connect() end)
check.raises("no port", "bad argument #2 to 'connect'", function() v1.connect("127.0.0.1") end)
check.raises("a port that is no number", "bad argument #2 to 'connect'", function() v1.connect("127.0.0.1", {}) end)
check.done()
