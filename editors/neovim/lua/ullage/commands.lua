-- What a person types: :Ullage with any line of `ullage chat`, completed, and lists to choose from.

local connection = require("ullage.connection")
local contexts = require("ullage.contexts")
local tell_failure = require("ullage.notices")

local commands = {}

local PREFIX = "ullage.server."
local PATIENCE_MS = 500
local STRATEGIES = { "hybrid", "summarize", "truncate" }
local WORDS = {
  auto = { "on", "off" },
  size = { "4k", "8k", "16k", "32k" },
  compress = STRATEGIES,
  estimate = STRATEGIES,
  export = { "markdown", "json" },
}

local function tokens(number)
  return number .. " tokens"
end

--- Lists of what a line may be given: a request, and how its result reads.
local lists = {
  restore = {
    prompt = "Bring back which snapshot?",
    none = "No snapshot was kept of this conversation yet; :Ullage snapshot keeps one.",
    method = "context/snapshot/list",
    entries = function(page)
      table.sort(page.snapshots, function(one, other)
        return one.id > other.id
      end)
      return vim.tbl_map(function(each)
        local at = os.date("%Y-%m-%d %H:%M", math.floor(each.createdAt / 1000))
        return { at .. ", " .. tokens(each.tokens) .. ", " .. each.trigger .. ": " .. each.summary, each.id }
      end, page.snapshots)
    end,
  },
  switch = {
    prompt = "Go on in which conversation?",
    none = "There is no other conversation; :UllageNew with a name begins one.",
    method = "context/list",
    entries = function(list)
      return vim.tbl_map(function(each)
        local folder = vim.fn.fnamemodify(vim.uri_to_fname(each.workspaceUri), ":~")
        return { each.name .. " in " .. folder .. ", " .. tokens(each.usage.tokens), each.id, each.name }
      end, list.contexts)
    end,
  },
  model = {
    prompt = "Talk with which model?",
    none = "No model server answers; `ullage doctor` in a terminal says what there is.",
    method = "context/models",
    entries = function(list)
      return vim.tbl_map(function(each)
        return { each.name .. " (" .. each.provider .. (each.loaded and ", loaded)" or ")"), each.name, each.name }
      end, list.models)
    end,
  },
}

--- What the server offers to run, without the prefix.
function commands.names()
  local capabilities = connection.client and connection.client.server_capabilities
  return vim.tbl_map(function(command)
    return command:sub(#PREFIX + 1)
  end, capabilities and capabilities.executeCommandProvider.commands or {})
end

--- A line; the server shows what comes of it through window/showMessage. `done` gets the failure and the result.
function commands.run(name, argument, done)
  done = done or function() end
  local folder = contexts.folder_here()
  contexts.with_here(function(failure, id)
    if failure then
      tell_failure(failure)
      return done(failure)
    end
    local given = { contextId = id, argument = argument ~= "" and argument or nil }
    local params = { command = PREFIX .. name, arguments = { given } }
    contexts.request(id, "workspace/executeCommand", params, function(refused, result)
      tell_failure(refused)
      if result and name == "switch" and result.data.context then
        contexts.use(result.data.context.id, folder)
      end
      done(refused, result)
    end)
  end)
end

local function params_of(list, id)
  return list.method == "context/snapshot/list" and { contextId = id } or vim.empty_dict()
end

--- Let the person choose from the list that belongs to a line, and run the line with the choice.
function commands.choose(name, done)
  done = done or function() end
  local list = lists[name]
  contexts.with_here(function(failure, id)
    if failure then
      tell_failure(failure)
      return done(failure)
    end
    connection.request(list.method, params_of(list, id), function(refused, result)
      tell_failure(refused)
      local entries = result and list.entries(result) or {}
      if #entries == 0 then
        if result then
          vim.notify("Ullage: " .. list.none, vim.log.levels.INFO)
        end
        return done(refused)
      end
      local shown = {
        prompt = list.prompt,
        format_item = function(entry)
          return entry[1]
        end,
      }
      vim.ui.select(entries, shown, function(entry)
        if entry then
          commands.run(name, entry[2], done)
        end
      end)
    end)
  end)
end

--- Begin, or go on in, the present folder's conversation of this name.
function commands.new(name, done)
  local folder = contexts.folder_here()
  local params = { workspaceUri = vim.uri_from_fname(folder), name = name }
  connection.request("context/open", params, function(failure, context)
    tell_failure(failure)
    if context then
      contexts.use(context.id, folder)
    end
    if done then
      done(failure, context)
    end
  end)
end

--- A whole line as it was typed.
function commands.line(text)
  local name, argument = text:match("^(%S*)%s*(.-)$")
  if connection.client and name ~= "" and not vim.tbl_contains(commands.names(), name) then
    vim.notify(("Ullage: There is no line “%s”; :Ullage help lists them."):format(name), vim.log.levels.ERROR)
  elseif argument == "" and lists[name] then
    commands.choose(name)
  else
    commands.run(name == "" and "status" or name, argument)
  end
end

local function words_after(name)
  local list = lists[name]
  if not list then
    return WORDS[name] or {}
  end
  local id = contexts.of(vim.api.nvim_get_current_buf())
  local result = id and connection.ask(list.method, params_of(list, id), PATIENCE_MS)
  return vim.tbl_map(function(entry)
    return entry[3] or entry[2]
  end, result and list.entries(result) or {})
end

--- For Tab: names of lines, then what may follow one.
function commands.complete(lead, line)
  local name = line:match("^%s*%S+%s+(%S+)%s")
  local words = name and words_after(name) or commands.names()
  return vim.tbl_filter(function(word)
    return vim.startswith(word, lead)
  end, words)
end

return commands
