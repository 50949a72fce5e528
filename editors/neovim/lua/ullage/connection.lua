-- The server's process: started when it is needed, started again after a crash, and the requests to it.

--- `listeners` get the parts of a result by its token; `ready` and `lost` are called when the server comes and goes,
--- `refused` with the failure and the parameters of a request.
local connection = { client = nil, handlers = {}, listeners = {}, ready = {}, lost = {}, refused = {} }

local NAME = "ullage"
local CRASHES, WITHIN_S = 5, 180
local CANCELLED = { code = -32800, message = "Stopped before the answer began." }
local NO_TEXT = { message = "There are bytes in this that are no text, so it was not sent. 8g8 finds them." }
local POLL_MS = 20
local CLIENTS = 1000 -- as many ids are looked at: they count from 1, and a client that has ended leaves a gap
local METHODS = vim.fn.has("nvim-0.11") == 1 -- a client's functions are methods from there on

local config = { name = NAME, cmd = { "ullage", "serve" } }
local queued, waiting, crashes = {}, {}, {}
local starting, refusal = false, nil

--- Outside of the automatic command that may have led here: in there it would look like a failure of that command.
local tell = vim.schedule_wrap(function(text)
  vim.notify("Ullage: " .. text, vim.log.levels.ERROR)
end)

local function call(name, ...)
  local client = connection.client
  if METHODS then
    return client[name](client, ...)
  end
  return client[name](...)
end

local function inform(listeners, ...)
  for _, listener in ipairs(listeners) do
    listener(...)
  end
end

local function settle(request, failure, result)
  if not request.settled then
    request.settled = true
    waiting[request] = nil
    if failure then
      inform(connection.refused, failure, request.params or {})
    end
    request.done(failure, result)
  end
end

local function settle_all(requests, failure)
  for _, request in ipairs(requests) do
    settle(request, failure)
  end
end

--- Nobody will answer what waits for the server to be there; only a command starts it again.
local function give_up(failure)
  failure.final = true
  local left = queued
  queued = {}
  settle_all(left, failure)
end

--- Whether others read what Neovim makes of this: a buffer may hold any bytes, and they would go out as they are.
local function is_text(params)
  local encoded = vim.json.encode(params)
  return pcall(vim.fn.json_decode, encoded) and pcall(vim.fn.json_encode, encoded)
end

local function send(request)
  if not is_text(request.params) then
    return vim.schedule(function()
      settle(request, NO_TEXT)
    end)
  end
  waiting[request] = true
  local _
  _, request.id = call("request", request.method, request.params, function(failure, result)
    settle(request, failure, result)
  end)
end

local function client_of(started)
  for id = 1, CLIENTS do
    local client = vim.lsp.get_client_by_id(id)
    if client and client.config == started then
      return client
    end
  end
end

--- Neovim calls nobody where the first request is refused: listen to its answer.
local function before_init(_, started)
  local client = client_of(started)
  if not client then
    return
  end
  local request = client.rpc.request
  client.rpc.request = function(method, params, done, ...)
    client.rpc.request = request
    return request(method, params, function(failure, result)
      if failure then
        refusal = failure.message
        vim.lsp.stop_client(client.id, true)
      else
        done(failure, result)
      end
    end, ...)
  end
end

local function on_init(client)
  starting, connection.client = false, client
  if not METHODS and config.settings then -- later ones are asked for them
    call("notify", "workspace/didChangeConfiguration", { settings = config.settings })
  end
  inform(connection.ready)
  local first = queued
  queued = {}
  for _, request in ipairs(first) do
    send(request)
  end
end

--- Whether the server has crashed too often for another start to help.
local function hopeless()
  local now = vim.loop.now() / 1000
  table.insert(crashes, now)
  crashes = vim.tbl_filter(function(at)
    return now - at < WITHIN_S
  end, crashes)
  return #crashes >= CRASHES
end

local function on_exit(code, signal)
  starting, connection.client = false, nil
  if vim.v.exiting ~= vim.NIL then
    return
  end
  inform(connection.lost)
  local failure = { message = "The server ended before it answered. It is started again; what was said is kept." }
  if refusal then
    failure, refusal = { message = refusal, told = true }, nil
    tell(failure.message)
    give_up(failure)
  elseif code == 0 and signal == 0 then
    failure = { message = "The server was stopped. :Ullage starts it again." }
    give_up(failure)
  elseif hopeless() then
    crashes = {}
    local text = "The server ended %d times in a short while and is left alone now. `ullage doctor` in a terminal says "
      .. "what is wrong, %s has what it wrote. :Ullage starts it again."
    failure = { message = text:format(CRASHES, vim.lsp.get_log_path()), told = true }
    tell(failure.message)
    give_up(failure)
  else
    connection.start()
  end
  settle_all(vim.tbl_keys(waiting), failure)
