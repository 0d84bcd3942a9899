-- Unix sockets: what fails, with what text, and what it leaves.
local socket = require "socket"
local unix = require "socket.unix"
local show = require "_show"
local path, clean = show.path()
local absent = (show.path())

local function after(label, object)
  show.values(label, object.class, object:getfd() >= 0)
  show.values("  name", object:getsockname())
  show.values("  option", object:setoption("reuseaddr", true))
end

local long = ("x"):rep(200)
for _, kind in ipairs({"stream", "dgram"}) do
  local object = unix[kind]() -- covers: 8/too-long
  show.values(kind .. " bind to a long path", object:bind(long))
  show.values("connect to a long path", object:connect(long))
  after("the socket is kept", object)
  show.values("107 bytes are not too long", unix[kind]():bind(absent .. "/" .. ("x"):rep(106 - #absent)))
  show.values("108 bytes are", unix[kind]():bind(absent .. "/" .. ("x"):rep(107 - #absent)))

  object = unix[kind]() -- covers: 8/bind-fails
  show.values(kind .. " bind where no directory is", object:bind(absent .. "/x"))
  after("the socket is gone", object)
  show.values("bind again", object:bind(path))
  show.values("connect again", object:connect(path))

  object = unix[kind]() -- covers: 8/connect-fails
  show.values(kind .. " connect to nothing", object:connect(absent))
  after("the socket is gone", object)
  show.values("connect again", object:connect(path))

  local holder = unix[kind]() -- covers: 8/in-use
  show.values(kind .. " bind", holder:bind(path))
  show.values("taken", unix[kind]():bind(path))
  object = unix[kind]()
  object:bind(path)
  after("the socket is gone", object)
  show.values("second bind", holder:bind(path)) -- covers: 8/second-bind
  after("the socket is gone", holder)
  local moved = unix[kind]()
  moved:bind(path .. "-1")
  show.values("second bind to another path", moved:bind(path .. "-2"))
  after("the socket is gone", moved)
  os.remove(path .. "-1")
  show.values("connect to the closed one", unix[kind]():connect(path)) -- covers: 8/refused
  clean()

  show.values(kind .. " bind to nothing", unix[kind]():bind("")) -- covers: 8/autobind
  object = unix[kind]()
  object:bind("")
  show.values("has no name", object:getsockname(), object:getfd() >= 0)
  show.values("connect to nothing", pcall(unix[kind]().connect, unix[kind](), ""))
  show.differs("abstract-names", "connect to an abstract name of nobody", unix[kind]():connect("\0nobody")) -- covers: 0/abstract

  show.method(kind .. " bind without a path", unix[kind](), "bind") -- covers: 8/arguments
  show.method("bind a table", unix[kind](), "bind", {})
  show.method("bind nil", unix[kind](), "bind", nil)
  show.method("connect without a path", unix[kind](), "connect")
  show.method("connect a boolean", unix[kind](), "connect", true)
end

local stream, dgram = unix.stream(), unix.dgram() -- covers: 8/other-kind
stream:bind(path)
stream:listen()
show.values("dgram to a stream's path", dgram:connect(path))
-- LuaSocket's sendto to a stream's path never returns, so nothing can be compared there.
clean()
dgram = unix.dgram()
dgram:bind(path)
show.values("stream to a dgram's path", unix.stream():connect(path))
clean()

show.values("listen before bind", unix.stream():listen()) -- covers: 8/unbound-listen
local master = unix.stream()
local _, failure = master:listen()
after("still a master", master)

local file = assert(io.open(path, "w")) -- covers: 8/not-a-socket
file:close()
show.values("connect to a file", unix.stream():connect(path))
show.values("bind to a file", unix.stream():bind(path))
show.values("sendto a file", unix.dgram():sendto("x", path))
clean()
show.values("connect below a file", unix.stream():connect("/proc/version/x"))

-- Only a master connects, and its class changes only when it succeeds.
local server = unix.stream() -- covers: 8/connect-class
server:bind(path)
server:listen()
local client = unix.stream()
show.values("failed", (client:connect(absent)), client.class)
client = unix.stream()
show.values("connected", client:connect(path), client.class)
show.method("connect of a client", client, "connect", path)
show.method("connect of a server", server, "connect", path)
show.method("bind of a client", client, "bind", absent)
show.method("listen of a client", client, "listen")
show.method("bind of a server", server, "bind", absent)

-- A queue that is full.
local full_path, clean_full = show.path() -- covers: 8/full-queue
local full = unix.stream()
full:bind(full_path)
full:listen(0)
local kept = {}
for i = 1, 3 do
  kept[i] = unix.stream()
  kept[i]:settimeout(0)
  show.values("without waiting " .. i, kept[i]:connect(full_path))
  show.values("class", kept[i].class, kept[i]:getfd() >= 0)
end
local late = unix.stream() -- covers: 8/false-success 11/17-unixstream
late:settimeout(0.2)
show.differs("unixstream-full-queue", "with a time limit", late:connect(full_path))
clean()
clean_full()
