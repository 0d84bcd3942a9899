rockspec_format = "3.0"
package = "luasocketd"
version = "scm-1"
-- `luarocks make` builds what lies around this file and fetches nothing.
source = {url = "git+file://."}
description = {
  summary = "Sockets for Lua scripts that have no network rights",
  detailed = [[
LuaSocket's place taken by a thin module: a daemon, luasocketd, owns the real sockets. Has the modules socket,
socket.core and socket.unix, too: keep it in another tree than LuaSocket, or LuaSocket keeps these names. Needs Rust's cargo.]],
  license = "MIT",
}
dependencies = {"lua >= 5.1, < 5.6"}
build = {
  type = "command",
  -- LuaRocks 3.8 has no variable for the Lua version. LUASOCKETD_ROCK_FLAGS=--debug builds faster.
  install_command = [[cargo xtask rock --lua "$("$(LUA)" -e 'io.write(_VERSION:match("%d.%d"))')" --lib "$(LIBDIR)" ]]
    .. [[--share "$(LUADIR)" $LUASOCKETD_ROCK_FLAGS]],
}
