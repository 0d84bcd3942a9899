-- send of 1 MiB, streamed.

local bench = ...

return bench.part("_send", 1024 * 1024, 1)
