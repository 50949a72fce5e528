-- Each of the order's lines as a person types them, `:Context size 8k`, and what Neovim has shown of it.

local harness = dofile(vim.json.decode(vim.env.ORDER).scripts .. "/harness.lua")

harness.main(function(ullage)
  local run = ullage.run
  harness.report("offered", ullage.names())
  harness.report("completed", vim.fn.getcompletion("Context st", "cmdline"))
  for _, line in ipairs(harness.order.lines) do
    harness.shown()
    harness.await(line.name, function(done)
      ullage.run = function(name, argument)
        run(name, argument, done)
      end
      vim.cmd("Context " .. line.name .. " " .. line.argument)
    end)
    harness.report(line.name, harness.shown())
  end
end)
