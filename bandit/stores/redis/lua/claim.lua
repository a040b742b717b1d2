-- Leases the first k free arms of a preference list to a worker.
--
-- KEYS[1] reported  set of the arms that have an outcome
-- KEYS[2] claims    hash, arm -> '<expiry in ms> <worker>'
-- ARGV[1] worker   ARGV[2] k   ARGV[3] lease in ms   ARGV[4] seconds to remember the claims
-- ARGV[5...] arms, best first
--
-- Returns the leased arms, in the order of the list.
if redis.replicate_commands then redis.replicate_commands() end

local CHUNK = 1000
local clock = redis.call('TIME') -- one clock for all workers: the server's
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local wanted = tonumber(ARGV[2])
local lease = string.format('%.0f %s', now + tonumber(ARGV[3]), ARGV[1])
local taken, writes = {}, {}
for first = 5, #ARGV, CHUNK do
  if #taken >= wanted then break end
  local last = math.min(first + CHUNK - 1, #ARGV)
  local reported = redis.call('SMISMEMBER', KEYS[1], unpack(ARGV, first, last))
  local claims = redis.call('HMGET', KEYS[2], unpack(ARGV, first, last))
  for index, claim in ipairs(claims) do
    if #taken >= wanted then break end
    if reported[index] == 0 then
      local expiry, owner = nil, nil
      if claim then expiry, owner = string.match(claim, '^(%d+) (.*)$') end
      if not expiry or owner == ARGV[1] or tonumber(expiry) <= now then
        local arm = ARGV[first + index - 1]
        taken[#taken + 1] = arm
        writes[#writes + 1] = arm
        writes[#writes + 1] = lease
      end
    end
  end
end
for first = 1, #writes, CHUNK do
  redis.call('HSET', KEYS[2], unpack(writes, first, math.min(first + CHUNK - 1, #writes)))
end
if #writes > 0 then redis.call('EXPIRE', KEYS[2], ARGV[4]) end
return taken
