-- Replaces a note if it is still the one that the caller has read.
--
-- KEYS[1] control   string, JSON
-- ARGV[1] the bytes that were read, '' = none   ARGV[2] the new ones   ARGV[3] seconds to keep it
--
-- Returns false if it was replaced, else the bytes that are there now ('' = none), to try again.
local current = redis.call('GET', KEYS[1]) or ''
if current ~= ARGV[1] then return current end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return false
