-- Makes an uploaded snapshot the current one, if the version is still the expected one.
--
-- KEYS[1] snapshot  hash: version, position, id, pieces, bytes
-- KEYS[2] meta      hash: snapshot = the version, so that it is missed when it is gone
-- KEYS[3 ... 2 + n] pieces of the new snapshot, strings with an expiry until they are committed
-- KEYS[3 + n ...]   pieces of the snapshot that is replaced
-- ARGV[1] expected version (0 = none yet)   ARGV[2] id of the replaced snapshot, '' = none
-- ARGV[3] id of the new one   ARGV[4] n   ARGV[5] position   ARGV[6] bytes
--
-- Returns 1 if committed, 0 if somebody else was faster, -1 if a piece of the new one is gone.
local current = redis.call('HMGET', KEYS[1], 'version', 'id')
if (current[1] or '0') ~= ARGV[1] or (current[2] or '') ~= ARGV[2] then
  return 0
end
local n = tonumber(ARGV[4])
for index = 3, 2 + n do
  if redis.call('EXISTS', KEYS[index]) == 0 then
    return -1
  end
end
redis.call('HSET', KEYS[1], 'version', tonumber(ARGV[1]) + 1, 'position', ARGV[5],
  'id', ARGV[3], 'pieces', ARGV[4], 'bytes', ARGV[6])
redis.call('HSET', KEYS[2], 'snapshot', tonumber(ARGV[1]) + 1)
for index = 3, 2 + n do
  redis.call('PERSIST', KEYS[index])
end
for index = 3 + n, #KEYS do
  redis.call('UNLINK', KEYS[index])
end
return 1
