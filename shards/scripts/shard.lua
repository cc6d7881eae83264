-- A shard's record: the authority over it, field by field, and the bounds of its log, as one line.
--
-- Why it is right: the record is changed in memory, and written once, when the command has ended.
-- Only what differs is written, so what changes nothing writes nothing. A field that was never
-- written reads as its default. The record stays known for the next call (see store.lua), and
-- with it the entries that wait to be applied.

do
  local TEXTS = {h = true, st = true, tgt = true, pref = true}
  local EPOCHS = {pe = true, pf = true, he = true, sync = true, te = true, ae = true, be = true}
  -- In the order in which they stand in the line.
  local BOUNDS = {'te', 'ts', 'tc', 'ae', 'as', 'cm', 'ap', 'fz', 'be', 'bs', 'bc', 'bytes'}
  local IS_BOUND = {
    te = true, ts = true, tc = true, ae = true, as = true, cm = true, ap = true, fz = true,
    be = true, bs = true, bc = true, bytes = true,
  }

  local DEFAULTS = {__index = {
    pe = 0, pf = 0, he = 0, h = '', st = 'free', tgt = '', rvk = 0, ver = 0, sync = 0,
    te = 0, ts = 0, tc = 0, ae = 0, as = 0, cm = 0, ap = 0, fz = 0, be = 0, bs = 0, bc = 0,
    sn = 0, sb = 0, bytes = 0, prev = 0, pref = '', lc = 0,
  }}

  local methods = {}
  local index = {__index = methods}

  -- The record, and whether nothing was ever written of it.
  local function read_record(key)
    local record = setmetatable({}, DEFAULTS)
    local flat = redis.call('HGETALL', key)
    for i = 1, #flat, 2 do
      local field, value = flat[i], flat[i + 1]
      if field == 'log' then
        local at = 1
        for number in value:gmatch('%d+') do
          record[BOUNDS[at]], at = tonumber(number), at + 1
        end
      else
        record[field] = TEXTS[field] and value or tonumber(value)
      end
    end
    return record, #flat == 0
  end

  -- The shard as this command finds it.
  function lp.on_shard(call, group, name)
    local on = group.shards[name]
    if not on then
      local key = group.key .. ':sh:' .. name
      local record, is_new = read_record(key)
      on = setmetatable({
        group = group, name = name, key = key, record = record, is_new = is_new, changed = {},
        has_new_bounds = false, log = group.key .. ':lg:' .. name, waiting = {},
      }, index)
      group.shards[name] = on
      call.known.count = call.known.count + 1
    end
    on.call = call
    if not on.is_open then
      on.is_open = true
      call.open[#call.open + 1] = on
    end
    return on
  end

  -- Change a field if it differs.
  function methods.put(on, field, value)
    if on.record[field] ~= value then
      lp.write(on.call)
      on.record[field] = value
      if IS_BOUND[field] then
        on.has_new_bounds = true
      else
        on.changed[#on.changed + 1] = field
      end
    end
  end

  -- Change fields where they differ.
  function methods.set(on, fields)
    for field, value in pairs(fields) do
      on:put(field, value)
    end
  end

  local function bounds(r)
    return string.format('%d %d %d %d %d %d %d %d %d %d %d %d', r.te, r.ts, r.tc, r.ae, r.as,
      r.cm, r.ap, r.fz, r.be, r.bs, r.bc, r.bytes)
  end

  function methods.save(on)
    local list = {}
    on.is_open = false
    if on.has_new_draft then
      lp.save_draft(on)
    end
    if on.has_new_bounds then
      list[1], list[2] = 'log', bounds(on.record)
      on.has_new_bounds = false
    end
    for i, field in ipairs(on.changed) do
      local value = on.record[field]
      list[#list + 1] = field
      list[#list + 1] = TEXTS[field] and value or lp.dec(value)
      on.changed[i] = nil
    end
    if #list > 0 then
      redis.call('HSET', on.key, unpack(list))
      if on.is_new then
        on.is_new = false
        redis.call('ZADD', on.group.key .. ':all', 1, 's/' .. on.name)
      end
    end
  end

  -- What the shard says of itself under a reserved key: the number of a resharding and the version,
  -- 0 for none.
  function methods.told(on, key)
    local record = redis.call('HGET', lp.data_keys(on).kv, key)
    if not record then
      return 0, 0
    end
    local version, value = lp.read_kv(record)
    return tonumber(value), version
  end

  -- What is decided takes the place of a draft.
  function methods.undraft(on)
    lp.undraft(on, 0)
  end

  -- Let observers see the shard again.
  function methods.moved(on)
    lp.list_change(on.call, on.group, 's/' .. on.name)
  end

  -- The state of the grant, as it is in the present version of the group.
  function methods.state(on)
    local r = on.record
    return lp.grant_state(on.group, r.pe, r.ver, r.st)
  end

  function methods.grant(on)
    local r = on.record
    return {lp.dec(r.pe), lp.dec(r.pf), lp.dec(r.he), r.h, on:state(), r.tgt, r.rvk}
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
    local state = on:state()
    return state == 'held' or state == 'handover'
  end

  -- Whether the session may still change the log here in this epoch.
  function methods.leads(on, sid, epoch)
    local r = on.record
    return r.pe == epoch and r.he == epoch and r.h == sid and on:state() ~= 'inherited'
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

  function methods.stage_keys(on)
    local keys = {}
    for _, part in ipairs({'kv', 'ix', 'id', 'iq', 'hi'}) do
      keys[part] = 'lp:stage:' .. on.group.name .. ':' .. part .. ':' .. on.name
    end
    return keys
  end

  -- Drop what is staged. Attempts below `number` are over from here on.
  function methods.stage_from(on, number)
    if on.record.sn == number then
      return
    end
    on:set({sn = number, sb = 0})
    local keys = on:stage_keys()
    redis.call('UNLINK', keys.kv, keys.ix, keys.id, keys.iq, keys.hi)
  end

  -- Make the session the holder, in this epoch. Older marks of freshness are void, and nobody is
  -- left to go on with what was staged.
  function methods.give_to(on, sid, epoch)
    on:set({
      pe = epoch, he = epoch, h = sid, st = 'held', tgt = '', rvk = 0, sync = 0,
      ver = on.group.version,
    })
    on:stage_from(0)
    on:moved()
  end

  -- Whether a live leader vouches for the data, and the session's `seen`.
  function methods.freshness(on)
    local r = on.record
    local session = r.h ~= '' and lp.session(on.group, r.h) or nil
    if not session then
      return 0, 0
    end
    local fresh = session.dead == 0 and on:state() == 'held' and r.sync == r.he and r.he == r.pe
      and r.ap == r.cm and r.rvk == 0
    return fresh and 1 or 0, session.seen
  end
end