end

--- Where the client says where it works: the folder of the buffer that the server is started for.
local function started_in(folder)
  local started = METHODS and vim.deepcopy(vim.lsp.config[NAME]) or vim.deepcopy(config)
  if type(started.root_dir) ~= "string" then
    started.root_dir = folder
  end
  return started
end

local function is_missing(command)
  return type(command) == "table" and vim.fn.executable(command[1]) == 0
end

--- Hear a notification; a handler of the person's own in vim.lsp.handlers hears it too.
function connection.on(method, hear)
  connection.handlers[method] = function(failure, params, ...)
    hear(params)
    local own = vim.lsp.handlers[method]
    if own then
      own(failure, params, ...)
    end
  end
end

connection.handlers["$/progress"] = function(failure, progress, ...)
  local listener = connection.listeners[progress.token]
  if listener then
    listener(progress.value)
  else
    vim.lsp.handlers["$/progress"](failure, progress, ...)
  end
end

--- Whether there is a process now. What Neovim itself says of it would have to be confirmed before our sentence is seen.
local function spawned(started)
  if METHODS then
    local options = { attach = false, reuse_client = started.reuse_client, silent = true }
    return vim.lsp.start(started, options) ~= nil
  end
  return vim.lsp.start_client(started) ~= nil
end

--- Start the server unless it is there.
function connection.start()
  if connection.client or starting then
    return
  end
  local started = started_in(connection.folder())
  if is_missing(started.cmd) then
    local text = ("There is no program “%s”. Install Ullage, or say where it is: "
      .. 'require("ullage").setup({ cmd = { "/path/to/ullage", "serve" } }).'):format(started.cmd[1])
    tell(text)
    return give_up({ message = text, told = true })
  end
  starting = true
  if not spawned(started) then
    starting = false
    local text = "The server could not be started. Install Ullage anew; `ullage doctor` in a terminal says what is "
      .. "wrong."
    tell(text)
    give_up({ message = text, told = true })
  end
end

--- Any request; `done` gets the failure and the result. It waits for the server where that is not there yet.
function connection.request(method, params, done)
  local request = { method = method, params = params, done = done or function() end }
  if connection.client then
    send(request)
  else
    table.insert(queued, request)
    connection.start()
  end
  return request
end

function connection.notify(method, params)
  call("notify", method, params)
end

--- The result of a short request, or nil.
function connection.ask(method, params, patience_ms)
  local answer = connection.client and call("request_sync", method, params, patience_ms, 0)
  return answer and answer.result
end

--- Neovim tells nobody of a request that was cancelled before it had a result: look until it is not waited for.
local function settle_when_answered(request, client)
  if not request.settled and client.requests[request.id] then
    vim.defer_fn(function()
      settle_when_answered(request, client)
    end, POLL_MS)
  else
    settle(request, CANCELLED)
  end
end

--- Ask the server to stop; `done` of the request gets what has come, or a failure.
function connection.cancel(request)
  while request.next do
    request = request.next
  end
  if request.id and not request.settled then
    call("cancel_request", request.id)
    settle_when_answered(request, connection.client)
  end
end

function connection.is_cancelled(failure)
  return failure ~= nil and failure.code == CANCELLED.code
end

--- `options` go over the client's configuration; `folder` answers where the present buffer belongs.
function connection.setup(options, folder)
  connection.folder = folder
  config = vim.tbl_extend("force", {
    name = NAME,
    cmd = { "ullage", "serve" },
    handlers = connection.handlers,
    before_init = before_init,
    on_init = on_init,
    on_exit = vim.schedule_wrap(on_exit),
    reuse_client = function(client) -- one server for all folders
      return client.name == NAME and not client:is_stopped()
    end,
    root_dir = METHODS and function(_, on_folder)
      on_folder(folder())
    end or nil,
  }, options)
  if METHODS then
    vim.lsp.config(NAME, config)
  end
  if METHODS and not is_missing(config.cmd) then
    vim.lsp.enable(NAME)
  else
    vim.api.nvim_create_autocmd("FileType", { once = true, callback = connection.start })
  end
end

return connection
