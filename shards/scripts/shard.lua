-- A shard's record: the authority over it and the bounds of its log, as one hash.
--
-- Why it is right: a command reads the record once, changes it in memory, and it is written once,
-- when the command has ended. Only fields that differ are written, so what changes nothing writes
-- nothing. A field that was never written reads as its default.

do
  local TEXTS = {h = true, st = true, tgt = true, pref = true}
  local EPOCHS = {pe = true, pf = true, he = true, sync = true, te = true, ae = true, be = true}

  local DEFAULTS = {__index = {
    pe = 0, pf = 0, he = 0, h = '', st = 'free', tgt = '', rvk = 0, ver = 0, sync = 0,
    te = 0, ts = 0, tc = 0, ae = 0, as = 0, cm = 0, ap = 0, fz = 0, be = 0, bs = 0, bc = 0,
    bytes = 0, prev = 0, pref = '',
  }}

  local methods = {}
  local index = {__index = methods}

  -- The shard as this command finds it.
  function lp.on_shard(call, group, name)
    local key = group.key .. ':sh:' .. name
    local record = setmetatable({}, DEFAULTS)
    local flat = redis.call('HGETALL', key)
    for i = 1, #flat, 2 do
      local field, value = flat[i], flat[i + 1]
      record[field] = TEXTS[field] and value or tonumber(value)
    end
    local on = setmetatable({
      call = call, group = group, name = name, key = key, record = record, changed = {},
      log = group.key .. ':lg:' .. name,
    }, index)
    call.open[#call.open + 1] = on
    return on
  end

  -- Change fields where they differ.
  function methods.set(on, fields)
    for field, value in pairs(fields) do
      if on.record[field] ~= value then
        lp.write(on.call)
        on.record[field] = value
        on.changed[field] = true
      end
    end
  end

  function methods.save(on)
    local list = {}
    for field in pairs(on.changed) do
      local value = on.record[field]
      list[#list + 1] = field
      list[#list + 1] = TEXTS[field] and value or lp.dec(value)
    end
    lp.in_pieces('HSET', on.key, list)
  end

  -- Let observers see the shard again.
  function methods.moved(on)
    lp.list_change(on.call, on.group, 's/' .. on.name)
  end

  function methods.grant(on)
    local r = on.record
    return {lp.dec(r.pe), lp.dec(r.pf), lp.dec(r.he), r.h, r.st, r.tgt, r.rvk}
  end

  -- A refusal; it carries the present grant.
  function methods.refused(on, code, ...)
    return {code, on:grant(), ...}
  end

  -- Values of several fields at the end of a payload; epochs in decimal.
  function methods.add(on, payload, ...)
    for _, field in ipairs({...}) do
      local value = on.record[field]
      payload[#payload + 1] = EPOCHS[field] and lp.dec(value) or value
    end
    return payload
  end

  function methods.is_held(on)
    return on.record.st == 'held' or on.record.st == 'handover'
  end

  -- Whether the session may still change the log here in this epoch.
  function methods.leads(on, sid, epoch)
    local r = on.record
    return r.pe == epoch and r.he == epoch and r.h == sid
  end

  -- Why this session may get no authority here, nil if it may.
  function methods.refused_session(on, sid)
    local session = lp.session(on.group, sid)
    if not session then
      return 'UNKNOWN'
    elseif session.dead == 1 then
      return 'DEAD'
    end
  end

  -- Make the session the holder, in this epoch. Older marks of freshness are void.
  function methods.give_to(on, sid, epoch)
    on:set({pe = epoch, he = epoch, h = sid, st = 'held', tgt = '', rvk = 0, sync = 0})
    on:moved()
  end

  -- Whether a live leader vouches for the data, and the session's `seen`.
  function methods.freshness(on)
    local r = on.record
    local session = r.h ~= '' and lp.session(on.group, r.h) or nil
    if not session then
      return 0, 0
    end
    local fresh = session.dead == 0 and r.st == 'held' and r.sync == r.he and r.he == r.pe
      and r.ap == r.cm and r.rvk == 0
    return fresh and 1 or 0, session.seen
  end
end
