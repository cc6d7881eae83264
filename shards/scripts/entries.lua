-- Log entries: checked when they arrive, so that applying them cannot fail.
--
-- Why it is right: an entry is parsed completely before anything of its append is written. What lies
-- in the log has passed this, so it is read back without being checked again.

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

  local EFFECTS = {
    p = {check.partition, check.any_text, check.binary, check.count},
    d = {check.partition, check.any_text},
    h = {check.epoch, check.present},
    x = {check.count},
  }

  local function is_effect(effect)
    local checks = type(effect) == 'table' and EFFECTS[effect[1]]
    return checks and lp.check_all(checks, effect, 2) and true or nil
  end

  local FIELDS = {
    check.epoch, check.any_text, check.any_text, check.count, check.present,
    function(effects)
      return check.listed_with(effects, is_effect)
    end,
  }

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
    if ok and more == nil and type(fields) == 'table' then
      return lp.check_all(FIELDS, fields, 1)
    end
  end

  -- The stored entry at a sequence, nil when there is none.
  function lp.stored_entry(on, sequence)
    local blob = redis.call('HGET', on.log, lp.dec(sequence))
    return blob and read(blob) or nil
  end

  -- The stored entries first .. last, up to the first that is missing.
  function lp.stored_entries(on, first, last)
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
      names[#names + 1] = lp.dec(sequence)
    end
    lp.in_pieces('HDEL', on.log, names)
  end
end
