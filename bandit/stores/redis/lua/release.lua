-- Gives back the leases that a worker holds; those of others stay.
--
-- KEYS[1] claims    hash, arm -> '<expiry in ms> <worker>'
-- ARGV[1] worker   ARGV[2...] arms
--
-- Returns 1 if no lease of the scan runs any more, else 0.
if redis.replicate_commands then redis.replicate_commands() end

for index = 2, #ARGV do
  local claim = redis.call('HGET', KEYS[1], ARGV[index])
  if claim and string.match(claim, '^%d+ (.*)$') == ARGV[1] then
    redis.call('HDEL', KEYS[1], ARGV[index])
  end
end
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
for _, claim in ipairs(redis.call('HVALS', KEYS[1])) do
  local expiry = string.match(claim, '^(%d+) ')
  if expiry and tonumber(expiry) > now then return 0 end
end
return 1
