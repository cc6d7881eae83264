-- The data of a draft, as one of its parents changes it.
--
-- Why it is right: each parent has its own memory of operation ids, so that what one forgets takes
-- nothing from the other. Nothing is decided here but what each parent's log decides by itself; so
-- drafts with the same cursors hold the same. The data lies where the shard's will, so that
-- ripening moves nothing. How an entry is applied is written once (data.lua); here is what it does.

do
  local SLOTS = 16777216
  local HISTORY_OF = 0 -- the parent whose history of leadership goes on in the child

  -- Made when it is first asked for: a library that is being loaded has no operations on bits.
  local CRC
  local function crc_table()
    local made = {}
    for byte = 0, 255 do
      local value = byte
      for _ = 1, 8 do
        local odd = bit.band(value, 1) == 1
        value = odd and bit.bxor(bit.rshift(value, 1), 0xEDB88320) or bit.rshift(value, 1)
      end
      made[byte] = value
    end
    return made
  end

  -- CRC-32, as a number from 0.
  function lp.crc32(text)
    CRC = CRC or crc_table()
    local value = -1
    for i = 1, #text do
      local byte = bit.band(bit.bxor(value, text:byte(i)), 255)
      value = bit.bxor(CRC[byte], bit.rshift(value, 8))
    end
    return bit.bnot(value) % 4294967296
  end

  -- The data of a draft, as one parent changes it.
  local methods = {}
  local index = {__index = function(_, name)
    return methods[name] or lp.data_methods[name]
  end}

  function lp.draft_data(on, p)
    local draft = lp.draft(on)
    local self = setmetatable(lp.data(lp.data_keys(on), draft.bytes), index)
    self.p, self.parent, self.has_two, self.slots = p, draft.parents[p + 1], #draft.parents > 1, {}
    self.mine = lp.source_key(on, 'q' .. p)
    self.others = lp.source_key(on, 'q' .. (1 - p))
    self.second = lp.source_key(on, 'qs')
    return self
  end

  -- Whether the child takes a partition of this parent.
  local function takes(self, partition)
    local parent = self.parent
    if parent.first == 0 and parent.last == SLOTS then
      return true
    end
    local slot = self.slots[partition]
    if not slot then
      slot = math.floor(lp.crc32(partition) / 256)
      self.slots[partition] = slot
    end
    return parent.first <= slot and slot < parent.last
  end

  -- `closed_at` is the sequence of the entry, if this closes the parent.
  function methods.take_put(self, partition, key, value, version, closed_at)
    if partition ~= '' then
      if takes(self, partition) then
        self:put(partition, key, value, version)
      end
    elseif key == lp.CLOSED then
      self.parent.closing = closed_at
    elseif key == lp.FLOOR and self:version_of(key) < version then
      self:put(partition, key, value, version)
    end
  end

  function methods.known(self, op_id)
    if not self.has_two then
      return lp.data_methods.known(self, op_id)
    end
    local score = redis.call('ZSCORE', self.mine, op_id)
    return score and tonumber(score) or nil
  end

  -- Of an id that both parents remember, the first parent's record counts.
  function methods.remember(self, op_id, sequence, digest, outcome)
    if not self.has_two then
      lp.data_methods.remember(self, op_id, sequence, digest, outcome)
      return
    end
    local packed, ids = cmsgpack.pack({sequence, digest, outcome}), self.keys.id
    local is_others = redis.call('ZSCORE', self.others, op_id)
    local is_mine = redis.call('ZSCORE', self.mine, op_id)
    redis.call('ZADD', self.mine, lp.dec(sequence), op_id)
    if is_others and self.p == 1 then
      redis.call('HSET', self.second, op_id, packed)
      return
    elseif is_others and not is_mine then
      redis.call('HSET', self.second, op_id, redis.call('HGET', ids, op_id))
    end
    redis.call('HSET', ids, op_id, packed)
    redis.call('ZADD', self.keys.iq, lp.dec(sequence), op_id)
  end

  local function forget_one(self, op_id)
    local others = redis.call('ZSCORE', self.others, op_id)
    if others and self.p == 1 then
      redis.call('HDEL', self.second, op_id)
    elseif others then
      redis.call('HSET', self.keys.id, op_id, redis.call('HGET', self.second, op_id))
      redis.call('ZADD', self.keys.iq, others, op_id)
      redis.call('HDEL', self.second, op_id)
    else
      redis.call('HDEL', self.keys.id, op_id)
      redis.call('ZREM', self.keys.iq, op_id)
    end
  end

  function methods.forget(self, upto)
    if not self.has_two then
      lp.data_methods.forget(self, upto)
      return
    end
    for _, op_id in ipairs(redis.call('ZRANGEBYSCORE', self.mine, '-inf', lp.dec(upto))) do
      forget_one(self, op_id)
    end
    redis.call('ZREMRANGEBYSCORE', self.mine, '-inf', lp.dec(upto))
  end

  function methods.take_delete(self, partition, key)
    if partition ~= '' and takes(self, partition) then
      self:delete(partition, key)
    end
  end

  function methods.take_tenure(self, epoch, record)
    if self.p == HISTORY_OF then
      self:record(epoch, record)
    end
  end

  function methods.wipe() end -- it is said of the parent

  local TAKE = {
    kv = function(self, name, record)
      local cut = name:find('\0', 1, true)
      self:take_put(name:sub(1, cut - 1), name:sub(cut + 1), record[2], record[1], record[1])
    end,
    id = function(self, name, record)
      self:remember(name:match('^%d+ (.+)$'), record[1], record[2], record[3])
    end,
    hi = function(self, name, record)
      self:take_tenure(tonumber(name), record)
    end,
  }

  -- Take one record of a page, if it belongs to the child.
  function methods.take_record(self, part, name, record)
    TAKE[part](self, name, record)
  end
end
