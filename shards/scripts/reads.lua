-- Reading the applied state: by key, by op id, and in order within a partition.
--
-- Why it is right: only what is applied is shown, so nothing above the commit index is. A leader
-- reads here only under its own epoch and at its own commit index. A store whose data is a fuzzy
-- copy says BUSY until it has applied everything up to where the copy ended.

do
  local check = lp.check
  local PAGE, FEW = 64, 8

  -- The answer where nothing may be read, nil if it may.
  local function refused(on, epoch, committed)
    local r = on.record
    if epoch > 0 then
      if not (r.pe == epoch and r.he == epoch and r.te == epoch) then
        return on:refused('FENCED')
      elseif committed > r.ts then
        return on:refused('LAGGING')
      end
      lp.commit(on, committed)
    end
    local closed = on:told(lp.CLOSED)
    if closed > 0 then
      return on:refused('CLOSED', closed)
    end
    return r.fz > r.ap and on:refused('BUSY') or nil
  end

  local function standing(on)
    local fresh, seen = on:freshness()
    return {'OK', on:grant(), on.record.cm, on.record.ap, fresh, seen}
  end

  -- A key's version and value, or false.
  local function shown_kv(record)
    return record and {lp.read_kv(record)}
  end

  -- What an op id was answered, or false.
  local function shown_id(packed)
    return packed and cmsgpack.unpack(packed)
  end

  -- The fields in the order asked, each as it is shown.
  local function all_of(key, fields, shown)
    local values = {}
    for first = 1, #fields, 500 do
      local some = {unpack(fields, first, math.min(first + 499, #fields))}
      for _, packed in ipairs(redis.call('HMGET', key, unpack(some))) do
        values[#values + 1] = shown(packed)
      end
    end
    return values
  end

  lp.command.read = {
    arguments = {
      check.text, check.epoch_or_follower, check.count, check.any_texts, check.any_texts,
    },
    only_reads = true,
    run = function(call, group, arguments)
      local name, epoch, committed, wanted, op_ids = unpack(arguments)
      if call.only_reads and epoch > 0 then
        return nil
      end
      local on = lp.on_shard(call, group, name)
      local refusal = refused(on, epoch, committed)
      if refusal then
        return refusal
      end
      local keys, payload = lp.data_keys(on), standing(on)
      payload[#payload + 1] = on.record.bytes
      payload[#payload + 1] = all_of(keys.kv, wanted, shown_kv)
      payload[#payload + 1] = all_of(keys.id, op_ids, shown_id)
      return payload
    end,
  }

  -- Calls visit(name, key, record) for the index from `min` on, until it says false. A name whose
  -- key is gone is passed over. Values may be large, and are read a few at a time.
  function lp.each_key(keys, min, visit)
    while true do
      local names = redis.call('ZRANGEBYLEX', keys.ix, min, '+', 'LIMIT', 0, PAGE)
      local found = {}
      for i, name in ipairs(names) do
        found[i] = name:sub(name:find('\0', 1, true) + 1)
      end
      for first = 1, #found, FEW do
        local last = math.min(first + FEW - 1, #found)
        for i, packed in ipairs(redis.call('HMGET', keys.kv, unpack(found, first, last))) do
          local at = first + i - 1
          if not visit(names[at], found[at], packed) then
            return
          end
        end
      end
      if #names < PAGE then
        return
      end
      min = '(' .. names[#names]
    end
  end

  -- Where a scan of names that start with `wanted` begins.
  local function scan_start(wanted, partition, after)
    local passed = partition .. '\0' .. after
    if after == '' or lp.before(passed, wanted) then
      return '[' .. wanted
    end
    return '(' .. passed
  end

  lp.command.scan = {
    arguments = {
      check.text, check.epoch_or_follower, check.count, check.partition, check.any_text,
      check.any_text, check.positive, check.count,
    },
    only_reads = true,
    run = function(call, group, arguments)
      local name, epoch, committed, partition, prefix, after, limit, room = unpack(arguments)
      if call.only_reads and epoch > 0 then
        return nil
      end
      local on = lp.on_shard(call, group, name)
      local refusal = refused(on, epoch, committed)
      if refusal then
        return refusal
      end
      local wanted = partition .. '\0' .. prefix
      local items, more = {}, 0
      local start = scan_start(wanted, partition, after)
      lp.each_key(lp.data_keys(on), start, function(found, key, record)
        if found:sub(1, #wanted) ~= wanted then
          return false
        elseif not record then
          return true
        end
        local version, value = lp.read_kv(record)
        room = room - #key - #value
        if #items > 0 and (#items == limit or room < 0) then
          more = 1
          return false
        end
        items[#items + 1] = {key, version, value}
        return true
      end)
      local payload = standing(on)
      payload[#payload + 1] = items
      payload[#payload + 1] = more
      return payload
    end,
  }
end
