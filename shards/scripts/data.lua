-- The applied state of a shard: keys in order, remembered op ids, the history of leadership.
--
-- Why it is right: entries are applied in the order of their sequence, each once, by the same call
-- that raises the commit index; nothing is decided here, effects are done as logged. Only a retry
-- is dropped, and that is decided by the op ids the log itself has remembered. Reads ahead and
-- writes behind spare calls into the server; `flush` ends both before anything else looks at the
-- keys.

do
  local HISTORY_MAX = 64
  local data = {}
  local index = {__index = data}
  lp.data_methods = data

  -- A window on a hash: what was read of it (false: absent), and what is to be written.
  local function window(key)
    return {key = key, known = {}, dirty = {}}
  end

  local function read_ahead(w, fields)
    local missing = {}
    for _, field in ipairs(fields) do
      if w.known[field] == nil then
        w.known[field] = false
        missing[#missing + 1] = field
      end
    end
    if #missing > 0 then
      for i, value in ipairs(redis.call('HMGET', w.key, unpack(missing))) do
        w.known[missing[i]] = value
      end
    end
  end

  local function get(w, field)
    if w.known[field] == nil then
      w.known[field] = redis.call('HGET', w.key, field)
    end
    return w.known[field]
  end

  local function put(w, field, value)
    w.known[field] = value
    w.dirty[field] = true
  end

  local function flush(w)
    local written, deleted = {}, {}
    for field in pairs(w.dirty) do
      local value = w.known[field]
      if value then
        written[#written + 1] = field
        written[#written + 1] = value
      else
        deleted[#deleted + 1] = field
      end
    end
    lp.in_pieces('HSET', w.key, written)
    lp.in_pieces('HDEL', w.key, deleted)
    w.dirty = {}
  end

  -- A key's record is its version in decimal, a blank, and the value.
  function lp.kv_record(version, value)
    return lp.dec(version) .. ' ' .. value
  end

  function lp.read_kv(record)
    local cut = record:find(' ', 1, true)
    return tonumber(record:sub(1, cut - 1)), record:sub(cut + 1)
  end

  local function value_bytes(record)
    return #record - record:find(' ', 1, true)
  end

  -- The data under these keys; `bytes` is what it holds now.
  function lp.data(keys, bytes)
    return setmetatable({
      keys = keys, bytes = bytes, kv = window(keys.kv), id = window(keys.id),
      names = {}, sequences = {},
    }, index)
  end

  function lp.shard_data(on)
    return lp.data(lp.data_keys(on), on.record.bytes)
  end

  function lp.data_keys(on)
    if not on.keys then
      on.keys = {}
      for _, part in ipairs({'kv', 'ix', 'id', 'iq', 'hi'}) do
        on.keys[part] = on.group.key .. ':' .. part .. ':' .. on.name
      end
    end
    return on.keys
  end

  function data.put(self, partition, key, value, version)
    local old = get(self.kv, key)
    if old then
      self.bytes = self.bytes + #value - value_bytes(old)
    else
      self.bytes = self.bytes + #partition + #key + #value
      self.names[partition .. '\0' .. key] = true
    end
    put(self.kv, key, lp.kv_record(version, value))
  end

  function data.delete(self, partition, key)
    local old = get(self.kv, key)
    if old then
      self.bytes = self.bytes - #partition - #key - value_bytes(old)
      put(self.kv, key, false)
    end
    self.names[partition .. '\0' .. key] = false
  end

  -- The sequence under which an op id is remembered, nil when it is not.
  function data.known(self, op_id)
    local packed = get(self.id, op_id)
    return packed and cmsgpack.unpack(packed)[1] or nil
  end

  -- The version of a key, -1 when it is not there.
  function data.version_of(self, key)
    local record = get(self.kv, key)
    return record and (lp.read_kv(record)) or -1
  end

  function data.remember(self, op_id, sequence, digest, outcome)
    put(self.id, op_id, cmsgpack.pack({sequence, digest, outcome}))
    self.sequences[op_id] = sequence
  end

  function data.record(self, epoch, record)
    redis.call('HSET', self.keys.hi, lp.dec(epoch), cmsgpack.pack(record))
    if redis.call('HLEN', self.keys.hi) > HISTORY_MAX then
      local least = math.huge
      for _, known in ipairs(redis.call('HKEYS', self.keys.hi)) do
        least = math.min(least, tonumber(known))
      end
      redis.call('HDEL', self.keys.hi, lp.dec(least))
    end
  end

  function data.forget(self, upto)
    self:flush()
    local op_ids = redis.call('ZRANGEBYSCORE', self.keys.iq, '-inf', lp.dec(upto))
    lp.in_pieces('HDEL', self.keys.id, op_ids)
    redis.call('ZREMRANGEBYSCORE', self.keys.iq, '-inf', lp.dec(upto))
    self.id = window(self.keys.id)
  end

  -- Delete all but the end and the history, if that resharding has closed the shard.
  function data.wipe(self, sequence, number)
    local closed = get(self.kv, lp.CLOSED)
    local closed_at, value = 0, nil
    if closed then
      closed_at, value = lp.read_kv(closed)
    end
    if tonumber(value or 0) ~= number then
      return
    end
    local keys = self.keys
    redis.call('UNLINK', keys.kv, keys.ix, keys.id, keys.iq)
    self.kv, self.id, self.names, self.sequences = window(keys.kv), window(keys.id), {}, {}
    self.bytes = 0
    self:put('', lp.CLOSED, value, closed_at)
    self:put('', lp.WIPED, lp.dec(number), sequence)
  end

  -- Write all that was kept back.
  function data.flush(self)
    flush(self.kv)
    flush(self.id)
    local added, removed, sequences = {}, {}, {}
    for name, is_there in pairs(self.names) do
      if is_there then
        added[#added + 1] = 0
        added[#added + 1] = name
      else
        removed[#removed + 1] = name
      end
    end
    for op_id, sequence in pairs(self.sequences) do
      sequences[#sequences + 1] = lp.dec(sequence)
      sequences[#sequences + 1] = op_id
    end
    lp.in_pieces('ZADD', self.keys.ix, added)
    lp.in_pieces('ZREM', self.keys.ix, removed)
    lp.in_pieces('ZADD', self.keys.iq, sequences)
    self.names, self.sequences = {}, {}
  end

  function data.take_put(self, partition, key, value, version, sequence)
    self:put(partition, key, value, key == lp.CLOSED and sequence or version)
  end

  -- What an entry says is done by these; a draft has some of its own.
  data.take_delete, data.take_tenure = data.delete, data.record

  local DO = {
    p = function(self, effect, sequence)
      self:take_put(effect[2], effect[3], effect[4], effect[5], sequence)
    end,
    d = function(self, effect)
      self:take_delete(effect[2], effect[3])
    end,
    h = function(self, effect)
      self:take_tenure(tonumber(effect[2]), effect[3])
    end,
    x = function(self, effect)
      self:forget(effect[2])
    end,
    w = function(self, effect, sequence)
      self:wipe(sequence, effect[2])
    end,
  }

  -- Do what an entry says, unless its op id was remembered from an earlier one.
  function data.apply(self, sequence, entry)
    local op_id = entry[2]
    if op_id ~= '' then
      local known = self:known(op_id)
      if known == nil then
        self:remember(op_id, sequence, entry[3], entry[5])
      elseif known < sequence then
        return
      end
    end
    for _, effect in ipairs(entry[6]) do
      DO[effect[1]](self, effect, sequence)
    end
  end

  -- Behind the entry that closed the shard nothing is done but a wipe.
  local function apply_behind_end(self, sequence, entry)
    for _, effect in ipairs(entry[6]) do
      if effect[1] == 'w' then
        self:wipe(sequence, effect[2])
      end
    end
  end

  local function apply_entry(self, sequence, entry)
    local closed = get(self.kv, lp.CLOSED)
    if closed and lp.read_kv(closed) < sequence then
      apply_behind_end(self, sequence, entry)
    else
      self:apply(sequence, entry)
    end
  end

  local function read_what_they_touch(self, entries)
    local op_ids, keys = {}, {lp.CLOSED}
    for _, entry in ipairs(entries) do
      if entry[2] ~= '' then
        op_ids[#op_ids + 1] = entry[2]
      end
      for _, effect in ipairs(entry[6]) do
        if effect[1] == 'p' or effect[1] == 'd' then
          keys[#keys + 1] = effect[3]
        end
      end
    end
    for first = 1, math.max(#op_ids, #keys), 500 do
      read_ahead(self.id, {unpack(op_ids, first, math.min(first + 499, #op_ids))})
      read_ahead(self.kv, {unpack(keys, first, math.min(first + 499, #keys))})
    end
  end

  local STEP = 256

  -- Raise the commit index and apply up to it.
  function lp.commit(on, committed)
    local r = on.record
    on:put('cm', math.max(r.cm, committed))
    while r.ap < r.cm do
      local entries = lp.take_entries(on, r.ap + 1, math.min(r.ap + STEP, r.cm))
      if #entries == 0 then
        return
      end
      lp.write(on.call)
      local self = lp.shard_data(on)
      read_what_they_touch(self, entries)
      for i, entry in ipairs(entries) do
        apply_entry(self, r.ap + i, entry)
      end
      self:flush()
      on:put('ap', r.ap + #entries)
      on:put('bytes', self.bytes)
    end
  end
end
