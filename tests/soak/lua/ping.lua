-- The polite client: one line, its echo, a pause, for so many seconds. Arguments: PORT SECONDS. It prints the worst second's
-- worst and, at the end, `pings COUNT P50 P99 WORST` in milliseconds.
local port, seconds = tonumber(arg[1]), tonumber(arg[2])
local socket = require "socket"
local client = assert(socket.connect("127.0.0.1", port))
client:settimeout(60)
assert(client:send("echo\n"))
local took, stop = {}, socket.gettime() + seconds
repeat
    local line = ("ping %d"):format(#took)
    local start = socket.gettime()
    assert(client:send(line .. "\n"))
    assert(assert(client:receive()) == line, "another line")
    took[#took + 1] = (socket.gettime() - start) * 1000
    socket.sleep(0.02)
until socket.gettime() > stop
table.sort(took)
local function quantile(part) return took[math.max(1, math.ceil(#took * part))] end
print(("pings %d %.3f %.3f %.3f"):format(#took, quantile(0.5), quantile(0.99), took[#took]))
