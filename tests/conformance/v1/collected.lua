-- A collected socket is closed.
local check = require "_check"
local v1 = require "luasocketd.v1"

local server, ip, port = v1.bind("127.0.0.1", 0, 5)
local function forget_a_client()
  local client = v1.connect(ip, port)
  client:send("written before it was forgotten")
end
forget_a_client()
local accepted = server:accept()
collectgarbage()
collectgarbage()
accepted:timeout(20)
check.same("its peer gets what it sent, and the end", check.list("written before it was forgotten", nil), accepted:receive("*a"))

server = nil
collectgarbage()
collectgarbage()
local client, err
for _ = 1, 100 do
  client, err = v1.connect(ip, port)
  if not client then break end
  client:close()
  require("socket").sleep(0.02)
end
check.same("nobody listens on a collected server", check.list(nil, "connection refused"), client, err)
local again, message = v1.bind(ip, port)
check.ok("its address is available", again, message)

-- Far more than one process may hold open at once.
local base, base_ip, base_port = v1.bind("127.0.0.1", 0, 5)
for i = 1, 3000 do
  local one, why = v1.connect(base_ip, base_port)
  if not one then check.ok("connection " .. i, false, why) end
  local two, what = base:accept()
  if not two then check.ok("accepted " .. i, false, what) end
  if i % 100 == 0 then collectgarbage() end
end
check.ok("thousands of forgotten sockets do not use up a limit", true)
check.done()
