-- Changing the stores of a group: what a store holds is read out, merged into another, switched on.
--
-- Why it is right: a merge only raises what is there, the promise, the log and the commit index,
-- each by itself, so it may come piece by piece, twice, and from several coordinators. It goes
-- into a store that is sealed or learns, which counts for nothing until the switch. The greater
-- log is the one of the greater (te, ts), never the longer one, and nothing committed is replaced.
-- The commit index is the merged one: what is merely present is committed by the next leader, or
-- by nobody. The switch is at once, for who was merged into, and no other way leads to a version.

do
  local check = lp.check
  local DUMPED_MAX = 500
  local RECORD_COSTS = 128 -- bytes: what a record takes beside its texts
  local PAGE = 64

  -- Shard by shard, as each is at this moment; its entries are read by `range`.
  lp.command.dump = {
    arguments = {check.any_text, check.count, check.flag}, only_reads = true, works_sealed = true,
    run = function(call, group, arguments)
      local after, room, sealed = unpack(arguments)
      if sealed == 1 and group.state ~= 'sealed' then
        return {'UNDECIDED'}
      end
      local names, records = lp.shards_after(group, after, DUMPED_MAX), {}
      for i = 1, math.min(#names, DUMPED_MAX) do
        local on = lp.on_shard(call, group, names[i])
        local r = on.record
        room = room - #on.name - #r.h - #r.pref - RECORD_COSTS
        if i > 1 and room < 0 then
          break
        end
        local record = {on.name, lp.dec(r.pe), lp.dec(r.pf), lp.dec(r.he), r.h, on:state(), r.rvk}
        records[i] = on:add(record, 'ver', 'prev', 'pref', 'te', 'ts', 'tc', 'cm', 'be', 'bs', 'bc')
      end
      return {'OK', records, #names > #records and 1 or 0}
    end,
  }

  local function tail_name(attempt, shard)
    return 'log:' .. attempt .. ':' .. shard
  end

  -- The values of these fields, false where there is none.
  local function values_of(key, names)
    local values = {}
    for first = 1, #names, PAGE do
      local some = {unpack(names, first, math.min(first + PAGE - 1, #names))}
      for _, value in ipairs(redis.call('HMGET', key, unpack(some))) do
        values[#values + 1] = value
      end
    end
    return values
  end

  lp.command.merge_tail = {
    arguments = {check.text, check.attempt, check.listed}, of_next = true,
    run = function(call, group, arguments)
      local shard, attempt, numbered = unpack(arguments)
      local names, list, is_new = {}, {}, false
      for i, pair in ipairs(numbered) do
        local is_right = type(pair) == 'table' and #pair == 2 and check.positive(pair[1])
          and lp.parse_entry(pair[2])
        if not is_right then
          return nil
        end
        names[i] = lp.dec(pair[1])
        list[2 * i - 1], list[2 * i] = names[i], pair[2]
      end
      local name = tail_name(attempt, shard)
      for i, value in ipairs(values_of(lp.stage_key(group, name), names)) do
        is_new = is_new or value ~= list[2 * i]
      end
      if is_new then
        lp.list_staged(call, group, name)
        lp.in_pieces('HSET', lp.stage_key(group, name), list)
      end
      return {'OK'}
    end,
  }

  -- The staged entries from .. upto, nil when one of them is missing.
  local function staged_tail(key, from, upto)
    local blobs = {}
    for first = from, upto, PAGE do
      local names = {}
      for sequence = first, math.min(first + PAGE - 1, upto) do
        names[#names + 1] = lp.dec(sequence)
      end
      for _, blob in ipairs(redis.call('HMGET', key, unpack(names))) do
        if not blob then
          return nil
        end
        blobs[#blobs + 1] = blob
      end
    end
    return blobs
  end

  -- Whether these entries, the first of them at `from`, end as the log does of which they are.
  local function end_there(entries, from, log)
    local last = entries[#entries]
    return last ~= nil and from + #entries - 1 == log.ts and last[1] == log.te
      and last[4] == log.tc
  end

  -- Whether entries from here on follow on what is certainly the same log: they begin within what
  -- is committed or right behind it, or with an entry that is here.
  local function joins(on, from, first)
    if from <= on.record.cm + 1 then
      return true
    end
    local stored = from <= on.record.ts and lp.stored_entry(on, from)
    return stored and stored[1] == first[1] and stored[4] == first[4]
  end

  -- What is taken of a log: nothing unless it is the greater one, else the first sequence that is
  -- new, the entries and their blobs; or why it cannot be, as a fourth. Entries that are not given
  -- have been staged under that key.
  local function taken(on, log, from, given, parsed, key)
    local r = on.record
    if log.te == r.te and log.ts == r.ts then
      return nil, nil, nil, log.tc ~= r.tc and 'CONFLICT' or nil
    elseif log.te < r.te or (log.te == r.te and log.ts < r.ts) then
      return nil
    elseif log.ts <= r.cm then
      return nil, nil, nil, 'CONFLICT' -- it would replace what is committed
    end
    local blobs = given or staged_tail(key, from, log.ts)
    local entries = parsed or (blobs and lp.parse_entries(blobs))
    if not entries or not end_there(entries, from, log) or not joins(on, from, entries[1]) then
      return nil, nil, nil, 'GAP'
    end
    local first = lp.first_new(on, nil, from - 1, entries)
    return first, entries, blobs, not first and 'CONFLICT' or nil
  end

  -- Name the shard as merged by this attempt, and delete what was staged of its tail.
  local function note_merged(call, group, attempt, shard, is_staged)
    local merged = 'merged:' .. attempt
    if redis.call('SISMEMBER', lp.stage_key(group, merged), shard) == 0 then
      lp.list_staged(call, group, merged)
      redis.call('SADD', lp.stage_key(group, merged), shard)
    end
    local tail = tail_name(attempt, shard)
    if is_staged and redis.call('EXISTS', lp.stage_key(group, tail)) == 1 then
      lp.write(call)
      redis.call('UNLINK', lp.stage_key(group, tail))
      redis.call('SREM', lp.stage_key(group, 'attempts'), tail)
    end
  end

  -- False stands for entries that were staged before.
  local function check_entries(value)
    if value == false then
      return value
    end
    return check.listed(value)
  end

  lp.command.merge = {
    arguments = {
      check.text, check.attempt, check.epoch_or_none, check.epoch_or_none, check.epoch_or_none,
      check.any_text, check.flag, check.count, check.count, check.binary, check.positive,
      check_entries, check.epoch_or_none, check.count, check.count, check.count,
    },
    of_next = true,
    run = function(call, group, arguments, version)
      local shard, attempt, pe, pf, he, h, rvk, ver, prev, pref, from, given, te, ts, tc, cm =
        unpack(arguments)
      local log = {te = te, ts = ts, tc = tc}
      local parsed = given and lp.parse_entries(given)
      if (given and not parsed) or he > pe or ver > version or cm > ts
        or (parsed and #parsed > 0 and not end_there(parsed, from, log)) then
        return nil
      end
      local on = lp.on_shard(call, group, shard)
      local r = on.record
      local key = lp.stage_key(group, tail_name(attempt, shard))
      local first, entries, blobs, refusal = taken(on, log, from, given, parsed, key)
      if refusal == 'GAP' then
        return {'GAP', r.cm, r.ts}
      elseif refusal or cm > (first and ts or r.ts) then
        return {'CONFLICT'}
      end
      on:undraft()
      if first and first <= ts then
        lp.store_entries(on, first, from - 1, entries, blobs)
      end
      if he > r.he then
        local state = h == '' and 'free' or 'held'
        on:set({he = he, h = h, st = state, tgt = '', rvk = rvk, ver = ver})
      elseif he == r.he and h == r.h then
        on:set({rvk = math.max(r.rvk, rvk)})
      end
      if prev > r.prev then
        on:set({prev = prev, pref = pref})
      end
      on:set({pe = math.max(r.pe, pe), pf = math.max(r.pf, pf), sync = 0, ae = 0, as = 0})
      lp.commit(on, cm)
      note_merged(call, group, attempt, shard, not given)
      return {'OK'}
    end,
  }

  lp.command.finish_install = {
    arguments = {check.attempt, check.count, check.text}, of_next = true, switches = true,
    run = function(call, group, arguments, version)
      local attempt, shards, description = unpack(arguments)
      if group.state ~= 'learner' and lp.description(group) ~= description then
        return {'CONFLICT'}
      elseif group.version == version then
        return {'OK'}
      end
      local merged = redis.call('SCARD', lp.stage_key(group, 'merged:' .. attempt))
      if merged < shards then
        return {'GAP', merged}
      end
      local opseq = lp.write(call)
      lp.sweep(call, group)
      group.version, group.state, group.by, group.sessions = version, 'open', '', {}
      group.to = 0
      redis.call('HSET', group.key, 'version', lp.dec(version), 'state', 'open',
        'desc', description)
      redis.call('HDEL', group.key, 'next', 'to', 'by')
      redis.call('UNLINK', 'lp:reg:' .. group.name, group.key .. ':ss', group.key .. ':live')
      -- Each shard has changed, under the opseq of this call; no death of a session has.
      redis.call('ZUNIONSTORE', group.key .. ':chg', 1, group.key .. ':all', 'WEIGHTS',
        lp.dec(opseq))
      return {'OK'}
    end,
  }
end
