-- Gives back the leases that a worker holds; those of others stay.
--
-- KEYS[1] claims    hash, arm -> '<expiry in ms> <worker>'
-- ARGV[1] worker   ARGV[2...] arms
--
-- Returns how many were released.
local n = 0
for index = 2, #ARGV do
  local claim = redis.call('HGET', KEYS[1], ARGV[index])
  if claim and string.match(claim, '^%d+ (.*)$') == ARGV[1] then
    n = n + redis.call('HDEL', KEYS[1], ARGV[index])
  end
end
return n
