#!/usr/bin/env Rscript
# The tidyverse reads, joins, reshapes and plots a table.

check <- function() {
  suppressPackageStartupMessages(library(tidyverse))
  write_csv(tibble(shop = c("a", "b", "a"), sum = c(1.5, 2, 3.5)), "sales.csv")
  totals <- read_csv("sales.csv", show_col_types = FALSE) |>
    inner_join(tibble(shop = c("a", "b"), town = c("\u0141\u00f3d\u017a", "K\u00f6ln")), by = "shop") |>
    group_by(town) |>
    summarise(total = sum(sum)) |>
    mutate(letters = str_length(town)) |>
    pivot_longer(c(total, letters))
  if (!identical(totals$value, c(2, 4, 5, 4))) stop("totals ", paste(totals$value, collapse = " "))
  squares <- map_dbl(1:3, \(x) x^2)
  if (!identical(squares, c(1, 4, 9))) stop("squares ", paste(squares, collapse = " "))
  ggsave("plot.png", ggplot(mtcars, aes(wt, mpg)) + geom_point() + facet_wrap(~cyl), width = 4, height = 3)
  if (file.size("plot.png") < 5000) stop("the plot is empty")
  sprintf('"rows": %d', nrow(totals))
}

outcome <- tryCatch(check(), error = function(error) {
  reason <- conditionMessage(error)
  message(reason)
  cat(sprintf('{"check": "r_tidyverse", "ok": false, "reason": %s}\n', encodeString(reason, quote = '"')))
  quit(status = 1)
})
cat(sprintf('{"check": "r_tidyverse", "ok": true, %s}\n', outcome))
