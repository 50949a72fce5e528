-- Ullage in Neovim 0.7 or newer. Save this as lua/ullage.lua in your configuration and call require("ullage").setup().
--
--   :Context status        every line that `ullage chat` knows, without its slash; Tab completes them
--   g:ullage_status        how full the window is, for a status line
--   ullage.ask(text, …)    a question to the model, answered piece by piece

local ullage = { client = nil }

local NAME = "ullage"
local listeners, asked = {}, 0

local function tell_failure(failure)
  if failure then
    vim.notify(failure.message, vim.log.levels.ERROR)
  end
end

local handlers = {
  ["context/statusChanged"] = function(_, status)
    vim.g.ullage_status = status.text
  end,
  ["$/progress"] = function(failure, progress, ...)
    local listener = listeners[progress.token]
    if listener then
      listener(progress.value.delta or "")
    else
      vim.lsp.handlers["$/progress"](failure, progress, ...)
    end
  end,
}

local function names_from(lead)
  return vim.tbl_filter(function(name)
    return vim.startswith(name, lead)
  end, ullage.names())
end

--- Start the server for the present folder, with the first file. `options` go over the client's configuration, such as init_options.
function ullage.setup(options)
  local config = vim.tbl_extend("force", {
    name = NAME,
    cmd = { "ullage", "serve" },
    root_dir = vim.fn.getcwd(),
    handlers = handlers,
    on_init = function(client)
      ullage.client = client
    end,
  }, options or {})
  if vim.lsp.config then -- from 0.11 on
    vim.lsp.config(NAME, config)
    vim.lsp.enable(NAME)
  else
    local id
    vim.api.nvim_create_autocmd("FileType", {
      callback = function(event)
        id = id or vim.lsp.start_client(config)
        vim.lsp.buf_attach_client(event.buf, id)
      end,
    })
  end
  vim.api.nvim_create_user_command("Context", function(typed)
    local name, argument = typed.args:match("^(%S*)%s*(.-)$")
    ullage.run(name == "" and "status" or name, argument)
  end, { nargs = "*", complete = names_from })
end

--- What the server offers to run, without the prefix.
function ullage.names()
  return vim.tbl_map(function(command)
    return (command:gsub("^ullage%.server%.", ""))
  end, ullage.client.server_capabilities.executeCommandProvider.commands)
end

--- Any request; `done` gets the failure and the result.
function ullage.request(method, params, done)
  local client = ullage.client
  if vim.fn.has("nvim-0.11") == 1 then
    client:request(method, params, done)
  else
    client.request(method, params, done)
  end
end

--- A command; the server shows what comes of it through window/showMessage.
function ullage.run(name, argument, done)
  local params = { command = "ullage.server." .. name }
  if argument and argument ~= "" then
    params.arguments = { argument }
  end
  ullage.request("workspace/executeCommand", params, function(failure, result)
    tell_failure(failure)
    if done then
      done(failure, result)
    end
  end)
end

--- Ask the model in the active context: `on_piece` gets each piece of the answer, `done` the failure and the result.
function ullage.ask(text, on_piece, done)
  asked = asked + 1
  local token = "ask-" .. asked
  ullage.request("context/status", vim.empty_dict(), function(failure, status)
    if failure then
      return tell_failure(failure)
    end
    listeners[token] = on_piece
    local params = { contextId = status.context.id, text = text, partialResultToken = token }
    ullage.request("context/chat", params, function(failed, result)
      listeners[token] = nil
      tell_failure(failed)
      done(failed, result)
    end)
  end)
end

return ullage
