-- A call: unpacked, guarded, executed command by command, answered.
--
-- Why it is right: a script is not rolled back when it fails, so nothing may fail after a write.
-- All arguments are unpacked before anything is done, and each command checks its own before it
-- writes. Commands keep changed records open; they are written when their command has ended, so
-- that the next one reads what it left.

do
  local function unpack_all(packed)
    local values = {}
    for i, data in ipairs(packed) do
      local ok, value, more = pcall(cmsgpack.unpack, data)
      if not ok or more ~= nil or data == '' then
        return nil
      end
      values[i] = value == nil and false or value
    end
    return values
  end

  -- A colon would let the keys of one group be taken for those of another.
  local function names_group(words)
    return type(words[2]) == 'string' and not words[2]:find(':', 1, true)
      and lp.check.count(words[3]) ~= nil
  end

  local function result(group, code, payload)
    local shown = {code, group.version, group.state, false}
    for i = 2, payload and #payload or 0 do
      shown[i + 3] = payload[i]
    end
    return shown
  end

  local function execute(call, words)
    local command = lp.command[lp.operation(words) or '']
    if not command or not names_group(words) then
      return {'BAD_COMMAND', 0, 'absent', false}
    end
    local group, version = lp.group(call, words[2]), words[3]
    local refusal = not command.no_group and lp.refused_by_group(command, group, version)
    if refusal then
      local shown = refusal ~= 'UNDECIDED' and lp.description(group)
      return {refusal, group.version, group.state, shown}
    end
    local arguments = lp.check_all(command.arguments, words, 4)
    if not arguments or (call.only_reads and not command.only_reads) then
      return result(group, 'BAD_COMMAND')
    end
    local payload = command.run(call, group, arguments, version)
    for i, record in ipairs(call.open) do
      record:save()
      call.open[i] = nil
    end
    return result(group, payload and payload[1] or 'BAD_COMMAND', payload)
  end

  local function answer(packed, only_reads)
    local call = lp.new_call(only_reads)
    local values = unpack_all(packed)
    local results, refusal = {}, 'BAD_FORMAT'
    if values and #values > 0 then
      local header = table.remove(values, 1)
      refusal = lp.refused_by_header(call, header, values)
      for i = 1, refusal and 0 or #values do
        results[i] = execute(call, values[i])
      end
    end
    lp.end_call(call)
    return cmsgpack.pack({
      refusal or 'OK', call.id, call.inc, lp.run_id(), call.opseq, results,
    })
  end

  redis.register_function('leadplane_call', function(_, packed)
    return answer(packed, false)
  end)

  -- The same when the server's memory is full, for calls that keep order or make room.
  redis.register_function{
    function_name = 'leadplane_keep',
    callback = function(_, packed)
      return answer(packed, false)
    end,
    flags = {'allow-oom'},
  }

  redis.register_function{
    function_name = 'leadplane_read',
    callback = function(_, packed)
      return answer(packed, true)
    end,
    flags = {'no-writes'},
  }
end
