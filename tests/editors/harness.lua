-- What the scripts here share: their order, reports to the test that started them, and waiting.

local harness = { order = vim.json.decode(vim.env.ORDER) }
vim.opt.runtimepath:prepend(harness.order.client)

--- A line of JSON for the test.
function harness.report(name, value)
  io.stdout:write(vim.json.encode({ name = name, value = value }), "\n")
  io.stdout:flush()
end

--- Let the editor live until `happened` is true.
function harness.wait(what, happened)
  if not vim.wait(harness.order.patience_ms, happened, 5) then
    error("waited in vain for " .. what)
  end
end

--- Run `asynchronous` with a function to be called in the end, and return what that was given.
function harness.await(what, asynchronous)
  local results
  asynchronous(function(...)
    results = { ... }
  end)
  harness.wait(what, function()
    return results ~= nil
  end)
  return unpack(results, 1, 2)
end

--- What Neovim itself has shown since it was asked the last time.
function harness.shown()
  local text = vim.fn.execute("messages")
  vim.cmd("messages clear")
  return text
end

--- Once a file is open and the server is there; then the editor ends.
function harness.main(steps)
  local ullage = require("ullage")
  vim.api.nvim_create_autocmd("VimEnter", {
    callback = function()
      local fine, failure = pcall(function()
        harness.wait("the server", function()
          return ullage.client ~= nil
        end)
        steps(ullage)
      end)
      if not fine then
        harness.report("failed", tostring(failure))
      end
      vim.cmd("qall!")
    end,
  })
  ullage.setup({ cmd = harness.order.server, init_options = harness.order.settings })
end

return harness
