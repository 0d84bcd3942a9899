-- send of 64 bytes, streamed.

local bench = ...

return bench.part("_send", 64, 100)
