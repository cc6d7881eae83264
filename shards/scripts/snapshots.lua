-- Snapshots: applied state copied page by page, staged, and adopted in one step.
--
-- Why it is right: pages are staged beside the data and touch nothing of it. `adopt` puts them in
-- its place by renaming, in the same call that moves the base of the log, so no reader ever sees
-- half of a copy. What is committed here is applied here, and `adopt` goes only beyond it.
-- `digest` tells of the same pages only whether they are equal, at one applied position.
--
-- A shard has one stage: it belongs to the present epoch and to one attempt of its holder. Another
-- epoch, or a later attempt, begins with nothing staged, and a late page of an earlier attempt is
-- refused. So what a dead leader began goes with its epoch, and no attempt adopts pages of another.

do
  local check = lp.check
  local PAGE = 64
  local RECORD_COSTS = 1024 -- bytes; so that a page of small records takes no longer than others
  lp.RECORD_COSTS = RECORD_COSTS
  local PARTS = {'kv', 'ix', 'id', 'iq', 'hi'}

  -- The name of an id in a page: its sequence, a blank, the id.
  local function split_id(name)
    local digits, op_id = name:match('^(%d+) (.+)$')
    local sequence = digits and check.epoch_or_none(digits)
    if sequence then
      return sequence, op_id
    end
  end

  local LISTS = {
    kv = function(keys, after, visit)
      lp.each_key(keys, after == '' and '-' or '(' .. after, function(name, _, packed)
        return not packed or visit(name, packed)
      end)
      return true
    end,
    -- By sequence, which is in the name: an id that was forgotten meanwhile hides no other. Ids
    -- that came from two parents may share one.
    id = function(keys, after, visit)
      local start, last_id = -1, ''
      if after ~= '' then
        start, last_id = split_id(after)
      end
      if not start then
        return nil
      end
      local min, offset = start < 0 and '-inf' or lp.dec(start), 0
      while true do
        local flat = redis.call('ZRANGEBYSCORE', keys.iq, min, '+inf', 'WITHSCORES',
          'LIMIT', offset, PAGE)
        for i = 1, #flat, 2 do
          local sequence = tonumber(flat[i + 1])
          local passed = sequence == start and not lp.before(last_id, flat[i])
          local name = lp.dec(sequence) .. ' ' .. flat[i]
          if not passed and not visit(name, redis.call('HGET', keys.id, flat[i])) then
            return true
          end
        end
        if #flat < 2 * PAGE then
          return true
        end
        offset = offset + PAGE
      end
    end,
    hi = function(keys, after, visit)
      local start = after == '' and 0 or check.epoch(after)
      if not start then
        return nil
      end
      for _, epoch in ipairs(lp.history_epochs(keys)) do
        local name = lp.dec(epoch)
        if epoch > start and not visit(name, redis.call('HGET', keys.hi, name)) then
          return true
        end
      end
      return true
    end,
  }

  -- Records from a place on, as a page shows them, and whether there are more; nil without a place.
  function lp.read_page(on, part, after, room)
    local records, more = {}, 0
    local listed = LISTS[part](lp.data_keys(on), after, function(record_name, packed)
      room = room - #record_name - #packed - RECORD_COSTS
      if #records > 0 and room < 0 then
        more = 1
        return false
      end
      records[#records + 1] = {record_name, packed}
      return true
    end)
    return listed and records, more
  end

  lp.command.page = {
    arguments = {check.text, check.text, check.any_text, check.count}, only_reads = true,
    works_sealed = true,
    run = function(call, group, arguments)
      local name, part, after, room = unpack(arguments)
      if not LISTS[part] then
        return nil
      end
      local on = lp.on_shard(call, group, name)
      if on.record.fz > on.record.ap then
        return on:refused('BUSY') -- a copy of a copy would not know where it is whole
      end
      local records, more = lp.read_page(on, part, after, room)
      return records and {'OK', on.record.ap, records, more}
    end,
  }

  local NEXT_PART = {kv = 'id', id = 'hi', hi = ''}
  local DIGESTED_COSTS = 64

  -- One sum over records from a place on, so that stores can be compared without sending them.
  lp.command.digest = {
    arguments = {check.text, check.count, check.text, check.any_text, check.positive},
    only_reads = true,
    run = function(call, group, arguments)
      local name, applied, part, after, room = unpack(arguments)
      if not LISTS[part] then
        return nil
      end
      local on = lp.on_shard(call, group, name)
      if on.record.fz > on.record.ap then
        return on:refused('BUSY')
      elseif on.record.ap ~= applied then
        return on:refused('LAGGING')
      end
      local keys, pieces, full = lp.data_keys(on), {}, false
      while part ~= '' do
        pieces[#pieces + 1] = part
        local listed = LISTS[part](keys, after, function(record_name, record)
          full = room <= 0
          if not full then
            room = room - #record_name - #record - DIGESTED_COSTS
            pieces[#pieces + 1] = #record_name .. ' ' .. record_name .. #record .. ' ' .. record
            after = record_name
          end
          return not full
        end)
        if not listed then
          return nil
        elseif full then
          break
        end
        part, after = NEXT_PART[part], ''
      end
      return {'OK', applied, redis.sha1hex(table.concat(pieces)), part, after}
    end,
  }

  local function unpacked(packed)
    local ok, record, more = pcall(cmsgpack.unpack, packed)
    if ok and more == nil then
      return record
    end
  end

  -- For each part: how a record is read, whether it is right, how it is staged.
  local STAGERS = {
    kv = {
      function(record)
        return record:find('^%d+ ') and {lp.read_kv(record)}
      end,
      function(name, record)
        local cut = name:find('\0', 1, true)
        if cut and lp.NUMBERED[name:sub(cut + 1)] and not (cut == 1 and check.epoch(record[2])) then
          return false
        end
        return cut and check.count(record[1])
      end,
      function(stage, name, record)
        local cut = name:find('\0', 1, true)
        stage:put(name:sub(1, cut - 1), name:sub(cut + 1), record[2], record[1])
      end,
    },
    id = {
      unpacked,
      function(name, record)
        local sequence = split_id(name)
        return sequence and type(record) == 'table' and record[1] == sequence
          and lp.check_all({check.count, check.binary, check.present}, record, 1)
      end,
      function(stage, name, record)
        local _, op_id = split_id(name)
        stage:remember(op_id, record[1], record[2], record[3])
      end,
    },
    hi = {
      unpacked,
      function(name)
        return check.epoch(name)
      end,
      function(stage, name, record)
        stage:record(tonumber(name), record)
      end,
    },
  }

  local function parse_record(stager, pair)
    if type(pair) ~= 'table' or #pair ~= 2 or not check.any_text(pair[1])
      or not check.text(pair[2]) then
      return nil
    end
    local record = stager[1](pair[2])
    if record ~= nil and stager[2](pair[1], record) then
      return {pair[1], record}
    end
  end

  -- The records of a page, each parsed; nil when the part or a record is none.
  function lp.parse_page(part, pairs_of)
    local stager, parsed = STAGERS[part], {}
    for i, pair in ipairs(stager and pairs_of or {}) do
      parsed[i] = parse_record(stager, pair)
      if not parsed[i] then
        return nil
      end
    end
    return stager and parsed
  end

  -- Keep a page beside what is staged.
  function lp.stage_page(on, part, parsed)
    if #parsed > 0 then
      lp.write(on.call)
      local stage = lp.data(on:stage_keys(), on.record.sb)
      for _, record in ipairs(parsed) do
        STAGERS[part][3](stage, record[1], record[2])
      end
      stage:flush()
      on:set({sb = stage.bytes})
    end
  end

  -- Why this attempt may not go on, nil if it may.
  local function refused_attempt(on, sid, epoch, attempt)
    if not on:leads(sid, epoch) then
      return 'FENCED'
    elseif attempt < on.record.sn then
      return 'STALE'
    end
  end

  lp.command.stage = {
    arguments = {
      check.text, check.epoch, check.text, check.positive, check.text, check.listed,
    },
    run = function(call, group, arguments)
      local name, epoch, sid, attempt, part, pairs_of = unpack(arguments)
      local parsed = lp.parse_page(part, pairs_of)
      if not parsed then
        return nil
      end
      local on = lp.on_shard(call, group, name)
      local refusal = refused_attempt(on, sid, epoch, attempt)
      if refusal then
        return on:refused(refusal)
      end
      on:stage_from(attempt)
      lp.stage_page(on, part, parsed)
      return {'OK'}
    end,
  }

  lp.command.unstage = {
    arguments = {check.text, check.epoch, check.text, check.positive},
    run = function(call, group, arguments)
      local name, epoch, sid, attempt = unpack(arguments)
      local on = lp.on_shard(call, group, name)
      local refusal = refused_attempt(on, sid, epoch, attempt)
      if refusal then
        return on:refused(refusal)
      end
      on:stage_from(attempt + 1)
      return {'OK'}
    end,
  }

  local function take_stage(on)
    local staged, keys = on:stage_keys(), lp.data_keys(on)
    for _, part in ipairs(PARTS) do
      redis.call('UNLINK', keys[part])
      if redis.call('EXISTS', staged[part]) == 1 then
        redis.call('RENAME', staged[part], keys[part])
      end
    end
    on:set({bytes = on.record.sb})
  end

  -- Put what is staged in the place of what is there, as it is at the base (be, bs, bc); reads wait
  -- until `upto` is applied. Attempts below `next_attempt` are over.
  function lp.adopt_stage(on, be, bs, bc, upto, next_attempt)
    local r, at_base = on.record, lp.stored_entry(on, bs)
    local same = at_base and at_base[1] == be and at_base[4] == bc
    lp.write(on.call)
    take_stage(on)
    on:stage_from(next_attempt)
    if same then
      lp.delete_entries(on, r.bs + 1, bs)
    else
      redis.call('UNLINK', on.log)
      on.waiting = {}
      on:set({te = be, ts = bs, tc = bc})
    end
    on:set({be = be, bs = bs, bc = bc, ap = bs, cm = math.max(r.cm, bs), fz = upto})
    on:set({ae = 0, as = 0, sync = 0})
  end

  lp.command.adopt = {
    arguments = {
      check.text, check.epoch, check.text, check.positive, check.epoch_or_none, check.count,
      check.count, check.count,
    },
    run = function(call, group, arguments)
      local name, epoch, sid, attempt, be, bs, bc, upto = unpack(arguments)
      local on = lp.on_shard(call, group, name)
      if not on:leads(sid, epoch) then
        return on:refused('FENCED')
      end
      local r = on.record
      if attempt ~= r.sn then
        return on:refused('STALE')
      elseif bs <= r.ap then
        on:stage_from(attempt + 1)
        return on:refused('LAGGING')
      end
      lp.adopt_stage(on, be, bs, bc, upto, attempt + 1)
      return {'OK'}
    end,
  }
end
