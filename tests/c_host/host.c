/* A C host of the year 2000: it registers LuaSocket 1.0 by the one C function that the library exports, and runs
 * a script on the globals that it finds then.
 *
 *   host MODULE.so SCRIPT.lua
 */
#include <dlfcn.h>
#include <stdio.h>

#include <lua.h>
#include <lauxlib.h>
#include <lualib.h>

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: host MODULE.so SCRIPT.lua\n");
        return 2;
    }
    void *module = dlopen(argv[1], RTLD_NOW);
    if (!module) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    void (*socklibopen)(lua_State *);
    *(void **)&socklibopen = dlsym(module, "lua_socklibopen");
    if (!socklibopen) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    int before = lua_gettop(L);
    socklibopen(L);
    if (lua_gettop(L) != before) {
        fprintf(stderr, "lua_socklibopen left %d values on the stack\n", lua_gettop(L) - before);
        return 1;
    }
    if (luaL_loadfile(L, argv[2]) || lua_pcall(L, 0, 0, 0)) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        return 1;
    }
    lua_close(L);
    return 0;
}
