-- socket.serial: a function that opens a serial line.
local show = require "_show"

local fine, open = pcall(require, "socket.serial")
local function opened(path)
  if type(open) ~= "function" then return "no function" end
  local line, err = open(path)
  return line and line.class or err
end
show.differs("serial", "the module", fine, type(open)) -- covers: 8/serial
show.differs("serial", "a line that is not there", opened("/nonexistent/line"))
show.differs("serial", "an open one", opened("/dev/null"))
