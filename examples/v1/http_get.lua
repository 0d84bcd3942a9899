-- v1/http_get.lua: an HTTP/1.1 GET in the style of LuaSocket 1.0.
--
-- Run:    luasocketd run --allow example.com:80 examples/v1/http_get.lua http://example.com/
-- Prints: the body of the page. What goes wrong is said on standard error, and the exit code is 1.

require("luasocketd.v1").install(_G)

local function fail(...)
  io.stderr:write("http_get: ", table.concat({...}, " "), "\n")
  os.exit(1)
end

local url = arg[1] or fail("usage: http_get.lua URL")
local host, port, path = url:match("^http://([^/:]+):?(%d*)(.*)$")
if not host then fail("not an http URL:", url) end
if path == "" then path = "/" end
port = tonumber(port) or 80

local server, err = connect(host, port)
if not server then fail("cannot connect to", host, "port", port .. ":", err) end
timeout(server, 30)

-- One pattern, and the program's end where it fails.
local function get(pattern)
  local data, err = receive(server, pattern)
  if err then fail("the answer broke off:", err) end
  return data
end

local function copy(count)
  while count > 0 do
    local piece = get(math.min(count, 65536))
    io.write(piece)
    count = count - #piece
  end
end

-- Several strings go out with one call.
local err = send(server, "GET ", path, " HTTP/1.1\r\nHost: ", host, ":", port, "\r\nConnection: close\r\n\r\n")
if err then fail("cannot send the request:", err) end

-- And several patterns come in with one: two words and the rest of the line.
local version, status, reason, err = receive(server, "*w", "*w", "*l")
if err then fail("the answer broke off:", err) end
if not version:match("^HTTP/1%.") then fail("not an HTTP answer:", version) end

local headers = {}
for header in get, "*l" do
  if header == "" then break end
  local name, value = header:match("^([^:]+):%s*(.-)%s*$")
  if name then headers[name:lower()] = value end
end

if (headers["transfer-encoding"] or ""):lower():match("chunked") then
  local size
  repeat
    local line = get("*l")
    size = tonumber(line:match("^%x+"), 16) or fail("bad chunk size:", line)
    copy(size)
    if size > 0 then get("*l") end
  until size == 0
elseif headers["content-length"] then
  copy(tonumber(headers["content-length"]) or fail("bad Content-Length:", headers["content-length"]))
else
  io.write((get("*a")))
end
close(server)
if not status:match("^2") then fail(status, reason) end
