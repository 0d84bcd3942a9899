-- What the conformance scripts share: checks that print `ok N name`, pairs of connected sockets, and the
-- harness's peer. A failed check ends the script.

local v1 = require "luasocketd.v1"
local check = {}
local count = 0
io.stdout:setvbuf("line") -- so that a script that hangs shows how far it came

local function shown(list)
  local words = {}
  for i = 1, list.n do
    local value = list[i]
    local long = type(value) == "string" and #value > 80
    words[i] = long and ("string of " .. #value) or (type(value) == "string" and ("%q"):format(value) or tostring(value))
  end
  return "(" .. table.concat(words, ", ") .. ")"
end

-- A list that may hold nils: what a call is expected to return.
function check.list(...)
  return {n = select("#", ...), ...}
end

-- One true or false thing.
function check.ok(name, value, detail)
  if not value then
    io.stdout:flush()
    io.stderr:write("FAILED: ", name, detail and (": " .. tostring(detail)) or "", "\n")
    os.exit(1)
  end
  count = count + 1
  print("ok " .. count .. " " .. name)
end

-- All values of a call, their number included.
function check.same(name, want, ...)
  local got = check.list(...)
  local same = want.n == got.n
  for i = 1, want.n do same = same and want[i] == got[i] end
  check.ok(name, same, "expected " .. shown(want) .. ", got " .. shown(got))
end

-- Luau words the errors of all its functions in its own way, and counts the object of a method.
local function said_in_luau(text, err)
  local method, rest = text:match("^bad argument #%d+ to '(%w+)'(.*)$")
  local known = err:find("invalid argument #", 1, true) or err:find("missing argument #", 1, true)
  if text ~= "bad argument" and not method then return err:find(text, 1, true) end
  return known and (not method or err:find(" to '" .. method .. "'" .. rest, 1, true))
end

-- A call that raises an error whose text contains `text`.
function check.raises(name, text, call)
  local fine, err = pcall(call)
  local said = not fine and type(err) == "string" and
    (_VERSION:find("^Luau") and said_in_luau(text, err) or err:find(text, 1, true))
  check.ok(name, said, "expected the error `" .. text .. "`, got " .. tostring(err))
end

-- A call that takes between `least` and `most` seconds; gives on what it returned.
function check.takes(name, least, most, call)
  local clock = require("socket").gettime
  local start = clock()
  local results = check.list(call())
  local took = clock() - start
  check.ok(name, took >= least and took <= most,
    ("took %.3f s, expected %.3f to %.3f s"):format(took, least, most))
  return (table.unpack or unpack)(results, 1, results.n)
end

-- Two ends of one connection: the connecting and the accepted one.
function check.pair()
  local server, ip, port = v1.bind("127.0.0.1", 0)
  assert(server, ip)
  local client = assert(v1.connect(ip, port))
  local accepted = assert(v1.accept(server))
  v1.close(server)
  return client, accepted
end

-- A connection to the harness's peer, which carries out the order.
function check.peer(order)
  local client = assert(v1.connect("127.0.0.1", tonumber(os.getenv("PEER_PORT"))))
  assert(not v1.send(client, order .. "\n"))
  return client
end

-- A port of this machine on which nobody listens.
function check.refused_port()
  return tonumber(os.getenv("REFUSED_PORT"))
end

function check.done()
  print("done")
end

return check
