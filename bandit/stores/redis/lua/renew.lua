-- Prolongs the leases that a worker still holds. An expired lease that nobody took is held still.
--
-- KEYS[1] claims    hash, arm -> '<expiry in ms> <worker>'
-- ARGV[1] worker   ARGV[2] lease in ms   ARGV[3...] arms
--
-- Returns the arms that the worker holds.
if redis.replicate_commands then redis.replicate_commands() end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local lease = string.format('%.0f %s', now + tonumber(ARGV[2]), ARGV[1])
local held = {}
for index = 3, #ARGV do
  local claim = redis.call('HGET', KEYS[1], ARGV[index])
  if claim and string.match(claim, '^%d+ (.*)$') == ARGV[1] then
    redis.call('HSET', KEYS[1], ARGV[index], lease)
    held[#held + 1] = ARGV[index]
  end
end
return held
