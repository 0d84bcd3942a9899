-- Random numbers that are the same on every Lua version.
local random = {}
random.__index = random

-- A stream of numbers for a seed.
function random.new(seed)
  local self = setmetatable({state = (seed % 2147483646) + 1}, random)
  for _ = 1, 3 do self:below(2) end -- seeds that are close do not begin alike
  return self
end

-- A whole number from 1 to `most`. The generator is that of Park and Miller, exact in doubles and integers.
function random:below(most)
  self.state = (self.state * 16807) % 2147483647
  return math.floor(self.state / 7) % most + 1
end

-- One of a list.
function random:of(list)
  return list[self:below(#list)]
end

-- True once in `times`.
function random:once_in(times)
  return self:below(times) == 1
end

return random
