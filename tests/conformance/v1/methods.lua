-- A client has send, receive, timeout, close; a server accept, listen, close. Any other method is nil on it.
local check = require "_check"
local v1 = require "luasocketd.v1"
local server, ip, port = v1.bind("127.0.0.1", 0)
local client = v1.connect(ip, port)

local function methods(socket, expected)
  for _, name in ipairs({"send", "receive", "timeout", "close", "accept", "listen", "connect", "bind", "install", "getfd"}) do
    local want = expected[name] and "function" or "nil"
    check.same(name .. " on a " .. expected.kind, check.list(want), type(socket[name]))
  end
end
methods(client, {kind = "client", send = true, receive = true, timeout = true, close = true})
methods(server, {kind = "server", accept = true, listen = true, close = true})

local accepted = server:accept()
methods(accepted, {kind = "accepted client", send = true, receive = true, timeout = true, close = true})

check.same("c:send is send", check.list(nil, 6), client:send("hello\n"))
check.same("c:receive is receive", check.list("hello", nil), accepted:receive())
check.same("c:timeout is timeout", check.list(), accepted:timeout(1))
check.same("s:listen is listen", check.list(nil), server:listen(2))
check.same("c:close is close", check.list(), client:close())
check.same("s:close is close", check.list(), server:close())
check.done()
