/* A C host that can fork: it runs a script on Lua's own libraries and two functions more, fork() and wait().
 *
 *   forking SCRIPT.lua [ARGUMENT]...
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lua.h>
#include <lauxlib.h>
#include <lualib.h>

/* The child's number, or 0 in the child. What is in standard output's buffer must be flushed before. */
static int host_fork(lua_State *L) {
    pid_t child = fork();
    if (child < 0) {
        return luaL_error(L, "cannot fork");
    }
    lua_pushinteger(L, (lua_Integer)child);
    return 1;
}

/* Waits for a child; its status as waitpid(2) gives it. */
static int host_wait(lua_State *L) {
    int status = 0;
    if (wait(&status) < 0) {
        return luaL_error(L, "no child to wait for");
    }
    lua_pushinteger(L, status);
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: forking SCRIPT.lua [ARGUMENT]...\n");
        return 2;
    }
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    lua_register(L, "fork", host_fork);
    lua_register(L, "wait", host_wait);
    lua_newtable(L);
    for (int i = 2; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i - 1);
    }
    lua_setglobal(L, "arg");
    if (luaL_loadfile(L, argv[1]) || lua_pcall(L, 0, 0, 0)) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        return 1;
    }
    lua_close(L);
    return 0;
}
