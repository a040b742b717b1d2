-- Lists the leases of a scan that run.
--
-- KEYS[1] claims    hash, arm -> '<expiry in ms> <worker>'
--
-- Returns arm, worker, arm, worker, ...
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local running = {}
local claims = redis.call('HGETALL', KEYS[1])
for index = 1, #claims, 2 do
  local expiry, worker = string.match(claims[index + 1], '^(%d+) (.*)$')
  if expiry and tonumber(expiry) > now then
    running[#running + 1] = claims[index]
    running[#running + 1] = worker
  end
end
return running
