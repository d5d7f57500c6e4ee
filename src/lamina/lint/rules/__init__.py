"""One rule = one module; `lamina.lint.table` lists them in their order."""
