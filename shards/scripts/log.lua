-- The log of a shard: append, trim, range, history.
--
-- Why it is right: an append is accepted under the greatest promise only, and a greater epoch is a
-- promise by itself. It joins the log where both are certainly the same. Nothing committed is ever
-- replaced, nor what the same epoch appended. The commit index follows what this call brought,
-- never the tail: entries that an older epoch left behind are not committed by being there.

do
  local check = lp.check
  local TRIM_MAX = 2000

  -- Why this session may not append in this epoch, nil if it may.
  local function adopt_epoch(on, epoch, sid)
    local promised = on.record.pe
    if epoch < promised then
      return 'FENCED'
    elseif epoch == promised then
      return not (on:leads(sid, epoch) and on:state() == 'held') and 'FENCED' or nil
    end
    local refusal = on:refused_session(sid)
    if refusal then
      return refusal
    end
    on:give_to(sid, epoch)
  end

  local function joins(on, sequence, epoch, chain)
    local r = on.record
    if sequence <= r.cm or sequence <= r.bs then
      return true
    elseif sequence == r.ts then
      return epoch == r.te and chain == r.tc
    end
    local entry = lp.stored_entry(on, sequence)
    return entry ~= nil and entry[1] == epoch and entry[4] == chain
  end

  -- The sequence from which entries must be stored, behind the last one when none must; nil when
  -- what is committed differs, or what this epoch appended would go. Without an epoch nothing of
  -- that kind is kept.
  function lp.first_new(on, epoch, before, entries)
    local r = on.record
    for i, entry in ipairs(entries) do
      local sequence = before + i
      if sequence > r.ts then
        return sequence
      end
      local stored = sequence > r.bs and lp.stored_entry(on, sequence)
      if stored and (stored[1] ~= entry[1] or stored[4] ~= entry[4]) then
        if sequence <= r.cm or (r.ae == epoch and sequence <= r.as) then
          return nil
        end
        return sequence
      end
    end
    return before + #entries + 1
  end

  -- Put entries in the place of what is there, the one of sequence `first` and those after it;
  -- `before` is the sequence in front of all that are given.
  function lp.store_entries(on, first, before, entries, blobs)
    lp.write(on.call)
    lp.delete_entries(on, first, on.record.ts)
    local list = {}
    for i = first - before, #blobs do
      list[#list + 1] = lp.dec(before + i)
      list[#list + 1] = blobs[i]
      on.waiting[before + i] = entries[i]
      on.group.known.bytes = on.group.known.bytes + #blobs[i]
    end
    lp.in_pieces('HSET', on.log, list)
    local last = entries[#entries]
    on:put('te', last[1])
    on:put('ts', before + #entries)
    on:put('tc', last[4])
  end

  -- All entries parsed, nil when one is none.
  function lp.parse_entries(blobs)
    local entries = {}
    for i, blob in ipairs(blobs) do
      entries[i] = lp.parse_entry(blob)
      if not entries[i] then
        return nil
      end
    end
    return entries
  end

  lp.command.append = {
    arguments = {
      check.text, check.epoch, check.text, check.count, check.epoch_or_none, check.count,
      check.listed, check.count, check.flag,
    },
    run = function(call, group, arguments)
      local name, epoch, sid, before, before_epoch, before_chain, blobs, committed, vouches =
        unpack(arguments)
      local entries = lp.parse_entries(blobs)
      if not entries then
        return nil
      end
      local on = lp.on_shard(call, group, name)
      local refusal = adopt_epoch(on, epoch, sid)
      if refusal then
        return on:refused(refusal)
      end
      on:undraft()
      if not joins(on, before, before_epoch, before_chain) then
        on:set({sync = 0}) -- an append before this one was not made: this store lacks something
        return on:add(on:refused('GAP'), 'te', 'ts', 'tc', 'cm', 'bs')
      end
      local first = lp.first_new(on, epoch, before, entries)
      if not first then
        return on:refused('CONFLICT')
      end
      local r, last = on.record, before + #entries
      if first <= last then
        lp.store_entries(on, first, before, entries, blobs)
      end
      on:put('as', r.ae == epoch and math.max(r.as, last) or last)
      local told = r.ae == epoch and r.lc or 0
      on:put('ae', epoch)
      lp.commit(on, math.min(committed, last))
      on:put('lc', committed > r.cm and math.max(told, committed) or told)
      if vouches == 1 and r.ts == last and r.as == last and r.cm == committed
        and r.ap == committed then
        on:put('sync', epoch)
      end
      return {'OK', lp.dec(r.te), r.ts, r.tc, r.cm, r.ap, r.as, r.bytes}
    end,
  }

  lp.command.trim = {
    arguments = {check.text, check.epoch, check.text, check.count},
    run = function(call, group, arguments)
      local name, epoch, sid, upto = unpack(arguments)
      local on = lp.on_shard(call, group, name)
      if not on:leads(sid, epoch) then
        return on:refused('FENCED')
      end
      local r = on.record
      upto = math.min(upto, r.cm, r.ap, r.bs + TRIM_MAX)
      local closed, closed_at = on:told(lp.CLOSED)
      if closed > 0 then
        upto = math.min(upto, closed_at) -- drafts are filled up to there
      end
      local last = upto > r.bs and lp.stored_entry(on, upto)
      if last then
        lp.write(call)
        lp.delete_entries(on, r.bs + 1, upto)
        on:set({be = last[1], bs = upto, bc = last[4]})
      end
      return {'OK', r.bs}
    end,
  }

  lp.command.range = {
    arguments = {check.text, check.count, check.count}, only_reads = true, works_sealed = true,
    run = function(call, group, arguments)
      local name, first, room = unpack(arguments)
      local on = lp.on_shard(call, group, name)
      local r, entries = on.record, {}
      lp.each_blob(on, math.max(first, r.bs + 1), r.ts, function(sequence, blob)
        room = room - #blob
        if #entries > 0 and room < 0 then
          return false
        end
        entries[#entries + 1] = {sequence, blob}
        return true
      end)
      local payload = on:add({'OK', on:grant()}, 'te', 'ts', 'tc', 'cm', 'be', 'bs', 'bc')
      payload[#payload + 1] = entries
      payload[#payload + 1] = math.max(r.cm, r.lc)
      return payload
    end,
  }

  -- Epochs of the history in order.
  function lp.history_epochs(keys)
    local epochs = {}
    for i, epoch in ipairs(redis.call('HKEYS', keys.hi)) do
      epochs[i] = tonumber(epoch)
    end
    table.sort(epochs)
    return epochs
  end

  lp.command.history = {
    arguments = {check.text}, only_reads = true,
    run = function(call, group, arguments)
      local keys = lp.data_keys(lp.on_shard(call, group, arguments[1]))
      local lines = {}
      for i, epoch in ipairs(lp.history_epochs(keys)) do
        local name = lp.dec(epoch)
        lines[i] = {name, cmsgpack.unpack(redis.call('HGET', keys.hi, name))}
      end
      return {'OK', lines}
    end,
  }
end
