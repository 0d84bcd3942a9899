-- socket.unix, where the module is installed as luasocketd alone.
return require "luasocketd.unix"
