-- Which context belongs to a buffer: that of its folder, and how full each is.

local connection = require("ullage.connection")

local contexts = { statuses = {}, changed = {} }

local ROOTS = { ".git", ".hg", ".jj", ".ullage.yaml" }
local TAKE_OVER, LEAVE = "Take it over", "Leave it there"
local of_folder, entered = {}, nil

local function root_above(path)
  repeat
    for _, name in ipairs(ROOTS) do
      if vim.loop.fs_stat(path .. "/" .. name) then
        return path
      end
    end
    local below = path
    path = vim.fn.fnamemodify(path, ":h")
  until path == below
end

--- The project that a file lies in, else Neovim's own folder.
function contexts.folder_of(buffer)
  local name = vim.api.nvim_buf_get_name(buffer)
  local is_file = name ~= "" and vim.bo[buffer].buftype == "" and not name:match("^%a[%w+.-]*://")
  return is_file and root_above(vim.fn.fnamemodify(name, ":p:h")) or vim.fn.getcwd()
end

--- The folder of the present buffer; of a window that shows no file, that of the last file.
local function folder_here()
  local buffer = vim.api.nvim_get_current_buf()
  if vim.bo[buffer].buftype ~= "" and entered then
    return entered
  end
  return contexts.folder_of(buffer)
end
contexts.folder_here = folder_here

--- The id of a buffer's context, nil where it was never opened.
function contexts.of(buffer)
  return vim.b[buffer].ullage_context or of_folder[vim.b[buffer].ullage_folder or entered]
end

local function inform()
  for _, listener in ipairs(contexts.changed) do
    listener()
  end
end

local function open(folder, done)
  connection.request("context/open", { workspaceUri = vim.uri_from_fname(folder) }, function(failure, context)
    if context then
      of_folder[folder] = of_folder[folder] or context.id
      inform()
    end
    done(failure, context and of_folder[folder])
  end)
end

--- Hand `done` the id of the present buffer's context, which is opened where it must be.
function contexts.with_here(done)
  local id = contexts.of(vim.api.nvim_get_current_buf())
  if id then
    done(nil, id)
  else
    open(folder_here(), done)
  end
end

--- From now on the folder's conversation is this one.
function contexts.use(id, folder)
  of_folder[folder] = id
  inform()
end

--- A conversation that was erased elsewhere is no folder's any more.
local function forget_erased(failure, params)
  if (failure.data or {}).kind == "unknownContext" then
    local id = (params.arguments and params.arguments[1] or params).contextId
    for folder, known in pairs(of_folder) do
      of_folder[folder] = known ~= id and known or nil
    end
  end
end

local function add_folder(folder)
  local added = { uri = vim.uri_from_fname(folder), name = vim.fn.fnamemodify(folder, ":t") }
  connection.notify("workspace/didChangeWorkspaceFolders", { event = { added = { added }, removed = {} } })
end

local function enter(folder)
  entered = folder
  if of_folder[folder] then
    connection.request("context/switch", { contextId = of_folder[folder] })
  else
    add_folder(folder)
    open(folder, function() end)
  end
end

--- The active context is that of the file before the person.
function contexts.follow()
  local buffer = vim.api.nvim_get_current_buf()
  if vim.bo[buffer].buftype == "" then
    local folder = contexts.folder_of(buffer)
    vim.b[buffer].ullage_folder = folder
    if connection.client and folder ~= entered then
      enter(folder)
    end
  end
  inform()
end

--- A server that was started again is told of all folders.
local function return_to_all()
  local folder = entered
  entered = nil
  for known in pairs(of_folder) do
    add_folder(known)
  end
  contexts.follow()
  if folder and not entered then
    enter(folder)
  end
end

local function take_over(id, done)
  connection.request("context/status", { contextId = id }, function(failure, status)
    if failure then
      return done(failure)
    end
    local context = status.context
    connection.request(
      "context/open",
      { workspaceUri = context.workspaceUri, name = context.name, takeOver = true },
      done
    )
  end)
end

--- A request about a context. Where another editor writes that, the person may take it over: it is asked again then,
--- as the `next` of what is returned.
function contexts.request(id, method, params, done)
  local first
  first = connection.request(method, params, function(failure, result)
    if not failure or (failure.data or {}).reason ~= "elsewhere" then
      return done(failure, result)
    end
    vim.ui.select({ TAKE_OVER, LEAVE }, { prompt = failure.message }, function(choice)
      if choice ~= TAKE_OVER then
        return done(failure)
      end
      take_over(id, function(refused)
        if refused then
          return done(refused)
        end
        first.next = connection.request(method, params, done)
      end)
    end)
  end)
  return first
end

connection.on("context/statusChanged", function(status)
  contexts.statuses[status.context.id] = status
  inform()
end)
table.insert(connection.refused, forget_erased)
table.insert(connection.ready, return_to_all)
table.insert(connection.lost, function()
  contexts.statuses = {}
  inform()
end)

return contexts
