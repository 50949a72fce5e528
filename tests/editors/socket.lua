-- A test at the other end of a socket types keys, asks for values, and waits for what is to come. A line of JSON each.

local POLL_MS = 10

local function evaluated(expression)
  local chunk, problem = loadstring("return " .. expression)
  if not chunk then
    error(problem)
  end
  return chunk()
end

local function watch(request, reply, since)
  local fine, met = pcall(evaluated, request.condition)
  if not fine then
    reply({ failure = tostring(met) })
  elseif met or vim.loop.now() - since > request.patience_ms then
    reply({ value = met and true or false })
  else
    vim.defer_fn(function()
      watch(request, reply, since)
    end, POLL_MS)
  end
end

--- Until 0.10 nothing that is scheduled runs while the editor waits for keys; from then on a question is a command line
--- of a kind of its own.
local function reply_when_it_waits(reply)
  local timer, is_over = vim.loop.new_timer(), false
  local function is_waiting()
    if not is_over then
      is_over = true
      timer:close()
      reply({ value = true })
    end
  end
  timer:start(0, POLL_MS, function()
    local now = vim.api.nvim_get_mode()
    if now.blocking then
      is_waiting()
    elseif now.mode == "c" then
      vim.schedule(function()
        if vim.fn.mode() == "c" and vim.fn.getcmdtype() ~= ":" then
          is_waiting()
        end
      end)
    end
  end)
end

local function answer(request, reply)
  if request.keys then -- also while the editor waits for keys, when nothing else may be done
    vim.api.nvim_input(request.keys)
    reply({ value = true })
  elseif request.until_it_waits then
    reply_when_it_waits(reply)
  elseif request.condition then
    vim.schedule(function()
      watch(request, reply, vim.loop.now())
    end)
  else
    vim.schedule(function()
      local fine, value = pcall(evaluated, request.lua)
      if fine then
        reply({ value = value == nil and vim.NIL or value })
      else
        reply({ failure = tostring(value) })
      end
    end)
  end
end

local server = vim.loop.new_pipe(false)
server:bind(vim.env.EDITOR_SOCKET)
server:listen(1, function()
  local client, received = vim.loop.new_pipe(false), ""
  server:accept(client)
  client:read_start(function(_, chunk)
    received = received .. (chunk or "")
    while received:find("\n", 1, true) do
      local line, rest = received:match("^(.-)\n(.*)$")
      received = rest
      answer(vim.json.decode(line), function(value)
        client:write(vim.json.encode(value) .. "\n")
      end)
    end
  end)
end)
