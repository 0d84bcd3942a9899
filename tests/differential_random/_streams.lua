-- What a sequence does with TCP sockets. Each function does one thing and reports it.
local socket = require "socket"
local world = require "_world"
local streams = {}

local texts = {"a", "hello", "line\n", "crlf\r\n", "\n", "\r", "x\r\ny\n", "no end", "0123456789", "nul\0nul", ("long "):rep(100),
  ("block"):rep(400), ("much\r\n"):rep(1500)}

local function open_ends(entry)
  return not entry.closed and not entry.lost
end
-- An end that may send: its peer still listens to it.
local function sends(entry)
  return open_ends(entry) and not entry.shut and not entry.peer.closed and not entry.peer.deaf and #entry.peer.queue < 40000
end

function streams.serve(w)
  local entry = w:server()
  w.report(entry.name, "serve", entry.object.class, entry.object:getfamily())
end

function streams.connect(w)
  local server = w:pick("server", function(s) return not s.closed and #s.pending < 4 end)
  if not server then return streams.serve(w) end
  local way, client = w.random:below(4), nil
  if way == 1 then
    client = assert(socket.connect(server.host, server.port))
    w.report(server.name, "socket.connect", client.class)
  elseif way == 2 then
    client = socket[server.host == "::1" and "tcp6" or "tcp4"]()
    w:relax(client)
    w.report(server.name, "connect", client:connect(server.host, server.port))
  elseif way == 3 then
    client = socket.tcp()
    w:relax(client)
    w.report(server.name, "lazy connect", client:connect(server.host, server.port))
  else
    client = socket.tcp()
    client:settimeout(0)
    w.report(server.name, "connect without time", client:connect(server.host, server.port))
    local _, writable = socket.select(nil, {client}, world.patience)
    w.report(server.name, "is writable", #writable, client:connect(server.host, server.port))
  end
  server.pending[#server.pending + 1] = client
  if not w.random:once_in(3) then return streams.accept(w, server) end
end

function streams.accept(w, server)
  server = server or w:pick("server", function(s) return not s.closed end)
  if not server then return streams.connect(w) end
  if #server.pending == 0 then
    w:hurry(server.object)
    return w.report(server.name, "accept nobody", server.object:accept())
  end
  w:relax(server.object)
  local accepted = server.object:accept()
  local a, b = w:connection(table.remove(server.pending, 1), accepted, server.host == "::1" and "inet6" or "inet")
  w.report(server.name, "accept", a.name, b.name, accepted and accepted.class)
end

function streams.send(w)
  local entry = w:pick("end", sends)
  if not entry then return streams.connect(w) end
  local data, i, j = w.random:of(texts), nil, nil
  if w.random:once_in(3) then i = w.random:below(20) - 8 end
  if i and w.random:once_in(2) then j = w.random:below(30) - 10 end
  w:relax(entry.object)
  local last, err, partial = entry.object:send(data, i, j)
  w.report(entry.name, "send", #data, i, j, last, err, partial)
  local from, to = i or 1, j or -1 -- as the contract counts them
  if from < 0 then from = from + #data + 1 end
  if to < 0 then to = to + #data + 1 end
  local piece = data:sub(math.max(from, 1), math.max(math.min(to, #data), 0))
  entry.sent = entry.sent + #piece
  entry.peer.queue = entry.peer.queue .. piece
end

-- Whether a receive of this pattern is answered by what is under way, and how many bytes it takes.
local function answered(entry, pattern, prefix)
  if pattern == "*l" then
    local at = entry.queue:find("\n", 1, true)
    return at ~= nil, at
  elseif pattern == "*a" then
    return entry.ended and #entry.queue > 0, #entry.queue
  end
  if #prefix > 0 and #prefix >= pattern then return true, 0 end
  local wanted = pattern - #prefix
  if wanted == 0 then return #entry.queue > 0, 0 end
  return #entry.queue >= wanted, wanted
end

function streams.receive(w)
  local entry = w:pick("end", open_ends)
  if not entry then return streams.connect(w) end
  local pattern = w.random:of({"*l", "*l", "*a", 0, 1, 2, 5, 10, 100, 3000})
  local prefix = w.random:of({"", "", "", "p", "pre\r\n", "a long prefix"})
  local fine, count = answered(entry, pattern, prefix)
  if fine or entry.ended then
    w:relax(entry.object)
    w.report(entry.name, "receive", pattern, #prefix, entry.object:receive(pattern, prefix))
    if pattern == 0 and #prefix == 0 then world.fill(entry) end
    return world.consume(entry, fine and count or #entry.queue)
  end
  -- It cannot be answered: all that is under way comes as partial results, in as many pieces as it likes.
  w:hurry(entry.object)
  local got, started, err = prefix, socket.gettime(), nil
  local whole = pattern == "*l" and #entry.queue:gsub("\r", "") or #entry.queue
  repeat
    local data, failure, partial = entry.object:receive(pattern, got)
    got, err = data or partial, failure
  until #got - #prefix >= whole or socket.gettime() - started > world.patience or data
  world.consume(entry, #entry.queue)
  w.report(entry.name, "receive too much", pattern, #prefix, err, got)
  w.report(entry.name, "and no more", entry.object:receive(pattern))
end

function streams.shutdown(w)
  local entry = w:pick("end", open_ends)
  if not entry then return streams.connect(w) end
  local how = w.random:of({"send", "receive", "both"})
  -- What is under way to a side that stops to listen may be lost or not: then it goes on listening.
  if how ~= "send" and #entry.queue > 0 then how = "send" end
  w.report(entry.name, "shutdown", how, entry.object:shutdown(how), entry.object.class)
  if how ~= "receive" then
    entry.shut, entry.peer.ended = true, true
    w:relax(entry.object)
    w.report(entry.name, "send after it", entry.object:send("xyz"))
  end
  if how ~= "send" then entry.deaf, entry.ended = true, true end
end

function streams.close(w)
  local entry = w:pick("end", function(e) return not e.closed end)
  if not entry then return streams.connect(w) end
  w.report(entry.name, "close", entry.object:close(), entry.object:close(), entry.object.class)
  entry.closed, entry.peer.ended = true, true
  -- Bytes that nobody reads any more reset the connection: then nothing is sure at the other end.
  if #entry.queue > 0 then entry.peer.lost = true end
  if #entry.queue == 0 then -- else it counts how much had come when a library last read
    w.report(entry.name, "dirty", entry.object:dirty())
    w.report(entry.name, "rest", entry.object:receive(w.random:of({"*l", "*a", 1}), "p"))
  end
  w.report(entry.name, "closed", entry.object:send("x"))
  w.report(entry.name, "closed", entry.object:getsockname())
end

function streams.select(w)
  local readers, writers, ready, names = {}, {}, 0, {}
  for _, entry in ipairs(w.entries) do
    local known = (entry.kind == "end" and not entry.lost and not entry.closed) or entry.kind == "udp" or entry.kind == "server"
    if known and not w.random:once_in(3) then
      readers[#readers + 1], names[entry.object] = entry.object, entry.name
      local open = not entry.closed
      if entry.kind == "end" and (#entry.queue > 0 or entry.ended) then ready = ready + 1 end
      if entry.kind == "udp" and open and #entry.queue > 0 then ready = ready + 1 end
      if entry.kind == "server" and open and #entry.pending > 0 then ready = ready + 1 end
      if w.random:once_in(3) and entry.kind ~= "server" and not entry.closed then writers[#writers + 1] = entry.object end
    end
  end
  local started, r, wr, err = socket.gettime(), nil, nil, nil
  repeat -- those that are ready come one after the other
    r, wr, err = socket.select(readers, writers, (ready > 0 or #writers > 0) and world.patience or 0)
  until #r >= ready or socket.gettime() - started > world.patience
  local words = {}
  for i, object in ipairs(r) do words[i] = names[object] .. (r[r[object]] == object and "" or "?") end
  table.sort(words)
  w.report("-", "select", #readers, #writers, table.concat(words, " "), #wr, err)
end

return streams
