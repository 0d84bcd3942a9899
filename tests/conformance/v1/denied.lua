-- A policy that forbids the call answers `access denied`. The daemon of this script allows nothing.
local check = require "_check"
local v1 = require "luasocketd.v1"

check.same("connect to an address", check.list(nil, "access denied"), v1.connect("127.0.0.1", check.refused_port()))
check.same("connect to a listening port", check.list(nil, "access denied"),
  v1.connect("127.0.0.1", tonumber(os.getenv("PEER_PORT"))))
check.same("connect to a name", check.list(nil, "access denied"), v1.connect("localhost", 80))
check.same("connect to an IPv6 address", check.list(nil, "access denied"), v1.connect("::1", 80))
check.same("bind", check.list(nil, "access denied"), v1.bind("127.0.0.1", 0))
check.same("bind to all", check.list(nil, "access denied"), v1.bind("*", 0))
check.done()
