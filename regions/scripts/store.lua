-- The store: its identity, its opseq, what guards a call, and what is known from earlier ones.
--
-- Why it is right: an identity is minted only where nothing is, from the store's own time, so a
-- store that forgets never becomes by chance, or by a delayed message, who it was. A call names
-- who it is meant for. A connection that was replaced cannot speak after its successor: the
-- greatest generation of each process is kept. opseq is raised before the first write of a call,
-- once.
--
-- What a call has read or written is known to the next one, so that a busy shard is not read from
-- the keys each time. That holds because every write raises opseq: where incarnation and opseq
-- are those at which the last call ended, nothing was written since. A call that breaks off
-- leaves nothing known: `known` is empty while a call runs.

do
  local check = lp.check
  local run_id = false
  local known = nil
  local KNOWN_MAX = 512
  local KNOWN_BYTES_MAX = 4194304

  -- A run id lasts as long as the process, and so does this variable.
  function lp.run_id()
    run_id = run_id or redis.call('INFO', 'server'):match('run_id:(%x+)')
    return run_id
  end

  -- What the last call left known, nothing if somebody wrote since. `count` and `bytes` bound it.
  local function take_known(inc, opseq)
    local found = known
    known = nil
    if found and found.inc == inc and found.opseq == opseq then
      return found
    end
    local meta = redis.call('HMGET', 'lp:meta', 'id', 'nonce')
    return {
      inc = inc, id = meta[1] or '', nonce = meta[2], count = 0, bytes = 0,
      groups = {}, generations = {},
    }
  end

  -- One call while it is executed. `began_at` is the opseq it found.
  function lp.new_call(only_reads)
    local meta = redis.call('HMGET', 'lp:meta', 'inc', 'opseq')
    local inc, opseq = meta[1] or '', tonumber(meta[2] or 0)
    local found = take_known(inc, opseq)
    return {
      only_reads = only_reads, wrote = false, known = found, groups = found.groups, open = {},
      id = found.id, inc = inc, nonce = found.nonce, opseq = opseq, began_at = opseq,
    }
  end

  -- The call has ended, and all it changed is written.
  function lp.end_call(call)
    local found = call.known
    if found.count <= KNOWN_MAX and found.bytes <= KNOWN_BYTES_MAX then
      found.inc, found.id, found.nonce, found.opseq = call.inc, call.id, call.nonce, call.opseq
      known = found
    end
  end

  -- Say that a change follows. Returns the opseq to which all changes of this call belong.
  function lp.write(call)
    if not call.wrote then
      assert(not call.only_reads, 'a command that only reads has tried to write')
      call.wrote = true
      call.opseq = redis.call('HINCRBY', 'lp:meta', 'opseq', 1)
    end
    return call.opseq
  end

  local function is_header(header)
    return type(header) == 'table' and #header == 4 and header[1] == lp.FORMAT
      and check.any_text(header[2]) and check.any_text(header[3]) and check.count(header[4])
  end

  local function remember_generation(call, process, generation)
    local greatest = call.known.generations[process]
    if not greatest then
      greatest = tonumber(redis.call('HGET', 'lp:proc', process) or -1)
      call.known.generations[process] = greatest
      call.known.count = call.known.count + 1
    end
    if generation < greatest then
      return 'OLD_GENERATION'
    end
    if generation > greatest and not call.only_reads then
      lp.write(call)
      redis.call('HSET', 'lp:proc', process, lp.dec(generation))
      call.known.generations[process] = generation
    end
  end

  -- Why the whole call is refused, nil if it is not.
  function lp.refused_by_header(call, header, commands)
    if not is_header(header) then
      return 'BAD_FORMAT'
    end
    local incarnation, process, generation = header[2], header[3], header[4]
    local alone = #commands == 1 and incarnation == '' and lp.operation(commands[1])
    if call.inc == '' then
      return alone ~= 'mint' and 'EMPTY' or nil
    end
    if alone == 'hello' or alone == 'mint' then
      return nil
    end
    if incarnation ~= call.inc then
      return 'WRONG_INCARNATION'
    end
    if process ~= '' then
      return remember_generation(call, process, generation)
    end
  end

  lp.FORMAT = 1

  function lp.operation(words)
    return type(words) == 'table' and type(words[1]) == 'string' and words[1] or nil
  end

  lp.command.hello = {
    arguments = {}, only_reads = true, no_group = true,
    run = function(call)
      local groups = {}
      for i, name in ipairs(redis.call('ZRANGE', 'lp:groups', 0, -1)) do
        local group = lp.group(call, name)
        groups[i] = {name, group.version, group.state}
      end
      return {'OK', lp.FORMAT, call.id, groups}
    end,
  }

  lp.command.mint = {
    arguments = {check.text, check.text}, no_group = true,
    run = function(call, _, arguments)
      local id, nonce = arguments[1], arguments[2]
      if call.inc ~= '' then
        return call.nonce == nonce and {'OK', call.id, call.inc} or {'EXISTS'}
      end
      if redis.call('DBSIZE') > 0 then
        return {'EXISTS'}
      end
      local time = redis.call('TIME')
      local seed = time[1] .. ' ' .. time[2] .. ' ' .. nonce .. ' ' .. id
      call.id, call.inc, call.nonce = id, redis.sha1hex(seed):sub(1, 16), nonce
      lp.write(call)
      redis.call('HSET', 'lp:meta', 'id', id, 'inc', call.inc, 'nonce', nonce,
        'run_id', lp.run_id(), 'format', lp.FORMAT)
      return {'OK', call.id, call.inc}
    end,
  }

  lp.command.admit = {
    arguments = {check.text},
    run = function(call, _, arguments)
      if redis.call('HGET', 'lp:meta', 'run_id') ~= arguments[1] then
        lp.write(call)
        redis.call('HSET', 'lp:meta', 'run_id', arguments[1])
      end
      return {'OK'}
    end,
  }
end
