/* The least of a stock interpreter: `interpreter SCRIPT [ARG]...` or `interpreter -e TEXT`.
 * For Lua versions that the system's packages do not have. */
#include <stdio.h>
#include <string.h>

#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"

static int message_of(lua_State *L) {
  luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
  return 1;
}

int main(int argc, char **argv) {
  lua_State *L = luaL_newstate();
  if (L == NULL || argc < 2) {
    fprintf(stderr, "usage: %s SCRIPT [ARG]... or -e TEXT\n", argv[0]);
    return 1;
  }
  int is_text = strcmp(argv[1], "-e") == 0 && argc > 2;
  int first = is_text ? 3 : 2;
  luaL_openlibs(L);
  lua_newtable(L);
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i - first + 1);
  }
  lua_setglobal(L, "arg");
  lua_pushcfunction(L, message_of);
  int failed = is_text ? luaL_loadstring(L, argv[2]) : luaL_loadfile(L, argv[1]);
  if (!failed) {
    for (int i = first; i < argc; i++) lua_pushstring(L, argv[i]);
    failed = lua_pcall(L, argc - first, 0, 1);
  }
  if (failed) fprintf(stderr, "lua: %s\n", luaL_tolstring(L, -1, NULL));
  lua_close(L);
  return failed ? 1 : 0;
}
