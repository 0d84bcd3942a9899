-- socket.serial: a function that opens a serial line.
local show = require "_show"

local fine, open = pcall(require, "socket.serial")
show.differs("serial", "the module", fine, type(open)) -- covers: 8/serial
if fine and type(open) == "function" then
  show.differs("serial", "a line that is not there", open("/nonexistent/line"))
  local line = open("/dev/null")
  show.differs("serial", "an open one", line and line.class)
end
