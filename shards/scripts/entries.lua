-- Log entries: checked when they arrive, so that applying them cannot fail.
--
-- Why it is right: an entry is parsed completely before anything of its append is written. What
-- lies in the log has passed this, so it is read back without being checked again. What is yet to
-- be applied waits as it was parsed (`on.waiting`), and leaves with the log's own entry.

do
  local check = lp.check
  local PAGE = 16

  -- A zero byte ends the partition in the index, so there is none within it.
  function check.partition(value)
    if type(value) == 'string' and not value:find('\0', 1, true) then
      return value
    end
  end

  function check.present(value)
    return value
  end

  -- What a shard says of itself, in the partition that no client has. The store's own are numbers
  -- of reshardings; of these, entries tell only that the shard is closed.
  lp.CLOSED, lp.WIPED = '\0leadplane/closed', '\0leadplane/wiped'
  lp.BORN, lp.FLOOR = '\0leadplane/born', '\0leadplane/forgotten-ids'
  lp.NUMBERED = {[lp.CLOSED] = true, [lp.WIPED] = true, [lp.BORN] = true}

  local function is_put(effect)
    if lp.NUMBERED[effect[3]] and not (effect[3] == lp.CLOSED and effect[2] == ''
      and check.epoch(effect[4])) then
      return false
    end
    return #effect == 5 and check.partition(effect[2]) and type(effect[3]) == 'string'
      and type(effect[4]) == 'string' and check.count(effect[5])
  end

  -- Each effect by its tag. There are many of them, so they are judged without detours.
  local EFFECTS = {
    p = is_put,
    d = function(effect)
      return #effect == 3 and check.partition(effect[2]) and type(effect[3]) == 'string'
        and not lp.NUMBERED[effect[3]]
    end,
    h = function(effect)
      return #effect == 3 and check.epoch(effect[2]) and effect[3] ~= nil
    end,
    x = function(effect)
      return #effect == 2 and check.count(effect[2])
    end,
    w = function(effect)
      return #effect == 2 and check.positive(effect[2])
    end,
  }

  local function are_effects(effects)
    if not check.listed(effects) then
      return false
    end
    for i = 1, #effects do
      local effect = effects[i]
      local judge = type(effect) == 'table' and EFFECTS[effect[1]]
      if not judge or not judge(effect) then
        return false
      end
    end
    return true
  end

  -- An entry that lies in the log: {epoch, op_id, digest, chain, outcome, effects}, epoch a number.
  local function read(blob)
    local fields = cmsgpack.unpack(blob)
    fields[1] = tonumber(fields[1])
    return fields
  end

  -- The entry in `blob`, nil when it is not one that can be applied.
  function lp.parse_entry(blob)
    if type(blob) ~= 'string' or blob == '' then
      return nil
    end
    local ok, fields, more = pcall(cmsgpack.unpack, blob)
    if not ok or more ~= nil or type(fields) ~= 'table' or #fields ~= 6 then
      return nil
    end
    fields[1] = check.epoch(fields[1])
    local is_right = fields[1] and type(fields[2]) == 'string' and type(fields[3]) == 'string'
      and check.count(fields[4]) and fields[5] ~= nil and are_effects(fields[6])
    return is_right and fields or nil
  end

  -- Whether an entry closes its shard for another resharding than this.
  function lp.closes_otherwise(entry, number)
    for _, effect in ipairs(entry[6]) do
      if effect[1] == 'p' and effect[3] == lp.CLOSED and tonumber(effect[4]) ~= number then
        return true
      end
    end
    return false
  end

  -- The stored entry at a sequence, nil when there is none.
  function lp.stored_entry(on, sequence)
    if on.waiting[sequence] then
      return on.waiting[sequence]
    end
    local blob = redis.call('HGET', on.log, lp.dec(sequence))
    return blob and read(blob) or nil
  end

  local function read_entries(on, first, last)
    local names, entries = {}, {}
    for sequence = first, last do
      names[#names + 1] = lp.dec(sequence)
    end
    for i, blob in ipairs(#names > 0 and redis.call('HMGET', on.log, unpack(names)) or {}) do
      if not blob then
        break
      end
      entries[i] = read(blob)
    end
    return entries
  end

  -- The stored entries first .. last, up to the first that is missing; they wait no longer.
  function lp.take_entries(on, first, last)
    local entries, waiting = {}, on.waiting
    for sequence = first, last do
      if not waiting[sequence] then
        entries = read_entries(on, first, last)
        break
      end
      entries[#entries + 1] = waiting[sequence]
    end
    for sequence = first, last do
      waiting[sequence] = nil
    end
    return entries
  end

  -- Calls visit(sequence, blob) for first .. last in order, until it says false.
  function lp.each_blob(on, first, last, visit)
    for from = first, last, PAGE do
      local names = {}
      for sequence = from, math.min(from + PAGE - 1, last) do
        names[#names + 1] = lp.dec(sequence)
      end
      for i, blob in ipairs(redis.call('HMGET', on.log, unpack(names))) do
        if not blob or not visit(from + i - 1, blob) then
          return
        end
      end
    end
  end

  -- Delete the stored entries first .. last.
  function lp.delete_entries(on, first, last)
    local names = {}
    for sequence = first, last do
      on.waiting[sequence] = nil
      names[#names + 1] = lp.dec(sequence)
    end
    lp.in_pieces('HDEL', on.log, names)
  end
end
