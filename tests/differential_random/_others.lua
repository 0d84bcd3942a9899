-- What a sequence does with datagrams, with sockets that are not connected, and with any socket.
local socket = require "socket"
local world = require "_world"
local others = {}

-- A name whose port is just one, or none.
local function name(ip, port, family)
  if not ip then return ip, port end
  return ip, tonumber(port) > 0, family
end

function others.udp(w)
  local object = socket[w.random:of({"udp", "udp4"})]()
  w.report("-", "udp", object.class, object:getfamily(), object:setsockname("127.0.0.1", 0))
  local _, port = object:getsockname()
  local entry = w:add("udp", object, {port = tonumber(port), queue = {}})
  w.ports[entry.port] = entry
end

function others.datagram(w)
  local from = w:pick("udp", function(u) return not u.closed end)
  local to = w:pick("udp", function(u) return not u.closed and (not u.peer or u.peer == from) and #u.queue < 10 end)
  if not from or not to then return others.udp(w) end
  local data = w.random:of({"", "x", "datagram", "with\r\nlines\n", ("big"):rep(1000)})
  if from.peer then
    to = from.peer
    if to.closed or (to.peer and to.peer ~= from) or #to.queue >= 10 then return end
    w.report(from.name, "send", #data, from.object:send(data))
  else
    w.report(from.name, "sendto", to.name, #data, from.object:sendto(data, "127.0.0.1", to.port))
  end
  to.queue[#to.queue + 1] = {data = data, from = from}
end

function others.take(w)
  local entry = w:pick("udp", function(u) return not u.closed end)
  if not entry then return others.udp(w) end
  local size = w.random:of({false, false, 0, 1, 5, 100, 9000}) or nil
  local from = not entry.peer and w.random:once_in(2)
  if #entry.queue == 0 then
    w:hurry(entry.object)
    local call = from and entry.object.receivefrom or entry.object.receive
    return w.report(entry.name, "take nothing", size, call(entry.object, size))
  end
  w:relax(entry.object)
  table.remove(entry.queue, 1)
  if not from then return w.report(entry.name, "receive", size, entry.object:receive(size)) end
  local data, ip, port = entry.object:receivefrom(size)
  w.report(entry.name, "receivefrom", size, data, ip, w.ports[port] and w.ports[port].name)
end

function others.peer(w)
  local entry = w:pick("udp", function(u) return not u.closed and #u.queue == 0 end)
  local other = w:pick("udp", function(u) return not u.closed and u ~= entry end)
  if not entry or not other then return others.udp(w) end
  if entry.peer and w.random:once_in(2) then
    -- A port that was not asked for goes with the connection, so this one is asked for no more.
    w.report(entry.name, "disconnect", entry.object:setpeername("*"), entry.object.class, entry.object:close())
    entry.closed = true
    return
  end
  w.report(entry.name, "setpeername", other.name, entry.object:setpeername("127.0.0.1", other.port), entry.object.class)
  local ip, port, family = entry.object:getpeername()
  w.report(entry.name, "getpeername", ip, tonumber(port) == other.port, family)
  entry.peer = other
end

function others.master(w)
  local make = w.random:of({"tcp", "tcp4", "tcp6"})
  local object = socket[make]("ignored")
  local entry = w:add("master", object, {})
  w.report(entry.name, make, object.class, object:getfamily(), object:getfd() >= 0)
end

function others.bind(w)
  local entry = w:pick("master")
  if not entry then return others.master(w) end
  local host = w.random:of({"127.0.0.1", "*", "::1", "localhost", "203.0.113.1", "", "127.0.0.2"})
  -- localhost has no IPv6 address on every machine, and is then asked for on the network.
  if host == "localhost" and entry.object:getfamily() == "inet6" then host = "::1" end
  local port = w.random:of({0, 0, 0, "0", "", "x", -1})
  w.report(entry.name, "bind", host, port, entry.object:bind(host, port))
  w.report(entry.name, "name", name(entry.object:getsockname()))
  w.report(entry.name, "family", entry.object:getfamily())
end

function others.listen(w)
  local entry = w:pick("master")
  if not entry then return others.master(w) end
  local fine, err = entry.object:listen(w.random:of({5, 16, 32}))
  w.report(entry.name, "listen", fine, err, entry.object.class)
  if not fine then return end
  local ip, port = entry.object:getsockname()
  entry.kind, entry.pending, entry.port = "server", {}, port
  entry.host = (ip == "::" or ip == "::1") and "::1" or ip == "0.0.0.0" and "127.0.0.1" or ip
end

function others.refuse(w)
  local entry = w:pick("master")
  if not entry then return others.master(w) end
  w:relax(entry.object)
  w.report(entry.name, "connect to nobody", entry.object:connect(w.refused_host, w.refused_port))
  w.report(entry.name, "class", entry.object.class, entry.object:getfamily())
  entry.kind = "plain"
end

function others.end_server(w)
  local entry = w:pick("server", function(s) return not s.closed and #s.pending == 0 end)
  if not entry then return others.master(w) end
  w.report(entry.name, "close", entry.object:close(), entry.object:accept())
  entry.closed = true
end

function others.end_udp(w)
  local entry = w:pick("udp", function(u) return not u.closed end)
  if not entry then return others.udp(w) end
  -- Datagrams to a closed port come back as errors to who is connected to it, so only a lone one is closed.
  for _, other in ipairs(w.entries) do
    if other.peer == entry then return end
  end
  w.report(entry.name, "close", entry.object:close(), entry.object:close(), entry.object:getsockname())
  w.report(entry.name, "closed", entry.object:receive())
  entry.closed = true
end

function others.ask(w)
  local entry = w:any()
  if not entry then return others.master(w) end
  local object = entry.object
  -- What a refused socket is besides its class: docs/compatibility.md, connect-again.
  if entry.kind == "plain" then return w.report(entry.name, "ask", object.class, tostring(object):match("^[^:]+")) end
  w.report(entry.name, "ask", object.class, tostring(object):match("^[^:]+"), object:getfamily(), object:getfd() >= 0)
  if entry.kind == "end" and not entry.lost then
    local received, sent = object:getstats()
    w.report(entry.name, "stats", received == entry.consumed, sent == entry.sent, received, sent)
    if world.dirty(entry) ~= nil and not entry.closed then w.report(entry.name, "dirty", object:dirty()) end
  end
  w.report(entry.name, "getsockname", name(object:getsockname()))
  if entry.kind == "end" and not entry.lost and not entry.ended then
    w.report(entry.name, "getpeername", name(object:getpeername()))
  end
end

function others.limits(w)
  local entry = w:any()
  if not entry then return others.master(w) end
  local value, mode = w.random:of({-1, 0, 1, 2.5, "3", 100}), w.random:of({"b", "t", "r", "block", "x", ""})
  w.report(entry.name, "settimeout", value, mode, pcall(entry.object.settimeout, entry.object, value, mode))
  entry.object:settimeout(7) -- later calls change one of both, so both are set here
  entry.object:settimeout(8, "t")
  w.report(entry.name, "gettimeout", entry.object:gettimeout())
end

function others.option(w)
  local entry = w:any()
  if not entry then return others.master(w) end
  if entry.kind == "plain" then return others.misuse(w) end
  local name = w.random:of({"keepalive", "reuseaddr", "tcp-nodelay", "broadcast", "linger", "error", "dontroute", "nonsense"})
  if name == "error" and entry.kind ~= "master" then name = "reuseaddr" end -- told once, and when is not sure
  local value = w.random:of({true, false, 1, "x"})
  if name == "linger" then value = w.random:of({{on = true, timeout = 5}, {on = false, timeout = 0}, {on = true}, 5}) end
  w.report(entry.name, "setoption", name, pcall(entry.object.setoption, entry.object, name, value))
  local fine, answer, err = pcall(entry.object.getoption, entry.object, name)
  if type(answer) == "table" then answer = tostring(answer.on) end
  w.report(entry.name, "getoption", name, fine, answer, err)
end

-- A method that the class may not have, or that it does not allow.
function others.misuse(w)
  local entry = w:any()
  if not entry then return others.master(w) end
  local wrong = {
    master = {"accept", "send", "receive", "getstats", "setstats", "shutdown"},
    server = {"bind", "listen", "send", "receive", "getstats", "shutdown"},
    ["end"] = {"bind", "listen", "accept", "setsockname"}, plain = {"bind", "listen", "accept"},
    udp = {"bind", "listen", "accept", "connect"},
  }
  local name = w.random:of(wrong[entry.kind])
  local other = w:any()
  w.report(entry.name, name, pcall(function() return entry.object[name](entry.object, {}, {}) end))
  w.report(entry.name, "of another", other.name, pcall(function() return entry.object.getstats(other.object) ~= nil end))
end

return others
