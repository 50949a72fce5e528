-- Ullage in Neovim: conversations with local models, kept inside the memory that the machine has.
--
--   require("ullage").setup()   once; options go over the client's configuration, such as `cmd` and `settings`
--   :Ullage status              every line that `ullage chat` knows; Tab completes them
--   :UllageChat                 the conversation of this file's folder in a window
--   statusline()                how full its window is; also in g:ullage_status

local chat = require("ullage.chat")
local commands = require("ullage.commands")
local connection = require("ullage.connection")
local contexts = require("ullage.contexts")
local tell_failure = require("ullage.notices")

local ullage = { names = commands.names, run = commands.run, request = connection.request }

local HIGHLIGHTS = { high = "UllageHigh", critical = "UllageCritical" }
local is_lost = false

setmetatable(ullage, {
  __index = function(_, key)
    return key == "client" and connection.client or nil -- nil until the server has answered
  end,
})

local function text_of(buffer)
  local status = contexts.statuses[contexts.of(buffer)]
  if is_lost then
    return "Ullage: no server", "none"
  end
  return status and status.text or "", status and status.warning or "none"
end

--- A component for 'statusline', in a colour when the window is nearly full: %{%v:lua.require'ullage'.statusline()%}
function ullage.statusline()
  local drawn = vim.g.statusline_winid
  local window = drawn and vim.api.nvim_win_is_valid(drawn) and drawn or 0
  local text, warning = text_of(vim.api.nvim_win_get_buf(window))
  text = text:gsub("%%", "%%%%")
  local highlight = HIGHLIGHTS[warning]
  return highlight and ("%%#%s#%s%%*"):format(highlight, text) or text
end

local function show_status()
  local text, warning = text_of(vim.api.nvim_get_current_buf())
  if vim.g.ullage_status ~= text or vim.g.ullage_warning ~= warning then
    vim.g.ullage_status, vim.g.ullage_warning = text, warning
    vim.cmd("redrawstatus!")
  end
end

table.insert(contexts.changed, show_status)
table.insert(connection.ready, 1, function()
  is_lost = false
end)
table.insert(connection.lost, 1, function()
  is_lost = true
end)

--- Ask the model: `on_piece` gets each piece of the answer, `done` the failure and the result.
function ullage.ask(text, on_piece, done)
  contexts.with_here(function(failure, id)
    if failure then
      tell_failure(failure)
      return done(failure)
    end
    chat.request(id, text, function(value)
      if value.delta then
        on_piece(value.delta)
      end
    end, function(refused, result)
      tell_failure(refused)
      done(refused, result)
    end)
  end)
end

local function make_commands()
  local make = vim.api.nvim_create_user_command
  make("Ullage", function(typed)
    commands.line(typed.args)
  end, { nargs = "*", complete = commands.complete, desc = "A line about the conversation" })
  make("UllageChat", function(typed)
    chat.open(typed.args)
  end, { nargs = "*", desc = "The conversation in a window; a question is asked at once" })
  make("UllageNew", function(typed)
    commands.new(typed.args)
  end, { nargs = 1, desc = "Another conversation in this folder, by its name" })
  make("Context", function(typed) -- the name before :Ullage, without lists to choose from
    local name, argument = typed.args:match("^(%S*)%s*(.-)$")
    ullage.run(name == "" and "status" or name, argument)
  end, { nargs = "*", complete = commands.complete })
end

--- `options` go over the client's configuration, such as `cmd`, `settings = { ullage = {…} }` or `init_options`.
function ullage.setup(options)
  vim.api.nvim_set_hl(0, "UllageHigh", { link = "WarningMsg", default = true })
  vim.api.nvim_set_hl(0, "UllageCritical", { link = "ErrorMsg", default = true })
  make_commands()
  vim.api.nvim_create_autocmd({ "BufEnter", "DirChanged" }, {
    group = vim.api.nvim_create_augroup("ullage", {}),
    callback = contexts.follow,
  })
  connection.setup(options or {}, contexts.folder_here)
end

return ullage
