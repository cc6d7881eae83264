-- The record of a draft: which resharding it belongs to, and how far it is with each parent.
--
-- Why it is right: there is a draft only where there is no record of a shard. Of each parent there
-- is one attempt, and one cursor; who brings pages anew begins with nothing. What was dropped
-- leaves its number behind, so that a late command makes nothing of it again.

do
  local NONE = {n = 0, und = 0, bytes = 0, parents = {}}
  local FIELDS = {'first', 'last', 'by', 'phase', 'epoch', 'seq', 'chain', 'closing', 'walk'}

  local function draft_key(on)
    return on.group.key .. ':dr:' .. on.name
  end

  function lp.source_key(on, part)
    return on.group.key .. ':' .. part .. ':' .. on.name
  end

  local function unpacked_parent(packed)
    local parent = {}
    for i, value in ipairs(cmsgpack.unpack(packed)) do
      parent[FIELDS[i]] = value
    end
    return parent
  end

  -- The draft that is here in the place of a shard; of number 0 where none is.
  function lp.draft(on)
    if not on.is_new then
      return NONE
    elseif not on.draft then
      local found = redis.call('HMGET', draft_key(on), 'n', 'und', 'bytes', 'p0', 'p1')
      local parents = {}
      for i = 4, 5 do
        parents[#parents + 1] = found[i] and unpacked_parent(found[i]) or nil
      end
      on.draft = {
        n = tonumber(found[1] or 0), und = tonumber(found[2] or 0),
        bytes = tonumber(found[3] or 0), parents = parents,
      }
    end
    return on.draft
  end

  -- Say that the draft changes; it is written when the command has ended.
  function lp.touch_draft(on)
    lp.write(on.call)
    on.has_new_draft = true
  end

  function lp.save_draft(on)
    local draft, list = on.draft, {}
    on.has_new_draft = false
    redis.call('DEL', draft_key(on))
    for _, field in ipairs({'n', 'und', 'bytes'}) do
      if draft[field] > 0 then
        list[#list + 1] = field
        list[#list + 1] = lp.dec(draft[field])
      end
    end
    for i, parent in ipairs(draft.parents) do
      local kept = {}
      for at, field in ipairs(FIELDS) do
        kept[at] = parent[field]
      end
      list[#list + 1] = 'p' .. (i - 1)
      list[#list + 1] = cmsgpack.pack(kept)
    end
    if #list > 0 then
      redis.call('HSET', draft_key(on), unpack(list))
    end
  end

  local function unlink_all(on)
    local keys = lp.data_keys(on)
    redis.call('UNLINK', keys.kv, keys.ix, keys.id, keys.iq, keys.hi,
      lp.source_key(on, 'q0'), lp.source_key(on, 'q1'), lp.source_key(on, 'qs'))
  end

  local function fresh_parent(first, last, by)
    return {
      first = first, last = last, by = by, phase = '', epoch = '0', seq = 0, chain = 0,
      closing = 0, walk = false,
    }
  end

  -- A draft in the place of what was there, which is none or of a smaller number.
  function lp.make_draft(on, number, parents)
    local before = lp.draft(on)
    lp.touch_draft(on)
    if before.n > 0 then
      unlink_all(on)
    end
    on.draft = {n = number, und = before.und, bytes = 0, parents = {}}
    for i, slots in ipairs(parents) do
      on.draft.parents[i] = fresh_parent(slots[1], slots[2], '')
    end
    return on.draft
  end

  -- Drop the draft, if there is one. No draft up to its number, or `upto`, is made again.
  function lp.undraft(on, upto)
    local draft = lp.draft(on)
    local over = math.max(draft.und, draft.n, upto)
    if draft.n > 0 then
      lp.write(on.call)
      unlink_all(on)
    end
    if draft.n > 0 or over ~= draft.und then
      lp.touch_draft(on)
      on.draft = {n = 0, und = over, bytes = 0, parents = {}}
    end
  end

  -- Begin a parent anew. Where it has brought something, all that came is worthless, and attempts
  -- so far are over.
  function lp.begin_parent(on, p, attempt, phase)
    local draft = lp.draft(on)
    lp.touch_draft(on)
    if draft.parents[p + 1].phase ~= '' then
      unlink_all(on)
      draft.bytes = 0
      for i, parent in ipairs(draft.parents) do
        draft.parents[i] = fresh_parent(parent.first, parent.last, parent.by)
      end
    end
    local old = draft.parents[p + 1]
    draft.parents[p + 1] = fresh_parent(old.first, old.last, attempt)
    draft.parents[p + 1].phase = phase
    return draft.parents[p + 1]
  end

  -- Everything of a parent up to there is in.
  function lp.reach(parent, epoch, sequence, chain)
    parent.epoch, parent.seq, parent.chain = lp.dec(epoch), sequence, chain
    parent.walk = false
    parent.phase = (sequence > 0 and parent.closing == sequence) and 'final' or 'log'
  end

  -- Draft and data are at an end: what is here is a shard.
  function lp.end_draft(on)
    redis.call('UNLINK', draft_key(on), lp.source_key(on, 'q0'), lp.source_key(on, 'q1'),
      lp.source_key(on, 'qs'))
    on.draft, on.has_new_draft = nil, false
  end
end
